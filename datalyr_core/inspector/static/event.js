// One event: a row that opens into its JSON, the breaches of the contract below it.

import { amount, copyButton, el } from "./dom.js";
import { painted, plain } from "./json.js";

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });

export const timeOf = (iso) => el("time", { datetime: iso, title: iso }, clock.format(new Date(iso)));

export function eventElement(view, { user, became, tries }) {
  const violating = view.violations.length > 0;
  const classes = ["event", user && "known", view.duplicate && "duplicate", violating && "violating"];
  const element = el("li", { class: classes.filter(Boolean).join(" ") });
  if (became) element.append(el("p", { class: "became" }, el("span", {}, `${became} ${user}`)));
  element.append(rowButton(view, element, tries));
  if (violating) element.append(violationList(view.violations));
  return element;
}

export function violationList(violations) {
  return el("ul", { class: "violations" }, ...violations.map((text) => el("li", {}, text)));
}

const words = (value) => (typeof value === "string" ? value : plain(value ?? null));

function rowButton(view, element, tries) {
  const button = el(
    "button",
    { type: "button", class: "row", "aria-expanded": "false" },
    timeOf(view.received_at),
    el("span", { class: "name" }, words(view.event.event)),
    el("span", { class: "summary" }, summary(view.event.properties)),
    el("span", { class: "badges" }, ...badges(view, tries)),
  );
  button.addEventListener("click", () => toggle(button, view, element));
  return button;
}

function toggle(button, view, element) {
  const open = button.getAttribute("aria-expanded") === "true";
  button.setAttribute("aria-expanded", String(!open));
  if (open) element.querySelector(".detail").remove();
  else element.append(detail(view));
}

function detail(view) {
  const said = `Received ${view.received_at} with key ${view.key}`;
  const json = el("pre", { tabindex: "0", "aria-label": "The event as JSON" }, painted(view.event));
  const copy = copyButton(() => plain(view.event));
  return el("div", { class: "detail" }, el("p", { class: "meta" }, said), el("div", { class: "code" }, json, copy));
}

function badges(view, tries) {
  const count = view.violations.length;
  return [
    tries ? el("span", { class: "badge amber" }, `after ${tries} failed ${tries === 1 ? "try" : "tries"}`) : null,
    view.duplicate ? el("span", { class: "badge" }, "de-duplicated") : null,
    count ? el("span", { class: "badge red" }, amount(count, "violation")) : null,
  ].filter(Boolean);
}

// A hint, not the truth: the first few plain properties. The whole is one key press away.
function summary(properties) {
  const pairs = Object.entries(properties ?? {}).filter(([key]) => key !== "anonymous_id");
  const shown = pairs.filter(([, value]) => value !== null && typeof value !== "object").slice(0, 4);
  return shown.map(([key, value]) => `${key} ${String(value).slice(0, 60)}`).join("  ·  ");
}
