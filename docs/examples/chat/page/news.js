// What others did: new messages to count, and what a screen reader says.

const MOST = 3; // of each kind that are read out

/**
 * Compare messages with those that were known, by id; `known` is null before the first ones.
 * Returns the number of new ones, and the text to say.
 */
export function newsOf(known, messages, isMine) {
  if (!known) return { count: 0, said: "" };
  const stored = messages.filter((row) => !row._write);
  const end = stored.findLastIndex((row) => known.has(row.id)); // before it is the past, read later
  const added = stored.slice(end + 1).filter((row) => !isMine(row));
  const edited = stored.filter((row) => known.has(row.id) && known.get(row.id).body !== row.body && !isMine(row));
  const ids = new Set(messages.map((row) => row.id));
  const start = stored[0]?.timestamp ?? ""; // what is older has only left the window
  const gone = [...known.values()].filter((row) => !ids.has(row.id) && row.timestamp >= start && !isMine(row));
  const said = [
    ...added.slice(-MOST).map((row) => `${row.name}: ${row.body}`),
    ...edited.slice(-MOST).map((row) => `${row.name} edited: ${row.body}`),
    ...gone.slice(-MOST).map((row) => `${row.name} deleted: ${row.body}`),
  ];
  return { count: added.length, said: said.join("\n") };
}
