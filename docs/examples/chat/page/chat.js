// The chat page: draws the rows of a room, and writes what people type.
//
// The client does the rest (docs/javascript.md): it connects again, sends until it is stored, keeps
// what is not, and has it in the rows meanwhile. `render()` makes the document equal to the rows,
// whatever happened before; everything that changes something asks for it with `schedule()`.

import { EventHub } from "/-/client.js";
import { persist } from "/-/client/outbox.js";
import { editMessage, grow, removeMessage, submitOnEnter } from "./editing.js";
import * as format from "./format.js";
import { History } from "./history.js";
import { randomId, recall, remember } from "./memory.js";
import { entryOf, keepPlace, nodeOf, reconcile, refreshTimes, roam } from "./messages.js";
import { newsOf } from "./news.js";
import { Presence } from "./presence.js";
import * as rooms from "./rooms.js";
import { Search } from "./search.js";

const AT_END = 48; // px from the end that still count as being there
const NEAR_START = 600; // px from the start at which earlier messages are read
const GROUP = 5 * 60_000; // ms; one person's messages within this share one heading

const $ = (id) => document.getElementById(id);
const [scroller, list, composer, text, name] = ["scroller", "messages", "composer", "text", "name"].map($);

const hub = persist(new EventHub());
const client = recall("chat.client", randomId());
const search = new Search(hub, jump);
let history = null;
let presence = null;
let known = null; // messages by id as they were drawn last, or null before the first time
let following = true; // the end is in view, and stays there
let wasLive = false;
let unread = 0;
let scheduled = false;

// --- Rooms ------------------------------------------------------------------

function enterRoom() {
  const room = rooms.current();
  history?.close();
  presence?.close();
  presence = new Presence(hub, room, isMine, drawPresence);
  history = new History(hub, room, schedule);
  [known, following, unread, wasLive] = [null, true, 0, false];
  reconcile(list, [], () => {});
  search.enter(room);
  text.value = recall(`chat.draft ${room}`);
  text.placeholder = `Message #${room}`;
  grow(text);
  $("title").textContent = $("empty-room").textContent = `#${room}`;
  schedule();
}

// --- News -------------------------------------------------------------------

/** Two windows of one browser with different names are two people: handy to try it alone. */
function isMine(row) {
  return row.client === client && row.name === name.value.trim();
}

function announce(messages) {
  const { count, said } = newsOf(known, messages, isMine);
  known = new Map(messages.map((row) => [row.id, row]));
  unread += count;
  if (said) $("announcer").textContent = said;
}

function drawUnread() {
  if (following && !document.hidden) unread = 0;
  const words = unread === 1 ? "1 new message" : `${unread} new messages`;
  $("pill").hidden = following;
  $("pill").textContent = unread ? `${words} ↓` : "Latest ↓";
  $("pill").classList.toggle("news", unread > 0);
  document.title = `${unread ? `(${unread}) ` : ""}#${history.room} · EventHub chat`;
}

function drawState() {
  const { state, error } = history;
  wasLive ||= state === "live";
  const lost = navigator.onLine ? "Reconnecting" : "Offline";
  const words = { live: "Connected", ended: `Refused: ${error?.message}`, offline: lost };
  const shown = words[state] ?? (wasLive ? lost : "Connecting");
  $("connection").dataset.state = state;
  if ($("status").textContent !== shown) $("status").textContent = shown;
  $("reconnect").hidden = state !== "offline" && state !== "ended";
  drawPresence();
}

function drawPresence() {
  const { connections, typing } = presence;
  const names = typing.length > 3 ? "Several people are" : `${format.list(typing)} ${typing.length > 1 ? "are" : "is"}`;
  $("typing").textContent = typing.length ? `${names} typing…` : "";
  $("present").textContent = connections ? `· ${connections} online` : "";
}

function reconnect() {
  if (history.state === "ended") location.reload();
  else hub.reconnect();
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
  const { messages, state } = history;
  const isLoaded = wasLive || state === "live";
  const restore = following ? toEnd : keepPlace(scroller, list);
  drawState();
  reconcile(list, entries(messages), rescueForm);
  if (isLoaded) announce(messages), rescueWrites();
  $("earlier").hidden = !history.hasEarlier;
  $("loading").hidden = isLoaded || state === "ended" || messages.length > 0;
  $("empty").hidden = !isLoaded || messages.length > 0;
  $("second").href = location.href;
  drawUnread();
  restore();
}

/** Messages as entries of messages.js, with the days between them. */
function entries(messages) {
  const found = [];
  const sending = history.state === "live" ? "sending…" : "will be sent";
  let before = null;
  for (const row of messages) {
    const at = format.moment(row.timestamp);
    const isNewDay = at && at.toDateString() !== before?.at?.toDateString();
    if (isNewDay) found.push({ key: `day ${row.id}`, day: at.toISOString() });
    const grouped = !isNewDay && continues(before, row, at);
    const progress = row._write?.state === "waiting" ? sending : "";
    found.push({ key: `row ${row.id}`, row, at, mine: isMine(row), grouped, progress });
    before = { row, at };
  }
  return found;
}

