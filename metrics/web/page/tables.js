// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// The table of peers and that of drops.

// columns: value is what is sorted by, text what is shown; undefined sorts last.
const columns = [
  { id: "name", label: "Peer", value: (p) => peerName(p).toLowerCase() },
  { id: "plot", label: "Last 10 min" },
  { id: "path", label: "Path", value: (p) => p.path || "~", text: pathText },
  { id: "latency", label: "Latency", value: (p) => p.latency_seconds, text: (p) => latencyText(p.latency_seconds), num: true },
  { id: "loss", label: "Loss", value: (p) => p.loss, text: (p) => lossText(p.loss), num: true, down: true },
  { id: "handshake", label: "Handshake", value: (p) => p.handshake_age_seconds, text: (p) => ageText(p.handshake_age_seconds), num: true },
  { id: "rx", label: "Receiving", value: (p) => p.rx_rate, text: (p) => rateText(p.rx_rate), under: (p) => bytesText(p.rx_bytes), num: true, down: true },
  { id: "tx", label: "Sending", value: (p) => p.tx_rate, text: (p) => rateText(p.tx_rate), under: (p) => bytesText(p.tx_bytes), num: true, down: true },
];

function pathText(p) {
  return { direct: "direct", relay: "relay", plain: "plain" }[p.path] || "none";
}

const peersTable = { rows: new Map(), sort: "name", down: false, peers: [] };

function makePeersHead() {
  for (const c of columns) {
    const th = element("th", { scope: "col", role: "columnheader", id: "col-" + c.id });
    if (c.num) th.className = "num";
    if (c.value) {
      const b = element("button", { type: "button" }, c.label);
      b.addEventListener("click", () => sortBy(c, peersTable.sort === c.id ? !peersTable.down : !!c.down));
      th.append(b);
      byId("sort").append(element("option", { value: c.id }, c.label));
    } else {
      th.append(c.label);
    }
    byId("peers-head").append(th);
  }
  byId("sort").addEventListener("change", (e) => {
    const c = columns.find((c) => c.id === e.target.value);
    sortBy(c, !!c.down);
  });
  byId("find").addEventListener("input", drawPeers);
  markSort();
}

function sortBy(column, down) {
  peersTable.sort = column.id;
  peersTable.down = down;
  markSort();
  drawPeers();
}

function markSort() {
  for (const c of columns.filter((c) => c.value)) {
    byId("col-" + c.id).setAttribute("aria-sort", c.id !== peersTable.sort ? "none" : peersTable.down ? "descending" : "ascending");
  }
  byId("sort").value = peersTable.sort;
}

function makePeerRow(key) {
  const row = { tr: element("tr", { role: "row" }), cells: {} };
  for (const c of columns) {
    if (c.id === "name") {
      row.button = element("button", { type: "button", class: "peer", "aria-pressed": "false" });
      row.button.addEventListener("click", () => choosePeer(plot.chosen === key ? "" : key));
      row.under = element("span", { class: "under" });
      row.tr.append(element("th", { scope: "row", role: "rowheader" }, row.button, row.under));
      continue;
    }
    const td = element("td", { role: "cell", "data-label": c.label });
    if (c.num) td.className = "num";
    if (c.id === "plot") {
      td.className = "plotted";
      td.append(row.spark = element("div", { class: "spark" }));
    } else {
      td.append(element("span", {}), element("span", { class: "under" }));
    }
    row.cells[c.id] = td;
    row.tr.append(td);
  }
  return row;
}

function fillPeerRow(row, p) {
  setText(row.button, peerName(p));
  row.button.setAttribute("aria-pressed", String(plot.chosen === p.key));
  row.button.title = p.key;
  setText(row.under, p.endpoint || "no address");
  drawSpark(row.spark, p.key, peerName(p));
  for (const c of columns.filter((c) => c.text)) {
    const [value, under] = row.cells[c.id].children;
    setText(value, c.text(p));
    if (c.under) setText(under, c.under(p));
  }
  const [path, over] = row.cells.path.children;
  path.className = "path-" + (p.path || "none");
  setText(over, p.path === "relay" ? relayName(p.relay) : "");
}

function relayName(id) {
  const r = (latest.relays || []).find((r) => r.id === id);
  return r && r.name || shortKey(id || "");
}

function compareBy(column, down) {
  const sign = down ? -1 : 1;
  return (a, b) => {
    const x = column.value(a), y = column.value(b);
    if (x !== y) {
      if (x === undefined) return 1;
      if (y === undefined) return -1;
      return x < y ? -sign : sign;
    }
    return a.key < b.key ? -1 : 1;
  };
}

function drawPeers() {
  const t = peersTable, body = byId("peers-body"), wanted = byId("find").value.trim().toLowerCase();
  const peers = latest.peers.filter((p) => !wanted ||
    [p.name, p.key, p.endpoint, p.path, ...(p.allowed_ips || [])].some((s) => s && s.toLowerCase().includes(wanted)));
  peers.sort(compareBy(columns.find((c) => c.id === t.sort), t.down));
  const there = new Set(peers.map((p) => p.key));
  for (const [key, row] of t.rows) {
    if (!there.has(key)) {
      row.tr.remove();
      t.rows.delete(key);
    }
  }
  const focused = document.activeElement;
  peers.forEach((p, i) => {
    let row = t.rows.get(p.key);
    if (!row) t.rows.set(p.key, row = makePeerRow(p.key));
    fillPeerRow(row, p);
    if (body.children[i] !== row.tr) body.insertBefore(row.tr, body.children[i] || null);
  });
  if (focused !== document.activeElement && body.contains(focused)) focused.focus();
  const n = latest.num_peers;
  setText(byId("peers-count"), peers.length === n ? String(n) : peers.length + " of " + n);
  byId("peers-empty").hidden = peers.length > 0;
  setText(byId("peers-empty"), n ? "No such peers." : "No peers.");
  byId("find-label").hidden = n < 8;
}

function drawDrops() {
  const drops = latest.drops.filter((d) => d.packets > 0);
  drops.sort((a, b) => b.rate - a.rate || b.packets - a.packets || (a.stage + a.reason < b.stage + b.reason ? -1 : 1));
  byId("drops-body").replaceChildren(...drops.map((d) => element("tr", {},
    element("td", {}, d.stage.replaceAll("_", " ")), element("td", {}, d.reason.replaceAll("_", " ")),
    element("td", { class: "num" }, countText(d.packets)), element("td", { class: "num" }, d.rate ? countText(d.rate) : "0"))));
  byId("drops").hidden = drops.length === 0;
  byId("drops-empty").hidden = drops.length > 0;
}
