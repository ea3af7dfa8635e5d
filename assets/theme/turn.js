// Has the page run again when it turns dark or light: Streamlit's own colours follow by themselves, those that Python
// chose follow then.

const LOOK_MS = 1000

/**
 * Calls `turned` once for every change of what `colour()` says, and not before `busy()` has ended: a run of the page
 * would close what is open.
 */
export function createWatch({ colour, busy, turned }) {
  let known = colour()
  return function look() {
    const now = colour()
    // what the page looks like may not be known before its styles are there
    known ||= now
    if (!now || now === known || busy()) return
    known = now
    turned()
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
      busy: () => document.querySelector("[data-testid=stDialog]") !== null,
      turned: () => held.turned(),
    })
    held.timer = setInterval(look, LOOK_MS)
  }
  return () => {
    clearInterval(held.timer)
    watches.delete(parentElement)
  }
}
