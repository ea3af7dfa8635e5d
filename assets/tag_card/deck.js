// What is left to answer, ahead of Python: the events that wait are counted as done. No page is touched here.

/** Answers to the question, by what is sent to Python. */
const UNSURE = "unsure"

/**
 * The deck once the events that wait are saved: {deck, trail, said, marks}.
 *
 * deck: ids in the order asked. trail: what was done last, oldest first, each {kind: "tag" | "skip", id, concept, before,
 * present, next}; before is what was said of that image and concept until then. said: tags by `placeOf(id, concept)`
 * where they differ from what Python knows. An undo that reaches further back than the trail is Python's to decide.
 */
export function deckAfter({ deck, trail }, waiting, saidBefore = () => null) {
  let ids = [...deck]
  const steps = [...trail]
  const said = new Map()
  const now = (id, concept) => {
    const place = placeOf(id, concept)
    return said.has(place) ? said.get(place) : saidBefore(id, concept)
  }
  for (const event of waiting) {
    if (event.kind === "tag") {
      steps.push({ ...event, before: now(event.id, event.concept) })
      said.set(placeOf(event.id, event.concept), event.present)
      if (event.next) ids = ids.filter(id => id !== event.id)
    } else if (event.kind === "skip") {
      steps.push(event)
      ids = [...ids.filter(id => id !== event.id), event.id]
    } else if (event.kind === "undo" && steps.length) {
      const step = steps.pop()
      if (step.kind === "tag") said.set(placeOf(step.id, step.concept), step.before)
      if (step.kind === "skip" || step.next) ids = [step.id, ...ids.filter(id => id !== step.id)]
    }
  }
  return { deck: ids, trail: steps, said }
}

export const placeOf = (id, concept) => `${id} ${concept}`

/** What tagging a further concept says when its key or button is pressed again: it is taken back. */
export const toggledTag = (said, present) => (said === present ? null : present)

/** The images of the strip: a few answered last, the one in question, the next few; each with its answer's mark. */
export function filmOf({ deck, trail }, concept, { behind = 3, ahead = 5 } = {}) {
  const answers = new Map()
  for (const step of trail) {
    if (step.kind === "tag" && step.next && step.concept === concept && !deck.includes(step.id)) {
      answers.delete(step.id) // answered once more: it moves to the end
      answers.set(step.id, step.present)
    }
  }
  const done = [...answers].slice(-behind).map(([id, present]) => ({ id, state: markOf(present) }))
  return [...done, ...deck.slice(0, 1 + ahead).map((id, place) => ({ id, state: place ? "next" : "now" }))]
}

export function markOf(said) {
  if (said === true) return "yes"
  if (said === false) return "no"
  return said === UNSURE ? "unsure" : ""
}

/** How an answer is read out. */
export function wordOf(said) {
  return { yes: "yes", no: "no", unsure: "can’t tell" }[markOf(said)] ?? "no answer"
}

/** The question, the way it is asked for every concept: its name stands as it was typed. */
export const questionOf = name => `Does this show ${name}?`

/**
 * What a key asks for: {kind, ...}, or null. concepts: [{id, shortcut}], asked: the id of the concept in question.
 * Who holds a key down does not mean to answer image after image: only undo repeats.
 */
export function meaningOf(event, { concepts, asked }) {
  const { key, code, shiftKey, ctrlKey, metaKey, altKey, repeat } = event
  const letter = letterOf(event)
  if (altKey) return null
  if (ctrlKey || metaKey) {
    if (letter === "z") return { kind: shiftKey ? "redo" : "undo" }
    return letter === "y" ? { kind: "redo" } : null
  }
  if (letter === "z") return { kind: shiftKey ? "redo" : "undo" }
  const wish = single(letter, key, code)
  if (wish) return repeat ? { kind: "nothing" } : wish
  const digit = digitOf(event)
  const concept = digit ? concepts.find(one => one.shortcut === digit) : undefined
  if (!concept) return null
  if (repeat) return { kind: "nothing" }
  return concept.id === asked
    ? { kind: "answer", present: !shiftKey }
    : { kind: "tag", concept: concept.id, present: !shiftKey }
}

function single(letter, key, code) {
  if (letter === "y" || key === "ArrowRight") return { kind: "answer", present: true }
  if (letter === "n" || key === "ArrowLeft") return { kind: "answer", present: false }
  if (letter === "u") return { kind: "answer", present: UNSURE }
  if (letter === "o") return { kind: "opinion" }
  if (key === " " || code === "Space") return { kind: "skip" }
  return key === "Enter" ? { kind: "open" } : null
}

/** Keys that buttons and other controls understand themselves. */
export const belongsToControls = key => [" ", "Enter", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"].includes(key)

/** What a sideways swipe says: right yes, left no; null while it is too short to be meant. */
export function swiped(dx, dy, width) {
  const enough = Math.max(64, Math.min(140, width * 0.22))
  if (Math.abs(dx) < enough || Math.abs(dx) < 1.6 * Math.abs(dy)) return null
  return dx > 0
}

/** Which pictures may be dropped so that at most `most` are held: the oldest that are not needed. */
export function dropped(held, needed, most) {
  const wanted = new Set(needed)
  const spare = held.filter(id => !wanted.has(id))
  return spare.slice(0, Math.max(0, held.length - most))
}

/** What a card says of label and prediction once somebody asks. would: the class that a repair would make of it. */
export function opinionOf(card, would) {
  return would ? `${card.opinion} A repair with the tags so far would make it ${would}.` : card.opinion
}
