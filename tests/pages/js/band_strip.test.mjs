import assert from "node:assert/strict"
import test from "node:test"

import { load } from "./load.mjs"

const scale = await load("band_strip/scale.js")
const { keyed, keysAreFree } = await load("band_strip/scale.js", "band_strip/keys.js")
const { binFacts } = await load("band_strip/scale.js", "band_strip/hover.js")
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

test("labels keep off each other and each other's lines, slide where they may, and none leaves the strip", () => {
  const label = (x, width, more = {}) => ({ x, width, from: x, to: x, ...more })
  const crowds = [
    [label(5, 60), label(40, 60), label(45, 60), label(395, 60)],
    [label(100, 90, { line: true }), label(104, 60, { from: 60, to: 148 }), label(90, 50, { line: true })],
    [label(161, 75, { line: true }), label(214, 95, { line: true }), label(270, 80, { line: true })],
    Array.from({ length: 14 }, (_, i) => label(20 + 26 * i, 70, { line: i % 2 === 0 })),
  ]
  for (const labels of crowds) {
    const placed = scale.placeLabels(labels, 400, 2).map((place, i) => ({ ...labels[i], ...place }))
    const seen = placed.filter(({ row }) => row >= 0)
    assert.ok(seen.length >= Math.min(3, labels.length))
    for (const one of seen) {
      assert.ok(one.left >= 0 && one.left + one.width <= 400)
      assert.ok(one.left <= one.to + 4 && one.left + one.width >= one.from - 4, "it stands at its place")
      for (const other of seen) {
        if (other === one) continue
        if (one.row === other.row) assert.ok(one.left + one.width <= other.left || other.left + other.width <= one.left)
        if (one.line && one.row < other.row) assert.ok(one.x < other.left || one.x > other.left + other.width)
      }
    }
  }
})

test("the first label has its place whatever comes after it; one without room is left out", () => {
  const same = { x: 200, from: 200, to: 200, width: 300 }
  assert.deepEqual(scale.placeLabels([same, same, same], 400, 2).map(({ row }) => row), [1, 0, -1])
})

test("activations and places map onto each other piece by piece and stop at the ends", () => {
  const axis = scale.createAxis([-4, 0, 1, 6], [0, 0.5, 0.9, 1])
  assert.deepEqual([-9, -4, -2, 0, 0.5, 6, 9].map(axis.toPlace), [0, 0, 0.25, 0.5, 0.7, 1, 1])
  for (const value of [-3.7, -0.1, 0.99, 2, 5.5]) assert.ok(Math.abs(axis.toValue(axis.toPlace(value)) - value) < 1e-12)
  assert.equal(scale.createAxis([0, 1], null).toPlace(0.3), 0.3)
})

test("places are written and spoken in the axis's unit", () => {
  assert.equal(scale.formatPlace(0.25, 0.0025, "percent"), "25.0%")
  assert.equal(scale.formatPlace(0.5, 0.1, "percent"), "50%")
  assert.equal(scale.formatPlace(-1.5, 0.5, "z"), "\u22121.5 σ")
  assert.equal(scale.formatPlace(1, 1, "z"), "+1 σ")
  assert.equal(scale.formatPlace(0, 1, "z"), "0 σ")
  const steps = { place: 0.01, value: 0.1 }
  assert.equal(scale.spokenPlace(0.25, 1.26, steps, "percent"), "25% of the images below, activation 1.3")
  assert.equal(scale.spokenPlace(-0.5, 1.26, steps, "z"), "0.50 standard deviations below the mean, activation 1.3")
  assert.equal(scale.spokenPlace(-0.5, -0.5, steps, "value"), "\u22120.50")
})

test("large counts are written short", () => {
  assert.deepEqual([7, 999, 1200, 48_123, 3_100_000].map(scale.shortCount), ["7", "999", "1.2k", "48k", "3.1M"])
})

test("a band widens at both ends, narrows to its least width, and stops at the limits", () => {
  assert.deepEqual(scale.widened({ low: 0, high: 2 }, 0.5, limits, 0.1), { low: -0.5, high: 2.5 })
  assert.deepEqual(scale.widened({ low: 0, high: 2 }, -0.5, limits, 0.1), { low: 0.5, high: 1.5 })
  assert.deepEqual(scale.widened({ low: 0, high: 2 }, -9, limits, 0.5), { low: 0.75, high: 1.25 })
  assert.deepEqual(scale.widened({ low: -3.9, high: 2 }, 0.5, limits, 0.1), { low: -4, high: 2.5 })
  assert.deepEqual(scale.widened({ low: 1, high: 1.2 }, -0.5, limits, 0.5), { low: 1, high: 1.2 })
})

test("every place lies in one bin, both ends included", () => {
  const places = [0, 1, 2, 4]
  assert.deepEqual([-1, 0, 0.5, 1, 3.9, 4, 9].map(place => scale.binAt(places, place)), [0, 0, 0, 1, 2, 2, 2])
})

