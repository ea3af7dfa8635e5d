// What stands still while the band moves: bars, axes, markers, shades of presets. Drawn once per data and width.

const LABEL_ROWS = 2
const LABEL_ROW = 17
const LANES = 3 // brackets of presets, between the labels and the bars
const LANE = 4
const AXIS_HEIGHT = 22
const LEFT = 36 // room for the counts at the side, and for half a handle
const RIGHT = 13 // room for half a handle

/** An SVG element with attributes. */
export function drawn(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  made.append(...children)
  return made
}

/**
 * Draw the plot into `svg`. data: as Python gave it, with `places` and `totals` filled in. look: {colors, font: its
 * family, first: the row to bring to the front, or -1}. Returns {scale, top, bottom: of the bars, magnification: of the highlight}.
 */
export function drawPlot(svg, data, axis, look, width, height, clipId) {
  const { places } = data
  const scale = createScale(places[0], places.at(-1), LEFT, width - LEFT - RIGHT)
  const labels = labelsOf(data, axis, scale, look.font)
  const spots = placeLabels(labels, width, LABEL_ROWS)
  // the rows are there with the first label, so that another label moves nothing
  const top = labels.length ? LABEL_ROWS * LABEL_ROW + LANES * LANE + 3 : 8
  const bottom = height - AXIS_HEIGHT
  const bins = binHeights(data.totals, places, data.log)
  const magnification = data.highlight ? magnified(data.highlight, bins.dense, data.log) : 1
  const lefts = places.map(place => Math.round(scale.toPx(place)))
  const bars = barPaths(data, bins, look, lefts, top, bottom)
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`)
  svg.replaceChildren(
    ...shades(data.presets, axis, scale, top, bottom),
    ...countLines(data, bins, width, top, bottom),
    drawn("g", { class: "bars dim" }, ...bars()),
    drawn("g", { class: "bars", "clip-path": `url(#${clipId})` }, ...bars()),
    outline(bins.heights, lefts, top, bottom),
    ...(data.highlight ? subset(data.highlight, bins, magnification, data, lefts, top, bottom) : []),
    ...placeTicks(data, scale, width, bottom),
    ...labels.flatMap((label, index) => markerLine(label, spots[index], top, bottom)),
    ...labels.flatMap((label, index) => labelText(label, spots[index])),
    ...(data.totals.some(total => total) ? [] : [nothing(`No images to count`, width, top, bottom)]),
  )
  return { scale, top, bottom, magnification }
}

// --- labels, most important first ------------------------------------------------------------------------------------

function labelsOf({ markers, presets }, axis, scale, font) {
  const px = value => scale.toPx(axis.toPlace(value))
  const ofPreset = preset => {
    const [from, to] = [px(preset.low), px(preset.high)]
    return { x: (from + to) / 2, from, to, text: preset.label, kind: preset.active ? "preset-label" : "preset-label quiet" }
  }
  const ofMarker = ({ value, label, color }) => {
    const x = px(value)
    return { x, from: x, to: x, text: label, kind: "marker-label", line: true, color }
  }
  return [
    ...markers.slice(0, 1).map(ofMarker),
    ...presets.filter(preset => preset.active).map(ofPreset),
    ...markers.slice(1).map(ofMarker),
    ...presets.filter(preset => !preset.active).map(ofPreset),
  ].map(label => ({ ...label, width: textWidth(label.text, font) }))
}

function markerLine(label, spot, top, bottom) {
  if (!label.line) return []
  const from = spot.row < 0 ? top : (spot.row + 1) * LABEL_ROW
  const x = Math.round(label.x) + 0.5
  const ends = { x1: x, x2: x, y1: from, y2: bottom }
  const line = drawn("line", { class: "marker", ...ends })
  if (label.color) line.style.stroke = label.color
  return [drawn("line", { class: "marker-halo", ...ends }), line]
}

/** A label that found no room is left out: its line still stands, and the tooltip names it. */
function labelText(label, spot) {
  if (spot.row < 0) return []
  return [drawn("text", { class: label.kind, x: spot.left, y: spot.row * LABEL_ROW + 12 }, label.text)]
}

let ruler = null
function textWidth(text, font) {
  ruler ??= document.createElement("canvas").getContext("2d")
  ruler.font = `600 12px ${font}`
  return ruler.measureText(text).width + 2
}

// --- what lies behind the bars ---------------------------------------------------------------------------------------

/** Only the active preset is shaded in full; the others are brackets below each other, and a breath of colour. */
function shades(presets, axis, scale, top, bottom) {
  let quiet = 0
  return presets.flatMap(preset => {
    const [left, right] = [preset.low, preset.high].map(value => Math.round(scale.toPx(axis.toPlace(value))))
    const width = Math.max(1, right - left)
    const box = { x: left, y: top, width, height: bottom - top }
    if (preset.active) {
      const d = `M${left + 0.5} ${bottom}V${top + 0.5}H${left + width - 0.5}V${bottom}`
      return [drawn("rect", { class: "preset", ...box }), drawn("path", { class: "preset-edge", d })]
    }
    const y = top - 2.5 - LANE * (quiet++ % LANES)
    const d = `M${left + 0.5} ${y + 3}V${y}H${left + width - 0.5}V${y + 3}`
    return [drawn("rect", { class: "preset quiet", ...box }), drawn("path", { class: "preset-edge quiet", d })]
  })
}

