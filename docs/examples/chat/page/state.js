// What the page knows: the rows of one room, and the writes that the hub has not confirmed.
//
// No DOM and no socket here. Frames of `eventhub.v1.json` and writes go in, `items()` comes out.
// Applying an event twice changes nothing, so a replay that overlaps is harmless.

export class Room {
  constructor(name) {
    this.name = name;
    this.rows = new Map(); // id → row, in order of creation
    this.loaded = false; // a whole replay was seen: an empty room is known to be empty
    this.epoch = null;
    this.sequence = 0; // every event up to here is in `rows`
    this.live = false;
    this.replay = null; // rows that replace `rows` once they are complete
  }

  /** Where to resume, or null before the first replay is complete. */
  get position() {
    return this.epoch && `${this.epoch}.${this.sequence}`;
  }

  /** A new connection begins; without a position its replay is the whole room. */
  begin() {
    this.live = false;
    this.replay = this.position ? null : new Map();
  }

  /** Apply a frame. Returns true if it is somebody's new message rather than history. */
  apply(frame) {
    if (frame._resume) this.replay = frame._resume.recovered ? null : new Map();
    else if (frame._ready) this.#finishReplay(frame._ready.position);
    else if (frame._tick) this.#moveTo(frame._tick);
    else if (frame._method) return this.#change(frame);
    return false;
  }

  #finishReplay(position) {
    this.rows = this.replay ?? this.rows;
    this.replay = null;
    this.live = this.loaded = true;
    this.#moveTo(position);
  }

  #moveTo(position) {
    const dot = position.lastIndexOf(".");
    this.epoch = position.slice(0, dot);
    this.sequence = Number(position.slice(dot + 1));
  }

  #change({ _method, ...row }) {
    const rows = this.replay ?? this.rows;
    const old = rows.get(row.id);
    if (_method === "DELETE") rows.delete(row.id);
    else if (_method === "POST") rows.set(row.id, row);
    else if (old) rows.set(row.id, { ...old, ...row });
    // A replay is in order of creation, not of sequence: only `_ready` tells how far it goes.
    if (this.live) this.sequence = row._seq;
    return _method === "POST" && !old && !this.replay;
  }
}

export class Outbox {
  #writes = new Map(); // ref → write, in the order they were made

  /** Keep a write until it is confirmed. `body` is left out of a DELETE. */
  add(room, message) {
    const ref = randomId();
    const id = message.id ?? ref;
    const write = { ref, room, id, message: { ...message, id }, at: new Date().toISOString() };
    this.#writes.set(ref, { ...write, state: "sending" });
    return this.#writes.get(ref);
  }

  get(ref) {
    return this.#writes.get(ref);
  }

  discard(ref) {
    this.#writes.delete(ref);
  }

  retry(ref) {
    return this.#become(ref, { state: "sending", error: null });
  }

  /** What the hub has not answered, oldest first. */
  get unanswered() {
    return [...this.#writes.values()].filter((write) => write.state === "sending");
  }

  /** The writes to show in a room. */
  in(room) {
    return [...this.#writes.values()].filter((write) => write.room === room);
  }

  apply(frame) {
    if ("_ack" in frame) this.#become(frame._ack, { state: "stored", sequence: frame._seq });
    else if (frame._error?.ref) this.#refused(frame._error);
  }

  /** Forget writes that the rows show by now: all events up to `sequence` have been applied. */
  settle(sequence) {
    for (const { ref, state, sequence: stored } of this.#writes.values()) {
      if (state === "stored" && stored <= sequence) this.discard(ref);
    }
  }

  #refused({ ref, code, message, retry }) {
    const method = this.get(ref)?.message._method;
    // The hub remembers `_key` for minutes. A retry after hours finds its own work done.
    const isDone = { POST: "exists", DELETE: "not_found" }[method] === code;
    if (isDone) this.#become(ref, { state: "stored", sequence: 0 });
    else this.#become(ref, { state: "failed", error: { message, retry } });
  }

  #become(ref, change) {
    const write = this.get(ref);
    if (write) this.#writes.set(ref, { ...write, ...change });
    return this.get(ref);
  }
}

/** The frame of a write. Its `_key` makes a repetition answer with the first receipt. */
export function frameOf({ ref, message }) {
  return { ...message, _ref: ref, _key: ref };
}

/** The last `limit` rows and the writes under way: [{id, row, write}], as they are to be shown. */
export function items(room, outbox, limit) {
  const writes = new Map(outbox.in(room.name).map((write) => [write.id, write]));
  const shown = [...room.rows.values()].slice(-limit).map((row) => overlay(row, writes.get(row.id)));
  for (const write of writes.values()) {
    const isNew = write.message._method === "POST" && !room.rows.has(write.id);
    if (isNew) shown.push({ id: write.id, row: { ...write.message, timestamp: write.at }, write });
  }
  return shown;
}

function overlay(row, write) {
  const isEdit = write?.message._method === "PUT";
  return { id: row.id, row: isEdit ? { ...row, body: write.message.body } : row, write };
}

/** 96 random bits. Not `crypto.randomUUID`, which plain HTTP in a local network lacks. */
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
