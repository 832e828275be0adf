// Search in one room: live results while people type.

import { fromTemplate } from "./messages.js";
import * as format from "./format.js";

const PAUSE = 200; // ms without a key, before the hub is asked
const MOST = 50; // results

export class Search {
  #hub;
  #onPick;
  #room = "";
  #rows = null;
  #timer = null;
  #input = document.getElementById("search");
  #section = document.getElementById("found");
  #count = document.getElementById("found-count");
  #results = document.getElementById("results");

  /** `onPick(row)` is called with a result that was chosen. */
  constructor(hub, onPick) {
    this.#hub = hub;
    this.#onPick = onPick;
    this.#input.addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#ask(), PAUSE);
    });
    this.#input.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.close();
    });
  }

  /** Search in this room from now on. */
  enter(room) {
    this.#room = room;
    this.close();
  }

  close() {
    this.#input.value = "";
    this.#ask();
  }

  #ask() {
    clearTimeout(this.#timer);
    this.#rows?.close();
    this.#rows = null;
    const text = this.#input.value.trim();
    this.#section.hidden = !text;
    this.#results.replaceChildren();
    this.#count.textContent = "";
    if (!text) return;
    const where = { room: this.#room, "body*": text };
    const rows = this.#hub.rows("messages", { where, sort: "-timestamp", limit: MOST });
    const draw = () => rows === this.#rows && this.#draw(text);
    rows.subscribe(draw);
    rows.ready.then(draw, draw);
    this.#rows = rows;
  }

  #draw(text) {
    const { value, error, state } = this.#rows;
    const many = value.length < MOST ? `${value.length}` : `The newest ${MOST}`;
    const found = value.length === 1 ? "1 message" : value.length ? `${many} messages` : "No message";
    this.#count.textContent = error?.message ?? (state === "connecting" ? "" : `${found} with “${text}”`);
    this.#results.replaceChildren(...value.map((row) => this.#result(row, text)));
  }

  #result(row, text) {
    const node = fromTemplate("result");
    const at = format.moment(row.timestamp);
    node.querySelector(".name").textContent = row.name;
    node.querySelector("time").textContent = at ? format.short(at) : "";
    node.querySelector(".excerpt").append(format.marked(row.body ?? "", text));
    node.querySelector("button").addEventListener("click", () => this.#onPick(row));
    return node;
  }
}
