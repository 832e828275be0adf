// The list of messages: makes its nodes equal to entries, which are
//
//     {key, day}                                                a day, as ISO text
//     {key, row, write, at, mine, grouped, progress}            a message, its write if one is
//                                                               under way, its time or null
//
// Text of others only ever becomes text nodes.

import * as format from "./format.js";

const nodes = new Map(); // key → <li>
const drawn = new WeakMap(); // <li> → the entry that it shows

/** The entry that a node shows. */
export function entryOf(node) {
  return drawn.get(node);
}

/** Make the list hold exactly these entries; nodes that stay keep focus and selection. */
export function reconcile(list, wanted) {
  const keys = new Set(wanted.map((entry) => entry.key));
  for (const [key, node] of nodes) {
    if (!keys.has(key)) nodes.delete(key), node.remove();
  }
  let next = list.firstElementChild;
  for (const entry of wanted) {
    const node = nodes.get(entry.key) ?? create(entry);
    update(node, entry);
    if (node === next) next = next.nextElementSibling;
    else list.insertBefore(node, next);
  }
}

function create(entry) {
  const node = fromTemplate(entry.day ? "day" : "message");
  nodes.set(entry.key, node);
  return node;
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

function drawMessage(node, { row, write, at, mine, grouped, progress }) {
  const part = (selector) => node.querySelector(selector);
  const state = write?.state ?? "";
  node.className = `message ${mine ? "mine" : "theirs"} ${grouped ? "grouped" : ""} ${state}`;
  node.classList.toggle("leaving", write?.message._method === "DELETE" && state !== "failed");
  node.style.setProperty("--hue", format.hue(row.name ?? ""));
  part(".name").textContent = row.name ?? "";
  part(".avatar").textContent = [...(row.name ?? "?")][0]?.toUpperCase();
  drawTime(part("time"), at?.toISOString() ?? "");
  part(".body").replaceChildren(format.linked(row.body ?? ""));
  part(".body").title = at ? format.full(at) : "";
  part(".edited").hidden = !row.edited;
  part(".progress").textContent = progress;
  part(".actions").hidden = !mine || Boolean(write);
  drawProblem(part(".problem"), write);
}

function drawProblem(problem, write) {
  problem.hidden = write?.state !== "failed";
  if (problem.hidden) return;
  const isDelete = write.message._method === "DELETE";
  problem.querySelector(".reason").textContent = `${isDelete ? "Not deleted" : "Not sent"}: ${write.error.message}`;
  problem.querySelector("[data-action=retry]").hidden = !write.error.retry; // refused is refused
  problem.querySelector("[data-action=rewrite]").hidden = isDelete;
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
