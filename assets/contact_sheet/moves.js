// Where a key leads on a contact sheet, and what is said of it. A place is [band, column]; column 0 is the band's heading, images follow.

/** The place after a key, given the number of columns of each band; null if the key does not move. */
export function movedPlace(key, [band, column], columns, control = false) {
  const last = columns.length - 1
  const within = (to, wanted) => [to, Math.min(wanted, columns[to] - 1)]
  if (key === "ArrowRight") return within(band, column + 1)
  if (key === "ArrowLeft") return [band, Math.max(0, column - 1)]
  if (key === "ArrowDown") return within(Math.min(last, band + 1), column)
  if (key === "ArrowUp") return within(Math.max(0, band - 1), column)
  if (key === "Home") return [control ? 0 : band, 0]
  if (key === "End") return control ? [last, columns[last] - 1] : [band, columns[band] - 1]
  return null
}

/** How many bars stand above each other, five at most, and in how many stacks. */
export function stacked(bars) {
  const stacks = Math.ceil(bars / 5)
  return { stacks, lines: Math.ceil(bars / stacks) }
}

/** A band's heading as it is read aloud. */
export function headingText({ range, count, label, bars }) {
  const name = label === "mid" ? "mid band" : label
  const made = bars.map(bar => `${bar.title}: ${bar.text}`)
  return [`Open the band ${range}`, name, count, ...made].filter(Boolean).join(", ")
}

/** The lines of a bar's tooltip: each part with its images and share. */
export function barLines({ title, parts }) {
  return [title, ...parts.map(part => `${part.value}: ${part.count} (${shareText(part.share)})`)]
}

/** 0.714 -> "71%"; little is not written as nothing, nor nearly all as all. */
export function shareText(share) {
  const percent = 100 * share
  if (percent > 0 && percent < 1) return `${Math.max(percent, 0.1).toFixed(1)}%`
  if (percent > 99 && percent < 100) return `${Math.min(percent, 99.9).toFixed(1)}%`
  return `${percent.toFixed(0)}%`
}
