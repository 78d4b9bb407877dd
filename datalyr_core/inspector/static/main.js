// Wire the page: the feed on one side, what is shown on the other.

import { Attempts } from "./attempts.js";
import { ask } from "./ask.js";
import { amount, byId, copyButton } from "./dom.js";
import { showFault, watchFaults } from "./faults.js";
import { connect } from "./feed.js";
import { currentFilter, watchFilter } from "./filter.js";
import { Visitors } from "./visitors.js";

const COUNTERS = ["total", "visitors", "duplicates", "violations", "requests", "faulted"];
const STATES = { live: "Live", lost: "Connection lost, trying again" };
const CALM = 1000;
const MOMENT = 40;

const attempts = new Attempts();
const visitors = new Visitors();
let announcing = 0;
let latest = null;

function refresh() {
  const anyShown = visitors.show(currentFilter());
  byId("empty").hidden = visitors.rows.length > 0;
  byId("nothing").hidden = anyShown || !visitors.rows.length;
}

function showCounts(state) {
  const counts = { ...state, visitors: visitors.cards.size };
  for (const name of COUNTERS) {
    const number = byId(`count-${name}`);
    number.textContent = counts[name].toLocaleString();
    number.parentElement.classList.toggle("zero", counts[name] === 0);
    number.parentElement.classList.toggle("alarming", name === "violations" && counts[name] > 0);
  }
  document.title = counts.total ? `${counts.total} · Datalyr inspector` : "Datalyr inspector";
  announce(`${amount(counts.total, "event")} from ${amount(counts.visitors, "visitor")}`);
}

// A burst is read out once, when it is over.
function announce(text) {
  clearTimeout(announcing);
  announcing = setTimeout(() => (byId("announcement").textContent = text), CALM);
}

function fillSnippets() {
  const url = `${location.origin}/track`;
  const texts = {
    "snippet-python": `client = Datalyr("dk_test", host="${url}")\nclient.track("user_1", "hello")`,
    "snippet-env": `DATALYR_API_KEY=dk_test\nDATALYR_HOST=${url}`,
  };
  for (const [id, text] of Object.entries(texts)) {
    byId(id).textContent = text;
    byId(id).closest(".code").append(copyButton(() => text));
  }
}

const handlers = {
  reset(settings) {
    attempts.reset();
    visitors.reset(settings);
  },
  event(view, text) {
    const row = visitors.add(view, text, attempts.settle(view.event.eventId));
    row.element.hidden = !currentFilter()(row);
    // At once, not with the next drawing: until then its snippets would take the Tab key, and
    // whoever stands on one of them would lose their place when it goes.
    byId("empty").hidden = true;
  },
  attempt(view) {
    attempts.add(view);
  },
  // A burst brings hundreds of states; drawing the last of each moment keeps up with it.
  state(state) {
    if (!latest) setTimeout(draw, MOMENT);
    latest = state;
  },
};

function draw() {
  const state = latest;
  latest = null;
  refresh();
  showCounts(state);
  showFault(state.faults);
}

function showConnection(state) {
  byId("connection").dataset.state = state;
  byId("connection").textContent = STATES[state];
}

fillSnippets();
watchFaults();
watchFilter(refresh);
byId("clear").addEventListener("click", () => ask("DELETE", "/api/events"));
connect(handlers, showConnection);
