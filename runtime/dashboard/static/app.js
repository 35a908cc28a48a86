// Theme, keys, filter, image layers, and what happens when something changes. Pages work without it, only not live.
import {keepUpToDate} from "./board.js";
import {keepForm} from "./form.js";
import {listen} from "./live.js";

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
if (byId("privacy-back")) byId("privacy-back").value = location.pathname + location.search;

const filter = byId("filter"), board = byId("board"), exam = byId("exam");
const sift = () => {
  if (!filter) return;
  const wanted = filter.value.trim().toLowerCase();
  document.querySelectorAll(".card").forEach((card) => { card.hidden = !card.dataset.find.includes(wanted); });
};
if (filter) filter.addEventListener("input", sift);
sift();

let saving = false; // one's own change is not news
document.querySelectorAll("form[data-keep]").forEach((form) => keepForm(form, () => { saving = true; }));

// The exam page asks whether what is said of this patient differs from what it shows.
const compare = async () => {
  const answer = await fetch(`${location.pathname}/state`, {cache: "no-store", headers: {Accept: "application/json"}}).catch(() => null);
  if (!answer || saving) return;
  const differs = answer.status === 404 || (answer.ok && (await answer.json()).state !== exam.dataset.state);
  if (differs && !saving && !byId("newer").firstChild) byId("newer").append(byId("newer-text").content.cloneNode(true));
};
const refreshBoard = board && keepUpToDate(board, sift);
if (document.body.dataset.version) {
  listen((patients) => {
    if (refreshBoard) refreshBoard();
    else if (exam && (patients === null || patients.includes(exam.dataset.patient))) compare();
  });
}

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
