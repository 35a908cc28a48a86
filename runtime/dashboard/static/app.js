"use strict";
// Live connection, theme, keys, filter and image layers. Pages work without it, only not live.
(() => {
  const SILENCE_MS = 9000; // the server speaks at least every 4 s
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);
  const store = (key, value) => { try { return value === undefined ? localStorage.getItem(key) : localStorage.setItem(key, value); } catch { return null; } };

  const theme = store("theme");
  if (theme) root.dataset.theme = theme;
  byId("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    store("theme", root.dataset.theme);
  });
  byId("privacy-back").value = location.pathname;

  let heard = Date.now(), wasLost = false, source;
  const clock = () => new Date(heard).toLocaleTimeString([], {hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false});
  const hear = () => {
    heard = Date.now();
    if (wasLost) { wasLost = false; changed(); }
    show(false);
  };
  const show = (lost) => {
    document.body.classList.toggle("stale", lost);
    byId("contact").classList.toggle("live", !lost);
    byId("contact-words").textContent = lost ? "connection lost" : "live";
    byId("lost").hidden = !lost;
    if (lost) byId("lost-since").textContent = clock();
  };
  const changed = () => {
    if (byId("board")) htmx.trigger(document.body, "images");
    else if (byId("newer")) byId("newer").hidden = false;
  };
  const connect = () => {
    if (source) source.close();
    source = new EventSource("/events");
    source.addEventListener("beat", hear);
    source.addEventListener("images", () => { hear(); changed(); });
  };
  connect();
  setInterval(() => {
    if (Date.now() - heard > SILENCE_MS) {
      if (!wasLost) { wasLost = true; show(true); }
      if (source.readyState === EventSource.CLOSED) connect();
    }
  }, 1000);

  const filter = byId("filter");
  const sift = () => {
    const wanted = filter.value.trim().toLowerCase();
    document.querySelectorAll(".card").forEach((card) => { card.hidden = !card.dataset.patient.includes(wanted); });
  };
  if (filter) {
    filter.addEventListener("input", sift);
    document.body.addEventListener("htmx:afterSwap", sift);
  }
  // A refresh must keep the keyboard focus.
  let focused = null;
  document.body.addEventListener("htmx:beforeSwap", () => { focused = document.activeElement && document.activeElement.getAttribute("href"); });
  document.body.addEventListener("htmx:afterSwap", () => {
    if (focused) { const link = [...document.querySelectorAll("#board a")].find((a) => a.getAttribute("href") === focused); if (link) link.focus(); }
  });

  document.querySelectorAll("[data-toggle]").forEach((button) => {
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(on));
      const area = document.querySelector(".pictures");
      if (button.dataset.toggle === "zones") area.classList.toggle("hide-zones", !on);
      else area.classList.toggle("show-" + button.dataset.toggle, on);
    });
  });

  const openCorrection = () => { const box = byId("correct"); if (box) { box.open = true; box.scrollIntoView(); box.querySelector("input[type=radio]").focus(); } };
  document.querySelectorAll("[data-open=correct]").forEach((link) => link.addEventListener("click", (event) => { event.preventDefault(); openCorrection(); }));

  const go = (id) => { const link = byId(id); if (link) link.click(); };
  const press = (name) => { const button = document.querySelector(`[data-toggle=${name}]`); if (button) button.click(); };
  const step = (by) => {
    const cards = [...document.querySelectorAll(".card:not([hidden]) > a")];
    const at = cards.indexOf(document.activeElement);
    const next = cards[at < 0 ? 0 : Math.max(0, Math.min(cards.length - 1, at + by))];
    if (next) next.focus();
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const actions = {
      "/": () => filter && filter.focus(), "j": () => step(1), "k": () => step(-1), "p": () => go("privacy"), "b": () => { location.href = "/"; },
      "z": () => press("zones"), "m": () => press("map"), "o": () => press("prior"), "[": () => go("image-previous"), "]": () => go("image-next"),
      "c": openCorrection,
    };
    if (actions[event.key]) { event.preventDefault(); actions[event.key](); }
  });
})();
