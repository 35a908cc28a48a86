// A form that could not be saved (session over, connection lost, error) is filled in again when its page is next shown.
const KEY = "unsaved:";
const store = (action, value) => {
  try {
    if (value === undefined) return sessionStorage.getItem(KEY + action);
    if (value === null) sessionStorage.removeItem(KEY + action);
    else sessionStorage.setItem(KEY + action, value);
  } catch { /* without storage the server still fills in what it refused */ }
  return null;
};

export const keepForm = (form, sent) => {
  const action = new URL(form.action).pathname;
  const page = document.getElementById("exam");
  const kept = store(action);
  if (kept && page && page.dataset.outcome !== "saved") {
    for (const [name, value] of JSON.parse(kept)) {
      const field = form.elements.namedItem(name);
      if (field && field.type !== "hidden") field.value = value;
    }
    const details = form.closest("details");
    if (details) details.open = true;
    const note = form.querySelector(".kept");
    if (note) note.hidden = false;
  }
  store(action, null);
  form.addEventListener("submit", () => {
    store(action, JSON.stringify([...new FormData(form)].filter(([name]) => name !== "form")));
    sent();
  });
};
