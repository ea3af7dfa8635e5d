// The arithmetic of the strip: values and pixels, ticks, counts, where a drag may go. Plain functions.

/** Linear map between values [start, end] and pixels [left, left + width]. */
export function createScale(start, end, left, width) {
  const perValue = width / (end - start)
  return {
    toPx: value => left + (value - start) * perValue,
    toValue: px => Math.min(end, Math.max(start, start + (px - left) / perValue)),
  }
}

/** The round number 1, 2 or 5 times a power of ten that is nearest above `rough`. */
export function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough))
  const factor = [1, 2, 5, 10].find(f => f * power >= rough * (1 - 1e-9))
  return factor * power
}

/** Round values inside [start, end], about `wanted` of them. */
export function ticks(start, end, wanted) {
  const step = niceStep((end - start) / Math.max(1, wanted))
  const first = Math.ceil(start / step - 1e-9)
  const last = Math.floor(end / step + 1e-9)
  return Array.from({ length: last - first + 1 }, (_, i) => rounded((first + i) * step, step))
}

/** How many decimals a step needs to be told apart from the next. */
export function decimalsOf(step) {
  return Math.max(0, Math.min(12, -Math.floor(Math.log10(step) + 1e-9)))
}

/** The multiple of `step` nearest to a value, without the noise of binary fractions. */
export function rounded(value, step) {
  return Number((Math.round(value / step) * step).toFixed(decimalsOf(step))) + 0
}

/** A value with the decimals of `step`, a true minus sign, and no "−0". */
export function formatValue(value, step) {
  const text = value.toFixed(decimalsOf(step))
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "\u2212")
}

/** How many lie in [low, high] if each bin's count is spread evenly over it: good to a bin's share at each end. */
export function estimate(edges, totals, low, high) {
  let sum = 0
  totals.forEach((total, bin) => {
    const from = Math.max(low, edges[bin])
    const to = Math.min(high, edges[bin + 1])
    if (to > from) sum += (total * (to - from)) / (edges[bin + 1] - edges[bin])
  })
  return Math.round(sum)
}

/** Sum of the classes per bin. */
export function totalsOf(counts) {
  return counts[0].map((_, bin) => counts.reduce((sum, row) => sum + row[bin], 0))
}

/** The band with one end put at `value`; the ends do not cross and stay `gap` apart where there is room. */
export function withEnd(band, end, value, limits, gap) {
  const clamped = Math.min(limits.end, Math.max(limits.start, value))
  if (end === "low") return { low: Math.max(limits.start, Math.min(clamped, band.high - gap)), high: band.high }
  return { low: band.low, high: Math.min(limits.end, Math.max(clamped, band.low + gap)) }
}

/** The band moved by `shift`, its width kept, stopped by the limits. */
export function shifted(band, shift, limits) {
  const allowed = Math.min(limits.end - band.high, Math.max(limits.start - band.low, shift))
  return { low: band.low + allowed, high: band.high + allowed }
}

/** The band between two values drawn in either direction, at least `gap` wide and inside the limits. */
export function brushed(from, to, limits, gap) {
  const low = Math.max(limits.start, Math.min(from, to))
  return shifted({ low, high: Math.max(low + gap, Math.min(limits.end, Math.max(from, to))) }, 0, limits)
}

/** What a press at `x` takes hold of: "low", "high", "window" or "brush" (nothing there: draw a new band). */
export function gripAt(x, low, high, reach) {
  // In a narrow band the handles leave the middle third to moving it.
  const inner = Math.min(reach, (high - low) / 3)
  const nearLow = x >= low - reach && x <= low + inner
  const nearHigh = x <= high + reach && x >= high - inner
  if (nearLow && nearHigh) return x - low < high - x ? "low" : "high"
  if (nearLow || nearHigh) return nearLow ? "low" : "high"
  return x > low && x < high ? "window" : "brush"
}

/**
 * Rows for labels centred at x with a width, so that none overlaps: [{left, row}] in the order given; row -1 where
 * `rows` rows have no room.
 */
export function placeLabels(labels, width, rows, space = 8) {
  const ends = Array(rows).fill(-Infinity)
  const placed = Array(labels.length)
  const byPlace = labels.map((label, index) => ({ ...label, index })).sort((a, b) => a.x - b.x)
  for (const label of byPlace) {
    const left = Math.max(0, Math.min(label.x - label.width / 2, width - label.width))
    const row = ends.findIndex(end => left >= end + space)
    if (row >= 0) ends[row] = left + label.width
    placed[label.index] = { left, row }
  }
  return placed
}

/** Bars of a stacked histogram in a box `height` high: [{bin, row, y, height}], y from the top; no bar for a zero. */
export function stack(counts, height) {
  const highest = Math.max(1, ...totalsOf(counts))
  const bars = []
  counts[0].forEach((_, bin) => {
    let below = 0
    counts.forEach((row, index) => {
      if (!row[bin]) return
      // one image among thousands still shows
      const tall = Math.max(1, (row[bin] / highest) * height)
      below += tall
      bars.push({ bin, row: index, y: Math.max(0, height - below), height: tall })
    })
  })
  return bars
}
