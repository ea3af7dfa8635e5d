// Asks the server about once a second whether others tagged, and has the page run again when they did. The question is
// a plain request, since a run of the page for every beat would cost the server forty times as much.

const BEAT_MS = 800
/** How long a run of the page that was asked for may take before it is asked for again. */
const PATIENCE_MS = 6000
/** After requests that failed: the server may be gone for a while. */
const PAUSE_MS = 5000
/** After which a request counts as failed: one that never ends must not be the last. */
const ANSWER_MS = 5000

/**
 * Asks while the page can be seen, and at once when it is seen again.
 *
 * ask(): a promise of {news, note}, of {unknown: true} from a server that does not know this page (any more), or of
 * null where nobody can answer; then it ends. refresh(): run the page. show(note). page: {hidden(), busy()}; busy says
 * that something is open or held that a run would take away from under the hand.
 */
export function createPulse({ ask, refresh, show, page, timers = globalThis, now = () => performance.now() }) {
  let timer = null
  let asking = false
  let ended = false
  let patient = -Infinity // until then, a run that was asked for may still be under way

  function soon(ms) {
    timers.clearTimeout(timer)
    if (!ended) timer = timers.setTimeout(beat, ms)
  }

  async function beat() {
    if (ended || asking) return
    if (page.hidden()) return // "turned" wakes it
    asking = true
    let pause = BEAT_MS
    try {
      const answer = await ask()
      if (answer === null) ended = true
      else if (answer.unknown || answer.news) renew()
      if (answer && !answer.unknown) show(answer.note ?? "")
    } catch {
      pause = PAUSE_MS
    }
    asking = false
    soon(pause)
  }

  function renew() {
    if (page.busy() || now() < patient) return
    patient = now() + PATIENCE_MS
    refresh()
  }

  return {
    start: () => soon(BEAT_MS),
    /** The page was hidden, or can be seen again. */
    turned: () => void (page.hidden() || beat()),
    /** The page was run: what it is drawn from is known to the server. */
    ran: () => (patient = -Infinity),
    stop() {
      ended = true
      timers.clearTimeout(timer)
    },
  }
}

/** What a request came back with, as `ask` of a pulse: anything but JSON comes from a server without this question. */
export async function answerOf(response) {
  if (!/json/.test(response.headers.get("content-type") ?? "")) return null
  if (response.status === 404) return { unknown: true }
  if (!response.ok) throw new Error(`status ${response.status}`)
  return response.json()
}

/**
 * Whether a pointer is held down. What ends a press may never be heard (a drag out of the window, a menu that opens), so
 * that a pointer that moves without a button is a sign, too.
 */
export function createPress() {
  let pressed = false
  const free = () => (pressed = false)
  return {
    get held() {
      return pressed
    },
    listeners: {
      pointerdown: () => (pressed = true),
      pointerup: free,
      pointercancel: free,
      dragend: free,
      contextmenu: free,
      blur: free,
      pointermove: event => void (event.buttons === 0 && free()),
    },
  }
}

const pages = new WeakMap()

export default function live({ data, parentElement, setTriggerValue }) {
  if (!data) return undefined
  if (!pages.has(parentElement)) pages.set(parentElement, follow(parentElement))
  const held = pages.get(parentElement)
  held.url = data.url
  held.refresh = () => setTriggerValue("refresh", true)
  held.open = () => setTriggerValue("open", true)
  held.pulse.ran()
  return () => {
    held.leave()
    pages.delete(parentElement)
  }
}

function follow(parentElement) {
  const note = parentElement.querySelector(".note")
  const held = { url: "", refresh: () => {}, open: () => {} }
  const press = createPress()
  held.pulse = createPulse({
    ask: async () => answerOf(await fetch(held.url, { cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS) })),
    refresh: () => held.refresh(),
    show(text) {
      if (note.textContent !== text) note.textContent = text
      note.hidden = !text
    },
    page: {
      hidden: () => document.visibilityState === "hidden",
      // a run of the page closes a dialog and moves what is being dragged
      busy: () => press.held || document.querySelector("[data-testid=stDialog]") !== null,
    },
  })
  note.onclick = () => held.open()
  const listened = [
    ...Object.entries(press.listeners).map(([name, act]) => [window, name, act]),
    [document, "visibilitychange", () => held.pulse.turned()],
  ]
  for (const [target, name, act] of listened) target.addEventListener(name, act, true)
  held.leave = () => {
    held.pulse.stop()
    for (const [target, name, act] of listened) target.removeEventListener(name, act, true)
  }
  held.pulse.start()
  return held
}
