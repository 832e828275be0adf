// Who is typing in a room, and how many connections the chat has. Neither is stored.

import { presence, sent } from "/-/client/ephemeral.js";

const PAUSE = 3000; // ms between two messages that somebody types
const LATE = 6000; // ms without another one, after which nobody does

export class Presence {
  #hub;
  #room;
  #sent;
  #present;
  #typing = new Map(); // by name and client: {name, timer}
  #saidAt = 0;

  /** `isMine(message)` tells what to leave out; `onChange()` is called whenever something changed. */
  constructor(hub, room, isMine, onChange) {
    this.#hub = hub;
    this.#room = room;
    this.#sent = sent(hub, "messages", { where: { room } });
    this.#sent.subscribe((message) => {
      if (!isMine(message)) this.#note(message, onChange);
    });
    this.#present = presence(hub, "messages");
    this.#present.subscribe(onChange);
  }

  /** Their number; 0 if it is not known, as while the page is offline. */
  get connections() {
    return this.#present.state === "live" ? this.#present.value.connections : 0;
  }

  /** The names of those who are typing. */
  get typing() {
    return [...new Set([...this.#typing.values()].map(({ name }) => name))];
  }

  /** Tell the others that this person types, or has sent what was typed. */
  say(name, client, isTyping) {
    if (isTyping ? Date.now() - this.#saidAt < PAUSE : !this.#saidAt) return;
    this.#saidAt = isTyping ? Date.now() : 0;
    this.#hub.send("messages", { room: this.#room, name, client, typing: isTyping }).catch(() => {}); // it may get lost
  }

  close() {
    this.#sent.close();
    this.#present.close();
    for (const { timer } of this.#typing.values()) clearTimeout(timer);
    this.#typing.clear();
  }

  #note({ name, client, typing }, onChange) {
    const key = JSON.stringify([name, client]);
    clearTimeout(this.#typing.get(key)?.timer);
    this.#typing.delete(key);
    const end = () => (this.#typing.delete(key), onChange());
    if (typing === true && name) this.#typing.set(key, { name, timer: setTimeout(end, LATE) });
    onChange();
  }
}
