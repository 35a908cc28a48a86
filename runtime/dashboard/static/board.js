// The open board: brought up to date card by card, so that focus, filter and scroll stay, and told in words.
const REFRESH_MS = 60000; // the ages grow also when nothing happens
const TOLD = 3; // changes that are read out one by one
const byId = (id) => document.getElementById(id);

// What assistive technology is told: the label and the words of every marked element, by its id.
const saidOn = (board) => new Map([...board.querySelectorAll("[data-said]")].map((e) => [e.id, `${e.dataset.label || ""} ${e.dataset.said}`.trim()]));

const announce = (before, after) => {
  const news = [...after].filter(([id, words]) => before.get(id) !== words).map(([, words]) => words);
  if (!news.length) return;
  const rest = news.length - TOLD;
  byId("announce").textContent = news.slice(0, TOLD).join(". ") + (rest > 0 ? `. And ${rest} more.` : ".");
};

// Make the children of `old` those of `fresh`, told apart by their ids; a child that says the same stays as it is.
const patch = (old, fresh) => {
  const wanted = new Set([...fresh.children].map((child) => child.id));
  [...old.children].filter((child) => !wanted.has(child.id)).forEach((child) => child.remove());
  const known = new Map([...old.children].map((child) => [child.id, child]));
  let at = old.firstElementChild;
  for (const child of [...fresh.children]) {
    const before = known.get(child.id);
    const isList = before && "list" in before.dataset;
    if (isList) patch(before, child);
    const stays = before && (isList || before.outerHTML === child.outerHTML) ? before : child;
    if (before && before === at) at = at.nextElementSibling;
    if (before && before !== stays) before.remove();
    if (stays.parentNode !== old || stays.nextElementSibling !== at) old.insertBefore(stays, at);
  }
};

export const keepUpToDate = (board, filterAgain) => {
  let etag = "", busy = false, again = false;
  const refresh = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(board.dataset.source, {cache: "no-store", headers: etag ? {"If-None-Match": etag} : {}});
      if (answer.status === 401) location.reload();
      if (answer.status === 200) {
        etag = answer.headers.get("ETag") || "";
        const fresh = new DOMParser().parseFromString(`<div id="board">${await answer.text()}</div>`, "text/html").getElementById("board");
        const before = saidOn(board), focus = document.activeElement && document.activeElement.id, place = scrollY;
        document.querySelectorAll("#board [hidden]").forEach((card) => { card.hidden = false; }); // as the server sends it
        patch(board, fresh);
        filterAgain();
        if (focus && document.activeElement === document.body) { const again = byId(focus); if (again) again.focus({preventScroll: true}); }
        if (scrollY !== place) scrollTo(scrollX, place);
        announce(before, saidOn(board));
      }
    } catch { /* offline: the bar says so, and the next event asks again */ } finally {
      busy = false;
      if (again) { again = false; refresh(); }
    }
  };
  setInterval(refresh, REFRESH_MS);
  return refresh;
};
