// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Asking the server, and what belongs to the whole page.

let latest = null; // the last answer
let answered = 0; // when it came, by performance.now
let timer = 0;

function choosePeer(key) {
  plot.chosen = key;
  const p = latest.peers.find((p) => p.key === key);
  setText(byId("chosen"), p ? peerName(p) : latest.mode === "relay" ? "what the relay receives and sends" : "all peers");
  byId("choose-all").hidden = !p;
  draw();
}

function draw() {
  const v = latest;
  if (plot.chosen && !v.peers.some((p) => p.key === plot.chosen)) return choosePeer("");
  document.title = (v.interface || "router") + " · " + rateText(v.rx_rate) + " in, " + rateText(v.tx_rate) + " out";
  setText(byId("name"), v.interface || "router");
  setText(byId("about"), [v.mode, v.version, v.uptime_seconds ? "up " + ageText(v.uptime_seconds) : "",
    v.forwarding ? "forwarding between peers " + v.forwarding : "", (v.listen || []).join(", ")].filter(Boolean).join(" · "));
  if (!plot.chosen && v.mode === "relay") setText(byId("chosen"), "what the relay receives and sends");
  drawNotices();
  drawLegend();
  drawPlot();
  readOut();
  drawRelayServer();
  drawPeers();
  drawDrops();
  drawTopology();
}

function drawNotices() {
  const notices = [];
  for (const n of latest.not_ready || []) {
    const who = n.name || shortKey(n.peer || "");
    notices.push(element("p", { class: "notice error" }, element("b", {}, "Not ready"), (who ? who + ": " : "") + n.reason));
  }
  for (const a of latest.advice || []) {
    const severity = { warning: "Warning", error: "Error" }[a.severity] || "Note";
    notices.push(element("p", { class: "notice " + severity.toLowerCase() }, element("b", {}, severity), a.text,
      ...(a.remedy ? [element("small", {}, a.remedy)] : [])));
  }
  const box = byId("notices"), text = notices.map((n) => n.textContent).join("\n");
  if (box.dataset.text !== text) {
    box.dataset.text = text;
    box.replaceChildren(...notices);
  }
}

function setState(kind, text) {
  const s = byId("state");
  s.className = "pill " + kind;
  setText(s, text);
  document.body.classList.toggle("stale", kind === "bad" && latest !== null);
}

async function poll() {
  clearTimeout(timer);
  let pause = 2000;
  try {
    const end = new AbortController(), late = setTimeout(() => end.abort(), 10000);
    const query = new URLSearchParams({ history: history_.id, since: String(history_.seq) });
    const answer = await fetch("api/v1/page?" + query, { signal: end.signal, headers: withToken(), cache: "no-store", redirect: "error" });
    if (answer.ok) showTokenForm(false);
    if (answer.ok && answer.status !== 204) {
      const v = await answer.json();
      remember(v);
      latest = v;
      answered = performance.now();
      pause = v.interval_seconds * 1000;
      const missing = (v.not_ready || []).length;
      setState(missing ? "" : "good", missing ? "not ready" : "ready");
      draw();
    } else if (answer.status === 401) {
      setState("", "locked");
      askToken();
      pause = 0;
    } else if (answer.status !== 204) {
      setState("bad", "error " + answer.status);
    }
    clearTimeout(late);
  } catch (err) {
    setState("bad", latest ? "no answer for " + ageText((performance.now() - answered) / 1000) : "no answer");
  }
  if (!document.hidden && pause) timer = setTimeout(poll, pause);
}

listenToken();
listenPlot();
makePeersHead();
byId("choose-all").addEventListener("click", () => choosePeer(""));
document.addEventListener("visibilitychange", () => { if (!document.hidden && byId("token-form").hidden) poll(); });
new ResizeObserver(() => { if (latest) drawTopology(); }).observe(byId("topology"));
poll();
