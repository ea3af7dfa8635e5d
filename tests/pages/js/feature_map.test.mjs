import assert from "node:assert/strict"
import test from "node:test"

import { load } from "./load.mjs"

const message = await load("feature_map/message.js")
const frames = await load("feature_map/frame.js")
const raster = await load("feature_map/raster.js")
const area = await load("feature_map/area.js")
const nearest = await load("feature_map/nearest.js")
const cards = await load("feature_map/card.js")
const keys = await load("feature_map/keys.js")
const legend = await load("image_grid/dom.js", "image_grid/tooltip.js", "feature_map/legend.js")

const about = (actual, expected, within = 1e-9) => assert.ok(Math.abs(actual - expected) <= within, `${actual} is not ${expected}`)

// --- messages ---------------------------------------------------------------------------------------------------------

/** As Python packs it. */
function pack(header, arrays) {
  const listed = arrays.map(([name, array]) => [name, array.constructor.name.replace("Array", "").toLowerCase(), array.length])
  const text = new TextEncoder().encode(JSON.stringify({ ...header, arrays: listed }))
  const size = new Uint8Array(new Uint32Array([text.length]).buffer)
  const parts = [Uint8Array.from([...size, ...text]), ...arrays.map(([, a]) => new Uint8Array(a.buffer, a.byteOffset, a.byteLength))]
  return Uint8Array.from(parts.flatMap(part => [...part, ...Array((4 - (part.length % 4)) % 4).fill(0)]))
}

test("a message gives back its header and arrays, wherever in a buffer it lies", () => {
  const xs = Float32Array.from([1.5, NaN, -3])
  const bytes = pack({ role: "points", title: "“Ünï” 🐦" }, [["x", xs], ["codes", Uint8Array.from([7, 255, 0, 1, 2])], ["y", xs]])
  const shifted = new Uint8Array(bytes.length + 3)
  shifted.set(bytes, 3)
  const { header, arrays } = message.unpack(shifted.subarray(3))
  assert.equal(header.title, "“Ünï” 🐦")
  assert.deepEqual([...arrays.x], [1.5, NaN, -3])
  assert.deepEqual([...arrays.codes], [7, 255, 0, 1, 2])
  assert.deepEqual([...arrays.y], [1.5, NaN, -3])
})

test("bits are read as numpy packs them: the first is the highest", () => {
  const bits = Uint8Array.from([0b10000001, 0b01000000])
  const set = Array.from({ length: 16 }, (_, i) => i).filter(i => message.bit(bits, i))
  assert.deepEqual(set, [0, 7, 9])
})

// --- the frame --------------------------------------------------------------------------------------------------------

const whole = frames.fitted({ left: -2, right: 2, bottom: 0, top: 10 }, 800, 600)

test("everything fits, upright and undistorted", () => {
  for (const [x, y] of [[-2, 0], [2, 10]]) {
    const { left, top } = frames.toPx(whole, x, y)
    assert.ok(left >= 24 && left <= 776 && top >= 23.999 && top <= 576.001)
  }
  assert.ok(frames.toPx(whole, 0, 10).top < frames.toPx(whole, 0, 0).top)
  assert.deepEqual(frames.toPx(whole, 0, 5), { left: 400, top: 300 })
})

test("bounds leave out points without a place, and one place or a line is shown too", () => {
  assert.deepEqual(frames.boundsOf([NaN, 1, 3], [NaN, 4, 2]), { left: 1, right: 3, bottom: 2, top: 4 })
  assert.equal(frames.boundsOf([NaN], [NaN]), null)
  for (const bounds of [null, { left: 3, right: 3, bottom: 4, top: 4 }, { left: 0, right: 9, bottom: 4, top: 4 }]) {
    const frame = frames.fitted(bounds, 800, 600)
    assert.ok(Object.values(frame).every(Number.isFinite))
    assert.ok(frame.scale > 0)
  }
})

