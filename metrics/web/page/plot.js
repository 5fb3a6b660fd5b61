// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Throughput over ten minutes, kept here from what the server sends.

const windowMs = 600000;

// history has times in ms, and for all and for each peer as many rates; -1 for none.
const history_ = { id: "", seq: 0, times: [], total: { rx: [], tx: [] }, peers: new Map() };

// remember takes up an answer of the server.
function remember(v) {
  const h = history_;
  if (v.history !== h.id) Object.assign(h, { id: v.history, times: [], total: { rx: [], tx: [] }, peers: new Map() });
  const before = h.times.length, none = Array(v.times.length).fill(-1);
  h.seq = v.seq;
  h.times.push(...v.times);
  h.total.rx.push(...v.total.rx);
  h.total.tx.push(...v.total.tx);
  const plots = new Map((v.plots || []).map((p) => [p.key, p]));
  const there = new Set(v.peers.map((p) => p.key));
  for (const key of h.peers.keys()) if (!there.has(key)) h.peers.delete(key);
  for (const key of plots.keys()) {
    if (!h.peers.has(key)) h.peers.set(key, { rx: Array(before).fill(-1), tx: Array(before).fill(-1) });
  }
  for (const [key, s] of h.peers) {
    const p = plots.get(key);
    s.rx.push(...(p ? p.rx : none));
    s.tx.push(...(p ? p.tx : none));
  }
  const over = h.times.length - v.keep;
  if (over > 0) {
    h.times.splice(0, over);
    for (const s of [h.total, ...h.peers.values()]) {
      s.rx.splice(0, over);
      s.tx.splice(0, over);
    }
  }
}

// roundUp returns the next of 1, 2, 5, 10 … that is not smaller.
function roundUp(v) {
  const p = 10 ** Math.floor(Math.log10(v));
  for (const m of [1, 2, 5]) if (m * p >= v) return m * p;
  return 10 * p;
}

// linePath returns path data of the values, broken where there is none.
function linePath(values, x, y) {
  let d = "", pen = false;
  for (let i = 0; i < values.length; i++) {
    if (values[i] < 0) {
      pen = false;
      continue;
    }
    d += (pen ? "L" : "M") + x(i).toFixed(1) + " " + y(values[i]).toFixed(1);
    pen = true;
  }
  return d;
}

// areaPath returns path data of the ground under the values.
function areaPath(values, x, y) {
  let d = "", begun = -1;
  for (let i = 0; i <= values.length; i++) {
    const there = i < values.length && values[i] >= 0;
    if (there && begun < 0) {
      begun = i;
      d += "M" + x(i).toFixed(1) + " " + y(0).toFixed(1);
    }
    if (there) d += "L" + x(i).toFixed(1) + " " + y(values[i]).toFixed(1);
    if (!there && begun >= 0) {
      d += "L" + x(i - 1).toFixed(1) + " " + y(0).toFixed(1) + "Z";
      begun = -1;
    }
  }
  return d;
}

const plot = { box: byId("plot"), chosen: "", cursor: -1 };

function chosenSeries() {
  return plot.chosen ? history_.peers.get(plot.chosen) || { rx: [], tx: [] } : history_.total;
}

