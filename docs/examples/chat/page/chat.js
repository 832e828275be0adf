// The chat page: draws what state.js knows, and sends what people type through connection.js.
//
// `render()` makes the document equal to the state, whatever happened before; everything that
// changes the state asks for one with `schedule()`.

import { Connection } from "./connection.js";
import { entryOf, fromTemplate, reconcile, refreshTimes } from "./messages.js";
import { Room, Outbox, frameOf, items, randomId } from "./state.js";
import * as format from "./format.js";

const WINDOW = 300; // messages in the document; the others wait behind "earlier messages"
const AT_BOTTOM = 48; // px from the end that still count as being there
const GROUP = 5 * 60_000; // ms; one person's messages within this share one heading
const ROOMS = ["lobby", "help", "random"];

const $ = (id) => document.getElementById(id);
const [scroller, list, composer, text, name] = ["scroller", "messages", "composer", "text", "name"].map($);

const outbox = new Outbox();
const rooms = new Map();
const client = remembered("chat.client", randomId());
let room = enterRoom();
let limit = WINDOW;
let rowsBefore = 0;
let following = true; // the end is in view, and stays there
let unread = 0;
let scheduled = false;

const connection = new Connection({ url: socketUrl, onFrame: receive, onState: showState });

// --- The hub ----------------------------------------------------------------

function socketUrl() {
  const url = new URL("messages", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  url.search = new URLSearchParams({ room: room.name, ...(room.position && { _since: room.position }) });
  url.hash = "";
  return url;
}

function receive(frame) {
  outbox.apply(frame);
  const isNews = room.apply(frame);
  outbox.settle(room.sequence);
  if (isNews && !isMine(frame)) notice(frame);
  if (room.live) schedule(); // a replay is drawn in one go, when it is complete
}

function send(write) {
  connection.send(frameOf(write));
  schedule();
}

function showState({ name: state, reason, retryAt }) {
  if (state === "connecting") room.begin();
  if (state === "live") outbox.unanswered.forEach(send);
  const waiting = navigator.onLine ? "Reconnecting" : "Offline";
  const words = { live: "Connected", connecting: "Connecting", waiting, refused: `Refused: ${reason}` };
  $("connection").dataset.state = state;
  if ($("status").textContent !== words[state]) $("status").textContent = words[state];
  $("reconnect").hidden = state !== "waiting" && state !== "refused";
  $("countdown").dataset.until = retryAt ?? "";
  countDown();
  schedule();
}

function countDown() {
  const seconds = Math.ceil(($("countdown").dataset.until - Date.now()) / 1000);
  $("countdown").textContent = seconds > 0 ? `in ${seconds} s` : "";
}

// --- Rooms, names, news -----------------------------------------------------

function enterRoom() {
  // URLSearchParams decodes whatever it is given; decodeURIComponent throws at a lone "%".
  const wanted = new URLSearchParams(`room=${location.hash.slice(1)}`).get("room").trim();
  const title = [...wanted].slice(0, 40).join("") || ROOMS[0];
  if (!rooms.has(title)) rooms.set(title, new Room(title));
  return rooms.get(title);
}

function changeRoom() {
  room = enterRoom();
  [limit, following, rowsBefore] = [WINDOW, true, room.rows.size];
  drawRooms();
  connection.open();
  text.focus();
}

function drawRooms() {
  const links = [...new Set([...ROOMS, ...rooms.keys()])].map((title) => {
    const link = document.createElement("a");
    link.href = `#${encodeURIComponent(title)}`;
    link.textContent = `#${title}`;
    if (title === room.name) link.ariaCurrent = "page";
    return link;
  });
  $("rooms").replaceChildren(...links);
  text.placeholder = `Message #${room.name}`;
}

/** Two windows of one browser with different names are two people: handy to try it alone. */
function isMine(row) {
  return row.client === client && row.name === name.value.trim();
}

function notice(row) {
  unread += 1;
  $("announcer").textContent = `${row.name}: ${row.body}`;
  drawUnread();
}

function drawUnread() {
  if (following && !document.hidden) unread = 0;
  const words = unread === 1 ? "1 new message" : `${unread} new messages`;
  $("pill").hidden = following;
  $("pill").textContent = unread ? `${words} ↓` : "Latest ↓";
  $("pill").classList.toggle("news", unread > 0);
  document.title = `${unread ? `(${unread}) ` : ""}#${room.name} · EventHub chat`;
}

// --- Drawing ----------------------------------------------------------------

/** Draw in the next frame, once, however much arrives until then. A hidden window waits. */
function schedule() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    render();
  });
}

