// Values as people read them: times, names' colours, text with links.

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "full" });
const RELATIVE = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const SHORT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const LIST = new Intl.ListFormat(undefined);
const LINK = /https?:\/\/[^\s<>"'`]+/g;
const CLOSING = { ")": "(", "]": "[", "}": "{" };

/** The hub's timestamps are UTC without a zone; a client may have sent anything else. */
export function moment(timestamp) {
  const hasZone = /(Z|[+-]\d\d:?\d\d)$/.test(timestamp);
  const date = new Date(hasZone ? timestamp : `${timestamp}Z`);
  return Number.isNaN(date.valueOf()) ? null : date;
}

export function full(date) {
  return FULL.format(date);
}

export function list(names) {
  return LIST.format(names);
}

export function short(date) {
  return SHORT.format(date);
}

/** "now", "5 minutes ago", and from an hour on the time of day. */
export function ago(date) {
  const minutes = Math.floor(Math.max(0, Date.now() - date) / 60_000);
  if (minutes >= 60) return CLOCK.format(date);
  return minutes ? RELATIVE.format(-minutes, "minute") : RELATIVE.format(0, "second");
}

/** "today", "yesterday", or the date. */
export function day(date) {
  const midnight = (of) => new Date(of).setHours(0, 0, 0, 0);
  const days = Math.round((midnight(date) - midnight(Date.now())) / 86_400_000);
  return days === 0 || days === -1 ? RELATIVE.format(days, "day") : DAY.format(date);
}

/** A name's colour: 0 to 359, always the same for one name. */
export function hue(name) {
  let hash = 0;
  for (const character of name) hash = (hash * 31 + character.codePointAt(0)) >>> 0;
  return (hash * 137) % 360; // steps of the golden angle keep similar names apart
}

/** Text as nodes, its http(s) addresses as links. Nothing of it is ever parsed as HTML. */
export function linked(text) {
  const fragment = document.createDocumentFragment();
  let end = 0;
  for (const { 0: found, index } of text.matchAll(LINK)) {
    const address = withoutPunctuation(found);
    if (!URL.canParse(address)) continue;
    fragment.append(text.slice(end, index), link(address));
    end = index + address.length;
  }
  fragment.append(text.slice(end));
  return fragment;
}

/** Drop what ends the sentence and not the address; a bracket belongs to it if it was opened in it. */
function withoutPunctuation(address) {
  for (let end = address.length; end; end--) {
    const last = address[end - 1];
    const before = address.slice(0, end);
    const isOpen = last in CLOSING && before.split(CLOSING[last]).length >= before.split(last).length;
    if (isOpen || !/[.,;:!?)\]}]/.test(last)) return before;
  }
  return "";
}

function link(address) {
  const anchor = document.createElement("a");
  anchor.href = address;
  anchor.textContent = address;
  anchor.target = "_blank";
  anchor.rel = "noopener noreferrer nofollow";
  return anchor;
}

const BEFORE = 40; // characters of an excerpt before what was looked for

/** The part of a text around what was looked for, which is marked. */
export function marked(text, wanted) {
  const fragment = document.createDocumentFragment();
  const at = text.toLowerCase().indexOf(wanted.toLowerCase());
  if (at < 0) { // the hub compares by Unicode's rules, and knows better
    fragment.append(text);
    return fragment;
  }
  const mark = document.createElement("mark");
  mark.textContent = text.slice(at, at + wanted.length);
  const from = Math.max(0, at - BEFORE);
  fragment.append(`${from ? "…" : ""}${text.slice(from, at)}`, mark, text.slice(at + wanted.length));
  return fragment;
}