function drawPlot() {
  const s = chosenSeries(), times = history_.times, end = times[times.length - 1] || 0;
  const width = Math.max(200, plot.box.clientWidth), height = plot.box.clientHeight;
  const left = 2, right = width - 2, top = 20, bottom = height - 20;
  const most = roundUp(Math.max(125, ...s.rx, ...s.tx) * 8);
  const x = (i) => right - (right - left) * (end - times[i]) / windowMs;
  const y = (bytes) => bottom - (bottom - top) * bytes * 8 / most;
  const svg = drawing("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  const labels = [];
  for (const part of [0, 0.5, 1]) {
    const at = bottom - (bottom - top) * part;
    svg.append(drawing("line", { class: "grid", x1: left, x2: right, y1: at, y2: at }));
    if (part > 0) labels.push(drawing("text", { x: left, y: at - 4 }, rateText(most * part / 8)));
  }
  for (let minutes = 0; minutes <= 10; minutes += width < 500 ? 5 : 2) {
    const at = right - (right - left) * minutes / 10;
    const anchor = minutes === 0 ? "end" : minutes === 10 ? "start" : "middle";
    svg.append(drawing("text", { x: at, y: height - 4, "text-anchor": anchor }, minutes === 0 ? "now" : minutes + " min ago"));
  }
  svg.append(
    drawing("path", { class: "rx-area", d: areaPath(s.rx, x, y) }),
    drawing("path", { class: "rx-line", d: linePath(s.rx, x, y) }),
    drawing("path", { class: "tx-line", d: linePath(s.tx, x, y) }), ...labels);
  if (plot.cursor >= 0 && plot.cursor < times.length) {
    const at = x(plot.cursor);
    svg.append(drawing("line", { class: "cursor", x1: at, x2: at, y1: top, y2: bottom }));
  }
  plot.box.replaceChildren(svg);
}

// drawLegend says in words what the plot shows.
function drawLegend() {
  const s = chosenSeries(), parts = [];
  for (const [key, label] of [["rx", "Received"], ["tx", "Sent"]]) {
    const there = s[key].filter((r) => r >= 0);
    const sum = there.reduce((a, b) => a + b, 0);
    parts.push(element("div", { class: key }, element("dt", {}, label),
      element("dd", {}, element("b", {}, there.length ? rateText(there[there.length - 1]) : unknown)),
      element("dd", { class: "more" }, there.length ? "mean " + rateText(sum / there.length) + ", peak " + rateText(Math.max(...there)) : "")));
  }
  byId("legend").replaceChildren(...parts);
}

function readOut() {
  const s = chosenSeries(), i = plot.cursor;
  if (i < 0 || i >= history_.times.length) {
    setText(byId("readout"), "The last ten minutes. Arrow keys or the pointer read single values.");
    return;
  }
  const value = (r) => r === undefined || r < 0 ? unknown : rateText(r);
  setText(byId("readout"), new Date(history_.times[i]).toLocaleTimeString() + ": received " + value(s.rx[i]) + ", sent " + value(s.tx[i]));
}

function setCursor(i) {
  plot.cursor = Math.max(-1, Math.min(i, history_.times.length - 1));
  drawPlot();
  readOut();
}

function listenPlot() {
  plot.box.addEventListener("pointermove", (e) => {
    const times = history_.times, box = plot.box.getBoundingClientRect();
    if (!times.length) return;
    const t = times[times.length - 1] - windowMs * (box.right - e.clientX) / box.width;
    let best = 0;
    for (let i = 0; i < times.length; i++) if (Math.abs(times[i] - t) < Math.abs(times[best] - t)) best = i;
    setCursor(best);
  });
  plot.box.addEventListener("pointerleave", () => setCursor(-1));
  plot.box.addEventListener("blur", () => setCursor(-1));
  plot.box.addEventListener("keydown", (e) => {
    const last = history_.times.length - 1, at = plot.cursor < 0 ? last + 1 : plot.cursor;
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last, Escape: -1 }[e.key];
    if (to === undefined) return;
    e.preventDefault();
    plot.box.setAttribute("aria-label", "Throughput over the last ten minutes");
    setCursor(e.key === "Escape" ? -1 : Math.max(0, to));
    if (plot.cursor >= 0) plot.box.setAttribute("aria-label", byId("readout").textContent);
  });
  new ResizeObserver(drawPlot).observe(plot.box);
}

// drawSpark draws the small plot of a peer.
function drawSpark(box, key, name) {
  const s = history_.peers.get(key), times = history_.times;
  if (!s || !times.length) {
    box.replaceChildren();
    return;
  }
  const end = times[times.length - 1], most = Math.max(125, ...s.rx, ...s.tx);
  const x = (i) => 120 - 120 * (end - times[i]) / windowMs;
  const y = (bytes) => 29 - 27 * bytes / most;
  box.replaceChildren(drawing("svg", { viewBox: "0 0 120 30", preserveAspectRatio: "none", role: "img", "aria-label": name + ": peak " + rateText(most) },
    drawing("path", { class: "rx-area", d: areaPath(s.rx, x, y) }),
    drawing("path", { class: "rx-line", d: linePath(s.rx, x, y), "vector-effect": "non-scaling-stroke" }),
    drawing("path", { class: "tx-line", d: linePath(s.tx, x, y), "vector-effect": "non-scaling-stroke" })));
}
