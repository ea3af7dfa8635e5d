// Small pure pieces: where an image lies among those shown, what a key means, the outline of a histogram.

/**
 * The images before and after the one looked at, null at the ends. An image that is not among those shown (a
 * neighbour of one) lies behind the one it was reached from: back is that one.
 */
export function stepsFrom({ image, anchor, ids }) {
  const place = ids.indexOf(anchor)
  const away = image !== anchor
  return {
    previous: away ? anchor : (ids[place - 1] ?? null),
    next: ids[place + 1] ?? null,
    away,
  }
}

/** "3 of 60", or where an image that is not among those shown was reached from. */
export function positionText({ image, anchor, ids, before, total }) {
  const number = (before + ids.indexOf(anchor) + 1).toLocaleString("en")
  if (image !== anchor) return total > 1 ? `near ${number} of ${total.toLocaleString("en")}` : "near the first"
  return total > 1 ? `${number} of ${total.toLocaleString("en")}` : ""
}

/** What a key asks for: {kind, ...}, or null. */
export function meaning(event) {
  const { key, code, shiftKey, ctrlKey, metaKey, altKey } = event
  const letter = letterOf(event)
  if ((ctrlKey || metaKey) && !altKey && letter === "z") return { kind: shiftKey ? "redo" : "undo" }
  if (ctrlKey || metaKey || altKey) return null
  if (letter === "z") return { kind: shiftKey ? "redo" : "undo" }
  if (letter === "y") return { kind: "redo" }
  if (letter === "h") return { kind: "heat" }
  if (key === "ArrowLeft") return { kind: "previous" }
  if (key === "ArrowRight") return { kind: "next" }
  if (letter === "u") return { kind: "unsure" }
  if (/^(Digit|Numpad)0$/.test(code)) return { kind: "clear" }
  const digit = digitOf(event)
  return digit ? { kind: "tag", key: digit, present: !shiftKey } : null
}

/** The path of a histogram's area in a box 0..width, 0..height; counts may be empty or all zero. */
export function areaPath(counts, most, width, height) {
  if (!counts.length || most <= 0) return ""
  const step = width / counts.length
  const y = count => (height - (height * count) / most).toFixed(2)
  const tops = counts.map((count, i) => `L${(i * step).toFixed(2)} ${y(count)}L${((i + 1) * step).toFixed(2)} ${y(count)}`)
  return `M0 ${height}${tops.join("")}L${width} ${height}Z`
}

/** Where a bar from zero to a value begins and how long it is, in percent of the range low..high, which holds zero. */
export function barFromZero(value, low, high) {
  const span = high - low
  if (value === null || !(span > 0)) return { start: 0, length: 0 }
  const ends = [0, value].map(x => (100 * (x - low)) / span).sort((a, b) => a - b)
  return { start: ends[0], length: ends[1] - ends[0] }
}

/** The concepts of an image as they will be once the events that wait are saved. */
export function conceptsAfter(concepts, image, waiting) {
  const tags = []
  for (const event of waiting) {
    if (event.kind === "tag") tags.push(event)
    else if (event.kind === "undo") tags.pop()
  }
  const said = new Map(tags.filter(tag => tag.ids.includes(image)).map(tag => [tag.concept, tag.present]))
  return concepts.map(concept => (said.has(concept.id) ? { ...concept, present: said.get(concept.id) } : concept))
}
