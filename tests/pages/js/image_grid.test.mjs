import assert from "node:assert/strict"
import test from "node:test"

import { load } from "./load.mjs"

const { rangeBetween, toggled, stillShown, movedFocus, boxBetween, touched, digitOf } = await load("image_grid/selection.js")
const { createOutbox, effectiveTags, chipsAfter } = await load("image_grid/outbox.js")
const { countText, refusal } = await load("image_grid/toolbar.js")

/** Timers that run when told to. */
function clock() {
  let due = []
  let now = 0
  return {
    setTimeout: (run, ms) => {
      const timer = { run, at: now + ms }
      due.push(timer)
      return timer
    },
    clearTimeout: timer => (due = due.filter(other => other !== timer)),
    pass: ms => {
      now += ms
      const ready = due.filter(timer => timer.at <= now)
      due = due.filter(timer => timer.at > now)
      ready.forEach(timer => timer.run())
    },
  }
}

function outboxOf(client = "me") {
  const sent = []
  const timers = clock()
  const outbox = createOutbox({ client, transmit: message => sent.push(message), retryMs: 1000, timers })
  return { outbox, sent, timers, numbers: () => sent.map(message => message.events.map(event => event.seq)) }
}

test("a range holds both its ends, whichever was clicked first", () => {
  assert.deepEqual(rangeBetween([7, 3, 9, 4], 1, 3), [3, 9, 4])
  assert.deepEqual(rangeBetween([7, 3, 9, 4], 3, 1), [3, 9, 4])
  assert.deepEqual(rangeBetween([7, 3, 9, 4], 2, 2), [9])
})

test("toggling twice changes nothing and leaves the set given alone", () => {
  const before = new Set([1])
  assert.deepEqual([...toggled(toggled(before, 2), 2)], [1])
  assert.deepEqual([...toggled(before, 1)], [])
  assert.deepEqual([...before], [1])
})

test("what is no longer shown is no longer selected", () => {
  assert.deepEqual([...stillShown(new Set([1, 2, 9]), [2, 1, 5])], [2, 1])
})

test("arrows move by one and by a row and stop at the edges", () => {
  assert.equal(movedFocus("ArrowRight", 4, 3, 8), 5)
  assert.equal(movedFocus("ArrowLeft", 0, 3, 8), 0)
  assert.equal(movedFocus("ArrowDown", 1, 3, 8), 4)
  assert.equal(movedFocus("ArrowUp", 1, 3, 8), 1)
  assert.equal(movedFocus("End", 1, 3, 8), 7)
  assert.equal(movedFocus("x", 1, 3, 8), null)
})

test("down from a full row lands on the last tile where none is right below", () => {
  assert.equal(movedFocus("ArrowDown", 5, 3, 8), 7)
  assert.equal(movedFocus("ArrowDown", 6, 3, 8), 6)
})

test("a drawn box takes what it touches, in any direction of drawing", () => {
  const tiles = [0, 1, 2].map(i => ({ id: i, left: i * 100, right: i * 100 + 90, top: 0, bottom: 90 }))
  assert.deepEqual(touched(tiles, boxBetween({ x: 150, y: 50 }, { x: 80, y: 20 })), [0, 1])
  assert.deepEqual(touched(tiles, boxBetween({ x: 92, y: 5 }, { x: 98, y: 9 })), [])
})

test("number keys count whatever the keyboard's layout prints on them", () => {
  assert.equal(digitOf({ code: "Digit1", key: "&" }), 1)
  assert.equal(digitOf({ code: "Numpad9", key: "9" }), 9)
  assert.equal(digitOf({ code: "Digit0", key: "0" }), 0)
  assert.equal(digitOf({ code: "KeyA", key: "a" }), 0)
})

test("one message is under way; what gathers meanwhile goes with the next", () => {
  const { outbox, numbers } = outboxOf()
  outbox.push({ kind: "tag" })
  outbox.push({ kind: "tag" })
  outbox.push({ kind: "undo" })
  assert.deepEqual(numbers(), [[1]])
  outbox.acknowledge({ client: "me", seq: 1 })
  assert.deepEqual(numbers(), [[1], [2, 3]])
  outbox.acknowledge({ client: "me", seq: 3 })
  assert.equal(outbox.busy, false)
  assert.deepEqual(outbox.waiting, [])
})

