// The arithmetic of the strip: values and pixels, ticks, counts, where a drag may go. Plain functions.

/** Linear map between places on the axis [start, end] and pixels [left, left + width]. */
export function createScale(start, end, left, width) {
  const perPlace = width / (end - start)
  return {
    toPx: place => left + (place - start) * perPlace,
    toValue: px => Math.min(end, Math.max(start, start + (px - left) / perPlace)),
  }
}

/**
 * The piecewise linear map between activations and places: `edges[i]` stands at `places[i]`. Both rise; what lies
 * beyond their ends is put at the end.
 */
export function createAxis(edges, places) {
  if (!places) return { toPlace: value => value, toValue: place => place }
  return { toPlace: value => between(value, edges, places), toValue: place => between(place, places, edges) }
}

function between(value, from, to) {
  if (value <= from[0]) return to[0]
  if (value >= from.at(-1)) return to.at(-1)
  let [low, high] = [0, from.length - 1]
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (from[middle] <= value) low = middle
    else high = middle
  }
  return to[low] + ((value - from[low]) / (from[high] - from[low])) * (to[high] - to[low])
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

/** A place on the axis as written under it: an activation, a percentage of the images, or standard deviations. */
export function formatPlace(place, step, format) {
  if (format === "percent") return `${formatValue(place * 100, step * 100)}%`
  if (format !== "z") return formatValue(place, step)
  const text = formatValue(place, step)
  return `${Number(place.toFixed(decimalsOf(step))) > 0 ? "+" : ""}${text} σ`
}

/** The same for ears, with the activation it stands for where that is another number. */
export function spokenPlace(place, value, steps, format) {
  const activation = formatValue(value, steps.value)
  if (format === "percent") return `${formatPlace(place, steps.place, format)} of the images below, activation ${activation}`
  if (format !== "z") return formatValue(place, steps.place)
  const size = formatValue(Math.abs(place), steps.place)
  const side = place < 0 ? "below" : "above"
  return `${size} standard deviations ${side} the mean, activation ${activation}`
}

/** A count in at most four characters: 950, 1.2k, 48k, 3.1M. */
export function shortCount(count) {
  for (const [size, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (count >= size) return `${count >= 10 * size ? Math.round(count / size) : Math.round(count / size * 10) / 10}${letter}`
  }
  return String(count)
}

/** The bin, an index into `places`, that holds a place; the last one holds the end of the axis. */
export function binAt(places, place) {
  const after = places.findIndex(edge => edge > place)
  return after < 0 ? places.length - 2 : Math.max(0, after - 1)
}

/** The share of a bin [from, to] that a band covers, 0..1. */
export function covered(band, from, to) {
  return Math.max(0, Math.min(band.high, to) - Math.max(band.low, from)) / (to - from)
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

/** The band made wider by `by` at both ends, or narrower; at least `gap` wide and inside the limits. */
export function widened(band, by, limits, gap) {
  const allowed = Math.max(by, Math.min(0, (gap - (band.high - band.low)) / 2))
  return { low: Math.max(limits.start, band.low - allowed), high: Math.min(limits.end, band.high + allowed) }
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
 * Places for labels, so that none overlaps another or another's line: [{left, row}] in the order given, which is their
 * rank; row -1 where there is no room left. A label: {x, width, from, to, line}; it may slide over [from, to] as long
 * as it touches it; `line`: a line runs down from it at x.
 */
export function placeLabels(labels, width, rows, space = 8) {
  const placed = []
  for (const label of labels) {
    const lines = labels.filter(other => other !== label && other.line).map(other => other.x)
    const places = candidates(label, width, rows, lines)
    const place = places.find(place => placed.every(other => apart(place, other, space)))
    placed.push(place ?? { left: 0, row: -1, right: 0, line: null })
  }
  return placed.map(({ left, row }) => ({ left, row }))
}

/** Off the lines of others first, then nearest to the middle; in the lowest row first, where its line is short. */
function candidates(label, width, rows, lines) {
  const centre = label.x - label.width / 2
  const [first, last] = [Math.min(centre, label.from - label.width - 4), Math.max(centre, label.to + 4)]
  const lefts = [centre]
  for (let shift = 6; centre - shift >= first || centre + shift <= last; shift += 6) {
    if (centre + shift <= last) lefts.push(centre + shift)
    if (centre - shift >= first) lefts.push(centre - shift)
  }
  lefts.push(first, last)
  const spots = lefts.map(wanted => {
    const left = Math.max(0, Math.min(wanted, width - label.width))
    return { left, right: left + label.width, line: label.line ? label.x : null }
  })
  const free = spots.filter(spot => !lines.some(x => x >= spot.left - 3 && x <= spot.right + 3))
  const all = Array.from({ length: rows }, (_, row) => rows - 1 - row)
  const inRows = some => all.flatMap(row => some.map(spot => ({ ...spot, row })))
  return [...inRows(free), ...inRows(spots)]
}

function apart(one, other, space) {
  if (other.row < 0) return true
  if (one.row === other.row) return one.left >= other.right + space || other.left >= one.right + space
  const [upper, lower] = one.row < other.row ? [one, other] : [other, one]
  return upper.line === null || upper.line < lower.left - 3 || upper.line > lower.right + 3
}

/**
 * How high each bin of a histogram is, 0..1. Bins of unequal width show density, so that areas stay comparable; `log`
 * takes the logarithm of one plus the count. {heights, highest: the count (of a bin of mean width) that 1 stands for,
 * even: all bins are equally wide}
 */
export function binHeights(totals, places, log) {
  const widths = totals.map((_, bin) => places[bin + 1] - places[bin])
  const mean = (places.at(-1) - places[0]) / totals.length
  const even = widths.every(width => Math.abs(width - mean) <= mean * 1e-3)
  const dense = even ? totals : totals.map((total, bin) => (total * mean) / widths[bin])
  const highest = Math.max(1, ...dense)
  return { heights: dense.map(count => heightOf(count, highest, log)), highest, even, dense }
}

/** The height 0..1 of a count where `highest` is 1. */
export function heightOf(count, highest, log) {
  return log ? Math.log1p(count) / Math.log1p(highest) : count / highest
}

/** Counts to draw a line at: round ones, or powers of ten on a logarithmic height. */
export function countTicks(highest, log) {
  if (!log) return ticks(0, highest, highest < 3 ? highest : 3).filter(count => count > 0 && Number.isInteger(count))
  const powers = []
  for (let power = 1; power <= highest; power *= 10) powers.push(power)
  const every = Math.ceil(powers.length / 4)
  return powers.filter((_, index) => (powers.length - 1 - index) % every === 0)
}

/** How much higher a subset may be drawn to be seen beside the whole: 1, or 2, 5, 10, 20, ... */
export function magnified(subset, dense, log) {
  const [part, whole] = [Math.max(...subset), Math.max(...dense)]
  if (log || part <= 0 || part * 4 > whole) return 1
  return niceStep((whole / part) * 0.4)
}

/**
 * Bars of a stacked histogram in a box `height` high: [{bin, row, y, height}], y from the top; no bar for a zero.
 * `heights`: of whole bins, 0..1; the rows share them as they share the count.
 */
export function stack(counts, heights, height) {
  const totals = totalsOf(counts)
  const bars = []
  heights.forEach((whole, bin) => {
    let below = 0
    counts.forEach((row, index) => {
      if (!row[bin]) return
      // one image among thousands still shows
      const tall = Math.max(1, (row[bin] / totals[bin]) * whole * height)
      below += tall
      bars.push({ bin, row: index, y: Math.max(0, height - below), height: tall })
    })
  })
  return bars
}
