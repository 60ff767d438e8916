// Shares one event stream between all tabs: browsers allow six connections to a host, and each stream would take one.
const EVENTS = ["run", "job", "pools"];
/** @type {Set<MessagePort>} */
const ports = new Set();
/** @type {EventSource | null} */
let source = null;
let state = "connecting";

/** @param {{ state?: string, name?: string, data?: string }} message */
function broadcast(message) {
  for (const port of ports) port.postMessage(message);
}

/** @param {string} next */
function setState(next) {
  state = next;
  broadcast({ state });
}

/** @param {string} url */
function connect(url) {
  const opened = new EventSource(url);
  opened.onopen = () => setState("live");
  opened.onerror = () => setState("lost");
  for (const name of EVENTS) opened.addEventListener(name, ({ data }) => broadcast({ name, data }));
  source = opened;
}

/** @param {MessagePort} port */
function disconnect(port) {
  ports.delete(port);
  if (ports.size || !source) return;
  source.close();
  source = null;
}

globalThis.onconnect = ({ ports: [port] }) => {
  ports.add(port);
  port.onmessage = ({ data }) => {
    if (data.close) {
      disconnect(port);
      return;
    }
    if (!source || source.readyState === EventSource.CLOSED) connect(data.url);
    port.postMessage({ state });
  };
};
