import assert from "node:assert/strict"
import test from "node:test"

import { load } from "./load.mjs"

const { deckAfter, placeOf, toggledTag, filmOf, markOf, wordOf, questionOf, meaningOf, belongsToControls, swiped, dropped } =
  await load("image_grid/keys.js", "tag_card/deck.js")
const { ringShare, sentenceNow } = await load("tag_ring/share.js")

const start = { deck: [1, 2, 3, 4], trail: [] }
const answer = (id, present = true, concept = 7) => ({ kind: "tag", id, concept, present, next: true })
const also = (id, concept, present) => ({ kind: "tag", id, concept, present, next: false })
const skip = id => ({ kind: "skip", id })
const undo = { kind: "undo" }
const deckOf = (...events) => deckAfter(start, events).deck

test("an answer takes the image off, whatever was answered", () => {
  assert.deepEqual(deckOf(answer(1)), [2, 3, 4])
  assert.deepEqual(deckOf(answer(1), answer(2, false), answer(3, "unsure")), [4])
  assert.deepEqual(start.deck, [1, 2, 3, 4])
})

test("decide later puts the image at the end", () => {
  assert.deepEqual(deckOf(skip(1)), [2, 3, 4, 1])
  assert.deepEqual(deckOf(skip(1), answer(2)), [3, 4, 1])
})

test("undo goes back to the card, step by step, also over one that was put off", () => {
  assert.deepEqual(deckOf(answer(1), undo), [1, 2, 3, 4])
  assert.deepEqual(deckOf(answer(1), skip(2), undo), [2, 3, 4])
  assert.deepEqual(deckOf(answer(1), skip(2), undo, undo), [1, 2, 3, 4])
  assert.deepEqual(deckOf(answer(1), undo, answer(1, false), answer(2), undo), [2, 3, 4])
})

test("undo reaches what Python has saved already, and no further than what the browser knows", () => {
  const saved = { deck: [3, 4], trail: [{ ...answer(2), before: null }] }
  assert.deepEqual(deckAfter(saved, [undo]).deck, [2, 3, 4])
  assert.deepEqual(deckAfter(saved, [undo, undo]).deck, [2, 3, 4])
})

test("a tag of another concept leaves the card in question, and undo takes it back to what was said before", () => {
  const before = (id, concept) => (id === 1 && concept === 9 ? false : null)
  const tagged = deckAfter(start, [also(1, 9, true)], before)
  assert.deepEqual(tagged.deck, start.deck)
  assert.equal(tagged.said.get(placeOf(1, 9)), true)
  const undone = deckAfter(start, [also(1, 9, true), also(1, 9, null), undo, undo], before)
  assert.equal(undone.said.get(placeOf(1, 9)), false)
  assert.deepEqual(undone.deck, start.deck)
})

test("an image of a deck that was drawn anew meanwhile can still be answered", () => {
  assert.deepEqual(deckAfter({ deck: [8, 9], trail: [] }, [answer(1)]).deck, [8, 9])
  assert.deepEqual(deckAfter({ deck: [8, 9], trail: [] }, [answer(1), undo]).deck, [1, 8, 9])
})

test("pressing again what is said takes it back; the other answer replaces it", () => {
  assert.equal(toggledTag(true, true), null)
  assert.equal(toggledTag(false, true), true)
  assert.equal(toggledTag(null, false), false)
  assert.equal(toggledTag("unsure", true), true)
})

test("the strip shows the last answers with their marks, the one in question, and the next", () => {
  const state = deckAfter(start, [answer(1), answer(2, false), undo, answer(2, "unsure"), also(3, 9, true)])
  assert.deepEqual(filmOf(state, 7, { behind: 3, ahead: 5 }), [
    { id: 1, state: "yes" },
    { id: 2, state: "unsure" },
    { id: 3, state: "now" },
    { id: 4, state: "next" },
  ])
  assert.deepEqual(filmOf(state, 7, { behind: 1, ahead: 0 }).map(item => item.id), [2, 3])
  assert.deepEqual(filmOf(state, 8).map(item => item.id), [3, 4]) // answers to another question
})

test("an image answered once more is the last of the strip", () => {
  const trail = [answer(1), answer(2), answer(1, false)].map(step => ({ ...step, before: null }))
  assert.deepEqual(filmOf({ deck: [3], trail }, 7, { behind: 1, ahead: 0 })[0], { id: 1, state: "no" })
  assert.deepEqual(filmOf({ deck: [3], trail }, 7).map(item => item.id), [2, 1, 3])
})

