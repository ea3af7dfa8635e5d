// The arithmetic of the board: shapes of the small histograms, and where an arrow key leads. Plain functions.

/**
 * Heights 0..1 of the upper edge of each row of a stacked histogram, lowest row first; the highest bin is 1. A bin is
 * as high as the square root of its count, so that one spike (a neuron at rest) does not flatten all the rest; the rows
 * share it as they share the count.
 */
export function stackedHeights(rows) {
  const totals = rows[0].map((_, bin) => rows.reduce((sum, row) => sum + row[bin], 0))
  const highest = Math.max(1, ...totals)
  const below = totals.map(() => 0)
  return rows.map(row =>
    row.map((count, bin) => {
      below[bin] += count
      return totals[bin] ? (below[bin] / totals[bin]) * Math.sqrt(totals[bin] / highest) : 0
    }),
  )
}

/**
 * The path of a step area `width` x `height` between two rows of heights (0..1), y from the top. Bins with any image
 * are at least `least` high, so that one among thousands still shows.
 */
export function stepArea(lower, upper, width, height, least = 0) {
  const wide = width / upper.length
  const y = value => round(height - (value > 0 ? Math.max(least, value * height) : 0))
  const there = upper.flatMap((value, bin) => [`${round(bin * wide)} ${y(value)}`, `${round((bin + 1) * wide)} ${y(value)}`])
  const back = lower
    .flatMap((value, bin) => [`${round(bin * wide)} ${y(value)}`, `${round((bin + 1) * wide)} ${y(value)}`])
    .reverse()
  return `M${there.join("L")}L${back.join("L")}Z`
}

function round(value) {
  return Math.round(value * 100) / 100
}

/** The card that a key leads to from card `index` of `count` in `columns` columns; the same card at the edges. */
export function nextCard(key, index, count, columns) {
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[key]
  if (key === "Home") return 0
  if (key === "End") return count - 1
  if (step === undefined) return null
  const next = index + step
  // down from the last full row lands on the last card, not nowhere
  if (key === "ArrowDown" && next >= count && Math.floor(index / columns) < Math.floor((count - 1) / columns)) {
    return count - 1
  }
  return next < 0 || next >= count ? index : next
}

/** A number with at most three significant figures and a true minus sign. */
export function shortNumber(value) {
  const size = Math.abs(value)
  const text =
    size !== 0 && (size < 1e-3 || size >= 1e5)
      ? value.toExponential(1)
      : value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2)
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "\u2212")
}