test("an unanswered message is repeated, ever more rarely, and differs each time", () => {
  const { outbox, sent, numbers, timers } = outboxOf()
  outbox.push({ kind: "tag" })
  timers.pass(999)
  assert.equal(sent.length, 1)
  timers.pass(1)
  timers.pass(1999)
  assert.equal(sent.length, 2)
  timers.pass(1)
  assert.deepEqual(numbers(), [[1], [1], [1]])
  assert.equal(new Set(sent.map(message => message.attempt)).size, 3)
})

test("the acknowledgement of another page load acknowledges nothing", () => {
  const { outbox } = outboxOf()
  outbox.push({ kind: "tag" })
  outbox.acknowledge({ client: "somebody else", seq: 99 })
  outbox.acknowledge({ client: "", seq: 0 })
  assert.equal(outbox.waiting.length, 1)
})

test("an old acknowledgement neither loses events nor sends again", () => {
  const { outbox, sent } = outboxOf()
  outbox.push({ kind: "tag" })
  outbox.push({ kind: "tag" })
  outbox.acknowledge({ client: "me", seq: 1 })
  outbox.acknowledge({ client: "me", seq: 1 })
  outbox.acknowledge({ client: "me", seq: 0 })
  assert.equal(sent.length, 2)
  assert.deepEqual(outbox.waiting.map(event => event.seq), [2])
})

test("leaving sends what waits at once, and only if something new does", () => {
  const { outbox, numbers } = outboxOf()
  outbox.flush()
  outbox.push({ kind: "tag" })
  outbox.flush()
  outbox.push({ kind: "tag" })
  outbox.flush()
  assert.deepEqual(numbers(), [[1], [1, 2]])
})

test("chips show waiting tags as if they were saved", () => {
  const nameOf = id => ({ 1: "water", 2: "tree" })[id]
  const tags = [
    { kind: "tag", ids: [5, 6], concept: 1, present: true },
    { kind: "tag", ids: [5], concept: 2, present: null },
    { kind: "tag", ids: [6], concept: 1, present: false },
    { kind: "tag", ids: [5], concept: 77, present: true },
  ]
  assert.deepEqual(chipsAfter([["tree", true]], 5, tags, nameOf), [["water", true]])
  assert.deepEqual(chipsAfter([["tree", true]], 6, tags, nameOf), [["tree", true], ["water", false]])
  assert.deepEqual(chipsAfter([["tree", true]], 7, tags, nameOf), [["tree", true]])
})

test("an undo that waits takes back the tag that waits before it", () => {
  const kinds = ["tag", "tag", "undo", "open", "undo", "undo", "tag"]
  const events = kinds.map((kind, seq) => ({ kind, seq }))
  assert.deepEqual(effectiveTags(events).map(event => event.seq), [6])
})

test("a button that cannot act says why", () => {
  const nothing = { concept: null, selected: 0, untagged: 0, shown: 0 }
  const ready = { concept: { name: "water" }, selected: 2, untagged: 3, shown: 9 }
  assert.match(refusal("present", nothing), /concept first/)
  assert.match(refusal("absent", { ...ready, selected: 0 }), /Select images first/)
  assert.match(refusal("rest", { ...ready, untagged: 0 }), /tagged for “water”/)
  for (const action of ["present", "absent", "clear", "rest", "all", "none", "undo"]) assert.equal(refusal(action, ready), null)
})

test("the count names the selection only when there is one", () => {
  assert.equal(countText(60, 0), "60 shown")
  assert.equal(countText(60, 3), "60 shown · 3 selected")
  assert.equal(countText(60, 3, { count: 3, present: true }), "3 saved as present")
  assert.equal(countText(60, 3, { count: 57, present: false }), "57 saved as absent")
})
