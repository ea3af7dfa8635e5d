// How pictures fill a screen, and what keys do on the stage.

import assert from "node:assert/strict"
import test from "node:test"
import { load } from "./load.mjs"

const { fit, flow, columnsOf, actionOf, neighbour, createKept } = await load("present/fit.js", "present/keys.js", "present/kept.js")

test("tiles are as large as the place allows and never overflow it", () => {
  for (const [count, width, height, gap, extra] of [[20, 1167, 430, 12, 0], [10, 1167, 430, 12, 50], [1, 300, 900, 8, 0], [6, 900, 150, 10, 0], [16, 560, 560, 12, 0]]) {
    const { columns, side } = fit(count, width, height, gap, extra)
    const rows = Math.ceil(count / columns)
    assert.ok(columns * side + (columns - 1) * gap <= width)
    assert.ok(rows * (side + extra) + (rows - 1) * gap <= height)
    // one pixel more would not go in, however many columns
    for (let other = 1; other <= count; other += 1) {
      const high = Math.ceil(count / other) * (side + 1 + extra) + (Math.ceil(count / other) - 1) * gap
      assert.ok(other * (side + 1) + (other - 1) * gap > width || high > height)
    }
  }
})

test("no tile is left alone in the last row where nearly as large ones fill it", () => {
  assert.equal(fit(16, 400, 700, 12).columns, 4)
  assert.equal(fit(10, 400, 520, 12).columns, 2)
})

test("tiles of a given size take the columns that fill the last row, as far as the place is high enough", () => {
  assert.equal(columnsOf(4, 100, 330, 400, 10), 2)
  assert.equal(columnsOf(4, 100, 330, 210, 10), 2)
  assert.equal(columnsOf(4, 100, 440, 400, 10), 4)
  assert.equal(columnsOf(17, 50, 290, 1000, 10), 3)
  // no room for more rows than the widest layout has
  assert.equal(columnsOf(17, 50, 240, 300, 10), 4)
  assert.equal(columnsOf(3, 50, 20, 300, 10), 1)
})

test("no place and no tiles are no error", () => {
  assert.equal(fit(20, 0, 0, 12).side, 0)
  assert.equal(fit(0, 500, 500, 12).columns, 1)
  assert.deepEqual(flow(0, 390, 9, 3), { columns: 1, side: 390 })
})

test("on a phone tiles fill the width", () => {
  assert.deepEqual(flow(20, 358, 9, 4), { columns: 4, side: 82 })
  assert.deepEqual(flow(2, 358, 8, 4), { columns: 2, side: 175 })
})

const press = (key, rest = {}) => ({ key, ...rest })

test("remote controls, arrows and space turn the steps", () => {
  for (const key of ["ArrowRight", "PageDown", " ", "ArrowDown"]) assert.equal(actionOf(press(key)), "next")
  for (const key of ["ArrowLeft", "PageUp", "Backspace"]) assert.equal(actionOf(press(key)), "previous")
  assert.equal(actionOf(press(" ", { shiftKey: true })), "previous")
  assert.equal(actionOf(press("?", { shiftKey: true })), "help")
  assert.equal(actionOf(press("B", { shiftKey: true })), "black")
  assert.equal(actionOf(press("Escape")), "leave")
})

test("what is typed stays typing, and a button with the focus is pressed", () => {
  for (const key of [" ", "ArrowRight", "Home", "b", "?", "Backspace", "Enter"]) assert.equal(actionOf(press(key), "text"), null)
  assert.equal(actionOf(press("Escape"), "text"), "blur")
  assert.equal(actionOf(press("ArrowDown"), "choice"), null)
  for (const key of [" ", "Enter"]) assert.equal(actionOf(press(key), "button"), null)
  assert.equal(actionOf(press("PageDown"), "button"), "next")
})

test("shortcuts of browser and system are left alone", () => {
  for (const held of ["ctrlKey", "metaKey", "altKey"]) assert.equal(actionOf(press("ArrowLeft", { [held]: true })), null)
  assert.equal(actionOf(press("r")), null)
  assert.equal(actionOf(press("Tab")), null)
})

test("arrows go from tile to tile and stop at the edge", () => {
  assert.equal(neighbour("ArrowRight", 3, 20, 7), 4)
  assert.equal(neighbour("ArrowDown", 3, 20, 7), 10)
  assert.equal(neighbour("ArrowUp", 3, 20, 7), 3)
  assert.equal(neighbour("ArrowDown", 14, 20, 7), 14)
  assert.equal(neighbour("ArrowLeft", 0, 20, 7), 0)
})

const storage = () => {
  const held = new Map()
  return { getItem: key => held.get(key) ?? null, setItem: (key, value) => held.set(key, value) }
}

test("what was typed and clicked outlives a reload", () => {
  const tab = storage()
  const before = createKept(tab, "one")
  before.type("lake sh")
  before.ask(7, [1, 2, 3])
  assert.equal(before.toggle(2), true)
  assert.equal(before.toggle(3), true)
  assert.equal(before.toggle(3), false)
  const after = createKept(tab, "one")
  assert.equal(after.ask(7, [1, 2, 3], "other"), null)
  assert.equal(after.typed, "lake sh")
  assert.deepEqual([...after.chosen], [2])
  assert.deepEqual([...createKept(tab, "another").chosen], [])
})

test("a new session is asked for the pictures that were clicked among, and the same one never", () => {
  const tab = storage()
  const before = createKept(tab, "one")
  assert.equal(before.ask(7, [1, 2, 3], "a"), null)
  before.toggle(2)
  assert.equal(createKept(tab, "one").ask(7, [1, 2, 3], "b"), null)
  const after = createKept(tab, "one")
  assert.deepEqual(after.ask(7, [2, 3, 4], "b"), [1, 2, 3])
  assert.deepEqual([...after.chosen], [2])
  assert.equal(after.ask(7, [1, 2, 3], "b"), null)
  assert.equal(after.ask(7, [4, 5, 6], "b"), null)
  assert.deepEqual([...after.chosen], [])
  // nothing was clicked, it was answered meanwhile, or something else is asked
  assert.equal(after.ask(7, [7, 8], "c"), null)
  after.toggle(7)
  assert.equal(createKept(tab, "one").ask(7, [], "d"), null)
  after.toggle(7)
  after.toggle(7)
  assert.equal(createKept(tab, "one").ask(8, [1, 2], "d"), null)
})

test("answers about one thing are none about another, or about other pictures", () => {
  const kept = createKept(storage(), "one")
  kept.ask(7, [1, 2])
  kept.toggle(1)
  kept.ask(7, [2, 3])
  assert.deepEqual([...kept.chosen], [])
  kept.toggle(2)
  kept.ask(8, [2, 3])
  assert.deepEqual([...kept.chosen], [])
})

test("without storage, and with what cannot be read in it, everything but a reload works", () => {
  const damaged = storage()
  damaged.setItem("midband-one", "{")
  const strange = storage()
  strange.setItem("midband-one", JSON.stringify({ typed: 3, chosen: "1", about: {} }))
  const full = { getItem: () => null, setItem: () => { throw new Error("QuotaExceededError") } }
  for (const given of [null, damaged, strange, full]) {
    const kept = createKept(given, "one")
    assert.equal(kept.typed, "")
    kept.ask(7, [1])
    assert.equal(kept.toggle(1), true)
    kept.type("a")
    assert.deepEqual([...kept.chosen], [1])
  }
})