function continues(before, row, at) {
  if (!before?.at || !at || before.row.client !== row.client) return false;
  return before.row.name === row.name && Math.abs(at - before.at) < GROUP;
}

// --- Scrolling: the end is 0, and above it is negative, so that the browser stays at the end --------

const toEnd = () => (scroller.scrollTop = 0);

function scrolled() {
  following = scroller.scrollTop > -AT_END;
  const above = scroller.scrollHeight - scroller.clientHeight + scroller.scrollTop;
  if (!following && above < NEAR_START) history.showEarlier();
  drawUnread();
}

function showLatest() {
  following = true;
  render();
  focusText();
}

function showEarlier() {
  following = false;
  history.showEarlier();
}

async function jump(row) {
  following = false;
  await history.showSince(row.timestamp);
  search.close();
  render();
  const node = nodeOf(row.id);
  node?.scrollIntoView({ block: "center" });
  node?.focus();
}

// --- Writing ----------------------------------------------------------------

function post(event) {
  event.preventDefault();
  const [sender, body] = [name.value.trim(), text.value.trim()];
  if (!sender) return name.focus();
  if (!body) return text.focus();
  write("");
  presence.say(sender, client, false);
  $("notice").textContent = "";
  following = true;
  kept(hub.post("messages", { room: history.room, name: sender, body, client }));
}

/** The rows show a refusal next to the message, in this window or the next one. */
const kept = (promise) => promise.catch(() => {});

function write(value) {
  text.value = value;
  remember(`chat.draft ${history.room}`, value);
  grow(text);
}

const focusText = () => text.focus();
const actions = {
  edit: (node, row) => editMessage(node, row.body, (body) => body !== row.body && save(row, body), focusText),
  remove: (node, { id, _seq }) =>
    removeMessage(node, () => kept(hub.delete("messages", { id, _if_seq: _seq })), focusText),
  retry: (_, { _write }) => hub.retry(_write.key),
  discard: (_, { _write }) => hub.discard(_write.key),
  overwrite: (node, row) => {
    hub.discard(row._write.key);
    save(row, row._write.message.body);
  },
  rewrite: (node, row) => {
    const { key, method, message } = row._write;
    hub.discard(key);
    if (method === "PUT") return editMessage(node, message.body, (body) => save(row, body), focusText);
    write(message.body);
    name.value = message.name;
    text.focus();
  },
};

/** Change what was seen; if it is something else by now, the hub refuses, and people decide. */
function save({ id, room, _seq }, body) {
  kept(hub.put("messages", { id, room, body, _if_seq: _seq }));
}

/** No row shows a refused change of a message that is gone. */
function rescueWrites() {
  for (const { key, state, method, message } of hub.writes) {
    const isHere = (message.room ?? history.room) === history.room;
    if (state !== "refused" || method === "POST" || !isHere || known.has(message.id)) continue;
    hub.discard(key);
    if (method === "PUT") rescue(message.body);
  }
}

function rescueForm(node) {
  const field = node.querySelector("form.edit textarea");
  if (field) rescue(field.value);
}

function rescue(body) {
  $("notice").textContent = "The message was deleted meanwhile.";
  if (!text.value) write(body);
}

function editLast(event) {
  if (event.key !== "ArrowUp" || text.value) return;
  const node = [...list.querySelectorAll(".mine")].at(-1);
  if (!node || entryOf(node).row._write) return;
  event.preventDefault();
  actions.edit(node, entryOf(node).row);
}

function act({ target }) {
  const action = target.closest("button")?.dataset.action;
  const node = target.closest(".message");
  if (action in actions) actions[action](node, entryOf(node).row);
}

function actByKey(node, key) {
  const { row, mine } = entryOf(node);
  if (key === "Escape") text.focus();
  else if (mine && !row._write) actions[key === "Enter" ? "edit" : "remove"](node, row);
}

// --- Start ------------------------------------------------------------------

addEventListener("hashchange", () => (enterRoom(), text.focus()));
document.addEventListener("visibilitychange", () => {
  drawUnread();
  if (!document.hidden && history.state === "offline") hub.reconnect();
});
scroller.addEventListener("scroll", scrolled, { passive: true });
list.addEventListener("click", act);
roam(list, actByKey);
composer.addEventListener("submit", post);
text.addEventListener("keydown", submitOnEnter);
text.addEventListener("keydown", editLast);
text.addEventListener("input", () => {
  write(text.value);
  if (text.value && name.value.trim()) presence.say(name.value.trim(), client, true);
});
name.addEventListener("input", () => (remember("chat.name", name.value.trim()), schedule()));
$("new-room").addEventListener("submit", rooms.open);
$("earlier").addEventListener("click", showEarlier);
$("pill").addEventListener("click", showLatest);
$("reconnect").addEventListener("click", reconnect);
setInterval(() => refreshTimes(list), 30_000);

hub.subscribe(schedule); // a refusal changes no row if the message is gone
remember("chat.client", client);
name.value = recall("chat.name", "", { ofWindow: true });
enterRoom();
(name.value ? text : name).focus();