test("zooming keeps what is under the pointer, and stops at everything and at the closest", () => {
  const spot = { left: 510, top: 333 }
  const held = frames.toPlace(whole, spot.left, spot.top)
  const near = frames.zoomed(whole, whole, 4, spot.left, spot.top)
  about(frames.toPx(near, held.x, held.y).left, 510, 1e-6)
  about(frames.toPx(near, held.x, held.y).top, 333, 1e-6)
  assert.deepEqual(frames.zoomed(near, whole, 0.01, 1, 1), whole)
  about(frames.zoomOf(frames.zoomed(near, whole, 1e9, 400, 300), whole), frames.MOST_ZOOM, 1e-6)
})

test("a map that is moved follows the hand and is never lost", () => {
  const near = frames.zoomed(whole, whole, 4, 400, 300)
  const before = frames.toPlace(near, 100, 100)
  const moved = frames.panned(near, whole, 30, -20)
  const now = frames.toPx(moved, before.x, before.y)
  about(now.left, 130, 1e-6)
  about(now.top, 80, 1e-6)
  const lost = frames.panned(near, whole, 1e9, 1e9)
  const middle = frames.toPx(whole, lost.x, lost.y)
  assert.ok(middle.left >= -0.001 && middle.left <= 800.001 && middle.top >= -0.001 && middle.top <= 600.001)
})

test("an address keeps a view to less than a pixel, and nothing of the whole", () => {
  assert.equal(frames.written(whole, whole), null)
  const near = frames.zoomed(whole, whole, 7.7, 123, 456)
  const back = frames.restored(frames.written(near, whole), whole)
  for (const [x, y] of [[0.3, 2.2], [-1, 8]]) {
    const [a, b] = [frames.toPx(near, x, y), frames.toPx(back, x, y)]
    about(a.left, b.left, 2)
    about(a.top, b.top, 2)
  }
  assert.deepEqual(frames.restored(null, whole), whole)
  about(frames.zoomOf(frames.restored([0, 0, 1e12], whole), whole), frames.MOST_ZOOM, 1e-6)
})

test("another size shows the same part", () => {
  const larger = frames.fitted({ left: -2, right: 2, bottom: 0, top: 10 }, 1000, 700)
  assert.deepEqual(frames.resized(whole, larger, whole), larger)
  const near = frames.zoomed(whole, whole, 3, 400, 300)
  const now = frames.resized(near, larger, whole)
  about(frames.zoomOf(now, larger), 3, 1e-9)
  assert.deepEqual([now.x, now.y, now.width], [near.x, near.y, 1000])
})

test("points are small where there are many and grow as one looks closer", () => {
  const sizes = [10, 6000, 100_000, 1_000_000].map(count => frames.radiusOf(count, 1))
  assert.deepEqual(sizes, [...sizes].sort((a, b) => b - a))
  assert.ok(sizes[0] <= 4 && sizes[3] >= 0.75)
  assert.ok(frames.radiusOf(6000, 10) > frames.radiusOf(6000, 1))
  assert.ok(frames.radiusOf(10, 400) <= 7)
})

// --- pixels -----------------------------------------------------------------------------------------------------------

const hue = i => raster.packed([10 + i, 100, 200])
const look = more => ({
  background: raster.packed([255, 255, 255]),
  strong: Uint32Array.from({ length: 256 }, (_, i) => hue(i)),
  pale: new Uint32Array(256).fill(raster.packed([240, 240, 240])),
  ring: raster.packed([0, 0, 0]),
  paleRing: raster.packed([200, 200, 200]),
  radius: 2,
  ringWidth: 1.5,
  shown: new Uint8Array(256).fill(1),
  onlySelected: false,
  ringed: false,
  ...more,
})
const points = (xs, ys, codes, marks) => ({
  xs: Float32Array.from(xs),
  ys: Float32Array.from(ys),
  codes: Uint8Array.from(codes),
  marks: Uint8Array.from(marks),
  count: xs.length,
})
const frame = { x: 0, y: 0, scale: 10, width: 40, height: 40 }
function painted(given, more = {}) {
  const picture = new Uint32Array(1600)
  raster.paint(picture, 40, 40, given, frame, look(more))
  return (x, y) => picture[y * 40 + x]
}

