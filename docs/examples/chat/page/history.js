// The messages of one room: the newest at once, older ones when they are asked for, all of them live.

const FIRST = 300; // messages; each step back doubles them

export class History {
  #hub;
  #onChange;
  #rows;
  #next = null; // more rows, until they are there
  #growing = null; // a promise of them

  /** `onChange()` is called whenever something of it changed. */
  constructor(hub, room, onChange) {
    this.#hub = hub;
    this.room = room;
    this.#onChange = onChange;
    this.#rows = this.#open(FIRST);
  }

  /** "connecting", "live", "offline" or "ended", with `error` if the hub refuses. */
  get state() {
    return this.#rows.state;
  }

  get error() {
    return this.#rows.error;
  }

  /** Rows as they are to be shown, oldest first. What is not stored yet comes last; it has `_write`. */
  get messages() {
    const rows = this.#rows.value.slice(0, this.#rows.most).reverse();
    const isUnsent = ({ _write }) => _write?.method === "POST";
    return [...rows.filter((row) => !isUnsent(row)), ...rows.filter(isUnsent)];
  }

  get hasEarlier() {
    return this.#rows.value.length > this.#rows.most;
  }

  /** Get more of the past: at least `count` messages, or twice as many as now, unless more are on their way. */
  async showEarlier(count = 0) {
    if (this.hasEarlier) this.#growing ??= this.#grow(Math.max(count, 2 * this.#rows.most));
    await this.#growing;
  }

  async #grow(most) {
    const next = (this.#next = this.#open(most));
    await next.ready.catch(() => {}); // it says so by its state
    if (next !== this.#next) return; // closed
    this.#rows.close();
    [this.#rows, this.#next, this.#growing] = [next, null, null];
    this.#onChange();
  }

  /** Get the past back to a time, as the hub writes it. */
  async showSince(timestamp) {
    const query = new URLSearchParams({ room: this.room, "timestamp>~": timestamp, _c: "id" });
    const response = await fetch(`messages?${query}`);
    if (!response.ok) return;
    const newer = (await response.json()).length;
    await this.#growing;
    if (newer > this.#rows.most) await this.showEarlier(newer + 50);
  }

  close() {
    this.#next?.close();
    this.#next = null;
    this.#rows.close();
  }

  #open(most) {
    // One more than is shown tells whether there is more.
    const query = { where: { room: this.room }, sort: "-timestamp", limit: most + 1 };
    const rows = this.#hub.rows("messages", query);
    rows.subscribe(() => rows === this.#rows && this.#onChange());
    rows.most = most;
    return rows;
  }
}