function render() {
  if (following) limit = WINDOW;
  else limit = Math.max(WINDOW, limit + room.rows.size - rowsBefore); // what is read stays
  rowsBefore = room.rows.size;
  const shown = items(room, outbox, limit);
  const restore = following ? toBottom : keepPlace();
  reconcile(list, entries(shown));
  drawEdges(shown);
  drawUnread();
  restore();
}

function drawEdges(shown) {
  const earlier = Math.max(0, room.rows.size - limit);
  $("earlier").hidden = earlier === 0;
  $("earlier").textContent = `Show earlier messages (${earlier.toLocaleString()})`;
  $("loading").hidden = room.loaded || shown.length > 0;
  $("empty").hidden = !room.loaded || shown.length > 0;
  $("empty-room").textContent = `#${room.name}`;
  $("second").href = location.href;
}

/** Items as entries of messages.js, with the days between them. */
function entries(shown) {
  const found = [];
  const sending = connection.state.name === "live" ? "sending…" : "will be sent";
  let before = null;
  for (const { id, row, write } of shown) {
    const at = format.moment(row.timestamp);
    const isNewDay = at && at.toDateString() !== before?.at?.toDateString();
    if (isNewDay) found.push({ key: `day ${id}`, day: at.toISOString() });
    const grouped = !isNewDay && continues(before, row, at);
    const progress = write?.state === "sending" ? sending : "";
    found.push({ key: `row ${id}`, row, write, at, mine: isMine(row), grouped, progress });
    before = { row, at };
  }
  return found;
}

function continues(before, row, at) {
  if (!before?.at || !at || before.row.client !== row.client) return false;
  return before.row.name === row.name && Math.abs(at - before.at) < GROUP;
}

// --- Scrolling --------------------------------------------------------------

function toBottom() {
  scroller.scrollTop = scroller.scrollHeight;
}

/** Remember what is at the top of the view; the function returned puts it back there. */
function keepPlace() {
  const top = scroller.getBoundingClientRect().top;
  const messages = [...list.querySelectorAll(".message")]; // a day may move to an earlier one
  const anchor = messages.find((node) => node.getBoundingClientRect().bottom > top);
  const before = anchor?.getBoundingClientRect().top;
  return () => {
    if (anchor?.isConnected) scroller.scrollTop += anchor.getBoundingClientRect().top - before;
  };
}

function scrolled() {
  following = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < AT_BOTTOM;
  drawUnread();
}

function showLatest() {
  following = true;
  render();
  text.focus();
}

function showEarlier() {
  limit += WINDOW;
  following = false;
  render();
}

// --- Writing ----------------------------------------------------------------

function post(event) {
  event.preventDefault();
  const [sender, body] = [name.value.trim(), text.value.trim()];
  if (!sender) return name.focus();
  if (!body) return text.focus();
  text.value = "";
  grow(text);
  following = true;
  send(outbox.add(room.name, { _method: "POST", room: room.name, name: sender, body, client }));
}