test("colours are read and packed as an ImageData holds them", () => {
  assert.deepEqual(raster.channels("#1f7A8c"), [0x1f, 0x7a, 0x8c])
  assert.deepEqual(raster.channels("rgb(1, 2, 3)"), [1, 2, 3])
  const bytes = new Uint8Array(Uint32Array.from([raster.packed([1, 2, 3])]).buffer)
  assert.deepEqual([...bytes], [1, 2, 3, 255])
  assert.deepEqual(raster.mixed([0, 100, 200], [100, 100, 100], 0.25), [75, 100, 125])
})

test("a point is drawn where it is, in the colour of its code, and only there", () => {
  const at = painted(points([1], [-1], [5], [0]))
  assert.equal(at(30, 30), hue(5))
  assert.equal(at(30, 29), hue(5))
  assert.equal(at(30, 33), raster.packed([255, 255, 255]))
  assert.equal(at(10, 10), raster.packed([255, 255, 255]))
})

test("edges are mixed with what lies below", () => {
  const picture = new Uint32Array(1600).fill(raster.packed([255, 255, 255]))
  raster.stamp(picture, 40, 40, raster.stampOf(1.2, 40), 20, 20, raster.packed([0, 0, 0]))
  const edge = [...new Uint8Array(picture.buffer, 4 * (20 * 40 + 21 + 40), 4)]
  assert.ok(edge[0] > 0 && edge[0] < 255, "the diagonal neighbour is grey")
  assert.equal(edge[0], edge[1])
  assert.equal(edge[3], 255)
})

test("points beyond the edge and without a place are drawn as far as they are seen", () => {
  const at = painted(points([-2.05, NaN, 1e30], [0, 0, -1e30], [1, 2, 3], [0, 0, 0]))
  assert.equal(at(0, 20), hue(1))
  const seen = new Set()
  for (let x = 0; x < 40; x += 1) for (let y = 0; y < 40; y += 1) seen.add(at(x, y))
  assert.ok(!seen.has(hue(2)) && !seen.has(hue(3)))
})

test("what is not selected, or whose value does not stand out, is pale and lies below", () => {
  const both = points([0, 0], [0, 0], [1, 2], [1, 0])
  assert.equal(painted(both)(20, 20), hue(2))
  assert.equal(painted(both, { onlySelected: true })(20, 20), hue(1))
  const shown = new Uint8Array(256)
  shown[1] = 1
  assert.equal(painted(both, { shown })(20, 20), hue(1))
  assert.equal(painted(points([0], [0], [2], [0]), { shown })(20, 20), raster.packed([240, 240, 240]))
})

test("what is not known is small and faint, below all others, until it is selected", () => {
  const both = points([0, 0, 1], [0, 0, 1], [1, 255, 255], [0, 0, 1])
  const faintly = { faint: 255, faintRadius: 1, faintColor: raster.packed([180, 180, 180]) }
  const at = painted(both, faintly)
  assert.equal(at(20, 20), hue(1))
  assert.equal(at(30, 10), raster.packed([180, 180, 180]))
  assert.equal(at(32, 8), raster.packed([255, 255, 255]))
  const chosen = painted(both, { ...faintly, onlySelected: true })
  assert.equal(chosen(30, 10), hue(255))
  assert.equal(chosen(32, 8), raster.packed([255, 255, 255]))
})

test("the band has rings, above all other points", () => {
  const both = points([0, 0.1], [0, 0], [1, 2], [2, 0])
  const at = painted(both, { ringed: true })
  assert.equal(at(20, 20), hue(1))
  assert.equal(at(20, 17), raster.packed([0, 0, 0]))
  assert.notEqual(painted(both)(20, 17), raster.packed([0, 0, 0]))
})

// --- areas ------------------------------------------------------------------------------------------------------------

const square = [0, 0, 4, 0, 4, 4, 0, 4]