test("even bins show counts, uneven ones densities, and the logarithm never reorders them", () => {
  assert.deepEqual(scale.binHeights([1, 4, 2], [0, 1, 2, 3], false).heights, [0.25, 1, 0.5])
  const uneven = scale.binHeights([4, 4], [0, 1, 3], false)
  assert.equal(uneven.even, false)
  assert.equal(uneven.heights[0], 2 * uneven.heights[1])
  const log = scale.binHeights([0, 1, 10, 1000], [0, 1, 2, 3, 4], true).heights
  assert.equal(log[0], 0)
  assert.equal(log[3], 1)
  assert.ok(log[1] > 0.09 && log[1] < log[2] && log[2] < log[3])
  assert.deepEqual(scale.binHeights([0, 0], [0, 1, 2], true).heights, [0, 0])
})

test("lines stand at round counts, at powers of ten on a logarithmic height", () => {
  assert.deepEqual(scale.countTicks(47, false), [20, 40])
  assert.deepEqual(scale.countTicks(1, false), [1])
  assert.deepEqual(scale.countTicks(4321, true), [1, 10, 100, 1000])
  assert.ok(scale.countTicks(1e9, true).length <= 5)
})

test("a subset is drawn higher only where it could not be seen, and never higher than the whole", () => {
  assert.equal(scale.magnified([30], [100], false), 1)
  assert.equal(scale.magnified([2], [1000], true), 1)
  assert.equal(scale.magnified([0], [1000], false), 1)
  for (const part of [1, 7, 24, 240]) {
    const times = scale.magnified([part], [1000], false)
    assert.ok(times > 1 && times * part <= 1000, `${part}: ${times}`)
  }
})

test("stacked bars stand on each other and a single image still shows", () => {
  const bars = scale.stack([[1000, 0], [0, 1]], [1, 0.001], 100)
  assert.deepEqual(bars, [
    { bin: 0, row: 0, y: 0, height: 100 },
    { bin: 1, row: 1, y: 99, height: 1 },
  ])
  const [first, second] = scale.stack([[3], [1]], [0.5], 80)
  assert.equal(second.y + second.height, first.y)
  assert.equal(first.height + second.height, 40)
})

test("arrows move the band, with Shift they widen it; on an end Shift takes large steps", () => {
  const band = { low: 0, high: 2 }
  const by = { small: 0.1, large: 1 }
  const press = (part, key, shiftKey = false) => keyed(band, part, { key, shiftKey }, by, limits, 0.05)
  assert.deepEqual(press("window", "ArrowRight"), { low: 0.1, high: 2.1 })
  assert.deepEqual(press("window", "PageDown"), { low: -1, high: 1 })
  assert.deepEqual(press("window", "ArrowRight", true), { low: -0.1, high: 2.1 })
  assert.deepEqual(press("window", "ArrowLeft", true), { low: 0.1, high: 1.9 })
  assert.deepEqual(press("window", "Home"), { low: -4, high: -2 })
  assert.deepEqual(press("window", "End"), { low: 4, high: 6 })
  assert.deepEqual(press("low", "ArrowUp"), { low: 0.1, high: 2 })
  assert.deepEqual(press("high", "ArrowLeft", true), { low: 0, high: 1 })
  assert.deepEqual(press("high", "End"), { low: 0, high: 6 })
  assert.equal(press("window", "a"), null)
})

test("keys are free only when nothing has the focus and nothing lies over the page", () => {
  const body = {}
  const page = (activeElement, over = null) => ({ activeElement, body, documentElement: {}, querySelector: () => over })
  assert.ok(keysAreFree(page(body)))
  assert.ok(keysAreFree(page(null)))
  assert.ok(keysAreFree(page({ dataset: { testid: "stMain" } })))
  assert.ok(!keysAreFree(page({ dataset: {} })))
  assert.ok(!keysAreFree(page({ dataset: { testid: "stBidiComponent" } })))
  assert.ok(!keysAreFree(page(body, {})))
})

test("a bin's facts: its range, its count, its values, its share of the band, what stands in it", () => {
  const data = {
    edges: [0, 1, 2, 4],
    places: [0, 1, 2, 4],
    counts: [[10, 0, 6], [2, 4, 2]],
    totals: [12, 4, 8],
    classes: ["land", "water"],
    total: 24,
    highlight: [0, 1, 2],
    highlightLabel: "subset",
    markers: [{ value: 4, label: "end" }, { value: 1, label: "one" }],
  }
  const write = value => String(value)
  const last = binFacts(data, 2, { low: 2, high: 4 }, 8, write)
  assert.equal(last.title, "2 to 4")
  assert.equal(last.count, "8 of 24 images")
  assert.equal(last.band, "100% of the band")
  assert.deepEqual(last.rows.map(({ name, count, share }) => [name, count, share]), [["land", "6", "75%"], ["water", "2", "25%"]])
  assert.deepEqual(last.notes, ["subset: 2", "end: 4"])
  assert.equal(binFacts(data, 2, { low: 3, high: 4 }, 4, write).band, "about 100% of the band")
  assert.equal(binFacts(data, 0, { low: 3, high: 4 }, 4, write).band, "outside the band")
  assert.deepEqual(binFacts(data, 1, { low: 3, high: 4 }, 4, write).rows.map(row => row.name), ["water"])
})
