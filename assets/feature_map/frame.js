// Where a point of the map stands on the screen: plain functions over frames {x, y, scale, width, height}.
// x, y: the place in the middle of the picture; scale: CSS pixels per unit of the map; y grows upwards on the map.

const MARGIN_PX = 24
export const MOST_ZOOM = 400

/** The smallest box around all finite points: {left, right, bottom, top}; null where there is none. */
export function boundsOf(xs, ys) {
  let [left, right, bottom, top] = [Infinity, -Infinity, Infinity, -Infinity]
  for (let i = 0; i < xs.length; i += 1) {
    const [x, y] = [xs[i], ys[i]]
    if (x < left) left = x
    if (x > right) right = x
    if (y < bottom) bottom = y
    if (y > top) top = y
  }
  return left <= right && bottom <= top ? { left, right, bottom, top } : null
}

/** The frame that shows everything. */
export function fitted(bounds, width, height) {
  if (!bounds) return { x: 0, y: 0, scale: 1, width, height }
  const margin = Math.min(MARGIN_PX, width / 8, height / 8)
  // points in one place, or on a line, have no extent of their own
  const wide = bounds.right - bounds.left
  const tall = bounds.top - bounds.bottom
  const least = Math.max(wide, tall, 1e-30) * 1e-6
  const scale = Math.min((width - 2 * margin) / Math.max(wide, least), (height - 2 * margin) / Math.max(tall, least))
  const usable = wide > 0 || tall > 0 ? scale : 1
  return { x: (bounds.left + bounds.right) / 2, y: (bounds.bottom + bounds.top) / 2, scale: usable, width, height }
}

export function toPx(frame, x, y) {
  return { left: (x - frame.x) * frame.scale + frame.width / 2, top: frame.height / 2 - (y - frame.y) * frame.scale }
}

export function toPlace(frame, left, top) {
  return { x: (left - frame.width / 2) / frame.scale + frame.x, y: (frame.height / 2 - top) / frame.scale + frame.y }
}

/** How much closer than everything-in-view, 1 and more. */
export function zoomOf(frame, whole) {
  return frame.scale / whole.scale
}

/** The frame `by` times as close, with what is under (left, top) staying there; never farther than the whole. */
export function zoomed(frame, whole, by, left, top) {
  const scale = Math.min(Math.max(frame.scale * by, whole.scale), whole.scale * MOST_ZOOM)
  if (scale <= whole.scale * 1.0001) return { ...whole }
  const held = toPlace(frame, left, top)
  const moved = { ...frame, scale }
  const now = toPlace(moved, left, top)
  return kept({ ...moved, x: moved.x + held.x - now.x, y: moved.y + held.y - now.y }, whole)
}

/** The frame moved by pixels, as a hand moves a sheet of paper. */
export function panned(frame, whole, right, down) {
  return kept({ ...frame, x: frame.x - right / frame.scale, y: frame.y + down / frame.scale }, whole)
}

/** The frame's middle stays where the map is: nobody gets lost beside it. */
function kept(frame, whole) {
  const half = { x: whole.width / 2 / whole.scale, y: whole.height / 2 / whole.scale }
  return {
    ...frame,
    x: Math.min(Math.max(frame.x, whole.x - half.x), whole.x + half.x),
    y: Math.min(Math.max(frame.y, whole.y - half.y), whole.y + half.y),
  }
}

/** The same view of the map in a picture of another size. */
export function resized(frame, whole, before) {
  const zoom = zoomOf(frame, before)
  return zoom <= 1.0001 ? { ...whole } : { ...whole, x: frame.x, y: frame.y, scale: whole.scale * zoom }
}

/** What an address keeps of a view, [x, y, zoom] with four figures; null for the whole. */
export function written(frame, whole) {
  const zoom = zoomOf(frame, whole)
  if (zoom <= 1.0001) return null
  const step = 10 ** Math.ceil(Math.log10(frame.scale) + 0.5)
  return [Math.round(frame.x * step) / step, Math.round(frame.y * step) / step, Number(zoom.toPrecision(4))]
}

/** The frame of such a view. */
export function restored(view, whole) {
  if (!view) return { ...whole }
  const [x, y, zoom] = view
  return kept({ ...whole, x, y, scale: whole.scale * Math.min(Math.max(zoom, 1), MOST_ZOOM) }, whole)
}

/** Radius of a point in CSS pixels: small where there are many, larger the closer one looks. */
export function radiusOf(count, zoom) {
  const alone = Math.min(4, Math.max(1, 23 / Math.max(count, 1) ** 0.25))
  return Math.min(alone * zoom ** 0.3, 7)
}
