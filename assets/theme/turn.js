// Has the page run again when it turns dark or light: Streamlit's own colours follow by themselves, those that Python
// chose follow then.

const LOOK_MS = 1000
// looks at a page at rest after which a run that brought no other colours is asked for once more, and how often
const PATIENCE = 4
const TRIES = 3
// an open dialog, which a run would close; a run under way, which another would begin anew, or which it would be lost in
const BUSY = "[data-testid=stDialog], [data-testid=stStatusWidget]"

/**
 * Calls `turned` for every change of what `colour()` says, and not before `busy()` has ended. Once more where what
 * `followed()` says, which that run sets, has not changed a while later. memory: what outlives the watch, since a run of
 * the page may end one and begin the next just when it turns.
 */
export function createWatch({ colour, busy, turned, followed = () => null, memory = {} }) {
  memory.known ||= colour()
  const ask = (tries) => {
    memory.waiting = { before: followed(), looks: 0, tries }
    turned()
  }
  return function look() {
    const now = colour()
    // what the page looks like may not be known before its styles are there
    memory.known ||= now
    if (!now || busy()) return
    const waiting = memory.waiting
    if (now !== memory.known) {
      memory.known = now
      ask(1)
    } else if (waiting) {
      waiting.looks += 1
      if (followed() !== waiting.before) memory.waiting = null
      else if (waiting.looks >= PATIENCE) {
        if (waiting.tries < TRIES && waiting.before !== null) ask(waiting.tries + 1)
        else memory.waiting = null
      }
    }
  }
}

const watches = new WeakMap()

export default function theme({ parentElement, setTriggerValue }) {
  const held = watches.get(parentElement) ?? { turned: () => {} }
  held.turned = () => setTriggerValue("turned", true)
  if (!watches.has(parentElement)) {
    watches.set(parentElement, held)
    const host = parentElement.host ?? parentElement
    const look = createWatch({
      colour: () => getComputedStyle(host).getPropertyValue("--st-background-color"),
      busy: () => document.querySelector(BUSY) !== null,
      turned: () => held.turned(),
      memory: (window.midbandTheme ??= {}),
      followed: () => getComputedStyle(document.documentElement).getPropertyValue("--midband-chosen"),
    })
    held.timer = setInterval(look, LOOK_MS)
  }
  return () => {
    clearInterval(held.timer)
    watches.delete(parentElement)
  }
}
