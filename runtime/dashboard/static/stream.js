"use strict";
// A SharedWorker: one event stream for all tabs of a browser. Browsers open six connections to a host, so that with a
// stream in each tab the seventh tab would never load. The worker lives as long as any of the tabs.
const SILENCE_MS = 9000; // the server speaks at least every 4 s
const RETRY_MS = 3000;
const tabs = new Set();
let source = null, heard = 0, newest = null;

const hear = (event) => {
  heard = Date.now();
  newest = {heard, ...JSON.parse(event.data)};
  for (const tab of tabs) tab.postMessage({kind: event.type, ...newest});
};
const connect = () => {
  if (source) source.close();
  heard = Date.now();
  source = new EventSource("/events");
  source.addEventListener("beat", hear);
  source.addEventListener("changed", hear);
};
const leave = (tab) => {
  tabs.delete(tab);
  if (!tabs.size && source) { source.close(); source = null; }
};
onconnect = (event) => {
  const tab = event.ports[0];
  tab.onmessage = (message) => { if (message.data === "bye") leave(tab); };
  tabs.add(tab);
  if (!source) connect();
  else if (newest) tab.postMessage({kind: "beat", heard: newest.heard, version: newest.version});
};
setInterval(() => {
  const over = source && source.readyState === EventSource.CLOSED;
  if (source && (over || Date.now() - heard > SILENCE_MS)) connect();
}, RETRY_MS);
