// When the page is run again since it is dark and was drawn for a light one, or the other way round.

import assert from "node:assert/strict"
import test from "node:test"
import { load } from "./load.mjs"

const { createWatch, schemeOf } = await load("theme/turn.js")

function watched(page, memory = {}) {
  page.runs ??= 0
  return createWatch({
    shown: () => page.shown,
    chosen: () => page.chosen,
    busy: () => Boolean(page.busy),
    turned: () => {
      page.runs += 1
      page.onRun?.()
    },
    memory,
  })
}
const looks = (look, many) => Array.from({ length: many }, () => look())

test("a background is dark or light, however it is written", () => {
  for (const dark of ["#13181d", " #13181dff", "rgb(19, 24, 29)", "rgba(19 24 29 / 1)", "#000"]) {
    assert.equal(schemeOf(dark), "dark", dark)
  }
  for (const light of ["#ffffff", "#fff", "rgb(243, 246, 247)", " #ffee00"]) assert.equal(schemeOf(light), "light", light)
  for (const none of ["", "  ", "transparent"]) assert.equal(schemeOf(none), "", none)
})

test("a page whose styles come late is not run for them", () => {
  const page = { shown: "", chosen: "light" }
  const look = watched(page)
  looks(look, 3)
  page.shown = "light"
  looks(look, 3)
  assert.equal(page.runs, 0)
})

test("a page is run once for each turn that it follows", () => {
  const page = { shown: "light", chosen: "light", onRun: () => (page.chosen = page.shown) }
  const look = watched(page)
  for (const [shown, runs] of [["dark", 1], ["light", 2], ["", 2], ["light", 2], ["dark", 3]]) {
    page.shown = shown
    looks(look, 20)
    assert.equal(page.runs, runs)
  }
})

test("a page is not run while something is open, and at once afterwards", () => {
  const page = { shown: "dark", chosen: "light", busy: true }
  const look = watched(page)
  looks(look, 50)
  assert.equal(page.runs, 0)
  page.busy = false
  look()
  assert.equal(page.runs, 1)
})

test("a run that was lost is asked for again, and whoever never follows is left alone", () => {
  const page = { shown: "dark", chosen: "light" }
  const look = watched(page)
  looks(look, 1)
  assert.equal(page.runs, 1)
  looks(look, 3)
  assert.equal(page.runs, 1)
  looks(look, 1)
  assert.equal(page.runs, 2)
  looks(look, 200)
  assert.equal(page.runs, 8)
  page.shown = "light" // it agrees, and is asked anew when it no longer does
  look()
  page.shown = "dark"
  look()
  assert.equal(page.runs, 9)
})

test("a page drawn for the other scheme from the start is run, whatever was seen before", () => {
  const page = { shown: "dark", chosen: "light" }
  watched(page)()
  assert.equal(page.runs, 1)
})

test("what was asked outlives a watch", () => {
  const page = { shown: "dark", chosen: "light" }
  const memory = {}
  watched(page, memory)()
  watched(page, memory)()
  assert.equal(page.runs, 1)
})