test("inside is what the line goes around, whichever way it was drawn", () => {
  const reversed = [0, 4, 4, 4, 4, 0, 0, 0]
  for (const corners of [square, reversed]) {
    assert.notEqual(area.winding(corners, 2, 2), 0)
    assert.equal(area.winding(corners, 5, 2), 0)
    assert.equal(area.winding(corners, 2, -1), 0)
  }
})

test("a loop drawn over itself holds its middle", () => {
  const twice = [...square, 0, 0, 4, 0, 4, 4, 0, 4]
  assert.equal(Math.abs(area.winding(twice, 2, 2)), 2)
  const star = [0, 3, 2, -3, -3, 1, 3, 1, -2, -3]
  assert.notEqual(area.winding(star, 0, 0), 0)
})

test("two areas that touch share no point and leave none out", () => {
  const right = [4, 0, 8, 0, 8, 4, 4, 4]
  for (const [x, y] of [[4, 1], [4, 2], [4, 0], [3.999, 3]]) {
    assert.equal([square, right].filter(corners => area.winding(corners, x, y) !== 0).length, 1, `${x} ${y}`)
  }
})

test("points inside that may be taken are found; fewer than three corners hold nothing", () => {
  const [xs, ys] = [[1, 2, 9, NaN, 3], [1, 2, 9, NaN, 3]]
  assert.deepEqual(area.inside(square, xs, ys, () => true), [0, 1, 4])
  assert.deepEqual(area.inside(square, xs, ys, i => i !== 1), [0, 4])
  assert.deepEqual(area.inside([0, 0, 4, 4], xs, ys, () => true), [])
})

test("a hand's many corners become few, the shape stays", () => {
  const corners = Array.from({ length: 3000 }, (_, i) => [Math.cos(i / 477.5) * 100, Math.sin(i / 477.5) * 100]).flat()
  const few = area.simplified(corners, 2)
  assert.ok(few.length / 2 <= 400 && few.length / 2 > 50)
  for (const [x, y, there] of [[0, 0, true], [97, 0, true], [103, 0, false]]) assert.equal(area.winding(few, x, y) !== 0, there)
  assert.ok(area.simplified(corners, 0, 30).length / 2 <= 30)
  // the few corners an address holds enclose nearly the same: a star keeps its points, an edge needs no more than its ends
  const star = Array.from({ length: 400 }, (_, i) => {
    const far = i % 80 < 40 ? 1 + (i % 40) / 40 : 2 - (i % 40) / 40
    return [far * Math.cos((i / 400) * 2 * Math.PI), far * Math.sin((i / 400) * 2 * Math.PI)]
  }).flat()
  const kept = area.reduced(star, 40)
  assert.equal(kept.length, 80)
  assert.ok(Math.max(...kept.map((value, i) => Math.hypot(value, kept[i ^ 1]))) > 1.9)
  assert.deepEqual(area.reduced([0, 0, 1, 0, 2, 0, 2, 2, 0, 2], 4), [0, 0, 2, 0, 2, 2, 0, 2])
  assert.deepEqual(area.reduced([0, 0, 1, 0, 2, 2], 2), [0, 0, 1, 0, 2, 2])
  assert.deepEqual(area.rounded([1.23456, 0.00001], 100), [1.235, 0])
})

test("keys say what an area does: replace, add, take away", () => {
  assert.deepEqual(
    [{}, { shiftKey: true }, { altKey: true }, { shiftKey: true, altKey: true }].map(area.modeOf),
    ["replace", "add", "remove", "remove"],
  )
  const marks = Uint8Array.from([3, 2, 1, 0])
  area.marked(marks, [1, 3], "add")
  assert.deepEqual([...marks], [3, 3, 1, 1])
  area.marked(marks, [0, 2], "remove")
  assert.deepEqual([...marks], [2, 3, 0, 1])
  area.marked(marks, [2], "replace")
  assert.deepEqual([...marks], [2, 2, 1, 0])
})

// --- the nearest ------------------------------------------------------------------------------------------------------

