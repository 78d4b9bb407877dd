// Events grouped by visitor, each a timeline from the first event down to the newest.

import { amount, byId, el } from "./dom.js";
import { eventElement, timeOf } from "./event.js";

const NOBODY = "no anonymous id";
// In turn, so that neighbours differ; none near the red of violations or the amber of faults.
const HUES = [264, 165, 315, 230, 135, 290, 200, 345];

export class Visitors {
  constructor() {
    this.list = byId("visitors");
    this.list.addEventListener("keydown", moveBetweenRows);
    this.reset({ max_events: 2000 });
  }

  reset({ max_events }) {
    this.max = max_events;
    this.rows = [];
    this.seen = 0;
    this.cards = new Map();
    this.list.replaceChildren();
  }

  add(view, text, tries) {
    const { anonymousId, userId } = view.event;
    const card = this.cardOf(typeof anonymousId === "string" && anonymousId ? anonymousId : NOBODY);
    const user = typeof userId === "string" && userId ? userId : "";
    const became = user && user !== card.user ? verb(card) : "";
    const element = eventElement(view, { user: user || card.user, became, tries });
    card.user = user || card.user;
    card.rows += 1;
    card.events.append(element);
    const row = { element, card, text: text.toLowerCase() };
    this.rows.push(row);
    describe(card, view.received_at);
    this.trim();
    return row;
  }

  show(matches) {
    for (const row of this.rows) row.element.hidden = !matches(row);
    for (const card of this.cards.values()) {
      card.element.hidden = !card.events.querySelector(":scope > li:not([hidden])");
    }
    return this.rows.some((row) => !row.element.hidden);
  }

  cardOf(id) {
    if (!this.cards.has(id)) {
      this.cards.set(id, newCard(id, HUES[this.seen++ % HUES.length]));
      this.list.prepend(this.cards.get(id).element);
    }
    return this.cards.get(id);
  }

  // The page keeps as many as the server does.
  trim() {
    while (this.rows.length > this.max) {
      const { element, card } = this.rows.shift();
      element.remove();
      card.rows -= 1;
      if (!card.rows) this.drop(card);
    }
  }

  drop(card) {
    card.element.remove();
    this.cards.delete(card.id);
  }
}

function newCard(id, hue) {
  const header = el("header");
  const events = el("ol");
  const element = el("section", { class: id === NOBODY ? "visitor nobody" : "visitor", "aria-label": `Visitor ${id}` });
  element.style.setProperty("--hue", hue);
  element.append(header, events);
  return { id, element, header, events, rows: 0, user: "" };
}

function describe(card, last) {
  const id = el("span", { class: "id", title: card.id }, card.id);
  const title = card.user ? el("span", { class: "who" }, card.user) : id;
  const size = el("p", { class: "size" }, `${amount(card.rows, "event")}, last at `, timeOf(last));
  card.header.replaceChildren(el("h2", {}, title), ...(card.user ? [id] : []), size);
}

function verb(card) {
  if (card.user) return "now";
  return card.rows ? "became" : "known as";
}


function moveBetweenRows(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || !event.target.matches(".row")) return;
  const rows = [...document.querySelectorAll(".visitor:not([hidden]) li:not([hidden]) > .row")];
  rows[rows.indexOf(event.target) + step]?.focus();
  event.preventDefault();
}
