// The list of messages: makes its nodes equal to entries, which are
//
//     {key, day}                                a day, as ISO text
//     {key, row, at, mine, grouped, progress}   a message and its time or null; `row._write` is what
//                                               was written and is not stored yet
//
// One message at a time can be reached by Tab, and the arrow keys move from it to others. Text of
// others only ever becomes text nodes.

import * as format from "./format.js";

const nodes = new Map(); // key → <li>
const drawn = new WeakMap(); // <li> → the entry that it shows
let current = null; // the <li> that Tab reaches

/** The entry that a node shows. */
export function entryOf(node) {
  return drawn.get(node);
}

export function nodeOf(id) {
  return nodes.get(`row ${id}`);
}

/**
 * Make the list hold exactly these entries; nodes that stay keep focus and selection.
 * `onRemove(node)` gets each of the others before it goes.
 */
export function reconcile(list, wanted, onRemove) {
  const keys = new Set(wanted.map((entry) => entry.key));
  for (const [key, node] of nodes) {
    if (keys.has(key)) continue;
    onRemove(node);
    nodes.delete(key);
    remove(node);
  }
  let next = list.firstElementChild;
  for (const entry of wanted) {
    const node = nodes.get(entry.key) ?? create(entry);
    update(node, entry);
    if (node === next) next = next.nextElementSibling;
    else list.insertBefore(node, next);
  }
  if (!current?.isConnected) makeCurrent([...list.querySelectorAll(".message")].at(-1));
}

function create(entry) {
  const node = fromTemplate(entry.day ? "day" : "message");
  nodes.set(entry.key, node);
  return node;
}

/** Take a node away; the focus in it goes to a message next to it. */
function remove(node) {
  if (node.contains(document.activeElement)) (neighbour(node, 1) ?? neighbour(node, -1))?.focus();
  node.remove();
}

/** A fresh copy of the element in `<template id="...-template">`. */
export function fromTemplate(kind) {
  return document.getElementById(`${kind}-template`).content.firstElementChild.cloneNode(true);
}

function update(node, entry) {
  const old = drawn.get(node);
  if (old && Object.keys(entry).every((key) => key === "at" || old[key] === entry[key])) return;
  drawn.set(node, entry);
  if (entry.day) drawTime(node.querySelector("time"), entry.day);
  else drawMessage(node, entry);
}

function drawMessage(node, { row, at, mine, grouped, progress }) {
  const part = (selector) => node.querySelector(selector);
  const state = { waiting: "sending", refused: "failed" }[row._write?.state] ?? "";
  node.className = `message ${mine ? "mine" : "theirs"} ${grouped ? "grouped" : ""} ${state}`;
  node.style.setProperty("--hue", format.hue(row.name ?? ""));
  part(".name").textContent = row.name ?? "";
  part(".avatar").textContent = [...(row.name ?? "?")][0]?.toUpperCase();
  drawTime(part("time"), at?.toISOString() ?? "");
  part(".body").replaceChildren(format.linked(row.body ?? ""));
  part(".body").title = at && grouped ? format.full(at) : ""; // others show their time
  part(".edited").hidden = !row.edited;
  part(".progress").textContent = progress;
  part(".actions").hidden = !mine || Boolean(row._write);
  drawProblem(part(".problem"), row._write);
  setReach(node, node === current);
}

function drawProblem(problem, write) {
  problem.hidden = write?.state !== "refused";
  if (problem.hidden) return;
  const { method, error, message } = write;
  const isConflict = error.code === "conflict";
  const reason = isConflict ? "somebody has changed the message meanwhile." : error.message;
  const failure = { POST: "Not sent", PUT: "Not saved", DELETE: "Not deleted" }[method];
  problem.querySelector(".reason").textContent = `${failure}: ${reason}`;
  problem.querySelector(".yours").hidden = method !== "PUT";
  problem.querySelector(".yours").textContent = message.body ?? "";
  const show = (action, isShown) => (problem.querySelector(`[data-action=${action}]`).hidden = !isShown);
  show("retry", error.retry); // refused is refused
  show("overwrite", isConflict && method === "PUT");
  show("rewrite", method !== "DELETE");
}

function drawTime(time, iso) {
  const isDay = time.parentElement.matches(".day");
  time.dateTime = iso;
  time.title = iso && format.full(new Date(iso));
  time.textContent = iso && (isDay ? format.day : format.ago)(new Date(iso));
}

/** Times are relative: what was now is a minute ago. */
export function refreshTimes(list) {
  for (const time of list.querySelectorAll("time")) drawTime(time, time.dateTime);
}

/** Remember what is at the top of the view; the function returned puts it back there. */
export function keepPlace(scroller, list) {
  const top = scroller.getBoundingClientRect().top;
  const messages = [...list.querySelectorAll(".message")]; // a day may move to an earlier one
  const anchor = messages.find((node) => node.getBoundingClientRect().bottom > top);
  const before = anchor?.getBoundingClientRect().top;
  return () => {
    if (anchor?.isConnected) scroller.scrollTop += anchor.getBoundingClientRect().top - before;
  };
}

// --- Focus ------------------------------------------------------------------

const STEPS = { ArrowUp: -1, ArrowDown: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity };

/** Move by keys; `onKey(node, key)` gets Enter and Delete on a message, and Escape. */
export function roam(list, onKey) {
  list.addEventListener("focusin", ({ target }) => makeCurrent(target.closest(".message")));
  list.addEventListener("keydown", (event) => {
    const { key, target } = event;
    if (!target.matches(".message") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (key in STEPS) neighbour(target, STEPS[key])?.focus();
    else if (["Enter", "Delete", "Escape"].includes(key)) onKey(target, key);
    else return;
    event.preventDefault();
  });
}

/** The message so many steps away, or the last one in that direction. */
function neighbour(node, steps) {
  const next = steps < 0 ? "previousElementSibling" : "nextElementSibling";
  let found = null;
  for (let each = node[next], left = Math.abs(steps); each && left > 0; each = each[next]) {
    if (each.matches(".message")) [found, left] = [each, left - 1];
  }
  return found;
}

function makeCurrent(node) {
  if (!node || node === current) return;
  if (current) setReach(current, false);
  current = node;
  setReach(node, true);
}

function setReach(node, isCurrent) {
  for (const each of [node, ...node.querySelectorAll("a, button")]) each.tabIndex = isCurrent ? 0 : -1;
}
