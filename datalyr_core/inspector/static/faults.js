// The switches that make the ingest fail. The server's state is the truth; the form follows it.

import { ask } from "./ask.js";
import { byId } from "./dom.js";

const panel = byId("faults");
const form = panel.querySelector("form");
const state = byId("fault-state");
const { kind, count, seconds } = form.elements;

const READERS = {
  off: () => ({}),
  503: () => ({ status: 503 }),
  429: () => ({ status: 429, retry_after: Math.round(Number(seconds.value)) }),
  slow: () => ({ delay: Number(seconds.value) }),
  cut: () => ({ cut: true }),
};

let shown = "off";
let refusal = ""; // of the newest change; what comes late of an older one does not hide it

export function watchFaults() {
  form.addEventListener("change", send);
  form.addEventListener("submit", (event) => event.preventDefault());
  showSettings();
}

export function showFault(fault) {
  const now = kindOf(fault);
  if (now !== shown) for (const radio of kind) radio.checked = radio.value === now;
  shown = now;
  panel.toggleAttribute("data-active", now !== "off");
  const told = now === "off" ? "" : `${answerOf(fault)} for ${requests(fault.count)}`;
  state.textContent = refusal || told;
  showSettings();
}

async function send() {
  showSettings();
  const limit = kind.value === "off" || !count.value ? {} : { count: Number(count.value) };
  const { ok, answer } = await ask("PUT", "/api/faults", { ...READERS[kind.value](), ...limit });
  refusal = ok ? "" : answer.error;
  if (ok) showFault(answer);
  else state.textContent = refusal;
}

function showSettings() {
  seconds.parentElement.hidden = !["429", "slow"].includes(kind.value);
  count.parentElement.parentElement.hidden = kind.value === "off";
}

function kindOf({ status, delay, cut }) {
  if (cut) return "cut";
  if (status) return String(status);
  return delay ? "slow" : "off";
}

function answerOf({ status, retry_after: after, delay, cut }) {
  const answer = cut ? "Connection cut" : status ? `Answering ${status}` : "Accepting";
  const waits = delay ? ` after ${delay} s` : "";
  return `${answer}${after === undefined ? "" : `, Retry-After ${after} s,`}${waits}`;
}

function requests(number) {
  if (number === null) return "every request";
  return number === 1 ? "the next request" : `the next ${number} requests`;
}
