// A socket that comes back: growing, jittered delays; a watchdog; codes that mean "do not return".

const FIRST_DELAY = 400; // ms; a hub that restarts is back in about a second
const LONGEST_DELAY = 20_000; // ms
const SILENCE = 70_000; // ms; the hub says `_tick` every 25 s, so after this nobody is there
const CONNECT = 10_000; // ms; for the first frame
const FINAL = new Set([4400, 4401, 4403]); // trying again cannot help

export class Connection {
  #socket = null;
  #timer = null;
  #failures = 0;
  #heardAt = 0; // Date.now(), which unlike performance.now() goes on while a laptop sleeps
  #deadline = CONNECT;
  #reason = "";

  /**
   * `url()` is asked at each attempt, as the position in it moves on. `onFrame(frame)` gets each
   * frame. `onState(state)` gets {name: "connecting" | "live" | "refused" | "waiting"},
   * with `reason` when refused and `retryAt` when waiting.
   */
  constructor({ url, onFrame, onState }) {
    this.url = url;
    this.onFrame = onFrame;
    this.onState = onState;
    this.state = { name: "waiting" };
    setInterval(() => this.#watch(), 5_000);
    // Whether the hub is reached without a network (it may be on this machine) is found by trying.
    addEventListener("online", () => this.#networkChanged());
    addEventListener("offline", () => this.#networkChanged());
    document.addEventListener("visibilitychange", () => document.hidden || this.#wake());
  }

  /** Connect now, in place of any connection there is. */
  open() {
    this.#drop();
    this.#become({ name: "connecting" });
    this.#heardAt = Date.now();
    this.#deadline = CONNECT;
    this.#reason = "";
    this.#socket = new WebSocket(this.url(), "eventhub.v1.json");
    this.#socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    this.#socket.onclose = ({ code, reason }) => this.#closed(code, reason);
  }

  /** Send a frame if the hub is there to take it; otherwise the caller keeps it for `live`. */
  send(frame) {
    if (this.state.name === "live") this.#socket.send(JSON.stringify(frame));
  }

  #receive(frame) {
    this.#heardAt = Date.now();
    this.#deadline = SILENCE;
    if (frame._error && !frame._error.ref) this.#reason = frame._error.message;
    this.onFrame(frame);
    if (frame._ready) this.#ready();
  }

  #ready() {
    this.#failures = 0;
    this.#become({ name: "live" });
  }

  #closed(code, reason) {
    this.#drop();
    if (FINAL.has(code)) {
      this.#become({ name: "refused", reason: this.#reason || reason || `code ${code}` });
    } else {
      this.#retryLater();
    }
  }

  #retryLater() {
    const longest = Math.min(FIRST_DELAY * 2 ** this.#failures++, LONGEST_DELAY);
    const delay = longest * (0.5 + Math.random() / 2); // so that not all windows return at once
    this.#timer = setTimeout(() => this.open(), delay);
    this.#become({ name: "waiting", retryAt: Date.now() + delay });
  }

  #watch() {
    if (this.#socket && Date.now() - this.#heardAt > this.#deadline) this.#closed(0, "silence");
  }

  #wake() {
    if (this.state.name === "waiting") this.open();
    else this.#watch();
  }

  #networkChanged() {
    if (this.state.name !== "refused") this.open();
  }

  #drop() {
    clearTimeout(this.#timer);
    if (!this.#socket) return;
    this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
    this.#socket = null;
  }

  #become(state) {
    this.state = state;
    this.onState(state);
  }
}
