// Events on their way to Python: none lost, none delivered twice, tags shown before they are saved.

/** What a person would find not done later. The rest, as looking at an image, is of the moment it was asked in. */
const LASTING = ["tag", "undo", "redo"]

/**
 * Keep events until they are acknowledged; one message is under way at a time and carries all that wait.
 *
 * transmit({client, events, attempt}) hands a message over. When no acknowledgement comes, it is repeated: first after
 * retryMs, then ever more rarely, since a repeat interrupts a page that is merely slow.
 */
export function createOutbox({ client, transmit, retryMs = 4000, timers = globalThis }) {
  let waiting = []
  let number = 0
  let underWay = 0 // the highest number handed over and not acknowledged
  let attempt = 0
  let patience = retryMs
  let timer = null
  let resting = false

  function handOver() {
    underWay = waiting.at(-1).seq
    attempt += 1
    timers.clearTimeout(timer)
    timer = timers.setTimeout(() => {
      patience = Math.min(patience * 2, 8 * retryMs)
      handOver()
    }, patience)
    transmit({ client, events: waiting, attempt })
  }

  return {
    client,
    /** Queue an event; returns its number. */
    push(event) {
      number += 1
      waiting = [...waiting, { ...event, seq: number }]
      if (!underWay && !resting) handOver()
      return number
    },
    /** done: of each browser tab the number up to which Python has delivered; sends what has gathered meanwhile. */
    acknowledge(done) {
      const seq = done?.[client]
      if (!seq) return
      waiting = waiting.filter(event => event.seq > seq)
      if (!underWay || seq < underWay) return
      timers.clearTimeout(timer)
      underWay = 0
      patience = retryMs
      if (waiting.length && !resting) handOver()
    },
    /** Send what waits without waiting for an answer: the person is about to leave. */
    flush() {
      if (!resting && waiting.length && waiting.at(-1).seq > underWay) handOver()
    },
    /**
     * Nobody answers from now on: what waits is sent once more if it never was, and not repeated. Of what is not
     * answered by then, only tags and their undoing are kept.
     */
    rest() {
      this.flush()
      resting = true
      timers.clearTimeout(timer)
      underWay = 0
      patience = retryMs
      waiting = waiting.filter(event => LASTING.includes(event.kind))
    },
    /** Somebody answers again: hand over what is still waiting. To be called after the latest `acknowledge`. */
    resume() {
      if (!resting) return
      resting = false
      if (waiting.length) handOver()
    },
    /** A number that differs in every message, so that Streamlit sees each as a change. */
    nextAttempt() {
      attempt += 1
      return attempt
    },
    get waiting() {
      return waiting
    },
    get busy() {
      return underWay > 0
    },
  }
}

/** The tags among the events that wait and concern what is shown, less those that an undo behind them takes back. */
export function effectiveTags(events, scope = null) {
  const tags = []
  for (const event of events) {
    if (event.kind === "tag") tags.push(event)
    else if (event.kind === "undo") tags.pop()
  }
  return tags.filter(tag => !tag.everything || tag.scope === scope)
}

/** An image's chips [[name, present], ...] as they will be once the tags that wait are saved. */
export function chipsAfter(chips, id, tags, nameOf) {
  if (!tags.length) return chips
  const after = new Map(chips)
  for (const tag of tags) {
    const name = nameOf(tag.concept)
    // a tag of everything names the images it leaves out
    if (name === undefined || tag.ids.includes(id) === Boolean(tag.everything)) continue
    if (tag.present === null) after.delete(name)
    else after.set(name, tag.present)
  }
  return [...after]
}
