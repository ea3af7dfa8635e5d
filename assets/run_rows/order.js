// What needs no page: the order of rows, what is picked, and the rows as a file.

const inWords = new Intl.Collator("en", { numeric: true, sensitivity: "base" })

/**
 * The rows by one column, in place of the order they came in; rows that are alike keep that order, and those without
 * a value stand last whichever way. by: {key, down} or null.
 */
export function ordered(rows, by) {
  if (!by) return [...rows]
  const value = row => row.cells[by.key]?.sort ?? null
  const compared = (one, other) => (typeof one === "number" ? one - other : inWords.compare(one, other))
  return [...rows].sort((one, other) => {
    const [a, b] = [value(one), value(other)]
    if (a === null || b === null) return (a === null) - (b === null)
    return by.down ? compared(b, a) : compared(a, b)
  })
}

/** A press on a column's head: numbers begin with the largest, words with A; the third press ends it. */
export function nextOrder(by, key, numeric) {
  if (by?.key !== key) return { key, down: numeric }
  return by.down === numeric ? { key, down: !numeric } : null
}

/** The ids that are picked after a tick of `id`, in the order in which they were ticked. */
export function ticked(picked, id) {
  return picked.includes(id) ? picked.filter(other => other !== id) : [...picked, id]
}

/** The rows as a table for other programs. A text that one would take for a formula gets a quote before it. */
export function asCsv(columns, rows) {
  const field = text => {
    const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
  }
  const number = value => (value === null ? "" : String(value))
  const told = (column, cell) => (column.kind === "number" || column.kind === "share" ? number(cell.sort) : field(cell.full || cell.text))
  const lines = rows.map(row => columns.map(column => told(column, row.cells[column.key])).join(","))
  return `${[columns.map(column => field(column.title)).join(","), ...lines].join("\r\n")}\r\n`
}
