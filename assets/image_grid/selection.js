// Which tiles a click, a key or a drag selects: plain functions of indices, ids and rectangles.

/** Ids from position a to position b of `order`, both included, whichever comes first. */
export function rangeBetween(order, a, b) {
  return order.slice(Math.min(a, b), Math.max(a, b) + 1)
}

/** A new Set with `id` added, or taken out if it was in. */
export function toggled(selected, id) {
  const next = new Set(selected)
  if (!next.delete(id)) next.add(id)
  return next
}

/** The members of `selected` that are still shown; what is not on screen must never be tagged. */
export function stillShown(selected, order) {
  return new Set(order.filter(id => selected.has(id)))
}

/** Where a key moves the focus among `count` tiles in rows of `columns`; null if the key does not move it. */
export function movedFocus(key, index, columns, count) {
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }
  if (key === "Home") return 0
  if (key === "End") return count - 1
  if (!(key in steps)) return null
  const next = index + steps[key]
  // Down from the last full row lands on the last tile, as there is none right below.
  if (key === "ArrowDown" && next >= count) {
    return Math.floor(index / columns) < Math.floor((count - 1) / columns) ? count - 1 : index
  }
  return next < 0 || next >= count ? index : next
}

/** The box between two corners, whichever way it was drawn. */
export function boxBetween(from, to) {
  return {
    left: Math.min(from.x, to.x),
    top: Math.min(from.y, to.y),
    right: Math.max(from.x, to.x),
    bottom: Math.max(from.y, to.y),
  }
}

/** Ids whose rectangle {id, left, top, right, bottom} touches the box. */
export function touched(rectangles, box) {
  return rectangles
    .filter(r => r.left <= box.right && r.right >= box.left && r.top <= box.bottom && r.bottom >= box.top)
    .map(r => r.id)
}

/** The number key of an event, 1..9, wherever the layout puts digits; 0 if it is none. */
export function digitOf(event) {
  const match = /^(?:Digit|Numpad)([1-9])$/.exec(event.code || "")
  return match ? Number(match[1]) : 0
}
