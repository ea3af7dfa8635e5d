// Keys pressed while the grid is away. Where one run of the page ends as the next begins, Streamlit may take the grid
// off the page and bring it back a moment later. Who tags by keyboard types on meanwhile, and none of it may be lost.

/** After which the grid is not coming back: it stood on a page that was left. */
const AWAY_MS = 10_000
const MOST_KEYS = 60

/**
 * page: {add(kind, listener), remove(kind, listener), free()}; free says that the focus is nowhere, as it is once the
 * tile that had it is gone. Where it is elsewhere, keys are meant for that.
 */
export function createHold({ page, timers = globalThis }) {
  let keys = []
  let timer = null
  let away = false

  const listeners = {
    keydown(event) {
      if (!page.free()) return stop()
      if (event.key === "Tab" || event.ctrlKey || event.metaKey || event.altKey) return
      if (keys.length < MOST_KEYS) keys.push(keyOf(event))
      // Streamlit's own shortcuts (r reruns, c clears caches) must not hear what was meant for the grid
      event.preventDefault()
      event.stopImmediatePropagation()
    },
    pointerdown: () => stop(),
  }

  function stop() {
    if (!away) return
    away = false
    timers.clearTimeout(timer)
    for (const [kind, listener] of Object.entries(listeners)) page.remove(kind, listener)
  }

  return {
    /** The grid goes: keep what is pressed from now on. */
    begin() {
      if (away) return
      away = true
      keys = []
      for (const [kind, listener] of Object.entries(listeners)) page.add(kind, listener)
      timer = timers.setTimeout(() => {
        stop()
        keys = []
      }, AWAY_MS)
    },
    /** The grid is back: the keys pressed meanwhile, in their order. */
    end() {
      stop()
      const pressed = keys
      keys = []
      return pressed
    },
  }
}

/** What a key event says, to be acted on after the event is over. */
function keyOf({ key, code, shiftKey }) {
  return { key, code, shiftKey, ctrlKey: false, metaKey: false, altKey: false }
}

/** The page as `createHold` listens to it. */
export const wholePage = () => ({
  add: (kind, listener) => window.addEventListener(kind, listener, true),
  remove: (kind, listener) => window.removeEventListener(kind, listener, true),
  free: () =>
    (document.activeElement ?? document.body) === document.body && document.querySelector("[role=dialog]") === null,
})
