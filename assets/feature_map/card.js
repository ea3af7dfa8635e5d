// The picture under the pointer: which ones to ask for, which to keep, and where the card stands.

const KEPT_PICTURES = 600
const ASK_AGAIN_MS = 2000
// neighbours that are fetched after the one that is pointed at
export const PICTURES_AT_ONCE = 16

/**
 * Pictures by row, the ones used last kept. load(rows, signal): a promise of {row: picture}; arrived(): called when
 * some came. The picture pointed at is asked for alone, its neighbours after it; a question that nobody waits for any
 * more is given up.
 */
export function createPictures({ load, arrived, now = () => Date.now() }) {
  const held = new Map()
  const failed = new Map()
  let under = null // {rows, control}: the question under way

  const missing = row => !held.has(row) && now() - (failed.get(row) ?? -Infinity) >= ASK_AGAIN_MS

  function put(pictures) {
    for (const [row, picture] of Object.entries(pictures)) {
      held.delete(Number(row))
      held.set(Number(row), picture)
    }
    for (const row of held.keys()) {
      if (held.size <= KEPT_PICTURES) break
      held.delete(row)
    }
  }

  function giveUp() {
    under?.control.abort()
    under = null
  }

  async function begin(rows, then) {
    giveUp()
    const mine = { rows, control: new AbortController() }
    under = mine
    try {
      const found = await load(rows, mine.control.signal)
      if (under !== mine) return
      under = null
      put(found)
      arrived()
      if (then.length) begin(then, [])
    } catch {
      if (under !== mine) return // given up for another one
      under = null
      if (failed.size > KEPT_PICTURES) failed.clear()
      for (const row of rows) failed.set(row, now())
    }
  }

  return {
    get(row) {
      const found = held.get(row)
      if (found) {
        held.delete(row)
        held.set(row, found)
      }
      return found ?? null
    },
    /** Ask for the pictures of rows, the first of which is pointed at. */
    ask(rows) {
      if (!rows.length || under?.rows[0] === rows[0]) return
      const around = rows.slice(1).filter(missing).slice(0, PICTURES_AT_ONCE)
      if (missing(rows[0])) begin([rows[0]], around)
      // on the way from point to point most neighbours are there already
      else if (!under && around.length > PICTURES_AT_ONCE / 2) begin(around, [])
    },
    giveUp,
    /** Nothing that was told holds any more: other images, other colours. */
    forget() {
      giveUp()
      held.clear()
      failed.clear()
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
