import assert from "node:assert/strict"
import test from "node:test"

import { load } from "./load.mjs"

const { movedPlace, headingText, barLines, shareText, stacked } = await load("contact_sheet/moves.js")

// a heading and three images, a heading alone, a heading and one image
const COLUMNS = [4, 1, 2]

test("arrows move along a band and between bands, and stop at the edges", () => {
  assert.deepEqual(movedPlace("ArrowRight", [0, 1], COLUMNS), [0, 2])
  assert.deepEqual(movedPlace("ArrowRight", [0, 3], COLUMNS), [0, 3])
  assert.deepEqual(movedPlace("ArrowLeft", [0, 0], COLUMNS), [0, 0])
  assert.deepEqual(movedPlace("ArrowUp", [0, 2], COLUMNS), [0, 2])
  assert.deepEqual(movedPlace("ArrowDown", [2, 1], COLUMNS), [2, 1])
  assert.equal(movedPlace("x", [0, 0], COLUMNS), null)
})

test("a shorter band is entered at its last image", () => {
  assert.deepEqual(movedPlace("ArrowDown", [0, 3], COLUMNS), [1, 0])
  assert.deepEqual(movedPlace("ArrowUp", [2, 1], COLUMNS), [1, 0])
})

test("home and end go to the ends of the band, with Ctrl of the sheet", () => {
  assert.deepEqual(movedPlace("Home", [0, 2], COLUMNS), [0, 0])
  assert.deepEqual(movedPlace("End", [0, 2], COLUMNS), [0, 3])
  assert.deepEqual(movedPlace("Home", [2, 1], COLUMNS, true), [0, 0])
  assert.deepEqual(movedPlace("End", [0, 2], COLUMNS, true), [2, 1])
})

test("a heading says all that the bars show", () => {
  const row = { range: "0.28 to 2.17", count: "447 images", label: "mid", bars: [{ title: "place", text: "land 43%" }] }
  assert.equal(headingText(row), "Open the band 0.28 to 2.17, mid band, 447 images, place: land 43%")
  assert.equal(headingText({ ...row, label: "", bars: [] }), "Open the band 0.28 to 2.17, 447 images")
})

test("a bar's tooltip names each part", () => {
  const bar = { title: "place", parts: [{ value: "land", count: "43", share: 0.43 }, { value: "water", count: "57", share: 0.57 }] }
  assert.deepEqual(barLines(bar), ["place", "land: 43 (43%)", "water: 57 (57%)"])
})

test("next to nothing is not nothing and nearly all is not all", () => {
  assert.deepEqual([0, 0.0001, 0.004, 0.5, 0.9999, 1].map(shareText), ["0%", "0.1%", "0.4%", "50%", "99.9%", "100%"])
})

test("bars stand five high at most, in stacks as even as can be", () => {
  assert.deepEqual([1, 4, 5, 6, 11].map(bars => Object.values(stacked(bars))), [[1, 1], [1, 4], [1, 5], [2, 3], [3, 4]])
})
