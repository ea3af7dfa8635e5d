// Which key was meant, whatever the keyboard's layout prints on it.

/** The number key of an event, 1..9, wherever the layout puts digits; 0 if it is none. */
export function digitOf(event) {
  const match = /^(?:Digit|Numpad)([1-9])$/.exec(event.code || "")
  return match ? Number(match[1]) : 0
}

/**
 * The Latin letter of an event, small; "" if it is none. Where the layout writes Latin letters, it is the one printed
 * on the key (Z and Y change places on a German keyboard); where it writes others (Cyrillic, Greek), the one that
 * the key has on an English keyboard.
 */
export function letterOf(event) {
  if (/^[a-z]$/i.test(event.key)) return event.key.toLowerCase()
  const foreign = /^[^\x00-\x7f]$/u.test(event.key)
  return (foreign && /^Key([A-Z])$/.exec(event.code || "")?.[1].toLowerCase()) || ""
}

/** "undo" or "redo" as z, Shift+z and y mean them, with Ctrl and ⌘ or without; "" for other keys. */
export function stepOf(event) {
  if (event.altKey) return ""
  return { z: event.shiftKey ? "redo" : "undo", y: "redo" }[letterOf(event)] ?? ""
}

/** 1 for a key that makes things larger, -1 for one that makes them smaller, else 0. */
export function zoomOf(event) {
  // some layouts write + - _ on keys of the number row, which tag
  if (/^Digit/.test(event.code || "")) return 0
  return { "+": 1, "=": 1, "-": -1, _: -1 }[event.key] ?? 0
}
