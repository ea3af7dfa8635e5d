import assert from "node:assert/strict"
import test from "node:test"
import { load } from "./load.mjs"

const { createSpeaker, lossOf, spoken, wayPaths, wordsOf } = await load("live_repair/strip.js")
const { followChanges, idsOnScreen, tellChanges } = await load("image_grid/would.js")
const { sentences } = await load("image_grid/states.js", "image_grid/tiles.js")
const { opinionOf } = await load("tag_card/deck.js")

const answer = { tags: 24, problem: "", before: 0.714, after: 0.857, low: 0.2, high: 0.96, way: [] }

test("the strip says before, after and how sure that is", () => {
  assert.deepEqual(wordsOf(answer), { before: "71%", after: "roughly 86%", interval: "could be 20%–96%", state: "estimated from 24 tagged images" })
  const narrow = { ...answer, low: 0.8, high: 0.9 }
  assert.deepEqual([wordsOf(narrow).after, wordsOf(narrow).interval], ["about 86%", "likely 80%–90%"])
  assert.ok(spoken(narrow).includes("about 86%"))
  assert.equal(wordsOf({ ...answer, tags: 1 }).state, "estimated from 1 tagged image")
  assert.equal(spoken(answer), "Live preview: worst group 71% now, roughly 86% repaired.")
})

test("without an estimate it says why, and no figure", () => {
  assert.deepEqual(wordsOf(null), { before: "", after: "", interval: "", state: "Being computed …" })
  assert.deepEqual(wordsOf({ ...answer, after: null }).state, "Being computed …")
  const words = wordsOf({ ...answer, problem: "water has 3 tagged val images.", after: null })
  assert.deepEqual(words, { before: "", after: "", interval: "", state: "water has 3 tagged val images." })
  assert.equal(spoken({ ...answer, problem: "x" }), "")
})

test("a wait that takes long says how long, a server that is gone says so, and old figures are called old", () => {
  assert.equal(wordsOf(null, "", 9).state, "Being computed …")
  assert.ok(wordsOf({ ...answer, after: null }, "", 24.6).state.startsWith("Being computed for 24 s"))
  const gone = lossOf(0)
  assert.ok(gone.includes("connection") && lossOf(500).includes("log") && lossOf(404).includes("Reload"))
  assert.deepEqual(wordsOf(null, gone), { before: "", after: "", interval: "", state: gone })
  assert.equal(wordsOf({ ...answer, problem: "too few", after: null }, gone).state, gone)
  const old = wordsOf(answer, gone)
  assert.equal(old.after, "roughly 86%")
  assert.equal(old.state, `As it was with 24 tagged images. ${gone}`)
})

test("screen readers hear the newest figures, each once, and not every second", () => {
  const said = []
  let time = 0
  const speak = createSpeaker(text => said.push(text), { every: 15_000, now: () => time })
  const at = (seconds, text) => ((time = seconds * 1000), speak(text))
  at(0, "")
  at(1, "70 to 80")
  at(2, "70 to 80")
  at(3, "70 to 81")
  at(12, "70 to 83")
  assert.deepEqual(said, ["70 to 80"])
  at(16, "70 to 83")
  at(60, "70 to 83")
  assert.deepEqual(said, ["70 to 80", "70 to 83"])
})

test("the way begins at the left, ends at the right and stays in its box", () => {
  const way = [
    { tags: 10, worst: 0.5, low: 0.2, high: 0.8 },
    { tags: 20, worst: 0.6, low: 0.4, high: 0.9 },
    { tags: 60, worst: 0.9, low: 0.8, high: 1 },
  ]
  const { line, band } = wayPaths(way)
  assert.equal(line, "M 0 62.5 L 20 50 L 100 12.5")
  assert.ok(band.startsWith("M 0 25 L 20 12.5 L 100 0 L 100 25") && band.endsWith("L 0 100 Z"))
  assert.deepEqual(wayPaths(way.slice(0, 1)), { line: "", band: "" })
  const still = wayPaths([way[0], way[0]].map(moment => ({ ...moment, low: 1, high: 1, worst: 1 })))
  assert.ok(!/NaN|Infinity/.test(still.line + still.band))
})

test("strip and grids meet at the window: who is on screen is asked, what changes is told once", () => {
  globalThis.window = new EventTarget()
  const shown = []
  const leave = followChanges({ ids: () => [3, 5], show: changes => shown.push(changes) })
  const other = followChanges({ ids: () => [5, 8], show: () => {} })
  assert.deepEqual(idsOnScreen(), [3, 5, 8])
  tellChanges({ 5: "waterbird" })
  tellChanges({ 5: "waterbird" })
  assert.deepEqual(shown, [new Map([[5, "waterbird"]])])
  tellChanges({})
  assert.deepEqual(shown.at(-1), new Map())
  leave()
  tellChanges({ 3: "landbird" })
  assert.equal(shown.length, 2)
  assert.deepEqual(idsOnScreen(), [5, 8])
  other()
})

test("a tile and a card say what an image would become", () => {
  const lines = sentences({ title: "a.jpg", label: "landbird" }, [], "waterbird")
  assert.ok(lines.includes("would become waterbird after a repair with the tags so far"))
  assert.ok(!sentences({ title: "a.jpg" }, []).some(line => line.includes("repair")))
  assert.equal(opinionOf({ opinion: "Labelled x." }, "y"), "Labelled x. A repair with the tags so far would make it y.")
  assert.equal(opinionOf({ opinion: "Labelled x." }, undefined), "Labelled x.")
})