const actions = {
  edit: (node, { row }) => editMessage(node, row, row.body),
  remove: (node, { row }) => removeMessage(node, row),
  retry: (node, { write }) => send(outbox.retry(write.ref)),
  discard: (node, { write }) => (outbox.discard(write.ref), schedule()),
  rewrite: (node, { row, write }) => {
    outbox.discard(write.ref);
    if (write.message._method === "PUT") editMessage(node, row, write.message.body);
    else [text.value, name.value] = [write.message.body, write.message.name], text.focus(), grow(text);
    schedule();
  },
  close: (node) => closeForm(node),
};

function editMessage(node, { id }, body) {
  const form = openForm(node, "edit", (field) => {
    const changed = field.value.trim();
    if (changed && changed !== body) send(outbox.add(room.name, { _method: "PUT", id, body: changed }));
  });
  const field = form.querySelector("textarea");
  field.value = body;
  field.focus();
  grow(field);
  field.addEventListener("input", () => grow(field));
  field.addEventListener("keydown", submitOnEnter);
}

function removeMessage(node, { id }) {
  const form = openForm(node, "remove", () => send(outbox.add(room.name, { _method: "DELETE", id })));
  form.querySelector("[data-action=close]").focus(); // a second Enter must not delete
}

/** Put a form into a message; `onSubmit(field)` gets its textarea, if it has one. */
function openForm(node, kind, onSubmit) {
  node.querySelector("form")?.remove();
  const form = fromTemplate(kind);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    onSubmit(form.querySelector("textarea"));
    closeForm(node);
  });
  form.addEventListener("keydown", (event) => event.key === "Escape" && closeForm(node));
  node.append(form);
  form.scrollIntoView({ block: "nearest" });
  return form;
}

function closeForm(node) {
  node.querySelector("form").remove();
  text.focus();
}

function editLast(event) {
  if (event.key !== "ArrowUp" || text.value) return;
  const node = [...list.querySelectorAll(".mine")].at(-1);
  if (!node || entryOf(node).write) return;
  event.preventDefault();
  actions.edit(node, entryOf(node));
}

function act(event) {
  const action = event.target.closest("button")?.dataset.action;
  const node = event.target.closest(".message");
  if (action) actions[action](node, entryOf(node));
}

function submitOnEnter(event) {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return; // IMEs choose by Enter
  event.preventDefault();
  event.target.form.requestSubmit();
}

function grow(area) {
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight + area.offsetHeight - area.clientHeight}px`;
}

// --- What the browser remembers ---------------------------------------------

/** The stored value, or `fallback`, stored from now on. This window's own name comes first. */
function remembered(key, fallback) {
  try {
    return sessionStorage.getItem(key) ?? remember(key, localStorage.getItem(key) ?? fallback);
  } catch {
    return fallback; // storage is blocked: this window's memory has to do
  }
}

function remember(key, value) {
  try {
    sessionStorage.setItem(key, value);
    localStorage.setItem(key, value);
  } catch {
    // as above
  }
  return value;
}

// --- Start ------------------------------------------------------------------

function listen() {
  addEventListener("hashchange", changeRoom);
  document.addEventListener("visibilitychange", drawUnread);
  scroller.addEventListener("scroll", scrolled, { passive: true });
  const resized = new ResizeObserver(() => following && toBottom());
  [scroller, $("column")].forEach((element) => resized.observe(element));
  list.addEventListener("click", act);
  composer.addEventListener("submit", post);
  text.addEventListener("keydown", submitOnEnter);
  text.addEventListener("keydown", editLast);
  text.addEventListener("input", () => grow(text));
  name.addEventListener("input", () => (remember("chat.name", name.value.trim()), schedule()));
  $("earlier").addEventListener("click", showEarlier);
  $("pill").addEventListener("click", showLatest);
  $("reconnect").addEventListener("click", () => connection.open());
  setInterval(countDown, 500);
  setInterval(() => refreshTimes(list), 30_000);
}

name.value = remembered("chat.name", "");
drawRooms();
listen();
connection.open();
(name.value ? text : name).focus();