/** Lines at round counts; bins of unequal width show densities, which have no round counts. */
function countLines(data, bins, width, top, bottom) {
  if (!bins.even || !bins.dense.some(count => count)) return []
  return countTicks(bins.highest, data.log).flatMap(count => {
    const y = Math.round(bottom - heightOf(count, bins.highest, data.log) * (bottom - top)) + 0.5
    return [
      drawn("line", { class: "count-line", x1: LEFT - 4, x2: width - RIGHT, y1: y, y2: y }),
      drawn("text", { class: "count-tick", x: LEFT - 8, y: y + 4 }, shortCount(count)),
    ]
  })
}

// --- bars ------------------------------------------------------------------------------------------------------------

/** A function that makes one path per row of counts, the row brought to the front standing on the axis. */
function barPaths(data, bins, look, lefts, top, bottom) {
  const order = data.counts.map((_, row) => row)
  if (look.first >= 0) order.unshift(...order.splice(look.first, 1))
  const paths = order.map(() => "")
  for (const bar of stack(order.map(row => data.counts[row]), bins.heights, bottom - top)) {
    const room = lefts[bar.bin + 1] - lefts[bar.bin]
    const wide = Math.max(1, room > 3 ? room - 1 : room)
    const from = Math.round(top + bar.y)
    const to = Math.round(top + bar.y + bar.height)
    // a hair of background between two values: their edge shows even where their colours look alike
    const tall = Math.max(1, to - from - (to < bottom && to - from > 3 ? 1 : 0))
    paths[bar.row] += `M${lefts[bar.bin]} ${from}h${wide}v${tall}h${-wide}Z`
  }
  return () =>
    paths.map((d, place) => {
      const faded = look.first >= 0 && place > 0
      return drawn("path", { class: faded ? "bar faded" : "bar", "data-row": order[place], d, fill: look.colors[order[place]] })
    })
}

/** The upper edge as runs of bins that hold anything: [[x, y] of their corners, ...] per run. */
function runs(heights, lefts, top, bottom) {
  const found = []
  heights.forEach((height, bin) => {
    if (!height) return
    const y = Math.round(bottom - height * (bottom - top)) + 0.5
    if (!bin || !heights[bin - 1]) found.push([[lefts[bin] + 0.5, bottom]])
    found.at(-1).push([lefts[bin] + 0.5, y], [lefts[bin + 1] + 0.5, y])
    if (!heights[bin + 1]) found.at(-1).push([lefts[bin + 1] + 0.5, bottom])
  })
  return found.map(corners => `M${corners.map(([x, y]) => `${x} ${y}`).join("L")}`).join("")
}

/** The upper edge of all bars: the shape stays clear where the bars are pale. */
function outline(heights, lefts, top, bottom) {
  return drawn("path", { class: "outline", d: runs(heights, lefts, top, bottom) })
}

function nothing(text, width, top, bottom) {
  return drawn("text", { class: "nothing", x: (LEFT + width - RIGHT) / 2, y: (top + bottom) / 2 + 4 }, text)
}

function subset(counts, bins, magnification, data, lefts, top, bottom) {
  const widths = counts.map((_, bin) => data.places[bin + 1] - data.places[bin])
  const mean = (data.places.at(-1) - data.places[0]) / counts.length
  const heights = counts.map((count, bin) => {
    const dense = (bins.even ? count : (count * mean) / widths[bin]) * magnification
    return count ? Math.max(2 / (bottom - top), heightOf(dense, bins.highest, data.log)) : 0
  })
  const d = runs(heights, lefts, top, bottom)
  return ["subset", "subset-halo", "subset-edge"].map(name => drawn("path", { class: name, d }))
}

// --- the axis --------------------------------------------------------------------------------------------------------

function placeTicks(data, scale, width, bottom) {
  const [start, end] = [data.places[0], data.places.at(-1)]
  const places = ticks(start, end, Math.max(2, Math.min(10, width / 72)))
  const step = places.length > 1 ? places[1] - places[0] : end - start
  return [
    drawn("line", { class: "axis", x1: LEFT - 4, x2: width - RIGHT, y1: bottom + 0.5, y2: bottom + 0.5 }),
    ...places.flatMap(place => {
      const x = Math.round(scale.toPx(place)) + 0.5
      return [
        drawn("line", { class: "axis", x1: x, x2: x, y1: bottom, y2: bottom + 4 }),
        drawn("text", { class: "tick", x, y: bottom + 16 }, formatPlace(place, step, data.tickFormat)),
      ]
    }),
  ]
}
