// Who is typing in a room, and how many connections the chat has. Neither is stored.

const PAUSE = 3000; // ms between two messages that somebody types
const LATE = 6000; // ms without another one, after which nobody does

export class Presence {
  #room;
  #onChange;
  #typing = new Map(); // by name and client: {name, timer}
  #users = new Map(); // connections by user
  #anonymous = 0;
  #saidAt = 0;

  /** `isMine(message)` tells what to leave out; `onChange()` is called whenever something changed. */
  constructor(room, isMine, onChange) {
    this.#room = room;
    this.isMine = isMine;
    this.#onChange = onChange;
  }

  get connections() {
    return [...this.#users.values()].reduce((sum, each) => sum + each, this.#anonymous);
  }

  /** The names of those who are typing. */
  get typing() {
    return [...new Set([...this.#typing.values()].map(({ name }) => name))];
  }

  /** Take what a frame says of it. */
  apply({ _sent = [], _presence }) {
    for (const message of _sent) if (!this.isMine(message)) this.#note(message);
    if (_presence) this.#count(_presence);
  }

  /** Tell the others that this person types, or has sent what was typed. */
  say(name, client, isTyping) {
    if (isTyping ? Date.now() - this.#saidAt < PAUSE : !this.#saidAt) return;
    this.#saidAt = isTyping ? Date.now() : 0;
    const message = { _method: "SEND", room: this.#room, name, client, typing: isTyping };
    const headers = { "Content-Type": "application/json" };
    fetch("messages", { method: "POST", headers, body: JSON.stringify(message) }).catch(() => {}); // it may get lost
  }

  close() {
    for (const { timer } of this.#typing.values()) clearTimeout(timer);
    this.#typing.clear();
  }

  #note({ name, client, typing }) {
    const key = JSON.stringify([name, client]);
    clearTimeout(this.#typing.get(key)?.timer);
    this.#typing.delete(key);
    const end = () => (this.#typing.delete(key), this.#onChange());
    if (typing === true && name) this.#typing.set(key, { name, timer: setTimeout(end, LATE) });
    this.#onChange();
  }

  #count({ users, join = [], change = [], leave = [], anonymous = this.#anonymous }) {
    if (users) this.#users.clear();
    for (const { user, connections } of [...(users ?? []), ...join, ...change]) this.#users.set(user, connections);
    for (const { user } of leave) this.#users.delete(user);
    this.#anonymous = anonymous;
    this.#onChange();
  }
}
