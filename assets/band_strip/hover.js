// What the strip says of the bin under the pointer.

const ROWS_SHOWN = 12
const ROWS_IN_ONE = 6 // more of them stand in two columns

/**
 * The lines of a bin's tooltip: {title, count, band, rows: [{name, count, share, row}], notes}. data: with `places` and
 * `totals`; band: in places, `inBand`: how many images it holds, all told.
 */
export function binFacts(data, bin, band, inBand, write) {
  const total = data.totals[bin]
  const numbers = new Intl.NumberFormat("en")
  const percent = (part, whole) => (whole ? `${((100 * part) / whole).toFixed(part && part < whole / 10 ? 1 : 0)}%` : "0%")
  const share = covered(band, data.places[bin], data.places[bin + 1])
  const about = share < 1 ? "about " : ""
  const rows = data.counts.map((counts, row) => ({
    row,
    name: data.classes[row],
    count: numbers.format(counts[bin]),
    share: percent(counts[bin], total),
    any: counts[bin] > 0,
  }))
  const notes = []
  if (data.highlight) notes.push(`${data.highlightLabel || "highlighted"}: ${numbers.format(data.highlight[bin])}`)
  for (const { value, label } of data.markers) if (inside(data, bin, value)) notes.push(`${label}: ${write(value)}`)
  return {
    title: `${write(data.edges[bin])} to ${write(data.edges[bin + 1])}`,
    count: `${numbers.format(total)} of ${numbers.format(data.total)} images`,
    band: share > 0 ? `${about}${percent(total * share, inBand)} of the band` : "outside the band",
    rows: data.classes.length > 1 ? rows.filter(row => row.any).slice(0, ROWS_SHOWN) : [],
    notes,
  }
}

function inside({ edges }, bin, value) {
  return value >= edges[bin] && (value < edges[bin + 1] || (bin === edges.length - 2 && value === edges.at(-1)))
}

/** Fill the tooltip and put it beside the bin [left, right], where the plot has room: {width, narrow}. */
export function showFacts(box, facts, colors, left, right, { width, narrow }) {
  const line = (className, ...parts) => {
    const row = document.createElement("div")
    row.className = className
    row.append(...parts)
    return row
  }
  const span = (className, text) => {
    const part = document.createElement("span")
    part.className = className
    part.textContent = text
    return part
  }
  box.replaceChildren(
    line("tip-title", facts.title),
    line("tip-line", `${facts.count} · ${facts.band}`),
    line(
      facts.rows.length > ROWS_IN_ONE ? "tip-rows two" : "tip-rows",
      ...facts.rows.map(({ row, name, count, share }) => {
        const made = line("tip-row", span("tip-name", name), span("tip-count", count), span("tip-share", share))
        made.style.setProperty("--class-color", colors[row])
        return made
      }),
    ),
    ...facts.notes.map(note => line("tip-note", note)),
  )
  box.hidden = false
  const after = right + 12
  const before = left - 12 - box.offsetWidth
  const beside = after + box.offsetWidth <= width ? after : before
  // where neither side has room it lies over the strip's head, not over the bars
  const above = narrow || beside < 0
  box.classList.toggle("above", above)
  const x = above ? Math.max(0, Math.min((left + right - box.offsetWidth) / 2, width - box.offsetWidth)) : beside
  box.style.left = `${Math.round(x)}px`
}
