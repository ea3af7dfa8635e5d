// What stands still while the band moves: bars, axis, markers, the preset's shade. Drawn once per data and width.

const LABEL_ROW = 15
const AXIS_HEIGHT = 20
const EDGE = 13 // room at both ends for half a handle

/** An SVG element with attributes. */
export function drawn(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  made.append(...children)
  return made
}

/** Draw the plot into `svg`; returns the scale and the box of the bars {top, bottom}. */
export function drawPlot(svg, data, width, height, clipId) {
  const { edges } = data
  const scale = createScale(edges[0], edges.at(-1), EDGE, width - 2 * EDGE)
  const labels = labelsOf(data, scale)
  const places = placeLabels(labels.map(label => ({ x: label.x, width: textWidth(label.text) })), width, 2)
  const rows = Math.max(0, ...places.map(place => place.row + 1))
  const top = rows * LABEL_ROW + 3
  const bottom = height - AXIS_HEIGHT
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`)
  svg.replaceChildren(
    ...presetShade(data.preset, scale, top, bottom),
    bars(data, scale, top, bottom, { class: "bars dim" }),
    bars(data, scale, top, bottom, { class: "bars", "clip-path": `url(#${clipId})` }),
    ...axis(data, scale, width, bottom),
    ...labels.flatMap((label, index) => markerLine(label, places[index], top, bottom)),
    ...labels.flatMap((label, index) => labelText(label, places[index])),
  )
  return { scale, top, bottom }
}

function labelsOf({ markers, preset, edges }, scale) {
  const labels = markers.map(marker => ({ x: scale.toPx(marker.value), text: marker.label, tick: true }))
  if (preset && preset.high > edges[0] && preset.low < edges.at(-1)) {
    const [low, high] = presetEnds(preset, edges)
    labels.push({ x: (scale.toPx(low) + scale.toPx(high)) / 2, text: preset.label, tick: false })
  }
  return labels
}

function presetEnds(preset, edges) {
  return [Math.max(preset.low, edges[0]), Math.min(preset.high, edges.at(-1))]
}

function presetShade(preset, scale, top, bottom) {
  if (!preset) return []
  const [left, right] = [scale.toPx(preset.low), scale.toPx(preset.high)]
  return [drawn("rect", { class: "preset", x: left, y: top, width: Math.max(0, right - left), height: bottom - top })]
}

function bars(data, scale, top, bottom, attributes) {
  const lefts = data.edges.map(edge => Math.round(scale.toPx(edge)))
  const group = drawn("g", attributes)
  for (const bar of stack(data.counts, bottom - top)) {
    const room = lefts[bar.bin + 1] - lefts[bar.bin]
    const wide = Math.max(1, room > 3 ? room - 1 : room)
    group.append(
      drawn("rect", {
        x: lefts[bar.bin],
        y: top + bar.y,
        width: wide,
        height: bar.height,
        fill: data.colors[bar.row],
      }),
    )
  }
  return group
}

function axis(data, scale, width, bottom) {
  const [start, end] = [data.edges[0], data.edges.at(-1)]
  const values = ticks(start, end, Math.max(2, Math.min(10, width / 90)))
  const step = values.length > 1 ? values[1] - values[0] : end - start
  return [
    drawn("line", { class: "axis", x1: 0, x2: width, y1: bottom + 0.5, y2: bottom + 0.5 }),
    ...values.map(value =>
      drawn("text", { class: "tick", x: scale.toPx(value), y: bottom + 15 }, formatValue(value, step)),
    ),
  ]
}

function markerLine(label, place, top, bottom) {
  if (!label.tick) return []
  const from = place.row < 0 ? top : (place.row + 1) * LABEL_ROW
  return [drawn("line", { class: "marker", x1: label.x, x2: label.x, y1: from, y2: bottom })]
}

/** A label that found no room is left out: its line still stands, and its number is on the axis. */
function labelText(label, place) {
  if (place.row < 0) return []
  const kind = label.tick ? "marker-label" : "preset-label"
  return [drawn("text", { class: kind, x: place.left, y: place.row * LABEL_ROW + 11 }, label.text)]
}

let ruler = null
function textWidth(text) {
  ruler ??= document.createElement("canvas").getContext("2d")
  ruler.font = "500 12px sans-serif"
  return ruler.measureText(text).width + 2
}
