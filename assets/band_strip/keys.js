// When arrow keys belong to nobody, and what a key does to the band. Plain functions.

// Streamlit's own frames around the page take the focus when somebody clicks beside everything.
const FRAMES = ["stApp", "stAppViewContainer", "stMain", "stMainBlockContainer"]
const IN_FRONT = "[role=dialog], [role=alertdialog], [role=menu], [role=listbox], dialog[open], [data-testid=stPopoverBody]"

/** True when nothing on the page has the focus and nothing lies over the page. */
export function keysAreFree(page) {
  const holder = page.activeElement
  const nothing =
    !holder || holder === page.body || holder === page.documentElement || FRAMES.includes(holder.dataset?.testid)
  return nothing && !page.querySelector(IN_FRONT)
}

const SIDES = { ArrowRight: 1, ArrowUp: 1, PageUp: 1, ArrowLeft: -1, ArrowDown: -1, PageDown: -1 }

/**
 * The band after a key press, or null where the key means nothing to it. part: "low", "high" or "window"; event: {key,
 * shiftKey}; by: {small, large} steps. On the band as a whole Shift widens and narrows, on an end it takes large steps.
 */
export function keyed(band, part, event, by, limits, gap) {
  const side = SIDES[event.key]
  const jump = { Home: limits.start, End: limits.end }[event.key]
  if (side === undefined && jump === undefined) return null
  const paged = event.key.startsWith("Page")
  if (part !== "window") {
    const step = event.shiftKey || paged ? by.large : by.small
    return withEnd(band, part, jump ?? band[part] + side * step, limits, gap)
  }
  if (jump !== undefined) return shifted(band, jump < band.low ? jump - band.low : jump - band.high, limits)
  if (event.shiftKey && !paged) return widened(band, side * by.small, limits, gap)
  return shifted(band, side * (paged ? by.large : by.small), limits)
}
