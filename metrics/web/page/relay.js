// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// What the router does as a relay, beside a tunnel or alone.

function drawRelayServer() {
  const r = latest.relay_server, alone = latest.mode === "relay";
  byId("relay").hidden = !r;
  byId("peers-section").hidden = alone;
  byId("topology-section").hidden = alone;
  byId("skip").hidden = alone;
  if (!r) return;
  const ended = (r.ended || []).map((c) => countText(c.n) + " " + c.name.replaceAll("_", " "));
  const rows = [
    ["Sessions", countText(r.bound) + " connected", r.sessions > r.bound ? countText(r.sessions - r.bound) + " waiting for the other side" : ""],
    ["Clients", countText(r.registrations) + " registered", "of " + countText(r.clients) + " that may use it"],
    ["Forwarded", bytesText(r.bytes), countText(r.packets) + " packets"],
    ["Sessions ended", ended.join(", ") || "none", ""],
  ];
  byId("relay-facts").replaceChildren(...rows.map(([label, value, more]) => element("div", {},
    element("dt", {}, label), element("dd", {}, element("b", {}, value), ...(more ? [" ", element("span", { class: "more" }, more)] : [])))));
}
