// Requests that were not accepted, newest first, so that a person can watch the retries.

import { byId, el } from "./dom.js";
import { timeOf, violationList } from "./event.js";

const SHOWN = 100;

export class Attempts {
  constructor() {
    this.list = byId("attempts");
    this.hint = byId("no-attempts");
    this.reset();
  }

  reset() {
    this.tries = new Map();
    this.list.replaceChildren();
    this.hint.hidden = false;
  }

  add(view) {
    const tries = this.count(view.eventId);
    this.list.prepend(attemptElement(view, tries));
    this.hint.hidden = true;
    while (this.list.children.length > SHOWN) this.list.lastChild.remove();
  }

  // Asked when the event arrives after all: the next one of that id starts from nothing.
  settle(eventId) {
    const failed = this.tries.get(eventId) ?? 0;
    this.tries.delete(eventId);
    return failed;
  }

  count(eventId) {
    if (!eventId) return 0;
    const tries = (this.tries.get(eventId) ?? 0) + 1;
    this.tries.set(eventId, tries);
    return tries;
  }
}

function attemptElement(view, tries) {
  const answer = el("span", { class: view.fault ? "answer" : "answer refused" }, view.answer);
  const name = `${view.event ?? "unreadable"}${tries > 1 ? `, try ${tries}` : ""}`;
  return el(
    "li",
    {},
    el("p", { class: "line" }, answer, timeOf(view.received_at)),
    el("p", { class: "meta", title: view.eventId ?? "" }, name),
    view.violations.length ? violationList(view.violations) : null,
  );
}
