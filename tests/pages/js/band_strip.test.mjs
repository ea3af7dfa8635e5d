import assert from "node:assert/strict"
import test from "node:test"

import { load } from "./load.mjs"

const scale = await load("band_strip/scale.js")
const limits = { start: -4, end: 6 }

test("pixels and values map onto each other and stop at the ends", () => {
  const { toPx, toValue } = scale.createScale(-4, 6, 10, 500)
  assert.equal(toPx(-4), 10)
  assert.equal(toPx(6), 510)
  assert.ok(Math.abs(toValue(toPx(1.37)) - 1.37) < 1e-9)
  assert.equal(toValue(-50), -4)
  assert.equal(toValue(9999), 6)
})

test("ticks are round numbers inside the range, without noise", () => {
  assert.deepEqual(scale.ticks(-6.5, 6, 6), [-5, 0, 5])
  assert.deepEqual(scale.ticks(0, 1, 5), [0, 0.2, 0.4, 0.6, 0.8, 1])
  assert.deepEqual(scale.ticks(-0.3, 0.3, 6), [-0.3, -0.2, -0.1, 0, 0.1, 0.2, 0.3])
  assert.ok(scale.ticks(1e-7, 9e-7, 5).length >= 4)
  assert.ok(!scale.ticks(-1, 1, 4).some(tick => Object.is(tick, -0)))
})

test("a step is 1, 2 or 5 times a power of ten", () => {
  assert.deepEqual([0.03, 0.7, 1, 1.1, 4, 70].map(scale.niceStep), [0.05, 1, 1, 2, 5, 100])
})

test("values are written with the step's decimals and a true minus sign", () => {
  assert.equal(scale.formatValue(-1.5, 0.05), "−1.50")
  assert.equal(scale.formatValue(-0.001, 0.05), "0.00")
  assert.equal(scale.formatValue(1200, 5), "1200")
  assert.equal(scale.rounded(0.30000000000000004, 0.1), 0.3)
})

test("the estimate is exact on bin edges and proportional inside a bin", () => {
  const edges = [0, 1, 2, 4]
  const totals = scale.totalsOf([[10, 0, 6], [2, 4, 2]])
  assert.deepEqual(totals, [12, 4, 8])
  assert.equal(scale.estimate(edges, totals, 0, 4), 24)
  assert.equal(scale.estimate(edges, totals, 1, 2), 4)
  assert.equal(scale.estimate(edges, totals, 0.5, 3), 6 + 4 + 4)
  assert.equal(scale.estimate(edges, totals, 1.5, 1.5), 0)
})

test("an end stops before the other end and at the range's", () => {
  const band = { low: -1, high: 2 }
  assert.deepEqual(scale.withEnd(band, "low", 5, limits, 0.5), { low: 1.5, high: 2 })
  assert.deepEqual(scale.withEnd(band, "high", -9, limits, 0.5), { low: -1, high: -0.5 })
  assert.deepEqual(scale.withEnd(band, "high", 99, limits, 0.5), { low: -1, high: 6 })
  assert.deepEqual(scale.withEnd({ low: -4, high: -4 }, "low", 0, limits, 0.5), { low: -4, high: -4 })
})

test("a moved band keeps its width and stays inside", () => {
  assert.deepEqual(scale.shifted({ low: -1, high: 2 }, 1, limits), { low: 0, high: 3 })
  assert.deepEqual(scale.shifted({ low: -1, high: 2 }, 50, limits), { low: 3, high: 6 })
  assert.deepEqual(scale.shifted({ low: -1, high: 2 }, -50, limits), { low: -4, high: -1 })
})

test("a band is drawn in either direction and is never empty", () => {
  assert.deepEqual(scale.brushed(3, 1, limits, 0.5), { low: 1, high: 3 })
  assert.deepEqual(scale.brushed(1, 1, limits, 0.5), { low: 1, high: 1.5 })
  assert.deepEqual(scale.brushed(6, 6, limits, 0.5), { low: 5.5, high: 6 })
})

test("a press takes the nearest handle, the band between them, or nothing", () => {
  const at = x => scale.gripAt(x, 100, 200, 12)
  assert.deepEqual([90, 108, 150, 195, 210, 50, 260].map(at), ["low", "low", "window", "high", "high", "brush", "brush"])
})

test("a narrow band can still be moved by its middle, and both ends taken from outside", () => {
  const at = x => scale.gripAt(x, 100, 112, 12)
  assert.equal(at(106), "window")
  assert.equal(at(95), "low")
  assert.equal(at(117), "high")
  assert.equal(scale.gripAt(100, 100, 100, 12), "high")
})

test("labels that would overlap go to the next row or are left out, and none leaves the strip", () => {
  const labels = [{ x: 5, width: 60 }, { x: 40, width: 60 }, { x: 45, width: 60 }, { x: 395, width: 60 }]
  const places = scale.placeLabels(labels, 400, 2)
  assert.deepEqual(places.map(place => place.row), [0, 1, -1, 0])
  assert.equal(places[0].left, 0)
  assert.equal(places[3].left, 340)
})

test("stacked bars stand on each other and a single image still shows", () => {
  const bars = scale.stack([[1000, 0], [0, 1]], 100)
  assert.deepEqual(bars, [
    { bin: 0, row: 0, y: 0, height: 100 },
    { bin: 1, row: 1, y: 99, height: 1 },
  ])
  const [first, second] = scale.stack([[3], [1]], 80)
  assert.equal(second.y + second.height, first.y)
})