test("an answer has a mark and a word, no answer has none", () => {
  assert.deepEqual([true, false, "unsure", null, undefined].map(markOf), ["yes", "no", "unsure", "", ""])
  assert.deepEqual([true, false, "unsure", null].map(wordOf), ["yes", "no", "can’t tell", "no answer"])
})

test("a name stands in the question as it was typed", () => {
  assert.equal(questionOf("<b>مرحبا</b>"), "Does this show <b>مرحبا</b>?")
})

const concepts = [{ id: 7, shortcut: 1 }, { id: 9, shortcut: 4 }, { id: 11, shortcut: null }]
const key = (name, more = {}) => meaningOf({ key: name, code: more.code ?? "", ...more }, { concepts, asked: 7 })

test("letters, arrows and the space bar answer the question", () => {
  for (const name of ["y", "Y", "ArrowRight"]) assert.deepEqual(key(name), { kind: "answer", present: true })
  for (const name of ["n", "ArrowLeft"]) assert.deepEqual(key(name), { kind: "answer", present: false })
  assert.deepEqual(key("u"), { kind: "answer", present: "unsure" })
  assert.deepEqual(key(" "), { kind: "skip" })
  assert.deepEqual(key("Enter"), { kind: "open" })
  assert.deepEqual(key("o"), { kind: "opinion" })
  assert.equal(key("q"), null)
})

test("a keyboard that writes other letters has the same keys", () => {
  assert.deepEqual(key("н", { code: "KeyY" }), { kind: "answer", present: true })
  assert.deepEqual(key("z", { code: "KeyY" }), { kind: "undo" }) // German: the letter printed counts
})

test("a digit tags with the concept that has it, which need not be the one in that place", () => {
  assert.deepEqual(key("1", { code: "Digit1" }), { kind: "answer", present: true })
  assert.deepEqual(key("!", { code: "Digit1", shiftKey: true }), { kind: "answer", present: false })
  assert.deepEqual(key("4", { code: "Digit4" }), { kind: "tag", concept: 9, present: true })
  assert.deepEqual(key("$", { code: "Digit4", shiftKey: true }), { kind: "tag", concept: 9, present: false })
  assert.equal(key("2", { code: "Digit2" }), null)
})

test("a key that is held down answers once; only undo repeats", () => {
  assert.deepEqual(key("y", { repeat: true }), { kind: "nothing" })
  assert.deepEqual(key("4", { code: "Digit4", repeat: true }), { kind: "nothing" })
  assert.deepEqual(key("z", { repeat: true }), { kind: "undo" })
})

test("the browser keeps its own shortcuts; undo and redo are those of every program", () => {
  assert.equal(key("n", { ctrlKey: true }), null)
  assert.equal(key("ArrowLeft", { altKey: true }), null)
  assert.deepEqual(key("z", { ctrlKey: true }), { kind: "undo" })
  assert.deepEqual(key("Z", { metaKey: true, shiftKey: true }), { kind: "redo" })
  assert.deepEqual(key("y", { ctrlKey: true }), { kind: "redo" })
})

test("buttons keep the keys they understand themselves", () => {
  assert.ok(belongsToControls(" ") && belongsToControls("Enter") && belongsToControls("ArrowLeft"))
  assert.ok(!belongsToControls("y"))
})

test("a swipe is meant when it is long enough and sideways", () => {
  assert.equal(swiped(120, 10, 390), true)
  assert.equal(swiped(-120, 10, 390), false)
  assert.equal(swiped(40, 0, 390), null)
  assert.equal(swiped(120, 100, 390), null)
  assert.equal(swiped(150, 0, 2000), true)
})

test("the oldest pictures are dropped, never one that is needed", () => {
  assert.deepEqual(dropped([1, 2, 3, 4], [1, 4], 3), [2])
  assert.deepEqual(dropped([1, 2, 3, 4], [1, 2, 3, 4], 2), [])
  assert.deepEqual(dropped([1, 2], [], 5), [])
})

test("the ring is full from the budget on, and empty without tags", () => {
  assert.deepEqual([[0, 60], [23, 60], [60, 60], [75, 60], [5, 0]].map(([a, b]) => ringShare(a, b)), [0, 38, 100, 100, 0])
})

test("the sentence has the count of now, also while the verdict is about an earlier one", () => {
  const rest = "; the probe now agrees with held-out tags 94%"
  assert.equal(sentenceNow({ said: "23 of about 60 tags" }, { rest }), `23 of about 60 tags${rest}`)
  assert.equal(sentenceNow({ said: "3 of about 60 tags" }, null), "3 of about 60 tags")
})
