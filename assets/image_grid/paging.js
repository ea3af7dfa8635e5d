// Pages and tile sizes: the words and numbers of it.

/** 4812 -> "4,812". */
export function grouped(number) {
  return String(number).replace(/\B(?=(\d{3})+$)/g, ",")
}

export function imagesText(count) {
  return count === 1 ? "1 image" : `${grouped(count)} images`
}

/** "61–120 of 4,812"; where all are shown, "All 12". What they are among follows in words of its own. */
export function rangeText({ first, total }, shown) {
  if (!shown) return `0 of ${grouped(total)}`
  if (shown === total) return total === 1 ? "The only one" : `All ${grouped(total)}`
  const from = grouped(first + 1)
  const to = grouped(first + shown)
  return `${from === to ? from : `${from}–${to}`} of ${grouped(total)}`
}

/** The page, from 0, that a typed number means; null where it means none. Beyond the last page is the last. */
export function typedPage(text, pages) {
  const match = /^\s*(\d[\d,.\s]*)\s*$/.exec(text)
  if (!match) return null
  const number = Number(match[1].replace(/[,.\s]/g, ""))
  return number < 1 ? null : Math.min(number, pages) - 1
}

/** The page an action leads to; null where there is none. */
export function turned(action, page, pages) {
  const to = { first: 0, previous: page - 1, next: page + 1, last: pages - 1 }[action]
  return to === undefined || to < 0 || to >= pages || to === page ? null : to
}

/** The page last asked for and not shown yet, else the one shown. */
export function awaitedPage(waiting, scope, page) {
  const asked = waiting.filter(event => event.kind === "page" && event.scope === scope).at(-1)
  return asked ? asked.page : page
}

/** Least widths of a tile in CSS pixels. */
export const SIZES = [64, 80, 100, 120, 150, 190, 240]

/** The next size up (+1) or down (-1) from any size; the same where there is none. */
export function zoomed(size, step) {
  const others = SIZES.filter(other => (step > 0 ? other > size : other < size))
  return (step > 0 ? others[0] : others.at(-1)) ?? size
}

/** Columns there are at least, however narrow the page: a phone shows three, or fewer when zoomed in. */
export function leastColumns(size) {
  return size >= 240 ? 1 : size >= 190 ? 2 : size <= 80 ? 4 : 3
}
