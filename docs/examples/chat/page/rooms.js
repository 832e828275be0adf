// The rooms that this browser has seen. The fragment of the address says which one is open.

import { recall, remember } from "./memory.js";

const FIRST = ["lobby", "help", "random"];
const LONGEST = 40; // characters
const MOST = 30; // that are remembered

const nav = document.getElementById("rooms");
const field = document.getElementById("new-room-name");
const names = new Set([...FIRST, ...JSON.parse(recall("chat.rooms", "[]"))]);

/** The open room, which is remembered and marked from now on. */
export function current() {
  // URLSearchParams decodes whatever it is given; decodeURIComponent throws at a lone "%".
  const wanted = new URLSearchParams(`room=${location.hash.slice(1)}`).get("room").trim();
  const room = [...wanted].slice(0, LONGEST).join("") || FIRST[0];
  names.add(room);
  remember("chat.rooms", JSON.stringify([...names].slice(-MOST)));
  nav.replaceChildren(...[...names].map((name) => item(name, name === room)));
  nav.querySelector("[aria-current]").scrollIntoView({ block: "nearest", inline: "nearest" });
  return room;
}

function item(name, isOpen) {
  const link = document.createElement("a");
  link.href = `#${encodeURIComponent(name)}`;
  link.textContent = `#${name}`;
  if (isOpen) link.ariaCurrent = "page";
  const node = document.createElement("li");
  node.append(link);
  return node;
}

/** Go to the room that was typed. */
export function open(event) {
  event.preventDefault();
  const room = field.value.trim();
  if (room) location.hash = encodeURIComponent(room);
  field.value = "";
}
