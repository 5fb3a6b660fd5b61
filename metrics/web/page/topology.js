// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// The topology: this router, its relays, its peers, in three columns.

const topologyPeers = 24; // the busiest; more are not to be read

function drawTopology() {
  const box = byId("topology"), width = Math.max(280, box.clientWidth), row = 34;
  const peers = latest.peers.slice(0, topologyPeers), relays = latest.relays;
  peers.sort((a, b) => peerName(a) < peerName(b) ? -1 : 1);
  const more = latest.num_peers - peers.length;
  const height = Math.max(3, peers.length + (more > 0 ? 1 : 0), relays.length * 2) * row + 10;
  const text = Math.min(170, width * 0.36), column = [18, relays.length ? width * 0.36 : width * 0.3, width - text];
  const self = { x: column[0], y: height / 2 };
  const svg = drawing("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  svg.style.height = height + "px";
  const edges = drawing("g", {}), nodes = drawing("g", {});
  const curve = (a, b, kind) => {
    const mid = (a.x + b.x) / 2;
    edges.append(drawing("path", { class: "edge " + kind, d: `M${a.x} ${a.y}C${mid} ${a.y} ${mid} ${b.y} ${b.x} ${b.y}` }));
  };
  const short = (s, room) => s.length * 7.4 > room ? s.slice(0, Math.max(3, Math.floor(room / 7.4) - 1)) + "…" : s;

  const at = new Map();
  relays.forEach((r, i) => {
    const n = { x: column[1], y: height * (i + 0.5) / relays.length };
    at.set(r.id, n);
    const used = peers.some((p) => p.path === "relay" && p.relay === r.id);
    curve(self, n, !r.up ? "none" : used ? "relay" : "idle");
    nodes.append(drawing("rect", { class: r.up ? "node" : "node down", x: n.x - 9, y: n.y - 9, width: 18, height: 18, rx: 4 }),
      drawing("text", { x: n.x, y: n.y + 25, "text-anchor": "middle" }, short(r.name || shortKey(r.id), width * 0.26)),
      drawing("text", { class: "soft", x: n.x, y: n.y - 15, "text-anchor": "middle" }, r.up ? "relay" : "relay, no answer"));
  });
  peers.forEach((p, i) => {
    const n = { x: column[2], y: 5 + (height - 10) * (i + 0.5) / (peers.length + (more > 0 ? 1 : 0)) };
    const over = p.path === "relay" ? at.get(p.relay) : undefined;
    curve(over || self, n, p.path || "none");
    nodes.append(drawing("circle", { class: p.path ? "node" : "node down", cx: n.x, cy: n.y, r: 7 }));
    if (p.hub) nodes.append(drawing("circle", { class: "hub", cx: n.x, cy: n.y, r: 11 }));
    nodes.append(drawing("text", { x: n.x + 17, y: n.y + 4.5 }, short(peerName(p), text - 18)));
  });
  if (more > 0) nodes.append(drawing("text", { class: "soft", x: column[2] + 17, y: height - row / 2 }, countText(more) + " more"));
  nodes.append(drawing("circle", { class: "node self", cx: self.x, cy: self.y, r: 11 }),
    drawing("text", { x: 4, y: self.y + 29 }, short(latest.interface || "router", width * 0.25)));
  svg.append(edges, nodes);
  box.replaceChildren(svg);

  const count = (path) => latest.peers.filter((p) => (p.path || "none") === path).length;
  box.setAttribute("aria-label", `This router reaches ${count("direct")} peers directly, ${count("relay")} over ${relays.length} relays, ` +
    `${count("plain")} that are not routers, and ${count("none")} not at all. The table of peers has each.`);
}
