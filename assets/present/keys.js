// What a key asks for. Remote controls send Page Up, Page Down, and "." or "b" for a dark screen.

const KEYS = {
  ArrowRight: "next",
  ArrowDown: "next",
  PageDown: "next",
  " ": "next",
  ArrowLeft: "previous",
  ArrowUp: "previous",
  PageUp: "previous",
  Backspace: "previous",
  Home: "first",
  End: "last",
  Enter: "act",
  "?": "help",
  f: "full",
  b: "black",
  ".": "black",
  Escape: "leave",
}

/**
 * The action of a key press, null for none. on: what has the focus: "text" (a field that is typed into), "choice" (a
 * list), "button", or "".
 */
export function actionOf({ key, shiftKey = false, ctrlKey = false, metaKey = false, altKey = false }, on = "") {
  if (ctrlKey || metaKey || altKey) return null
  if (on === "text" || on === "choice") return key === "Escape" ? "blur" : null
  if (on === "button" && (key === " " || key === "Enter")) return null
  if (key === " " && shiftKey) return "previous"
  return KEYS[key.length === 1 ? key.toLowerCase() : key] ?? null
}

/** The tile that an arrow key leads to in rows of `columns`, `at` where there is none. */
export function neighbour(key, at, count, columns) {
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[key] ?? 0
  const to = at + step
  return to < 0 || to >= count ? at : to
}
