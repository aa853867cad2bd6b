/**
 * Cuts a list where the next item has no room; one larger than the room has a part of its own. Of an empty list there is one
 * empty part.
 *
 * @param room - bytes that a part may hold
 * @param bytesOf - bytes that an item takes
 */
export function splitByBytes<Item>(items: readonly Item[], room: number, bytesOf: (item: Item) => number): Item[][] {
  const parts: Item[][] = [[]];
  let left = room;
  for (const item of items) {
    const bytes = bytesOf(item);
    if (bytes > left && parts[parts.length - 1].length > 0) {
      parts.push([]);
      left = room;
    }
    parts[parts.length - 1].push(item);
    left -= bytes;
  }
  return parts;
}
