import assert from "node:assert/strict"
import test from "node:test"
import { load } from "./load.mjs"

const { stepsFrom, positionText, meaning, areaPath, barFromZero, conceptsAfter } = await load(
  "image_grid/keys.js",
  "inspector/words.js",
)

const shown = { ids: [30, 10, 20], before: 4, total: 60 }
const key = (name, more = {}) => meaning({ key: name, code: more.code ?? "", ...more })

test("previous and next follow the order on screen and end with it", () => {
  assert.deepEqual(stepsFrom({ ...shown, image: 10, anchor: 10 }), { previous: 30, next: 20, away: false })
  assert.equal(stepsFrom({ ...shown, image: 30, anchor: 30 }).previous, null)
  assert.equal(stepsFrom({ ...shown, image: 20, anchor: 20 }).next, null)
})

test("from an image that is not on screen, back is the one it was reached from", () => {
  assert.deepEqual(stepsFrom({ ...shown, image: 99, anchor: 10 }), { previous: 10, next: 20, away: true })
})

test("the position counts from the first image, not from the first whose id is held", () => {
  assert.equal(positionText({ ...shown, image: 10, anchor: 10 }), "6 of 60")
  assert.equal(positionText({ ...shown, image: 99, anchor: 10 }), "near 6 of 60")
  assert.equal(positionText({ ids: [7], before: 0, total: 1, image: 7, anchor: 7 }), "")
  assert.equal(positionText({ ids: [7], before: 4811, total: 5000, image: 7, anchor: 7 }), "4,812 of 5,000")
})

test("digits tag, with Shift as absent, whatever the keyboard makes of Shift and a digit", () => {
  assert.deepEqual(key("3", { code: "Digit3" }), { kind: "tag", key: 3, present: true })
  assert.deepEqual(key("#", { code: "Digit3", shiftKey: true }), { kind: "tag", key: 3, present: false })
  assert.deepEqual(key("0", { code: "Digit0" }), { kind: "clear" })
  assert.deepEqual(key("u"), { kind: "unsure" })
  assert.equal(key("u", { ctrlKey: true }), null, "the browser shows the page's source")
  assert.deepEqual(key("5", { code: "Numpad5" }), { kind: "tag", key: 5, present: true })
})

test("undo and redo go by the usual keys, and browser shortcuts are left alone", () => {
  assert.deepEqual(key("z"), { kind: "undo" })
  assert.deepEqual(key("z", { ctrlKey: true }), { kind: "undo" })
  assert.deepEqual(key("Z", { metaKey: true, shiftKey: true }), { kind: "redo" })
  assert.equal(key("ArrowLeft", { altKey: true }), null, "the browser's way back")
  assert.equal(key("1", { code: "Digit1", ctrlKey: true }), null, "the browser's first tab")
  assert.equal(key("r", { ctrlKey: true }), null)
  assert.deepEqual(key("я", { code: "KeyZ" }), { kind: "undo" }, "on a Russian keyboard")
  assert.deepEqual(key("н", { code: "KeyY", ctrlKey: false }), { kind: "redo" })
  assert.deepEqual(key("z", { code: "KeyY" }), { kind: "undo" }, "on a German keyboard")
  assert.equal(key("Escape"), null)
})

test("an area rises to the top at its largest count and is closed along the bottom", () => {
  assert.equal(areaPath([1, 2], 2, 10, 8), "M0 8L0.00 4.00L5.00 4.00L5.00 0.00L10.00 0.00L10 8Z")
  assert.equal(areaPath([], 0, 10, 8), "")
  assert.equal(areaPath([0, 0], 0, 10, 8), "")
})

test("bars start at zero and grow to either side", () => {
  assert.deepEqual(barFromZero(3, -1, 3), { start: 25, length: 75 })
  assert.deepEqual(barFromZero(-1, -1, 3), { start: 0, length: 25 })
  assert.deepEqual(barFromZero(null, -1, 3), { start: 0, length: 0 })
  assert.deepEqual(barFromZero(0, 0, 0), { start: 0, length: 0 })
})

test("tags show before they are saved, each on its own image, and an undo takes the last one back", () => {
  const concepts = [
    { id: 1, present: null },
    { id: 2, present: true },
  ]
  const tag = (concept, present, image = 7) => ({ kind: "tag", concept, present, ids: [image] })
  const after = waiting => conceptsAfter(concepts, 7, waiting).map(concept => concept.present)
  assert.deepEqual(after([]), [null, true])
  assert.deepEqual(after([tag(1, true), tag(2, null)]), [true, null])
  assert.deepEqual(after([tag(1, true, 8)]), [null, true])
  assert.deepEqual(after([tag(1, true), tag(1, false), { kind: "undo" }]), [true, true])
})
