// Has the page run again where it is dark and Python chose colours for a light one, or the other way round: Streamlit's
// own colours follow the system by themselves, those that Python chose follow then.

const LOOK_MS = 1000
// looks at a page at rest after which a run that brought no other colours is asked for once more, and how often
const PATIENCE = 3
const TRIES = 8
// an open dialog, which a run would close; a run under way, which another would begin anew, or which it would be lost in
const BUSY = "[data-testid=stDialog], [data-testid=stStatusWidget]"
// red, green and blue as eyes weigh them, and half of white
const WEIGHTS = [0.299, 0.587, 0.114]
const HALF = 127.5

/** "dark" or "light" for a background as style sheets give it (#13181d, rgb(19, 24, 29)), "" for none. */
export function schemeOf(colour) {
  const text = colour.trim()
  const hex = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})/i.exec(text)
  const short = /^#([0-9a-f])([0-9a-f])([0-9a-f])[0-9a-f]?$/i.exec(text)
  const rgb = /^rgba?\(\s*([\d.]+)[\s,]+([\d.]+)[\s,]+([\d.]+)/i.exec(text)
  const parts = hex
    ? hex.slice(1).map((part) => parseInt(part, 16))
    : short
      ? short.slice(1).map((part) => 17 * parseInt(part, 16))
      : rgb && rgb.slice(1).map(Number)
  if (!parts) return ""
  return parts.reduce((sum, part, i) => sum + WEIGHTS[i] * part, 0) < HALF ? "dark" : "light"
}

/**
 * A function to call now and then: it calls `turned` where what the page is, `shown()`, is not what Python chose for,
 * `chosen()`, and `busy()` has ended; again and again a while later, since a run may be lost in another, and not for
 * ever. What differs is looked at and not when it came about: a turn while nobody looked counts like any other.
 */
export function createWatch({ shown, chosen, busy, turned, memory = {} }) {
  return function look() {
    const now = shown()
    const before = chosen()
    if (!now || !before || now === before) {
      memory.asked = null
      return
    }
    if (busy()) return
    if (memory.asked?.for !== now) memory.asked = { for: now, tries: 0, looks: PATIENCE }
    const asked = memory.asked
    asked.looks += 1
    if (asked.looks > PATIENCE && asked.tries < TRIES) {
      asked.looks = 0
      asked.tries += 1
      turned()
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
      shown: () => schemeOf(getComputedStyle(host).getPropertyValue("--st-background-color")),
      chosen: () => getComputedStyle(document.documentElement).getPropertyValue("--midband-scheme").trim(),
      busy: () => document.querySelector(BUSY) !== null,
      turned: () => held.turned(),
      // outlives the watch: a run of the page may end one and begin the next
      memory: (window.midbandTheme ??= {}),
    })
    held.timer = setInterval(look, LOOK_MS)
  }
  return () => {
    clearInterval(held.timer)
    watches.delete(parentElement)
  }
}
