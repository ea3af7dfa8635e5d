// Which images on screen a repair with the tags so far would name otherwise. The strip that knows it (live_repair) and
// what shows images are components of their own; the window is where they meet.

const ON_SCREEN = "midband:on-screen"
const WOULD = "midband:would"

/**
 * Listen, for something that shows images; returns a function that ends it. ids(): those on screen. show(changes): a Map
 * of id -> name of a class, when it is another one than before.
 */
export function followChanges({ ids, show }) {
  let last = "{}"
  const tell = event => ids().forEach(id => event.detail.add(id))
  const changed = event => {
    const text = JSON.stringify(event.detail)
    if (text === last) return
    last = text
    show(new Map(Object.entries(event.detail).map(([id, name]) => [Number(id), name])))
  }
  window.addEventListener(ON_SCREEN, tell)
  window.addEventListener(WOULD, changed)
  return () => {
    window.removeEventListener(ON_SCREEN, tell)
    window.removeEventListener(WOULD, changed)
  }
}

/** Ids of all images on screen, for the strip. */
export function idsOnScreen() {
  const ids = new Set()
  window.dispatchEvent(new CustomEvent(ON_SCREEN, { detail: ids }))
  return [...ids]
}

/** Tell who shows images; changes: {id: name of a class}. Said again and again, as who shows them comes and goes. */
export function tellChanges(changes) {
  window.dispatchEvent(new CustomEvent(WOULD, { detail: changes ?? {} }))
}
