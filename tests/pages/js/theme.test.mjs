// When the page is run again since it turned dark or light.

import assert from "node:assert/strict"
import test from "node:test"
import { load } from "./load.mjs"

const { createWatch } = await load("theme/turn.js")

test("a page whose styles come late is not run for them", () => {
  const page = { colour: "", runs: 0 }
  const look = createWatch({ colour: () => page.colour, busy: () => false, turned: () => (page.runs += 1) })
  look()
  page.colour = "#fff"
  look()
  assert.equal(page.runs, 0)
  page.colour = "#111"
  look()
  assert.equal(page.runs, 1)
})

test("a page is run once for each turn, and not while something is open", () => {
  const page = { colour: "#fff", open: false, runs: 0 }
  const look = createWatch({ colour: () => page.colour, busy: () => page.open, turned: () => (page.runs += 1) })
  const runsAfter = change => (Object.assign(page, change), look(), look(), page.runs)
  assert.equal(runsAfter({}), 0)
  assert.equal(runsAfter({ colour: "#111" }), 1)
  assert.equal(runsAfter({ colour: "#fff", open: true }), 1)
  assert.equal(runsAfter({ open: false }), 2)
  assert.equal(runsAfter({ colour: "" }), 2) // for a moment no style is there
  assert.equal(runsAfter({ colour: "#fff" }), 2)
})

test("a run that brought no other colours is asked for again, a few times", () => {
  const page = { colour: "#fff", chosen: "teal", runs: 0 }
  const look = createWatch({
    colour: () => page.colour,
    busy: () => false,
    turned: () => (page.runs += 1),
    followed: () => page.chosen,
  })
  const looks = many => Array.from({ length: many }, look) && page.runs
  page.colour = "#111"
  assert.equal(looks(4), 1)
  assert.equal(looks(1), 2) // the first was lost
  page.chosen = "light teal"
  assert.equal(looks(20), 2)
  page.colour = "#fff"
  assert.equal(looks(60), 5) // whoever never follows is left alone
})

test("a turn between two watches is not missed", () => {
  const page = { colour: "#fff", runs: 0 }
  const memory = {}
  const begin = () =>
    createWatch({ colour: () => page.colour, busy: () => false, turned: () => (page.runs += 1), memory })
  begin()()
  page.colour = "#111"
  begin()()
  assert.equal(page.runs, 1)
})
