// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// The token, where the server asks for one. It is kept for this tab and until it is
// closed; a link may bring it behind #token=, which no server gets to see.

const token = { value: "", key: "router-token" };

function keepToken(value) {
  token.value = value;
  try {
    if (value) sessionStorage.setItem(token.key, value);
    else sessionStorage.removeItem(token.key);
  } catch (err) { /* no storage: it is asked for again */ }
}

function findToken() {
  const given = /^#token=(.+)$/.exec(location.hash);
  if (given) {
    // Out of the address bar, the history and what is shared.
    history.replaceState(null, "", location.pathname + location.search);
    keepToken(decodeURIComponent(given[1]));
    return;
  }
  try {
    token.value = sessionStorage.getItem(token.key) || "";
  } catch (err) { /* no storage */ }
}

const withToken = () => token.value ? { Authorization: "Bearer " + token.value } : {};

function askToken() {
  const wrong = token.value !== "";
  keepToken("");
  const asking = !byId("token-form").hidden;
  showTokenForm(true);
  setText(byId("token-wrong"), wrong ? "That is not the token." : "");
  if (wrong || !asking) {
    byId("token").value = "";
    byId("token").focus();
  }
}

function showTokenForm(yes) {
  byId("token-form").hidden = !yes;
  byId("main").hidden = yes;
  byId("links").hidden = yes;
}

// openWithToken shows what a link leads to, which the browser itself has no token for.
async function openWithToken(e) {
  if (!token.value) return;
  e.preventDefault();
  const answer = await fetch(e.target.href, { headers: withToken(), cache: "no-store", redirect: "error" });
  const text = new Blob([await answer.text()], { type: "text/plain;charset=utf-8" });
  location.href = URL.createObjectURL(text);
}

function listenToken() {
  findToken();
  byId("token-form").addEventListener("submit", (e) => {
    e.preventDefault();
    keepToken(byId("token").value.trim());
    poll();
  });
  for (const a of byId("links").querySelectorAll("a")) a.addEventListener("click", openWithToken);
}
