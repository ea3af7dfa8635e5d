// What is selected, and what a click, a key or a drag adds to it: plain functions of indices, ids and rectangles.

/** Nothing is selected. A selection holds the ids in `ids`, or with `everything` all of the scope but those. */
export const nothing = () => ({ everything: false, ids: new Set() })

export const whole = () => ({ everything: true, ids: new Set() })

export function holds(selection, id) {
  return selection.ids.has(id) !== selection.everything
}

/** A new selection with these ids put in. */
export function including(selection, ids) {
  const next = new Set(selection.ids)
  for (const id of ids) selection.everything ? next.delete(id) : next.add(id)
  return { everything: selection.everything, ids: next }
}

/** A new selection with `id` put in, or taken out if it was in. */
export function toggled(selection, id) {
  const next = new Set(selection.ids)
  if (!next.delete(id)) next.add(id)
  return { everything: selection.everything, ids: next }
}

/** Whether the same images are shown in the same order. */
export function sameIds(order, other) {
  return order.length === other.length && order.every((id, position) => id === other[position])
}

/** How many images are selected, of `total` in the scope. */
export function sizeOf(selection, total) {
  return selection.everything ? Math.max(0, total - selection.ids.size) : selection.ids.size
}

/** The part of a selection that is shown, named one by one. */
export function stillShown(selection, order) {
  return { everything: false, ids: new Set(order.filter(id => holds(selection, id))) }
}

/**
 * What is left of a selection when other images are shown. `before` and `now` say {scope, total}.
 *
 * Pages of one scope share a selection. Where the scope has more or fewer images than before (a tag took some out of a
 * filter), ids on other pages may no longer belong to it: what nobody can see is then given up. A tag must never reach
 * an image that the person cannot know to be selected.
 */
export function carried(selection, before, now, order) {
  if (before.scope !== now.scope) return nothing()
  if (now.scope === null || before.total !== now.total) return stillShown(selection, order)
  return selection
}

/** A text that differs whenever what is said of the selection does. */
export function selectionText({ selected, everything, scope = null }) {
  return selected.length || everything ? JSON.stringify([selected, everything, scope]) : ""
}

/** Whether pressing, or going to, this part of the page may do something with the selection. */
export function actsOn(node) {
  return Boolean(node.matches?.("button, a, label, textarea, input:not([type=range]), [role=button], [role=menuitem], [role=option]"))
}

/**
 * Whether a node lies in the frame around the page, where nothing acts on what is selected. A press there runs the
 * page, and a message of the grid in the same moment would run the grid's part of it instead.
 */
export function inFrame(node) {
  return Boolean(node.closest?.("[data-testid=stSidebar], .st-key-tour-bar"))
}

/** Ids from position a to position b of `order`, both included, whichever comes first. */
export function rangeBetween(order, a, b) {
  return order.slice(Math.min(a, b), Math.max(a, b) + 1)
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

/** Position of the rectangle at a point, or of the nearest one; -1 where there is none. */
export function nearest(rectangles, { x, y }) {
  let best = -1
  let least = Infinity
  rectangles.forEach((r, position) => {
    const distance = Math.hypot(Math.max(r.left - x, 0, x - r.right), Math.max(r.top - y, 0, y - r.bottom))
    if (distance < least) [best, least] = [position, distance]
  })
  return best
}

/** Pixels to scroll per frame while dragging at height y of a view from top to bottom: more the closer to an edge. */
export function edgeSpeed(y, top, bottom, zone = 56, most = 20) {
  if (y < top + zone) return -Math.ceil(most * Math.min(1, (top + zone - y) / zone))
  if (y > bottom - zone) return Math.ceil(most * Math.min(1, (y - bottom + zone) / zone))
  return 0
}
