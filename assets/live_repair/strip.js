// What the strip says and draws of an answer of the server; no node is touched here.

const percent = share => `${Math.round(share * 100)}%`

/** The figures, or why there are none: {before, after, range, state}. */
export function wordsOf(answer) {
  if (!answer || (!answer.problem && answer.after === null)) return { before: "", after: "", range: "", state: "Being computed …" }
  if (answer.problem) return { before: "", after: "", range: "", state: answer.problem }
  const images = answer.tags === 1 ? "1 tagged image" : `${answer.tags.toLocaleString("en")} tagged images`
  return {
    before: percent(answer.before),
    after: percent(answer.after),
    range: `${percent(answer.low)}–${percent(answer.high)}`,
    state: `estimated, ${images}`,
  }
}

/** Two paths in a box of 100 x 100: the line through the moments, and the band of their intervals. One moment is none. */
export function wayPaths(way) {
  if (way.length < 2) return { line: "", band: "" }
  const [first, last] = [way[0].tags, way.at(-1).tags]
  const least = Math.min(...way.map(moment => moment.low))
  const x = moment => round(((moment.tags - first) / Math.max(1, last - first)) * 100)
  const y = share => round(100 - ((share - least) / Math.max(0.01, 1 - least)) * 100)
  const through = (moments, value) => moments.map(moment => `${x(moment)} ${y(value(moment))}`).join(" L ")
  return {
    line: `M ${through(way, moment => moment.worst)}`,
    band: `M ${through(way, moment => moment.high)} L ${through([...way].reverse(), moment => moment.low)} Z`,
  }
}

/** For screen readers: said once when it changes by a point or more. */
export function spoken(answer) {
  if (!answer || answer.problem || answer.after === null) return ""
  return `Live preview: worst group ${percent(answer.before)} now, about ${percent(answer.after)} repaired.`
}

const round = value => Math.round(value * 10) / 10
