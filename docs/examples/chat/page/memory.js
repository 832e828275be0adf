// What the browser remembers: names, rooms, drafts. Without storage, as long as the page is open.

const fallback = new Map();

/** The stored text, or `otherwise`. With `ofWindow`, this window's own text comes first. */
export function recall(key, otherwise = "", { ofWindow = false } = {}) {
  try {
    return (ofWindow && sessionStorage.getItem(key)) || localStorage.getItem(key) || otherwise;
  } catch {
    return fallback.get(key) ?? otherwise;
  }
}

/** Store a text; an empty one is forgotten. */
export function remember(key, text) {
  fallback.set(key, text);
  try {
    for (const storage of [sessionStorage, localStorage]) {
      if (text) storage.setItem(key, text);
      else storage.removeItem(key);
    }
  } catch {
    // blocked or full: the map has it
  }
}

/** 96 random bits. Not `crypto.randomUUID`, which plain HTTP in a local network lacks. */
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
