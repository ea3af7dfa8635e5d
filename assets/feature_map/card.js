// The picture under the pointer: which ones to ask for, which to keep, and where the card stands.

const KEPT_PICTURES = 600
const ASK_AGAIN_MS = 2000
export const PICTURES_AT_ONCE = 24

/** Pictures by row that Python has sent, the ones used last kept; and which to ask for. */
export function createPictures(now = () => Date.now()) {
  const held = new Map()
  const asked = new Map()
  return {
    get(row) {
      const found = held.get(row)
      if (found) {
        held.delete(row)
        held.set(row, found)
      }
      return found ?? null
    },
    put(pictures) {
      for (const [row, picture] of Object.entries(pictures)) {
        held.set(Number(row), picture)
        asked.delete(Number(row))
      }
      for (const row of held.keys()) {
        if (held.size <= KEPT_PICTURES) break
        held.delete(row)
      }
    },
    /** Of these rows, the first of which is pointed at, those to ask for now; none while that one is under way. */
    wanted(rows) {
      if (!rows.length || held.has(rows[0]) || now() - (asked.get(rows[0]) ?? -Infinity) < ASK_AGAIN_MS) return []
      const fresh = rows.filter(row => !held.has(row)).slice(0, PICTURES_AT_ONCE)
      for (const row of fresh) asked.set(row, now())
      return fresh
    },
    forget() {
      held.clear()
      asked.clear()
    },
  }
}

/** Left and top of a card of a size beside (left, top) inside a stage, where it covers least. */
export function cardPlace({ left, top }, card, stage) {
  const gap = 14
  const right = left + gap + card.width <= stage.width
  const x = right ? left + gap : Math.max(0, left - gap - card.width)
  const y = Math.min(Math.max(0, top - card.height / 2), Math.max(0, stage.height - card.height))
  return { x: Math.round(x), y: Math.round(y) }
}
