// Which rows are shown: every word must be somewhere in the event, and pressed chips must apply.

import { byId } from "./dom.js";

const chips = { violating: byId("only-violations"), duplicate: byId("only-duplicates") };
const input = byId("filter");

export function watchFilter(onChange) {
  input.addEventListener("input", onChange);
  for (const chip of Object.values(chips)) {
    chip.addEventListener("click", () => {
      chip.setAttribute("aria-pressed", String(!isPressed(chip)));
      onChange();
    });
  }
  document.addEventListener("keydown", (event) => shortcut(event, onChange));
}

export function currentFilter() {
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  const marks = Object.keys(chips).filter((mark) => isPressed(chips[mark]));
  return (row) =>
    words.every((word) => row.text.includes(word)) &&
    marks.every((mark) => row.element.classList.contains(mark));
}

const isPressed = (chip) => chip.getAttribute("aria-pressed") === "true";

function shortcut(event, onChange) {
  const typing = event.target.matches("input, select, textarea");
  if (event.key === "/" && !typing) {
    event.preventDefault();
    input.focus();
  } else if (event.key === "Escape" && event.target === input) {
    input.value = "";
    onChange();
  }
}
