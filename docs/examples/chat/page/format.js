// Values as people read them: times, names' colours, text with links.

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "full" });
const RELATIVE = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const LINK = /https?:\/\/[^\s<>"'`]+[^\s<>"'`.,;:!?)\]}]/g;

/** The hub's timestamps are UTC without a zone; a client may have sent anything else. */
export function moment(timestamp) {
  const hasZone = /(Z|[+-]\d\d:?\d\d)$/.test(timestamp);
  const date = new Date(hasZone ? timestamp : `${timestamp}Z`);
  return Number.isNaN(date.valueOf()) ? null : date;
}

export function full(date) {
  return FULL.format(date);
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
  for (const { 0: address, index } of text.matchAll(LINK)) {
    fragment.append(text.slice(end, index), link(address));
    end = index + address.length;
  }
  fragment.append(text.slice(end));
  return fragment;
}

function link(address) {
  const anchor = document.createElement("a");
  anchor.href = address;
  anchor.textContent = address;
  anchor.target = "_blank";
  anchor.rel = "noopener noreferrer nofollow";
  return anchor;
}
