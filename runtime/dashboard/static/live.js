// The connection to the server: its state in the bar, and a call when something has changed for patients.
const SILENCE_MS = 9000; // the server speaks at least every 4 s
const RETRY_MS = 5000;
const byId = (id) => document.getElementById(id);

// Call `changed(patients)` with the names of the patients, or with null where any patient may have changed.
export const listen = (changed) => {
  let seen = Number(document.body.dataset.version), heard = Date.now(), tried = Date.now(), wasLost = false, leave = null;

  const show = (lost) => {
    document.body.classList.toggle("stale", lost);
    byId("contact").classList.toggle("live", !lost);
    byId("contact-words").textContent = lost ? "connection lost" : "live";
    byId("lost").hidden = !lost;
    if (lost) byId("lost-since").textContent = new Date(heard).toLocaleTimeString([], {hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false});
    wasLost = lost;
  };
  const hear = (message) => {
    heard = Math.max(heard, message.heard);
    if (Date.now() - message.heard > SILENCE_MS) return; // told by a worker whose own connection is lost
    if (message.version !== seen) {
      const isNext = message.kind === "changed" && message.version === seen + 1; // else something was missed
      seen = message.version;
      changed(isNext ? message.patients : null);
    }
    show(false);
  };

  // Without SharedWorker (some phones) the tab in front has a stream of its own.
  const ownStream = () => {
    let source = null;
    const pass = (event) => hear({kind: event.type, heard: Date.now(), ...JSON.parse(event.data)});
    const open = () => {
      if (document.hidden || source) return;
      source = new EventSource("/events");
      source.addEventListener("beat", pass);
      source.addEventListener("changed", pass);
    };
    const close = () => { if (source) source.close(); source = null; };
    const turn = () => { if (document.hidden) close(); else { heard = Date.now(); open(); } };
    document.addEventListener("visibilitychange", turn);
    open();
    return () => { document.removeEventListener("visibilitychange", turn); close(); };
  };
  const sharedStream = () => {
    const worker = new SharedWorker(new URL("stream.js", import.meta.url), {name: "lungsev"});
    worker.onerror = () => { leave(); leave = ownStream(); };
    worker.port.onmessage = (event) => hear(event.data);
    return () => { worker.port.postMessage("bye"); worker.port.close(); };
  };
  const connect = () => {
    if (leave) leave();
    tried = Date.now();
    try { leave = sharedStream(); } catch { leave = ownStream(); }
  };
  connect();
  addEventListener("pagehide", () => { if (leave) leave(); leave = null; });
  addEventListener("pageshow", (event) => { if (event.persisted) { heard = Date.now(); connect(); } });
  setInterval(() => {
    if (Date.now() - heard <= SILENCE_MS || (document.hidden && typeof SharedWorker === "undefined")) return;
    if (!wasLost) show(true);
    if (Date.now() - tried > RETRY_MS) connect();
  }, 1000);
};
