// A heartbeat: asks Python about once a second whether others tagged, and says whether the page may change now.

const BEAT_MS = 1000

/**
 * Beats while the page can be seen: `beat({number, free})` every `everyMs`, and at once when it is seen again.
 *
 * free: nothing is open or held that a change of the page would take away from under the hand. page: what is asked
 * about that, {hidden(), busy()}.
 */
export function createPulse({ beat, page, everyMs = BEAT_MS, timers = globalThis }) {
  let number = 0
  let timer = null

  function tick() {
    timers.clearTimeout(timer)
    timer = timers.setTimeout(tick, everyMs)
    if (page.hidden()) return
    number += 1
    beat({ number, free: !page.busy() })
  }

  return {
    start() {
      timer = timers.setTimeout(tick, everyMs)
    },
    /** To be called when the page is hidden or seen again. */
    turned() {
      if (!page.hidden()) tick()
    },
    stop() {
      timers.clearTimeout(timer)
      timer = null
    },
  }
}

const pulses = new WeakMap()

export default function live({ data, parentElement, setStateValue }) {
  if (!data) return undefined
  let held = pulses.get(parentElement)
  if (!held) {
    held = { send: () => {}, pressed: false }
    pulses.set(parentElement, held)
    const pulse = createPulse({
      beat: value => held.send(value),
      page: {
        hidden: () => document.visibilityState === "hidden",
        // a run of the page would close a dialog, and move what is being dragged
        busy: () => held.pressed || document.querySelector("[role=dialog][aria-modal=true], [data-testid=stDialog]") !== null,
      },
    })
    const press = () => (held.pressed = true)
    const release = () => (held.pressed = false)
    const turned = () => pulse.turned()
    const listened = [
      [window, "pointerdown", press],
      [window, "pointerup", release],
      [window, "pointercancel", release],
      [window, "blur", release],
      [document, "visibilitychange", turned],
    ]
    for (const [target, name, act] of listened) target.addEventListener(name, act, true)
    held.leave = () => {
      pulse.stop()
      for (const [target, name, act] of listened) target.removeEventListener(name, act, true)
      pulses.delete(parentElement)
    }
    pulse.start()
  }
  held.send = value => setStateValue("beat", value)
  return () => held.leave()
}