test("the nearest points are those a search of all finds, nearest first", () => {
  let state = 7
  const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32
  const xs = Float32Array.from({ length: 3000 }, () => random() ** 4 * 100)
  const ys = Float32Array.from({ length: 3000 }, () => random() * 10)
  xs[5] = NaN
  const cells = nearest.createCells(xs, ys, frames.boundsOf(xs, ys))
  for (const [x, y, reach] of [[3, 5, 2], [90, 1, 4], [-50, -50, 60], [0, 0, 0.5]]) {
    const every = [...xs.keys()]
      .map(i => [(xs[i] - x) ** 2 + (ys[i] - y) ** 2, i])
      .filter(([apart, i]) => apart <= reach ** 2 && i % 3)
      .sort((a, b) => a[0] - b[0] || a[1] - b[1])
    assert.deepEqual(nearest.near(cells, xs, ys, x, y, reach, 9, i => i % 3), every.slice(0, 9).map(([, i]) => i))
  }
})

test("points in one place, on a line, or nowhere are no trouble", () => {
  const same = new Float32Array(50).fill(2)
  const line = Float32Array.from({ length: 50 }, (_, i) => i)
  for (const [xs, ys] of [[same, same], [line, same], [same, line]]) {
    const cells = nearest.createCells(xs, ys, frames.boundsOf(xs, ys))
    assert.deepEqual(nearest.near(cells, xs, ys, xs[0], ys[0], 0.5, 1, () => true), [0])
  }
  assert.equal(nearest.createCells([NaN], [NaN], null), null)
  assert.deepEqual(nearest.near(null, [NaN], [NaN], 0, 0, 1, 1, () => true), [])
})

test("the order of drawing holds every point once, mixes them, and is always the same", () => {
  const order = nearest.shuffledOrder(1000)
  assert.deepEqual([...order].sort((a, b) => a - b), [...Array(1000).keys()])
  assert.deepEqual([...order], [...nearest.shuffledOrder(1000)])
  const firstHalf = [...order.slice(0, 500)].filter(row => row < 500).length
  assert.ok(firstHalf > 200 && firstHalf < 300)
})

// --- words, pictures, keys --------------------------------------------------------------------------------------------

test("the legend counts every value, and what of it is selected", () => {
  const { all, selected } = legend.tally([0, 1, 1, 255], [1, 0, 3, 2])
  const header = { title: "class", names: ["a", "b", "none"], unknown: "not known", ramp: false }
  const entries = legend.legendEntries(header, { all, selected })
  assert.deepEqual(entries.map(({ name, count, selected: some }) => [name, count, some]), [["a", 1, 1], ["b", 2, 1], ["none", 0, 0], ["not known", 1, 0]])
  assert.equal(
    legend.spokenMap("UMAP", header, entries.slice(0, 2), 3, 2),
    "UMAP of the images. coloured by class. a: 1. b: 2. in the current band: 3. 2 circled",
  )
  assert.equal(legend.countText({ selected: 0, total: 6000 }), "6,000 images")
  assert.equal(legend.countText({ selected: 1200, total: 6000, noun: "val images" }), "1,200 of 6,000 val images circled")
  assert.equal(legend.showText(1), "Show the image circled")
  assert.equal(legend.showText(1200), "Show 1,200 images circled")
})

test("all values stand out until some are pressed", () => {
  assert.equal(legend.shownCodes(new Set()).reduce((sum, one) => sum + one, 0), 256)
  const shown = legend.shownCodes(new Set([2, 255]))
  assert.deepEqual([...shown.keys()].filter(code => shown[code]), [2, 255])
})

/** Pictures whose questions are answered by hand: {pictures, asked: [{rows, signal, answer(found), fail()}], came()}. */
function pictureBook(now = () => 0) {
  const asked = []
  let came = 0
  const load = (rows, signal) =>
    new Promise((resolve, reject) => {
      asked.push({ rows, signal, answer: () => resolve(Object.fromEntries(rows.map(row => [row, { url: `u${row}` }]))), fail: reject })
      signal.addEventListener("abort", () => reject(new Error("given up")))
    })
  return { pictures: cards.createPictures({ load, arrived: () => (came += 1), now }), asked, came: () => came }
}
const settle = () => new Promise(resolve => setTimeout(resolve))

