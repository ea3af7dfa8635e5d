// What the strip says and draws of an answer of the server; no node is touched here.

const percent = share => `${Math.round(share * 100)}%`

/** Intervals from here on are told as a rough guess. */
const WIDE = 0.2
/** Seconds after which it is said how long something takes. */
const LONG = 10

/**
 * The figures, or why there are none: {before, after, interval, state}. lost: why the server cannot be asked, "" while it
 * answers. waited: seconds since the first question.
 */
export function wordsOf(answer, lost = "", waited = 0) {
  const none = { before: "", after: "", interval: "" }
  const isOld = Boolean(lost && answer?.after != null)
  if (lost && !isOld) return { ...none, state: lost }
  if (!answer || (!answer.problem && answer.after === null)) {
    const long = waited >= LONG
    return { ...none, state: long ? `Being computed for ${Math.floor(waited)} s, the first time takes longest …` : "Being computed …" }
  }
  if (answer.problem) return { ...none, state: answer.problem }
  const images = answer.tags === 1 ? "1 tagged image" : `${answer.tags.toLocaleString("en")} tagged images`
  return {
    before: percent(answer.before),
    after: `${nearly(answer)} ${percent(answer.after)}`,
    interval: `${isRough(answer) ? "could be" : "likely"} ${percent(answer.low)}–${percent(answer.high)}`,
    state: isOld ? `As it was with ${images}. ${lost}` : `estimated from ${images}`,
  }
}

const isRough = answer => answer.high - answer.low > WIDE
const nearly = answer => (isRough(answer) ? "roughly" : "about")

/** Why the server cannot be asked. status: of its answer, 0 without one. */
export function lossOf(status) {
  if (status >= 500) return "The preview failed on the server; its log says why. Trying again …"
  return status ? "The server does not know this page any more. Reload it." : "No connection to the server. Trying again …"
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

/** For screen readers: differs when a figure does by a point or more. */
export function spoken(answer) {
  if (!answer || answer.problem || answer.after === null) return ""
  return `Live preview: worst group ${percent(answer.before)} now, ${nearly(answer)} ${percent(answer.after)} repaired.`
}

/** Says the newest of what it is given again and again: once, and not more often than every so many ms. */
export function createSpeaker(say, { every = 15_000, now = () => performance.now() } = {}) {
  let [last, at] = ["", -Infinity]
  return text => {
    if (!text || text === last || now() - at < every) return
    ;[last, at] = [text, now()]
    say(text)
  }
}

const round = value => Math.round(value * 10) / 10
