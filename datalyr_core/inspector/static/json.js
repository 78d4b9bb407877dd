// Read and show JSON without losing what a JavaScript number cannot hold.

import { el } from "./dom.js";

const WHOLE = /^-?\d+$/;

export function parse(text) {
  return JSON.parse(text, exactly);
}

// Browsers that tell the source of a number let 64-bit ids be shown digit by digit.
function exactly(_key, value, context) {
  const inexact = typeof value === "number" && !Number.isSafeInteger(value);
  return inexact && WHOLE.test(context?.source ?? "") ? BigInt(context.source) : value;
}

export function plain(value, indent = "") {
  return [...pieces(value, indent)].map(([, text]) => text).join("");
}

export function painted(value) {
  const code = el("code");
  for (const [kind, text] of pieces(value, "")) {
    code.append(kind ? el("span", { class: kind }, text) : text);
  }
  return code;
}

function* pieces(value, indent) {
  if (value !== null && typeof value === "object") {
    yield* container(value, indent);
  } else {
    yield [kindOf(value), typeof value === "bigint" ? String(value) : JSON.stringify(value)];
  }
}

function* container(value, indent) {
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  const entries = Object.entries(value);
  yield ["punctuation", open];
  for (const [index, [key, part]] of entries.entries()) {
    yield ["", `${index ? "," : ""}\n${indent}  `];
    if (open === "{") {
      yield ["key", JSON.stringify(key)];
      yield ["punctuation", ": "];
    }
    yield* pieces(part, `${indent}  `);
  }
  yield ["punctuation", entries.length ? `\n${indent}${close}` : close];
}

function kindOf(value) {
  if (typeof value === "string") return "string";
  return value === null || typeof value === "boolean" ? "constant" : "number";
}