test("the picture pointed at is asked for alone and once, its neighbours after it", async () => {
  const { pictures, asked, came } = pictureBook()
  pictures.ask([4, 5, 6])
  pictures.ask([4, 5, 6])
  assert.deepEqual(asked.map(each => each.rows), [[4]])
  asked[0].answer()
  await settle()
  assert.equal(pictures.get(4).url, "u4")
  assert.equal(came(), 1)
  assert.deepEqual(asked.map(each => each.rows), [[4], [5, 6]])
  asked[1].answer()
  await settle()
  pictures.ask([5, 4, 6])
  assert.equal(asked.length, 2, "all are there")
  pictures.ask([50, ...Array.from({ length: 100 }, (_, i) => 100 + i)])
  asked[2].answer()
  await settle()
  assert.equal(asked[3].rows.length, cards.PICTURES_AT_ONCE)
})

test("a question that nobody waits for is given up, and its answer counts no more", async () => {
  const { pictures, asked, came } = pictureBook()
  pictures.ask([4])
  pictures.ask([9])
  assert.ok(asked[0].signal.aborted)
  assert.ok(!asked[1].signal.aborted)
  asked[0].answer()
  asked[1].answer()
  await settle()
  assert.equal(pictures.get(4), null)
  assert.equal(pictures.get(9).url, "u9")
  pictures.ask([4])
  pictures.giveUp()
  assert.ok(asked[2].signal.aborted)
  await settle()
  assert.equal(came(), 1)
  pictures.ask([4])
  assert.equal(asked.length, 4, "giving up is no failure: it may be asked for again at once")
})

test("a question that failed is not repeated at once", async () => {
  let now = 0
  const { pictures, asked } = pictureBook(() => now)
  pictures.ask([4])
  asked[0].fail(new Error("404"))
  await settle()
  pictures.ask([4])
  assert.equal(asked.length, 1)
  now = 3000
  pictures.ask([4])
  assert.equal(asked.length, 2)
})

test("pictures used last are kept, others go, and all with what they told of", async () => {
  const { pictures, asked } = pictureBook()
  for (let row = 0; row < 700; row += 1) {
    pictures.get(0)
    pictures.ask([row])
    asked.at(-1).answer()
    await settle()
  }
  assert.equal(pictures.get(0).url, "u0")
  assert.equal(pictures.get(1), null)
  assert.equal(pictures.get(699).url, "u699")
  pictures.forget()
  assert.equal(pictures.get(699), null)
})

test("the card stands beside its point and inside the stage", () => {
  const [card, stage] = [{ width: 170, height: 190 }, { width: 400, height: 300 }]
  assert.deepEqual(cards.cardPlace({ left: 50, top: 150 }, card, stage), { x: 64, y: 55 })
  for (const spot of [{ left: 390, top: 5 }, { left: 5, top: 299 }, { left: 200, top: 150 }]) {
    const { x, y } = cards.cardPlace(spot, card, stage)
    assert.ok(x >= 0 && x + card.width <= stage.width && y >= 0 && y + card.height <= stage.height)
    assert.ok(x >= spot.left || x + card.width <= spot.left, "it does not cover its point")
  }
})

test("keys mean the same with and without caps lock; with Ctrl they belong to the browser", () => {
  const meaning = (key, more = {}) => keys.keyMeaning({ key, ...more })
  assert.deepEqual(["l", "L", "b", "v", "0", "a", "Escape", " ", "Enter"].map(key => meaning(key)?.action), ["lasso", "lasso", "box", "move", "fit", "all", "escape", "point", "open"])
  assert.deepEqual(["+", "=", "-", "_"].map(key => meaning(key).action), ["in", "in", "out", "out"])
  assert.deepEqual(meaning("ArrowUp").step, [0, -8])
  assert.deepEqual(meaning("ArrowRight", { shiftKey: true }).step, [64, 0])
  assert.equal(meaning("a", { ctrlKey: true }), null)
  assert.equal(meaning("F5"), null)
  assert.equal(meaning("toString"), null)
})
