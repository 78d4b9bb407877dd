// The live connection: server-sent events, reconnected until the page goes.

import { parse } from "./json.js";

const AGAIN = 2000;

export function connect(handlers, onState) {
  const source = new EventSource("/api/stream");
  source.addEventListener("open", () => onState("live"));
  source.addEventListener("error", () => {
    onState("lost");
    // A browser gives up for good when the answer is no stream, as from another server on this port.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => connect(handlers, onState), AGAIN);
  });
  for (const [name, handle] of Object.entries(handlers)) {
    source.addEventListener(name, (message) => handle(parse(message.data), message.data));
  }
}
