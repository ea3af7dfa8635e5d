// How large square pictures can be where a number of them shares a place.

/** What a layout is worth whose last row is not half full: a straggler looks like a mistake. */
const RAGGED = 0.75

/**
 * The columns and the side of `count` square tiles, as large as the place allows; a little smaller where that fills
 * the last row; the fewest columns among equals. All lengths in pixels. extra: height below each tile, for words.
 */
export function fit(count, width, height, gap, extra = 0) {
  let best = { columns: 1, side: 0 }
  let most = 0
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns)
    const wide = (width - gap * (columns - 1)) / columns
    const high = (height - gap * (rows - 1)) / rows - extra
    const side = Math.floor(Math.min(wide, high))
    const worth = isRagged(count, columns) ? side * RAGGED : side
    if (worth > most) {
      most = worth
      best = { columns, side }
    }
  }
  return best
}

/** Whether a last row is there and not more than half full. */
function isRagged(count, columns) {
  const rows = Math.ceil(count / columns)
  return rows > 1 && (count - (rows - 1) * columns) * 2 <= columns
}

/** The most columns of tiles of a given side, fewer where that fills the last row and the place is high enough. */
export function columnsOf(count, side, width, height, gap) {
  const most = Math.max(1, Math.min(count, Math.floor((width + gap) / (side + gap))))
  for (let columns = most; columns >= 1; columns -= 1) {
    if (Math.ceil(count / columns) * (side + gap) - gap > height) break
    if (!isRagged(count, columns)) return columns
  }
  return most
}

/** The same where the page may be scrolled: as many columns as are given, as wide as they go. */
export function flow(count, width, gap, columns) {
  const most = Math.max(1, Math.min(count, columns))
  return { columns: most, side: Math.max(0, Math.floor((width - gap * (most - 1)) / most)) }
}
