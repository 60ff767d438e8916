// Holds the one EventSource of all tabs: browsers allow six connections a host, and a stream would take one each.
const NAMES = ["run", "job", "pools"];
const ports = new Set();
let source = null;
let state = "connecting";

function tell(message) {
  for (const port of ports) port.postMessage(message);
}

function say(next) {
  state = next;
  tell({ state });
}

function open(url) {
  source = new EventSource(url);
  source.onopen = () => say("live");
  source.onerror = () => say("lost");
  for (const name of NAMES) source.addEventListener(name, (event) => tell({ name, data: event.data }));
}

onconnect = ({ ports: [port] }) => {
  ports.add(port);
  port.onmessage = ({ data }) => {
    if (data.close) {
      ports.delete(port);
      if (!ports.size && source) { source.close(); source = null; }
      return;
    }
    if (!source || source.readyState === EventSource.CLOSED) open(data.url);
    port.postMessage({ state });
  };
};
