// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Numbers for people, and elements. Text gets into the page by textContent only.
"use strict";

const unknown = "–";

function scaled(value, units, step, digits) {
  let i = 0;
  while (value >= step - 0.5 && i < units.length - 1) {
    value /= step;
    i++;
  }
  return value.toFixed(i === 0 || value >= 100 ? 0 : digits) + " " + units[i];
}

// rateText writes bytes per second as bits per second.
const rateText = (bytes) => scaled(bytes * 8, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"], 1000, 1);
const bytesText = (bytes) => scaled(bytes, ["B", "kB", "MB", "GB", "TB", "PB"], 1000, 1);
const countText = (n) => n.toLocaleString("en");

function latencyText(s) {
  if (s === undefined) return unknown;
  return s < 0.001 ? (s * 1e6).toFixed(0) + " µs" : (s * 1e3).toFixed(s < 0.1 ? 1 : 0) + " ms";
}

const lossText = (part) => part === undefined ? unknown : (part * 100).toFixed(part > 0 && part < 0.1 ? 1 : 0) + " %";

function ageText(s) {
  if (s === undefined) return "never";
  s = Math.floor(s);
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min " + s % 60 + " s";
  if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor(s % 3600 / 60) + " min";
  return Math.floor(s / 86400) + " d " + Math.floor(s % 86400 / 3600) + " h";
}

const shortKey = (key) => key.length > 12 ? key.slice(0, 8) + "…" : key;
const peerName = (p) => p.name || shortKey(p.key);

const byId = (id) => document.getElementById(id);

function element(name, attributes, ...children) {
  const e = document.createElement(name);
  return fill(e, attributes, children);
}

function drawing(name, attributes, ...children) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", name);
  return fill(e, attributes, children);
}

function fill(e, attributes, children) {
  for (const name in attributes) e.setAttribute(name, attributes[name]);
  e.append(...children);
  return e;
}

// setText changes text only when it is another, so that nothing is read out again.
function setText(e, text) {
  if (e.textContent !== text) e.textContent = text;
}
