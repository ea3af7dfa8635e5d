// The component: the band, what moves it, and what Python is told. Streamlit calls `bandStrip` when `data` changes.
// Inside, the band is kept in places on the axis; Python hears activations.

const KEYBOARD_REPORT_MS = 250
const BRUSH_THRESHOLD_PX = { mouse: 4, pen: 5, touch: 8 }
const TAP_TOOLTIP_MS = 2500
const HEAD_LINE = 24
const NARROW_PX = 640
const LEGEND_BESIDE = 4 // with more entries the legend has a line of its own

const strips = new WeakMap()
let stripNumber = 0

export default function bandStrip({ data, parentElement, setStateValue }) {
  if (!data) return undefined
  if (!strips.has(parentElement)) strips.set(parentElement, createStrip(parentElement))
  const strip = strips.get(parentElement)
  strip.update(data, setStateValue)
  return () => {
    strip.leave()
    strips.delete(parentElement)
  }
}

function createStrip(parentElement) {
  const root = parentElement.querySelector(".strip-root")
  const part = name => root.querySelector(`.${name}`)
  const [plot, windowPart, countText, tip, column, announcer] = ["plot", "window", "count", "tip", "column", "announcer"].map(part)
  const handles = { low: root.querySelector("[data-end=low]"), high: root.querySelector("[data-end=high]") }
  const clipId = `midband-band-${(stripNumber += 1)}`
  root.querySelector("clipPath").id = clipId
  part("hint").id = `${clipId}-keys`
  for (const slider of root.querySelectorAll("[role=slider]")) slider.setAttribute("aria-describedby", `${clipId}-keys`)
  const clip = root.querySelector("clipPath rect")
  const numbers = new Intl.NumberFormat("en")

  let data = null
  let send = () => {}
  let axis = createAxis([0, 1], null)
  let given = { low: 0, high: 1 } // as Python gave it: {low, high} in activations
  let band = { low: 0, high: 1 } // in places
  let limits = { start: 0, end: 1 }
  let steps = { place: 1, value: 1 }
  let box = null // {scale, top, bottom, magnification} of the plot as drawn
  let look = { colors: [], font: "sans-serif", first: -1 }
  let drag = null
  let unanswered = 0 // the move that Python has not answered yet
  let exact = true // the count Python gave is that of the band shown
  let said = "" // what the live region said last
  let frame = 0
  let timer = 0 // of a band moved by keys that Python has not been told yet
  let tapTimer = 0
  let lastSize = ""

  // --- drawing -------------------------------------------------------------------------------------------------

  function layOut() {
    const narrow = root.clientWidth < NARROW_PX
    root.classList.toggle("narrow", narrow)
    root.classList.toggle("two-lines", narrow || data.classes.length > LEGEND_BESIDE)
    // a page that is short of height asks for less
    root.style.height = `calc(${data.height + (narrow ? HEAD_LINE : 0)}px - var(--midband-strip-less, 0px))`
  }

  function drawStill() {
    if (!root.clientWidth || !data) return
    layOut()
    const [width, height] = [plot.clientWidth, plot.clientHeight]
    lastSize = `${width} ${height}`
    box = drawPlot(part("still"), data, axis, look, width, height, clipId)
    hideTip()
    drawLegend()
    drawBand()
  }

  function drawBand() {
    frame = 0
    if (!box) return
    // whole pixels: lines and numbers stay sharp
    const [left, right] = [band.low, band.high].map(place => Math.round(box.scale.toPx(place)))
    const tall = `${box.bottom - box.top}px`
    const wide = Math.max(0, right - left)
    clip.setAttribute("x", left)
    clip.setAttribute("width", wide)
    const style = { transform: `translateX(${left}px)`, top: `${box.top}px`, width: `${wide}px`, height: tall }
    Object.assign(windowPart.style, style)
    for (const [end, px] of [["low", left], ["high", right]]) {
      Object.assign(handles[end].style, { transform: `translateX(${px}px)`, top: `${box.top}px`, height: tall })
      writeEnd(handles[end].querySelector(".value"), end)
      setSlider(handles[end], band[end], spoken(end))
    }
    spreadValues(left, right)
    setSlider(windowPart, (band.low + band.high) / 2, `from ${spoken("low")} to ${spoken("high")}`)
    drawCount()
  }

  function writeEnd(number, end) {
    number.textContent = writePlace(placeOf(end))
    if (data.tickFormat === "value" || root.classList.contains("narrow")) return
    const too = document.createElement("span")
    too.className = "value-too"
    too.textContent = writeValue(activation(end))
    number.append(too)
  }

  /** Where an end stands; between two edges the axis is only nearly true, so what Python counted goes first. */
  const placeOf = end => (exact && data.ends ? data.ends[end === "low" ? 0 : 1] : band[end])
  const writePlace = place => formatPlace(place, steps.place, data.tickFormat)
  const writeValue = value => formatValue(value, steps.value)
  const spoken = end => spokenPlace(placeOf(end), activation(end), steps, data.tickFormat)

  /** Push the two numbers apart where the handles are too near each other, and in from the strip's ends. */
  function spreadValues(left, right) {
    const [a, b] = ["low", "high"].map(end => handles[end].querySelector(".value"))
    const [wa, wb] = [a.offsetWidth, b.offsetWidth]
    const overlap = Math.max(0, (wa + wb) / 2 + 2 - (right - left))
    const width = plot.clientWidth
    const nudgeLow = Math.max(-left + wa / 2, -overlap / 2)
    const nudgeHigh = Math.min(width - right - wb / 2, overlap / 2)
    const low = Math.min(nudgeLow, nudgeHigh + right - left - (wa + wb) / 2 - 2)
    const high = Math.max(nudgeHigh, nudgeLow + left - right + (wa + wb) / 2 + 2)
    a.style.setProperty("--nudge", `${low}px`)
    b.style.setProperty("--nudge", `${high}px`)
    // a number of the axis that would look out from under them
    const covers = [[left + low, wa], [right + high, wb]]
    for (const tick of root.querySelectorAll(".tick")) {
      const [x, half] = [Number(tick.getAttribute("x")), tick.textContent.length * 3.5 + 4]
      const hidden = covers.some(([middle, wide]) => Math.abs(x - middle) < half + wide / 2)
      tick.style.visibility = hidden ? "hidden" : ""
    }
  }

  function setSlider(element, place, text) {
    const attributes = {
      valuemin: limits.start,
      valuemax: limits.end,
      valuenow: rounded(place, steps.place),
      valuetext: text,
    }
    for (const [name, now] of Object.entries(attributes)) element.setAttribute(`aria-${name}`, now)
  }

  function inBand() {
    return exact && data.count !== null ? data.count : estimate(data.places, data.totals, band.low, band.high)
  }

  function drawCount() {
    const known = exact && data.count !== null
    const number = inBand()
    const strong = document.createElement("b")
    strong.textContent = `${known ? "" : "≈ "}${numbers.format(number)}`
    const share = document.createElement("span")
    share.className = "share"
    share.textContent = data.total ? ` · ${writeShare(number / data.total)}` : ""
    countText.replaceChildren(strong, ` of ${numbers.format(data.total)} images`, share)
  }

  const writeShare = share => `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)}%`

  function drawLegend() {
    const entries = data.classes.map((name, row) => {
      const entry = document.createElement("button")
      entry.type = "button"
      entry.className = "entry"
      entry.append(named(name))
      entry.style.setProperty("--class-color", look.colors[row])
      entry.setAttribute("aria-pressed", String(look.first === row))
      entry.onclick = () => bringForward(look.first === row ? -1 : row)
      return entry
    })
    if (data.highlight) {
      const entry = document.createElement("span")
      entry.className = "entry subset-entry"
      const times = box.magnification > 1 ? ` (drawn ${box.magnification}× as high)` : ""
      entry.append(named(`${data.highlightLabel || "highlighted"}${times}`))
      entries.push(entry)
    }
    const focused = [...part("legend").children].indexOf(parentElement.activeElement)
    part("legend").replaceChildren(...(data.classes.length > 1 || data.highlight ? entries : []))
    part("legend").children[focused]?.focus({ preventScroll: true })
    fadeLegend()
  }

  function named(text) {
    const name = document.createElement("span")
    name.className = "entry-name"
    name.textContent = text
    return name
  }

  /** More entries than fit: the last one fades, until somebody scrolls there. */
  function fadeLegend() {
    const legend = part("legend")
    legend.classList.toggle("more", legend.scrollLeft + legend.clientWidth < legend.scrollWidth - 4)
  }

  /** One value stands on the axis, the others pale above it: its own shape can be read. */
  function bringForward(row) {
    look = { ...look, first: row }
    drawStill()
  }

  /** Tell a screen reader, once Python has counted. */
  function announce() {
    if (!exact || data.count === null) return
    const range = data.tickFormat === "value" ? "" : ` (${writePlace(placeOf("low"))} to ${writePlace(placeOf("high"))})`
    const values = `${writeValue(activation("low"))} to ${writeValue(activation("high"))}${range}`
    const text = `Band ${values}: ${numbers.format(data.count)} of ${numbers.format(data.total)} images`
    if (said && said !== text) announcer.textContent = text
    said = text
  }

  // --- the band ------------------------------------------------------------------------------------------------

  /** An end in activations; one that nobody moved is exactly what Python gave. */
  function activation(end) {
    if (band[end] === axis.toPlace(given[end])) return given[end]
    return Number(axis.toValue(band[end]).toPrecision(12))
  }

  function show(next) {
    const clean = place => Number(place.toPrecision(12)) // without the noise of binary sums
    const keep = end => (next[end] === band[end] ? band[end] : clean(next[end]))
    band = { low: keep("low"), high: keep("high") }
    exact = false
    if (!frame) frame = requestAnimationFrame(drawBand)
  }

  /** Round to steps a person can read, but never past the ends of the range. */
  function tidy(place) {
    return Math.min(limits.end, Math.max(limits.start, rounded(place, steps.place)))
  }

  function tell() {
    clearTimeout(timer)
    timer = 0
    const now = { low: activation("low"), high: activation("high") }
    if (data.low === now.low && data.high === now.high && !unanswered) {
      exact = true
      drawBand()
      return
    }
    // Rising across page loads too, so that Python can tell a new move from one it has seen.
    unanswered = Math.max(unanswered + 1, Date.now())
    given = now
    send("band", { move: unanswered, ...now })
  }

  function tellSoon() {
    clearTimeout(timer)
    timer = setTimeout(tell, KEYBOARD_REPORT_MS)
  }

  /** Keys moved the band and something else is about to happen: Python hears of it first. */
  function tellNow() {
    if (timer) tell()
  }

  function update(next, setStateValue) {
    send = setStateValue
    // a move begun on another direction means nothing on this one
    if (data && data.valueLabel !== next.valueLabel) {
      clearTimeout(timer)
      timer = 0
      if (drag) letGo()
    }
    const now = { low: activation("low"), high: activation("high") }
    const text = JSON.stringify({ ...next, low: 0, high: 0, count: 0, move: 0 })
    const colors = next.colors[isDark() ? "dark" : "light"]
    const redraw = text !== data?.text || String(colors) !== String(look.colors)
    const places = next.places ?? next.edges
    data = { ...next, text, places, totals: totalsOf(next.counts) }
    look = { colors, font: getComputedStyle(root).fontFamily, first: look.first < data.classes.length ? look.first : -1 }
    axis = createAxis(data.edges, next.places)
    limits = { start: places[0], end: places.at(-1) }
    steps = {
      place: niceStep((limits.end - limits.start) / 400),
      value: niceStep((data.edges.at(-1) - data.edges[0]) / 400),
    }
    // what the person is moving just now is not taken out of their hands
    if (data.move >= unanswered && !drag && !timer) {
      unanswered = 0
      given = { low: data.low, high: data.high }
      exact = true
    } else {
      given = now
    }
    band = { low: axis.toPlace(given.low), high: axis.toPlace(given.high) }
    root.hidden = false
    root.classList.toggle("fixed", !data.movable)
    for (const slider of [windowPart, handles.low, handles.high]) {
      slider.tabIndex = data.movable ? 0 : -1
      slider.setAttribute("aria-readonly", String(!data.movable))
    }
    root.setAttribute("aria-label", `Histogram of ${data.valueLabel}, ${numbers.format(data.total)} images`)
    part("value-name").textContent = data.valueLabel
    part("value-name").title = data.valueHelp
    part("axis-name").textContent = data.axisLabel
    if (redraw || !box) drawStill()
    else drawBand()
    announce()
  }

  function isDark() {
    const [red, green, blue] = getComputedStyle(root).backgroundColor.match(/[\d.]+/g)?.map(Number) ?? [255, 255, 255]
    return red * 0.3 + green * 0.6 + blue * 0.1 < 128
  }

  // --- mouse and touch -----------------------------------------------------------------------------------------

  const pixelOf = event => event.clientX - plot.getBoundingClientRect().left
  const placeAt = event => box.scale.toValue(pixelOf(event))

  plot.onpointerdown = event => {
    if (event.button !== 0 || !box || drag) return
    if (!data.movable) {
      if (event.pointerType !== "mouse") tapped(event)
      return
    }
    const reach = event.pointerType === "mouse" ? 12 : 24
    const grip = event.shiftKey
      ? "brush"
      : gripAt(pixelOf(event), box.scale.toPx(band.low), box.scale.toPx(band.high), reach)
    drag = { grip, from: placeAt(event), startX: event.clientX, start: band, moved: false, pointer: event.pointerId }
    plot.setPointerCapture(event.pointerId)
    plot.classList.toggle("moving", grip === "window")
    const held = grip === "window" ? windowPart : handles[grip]
    held?.classList.add("held")
    held?.focus({ preventScroll: true })
    hideTip()
    event.preventDefault()
  }
  plot.onpointermove = event => {
    if (!drag) {
      if (event.pointerType === "mouse") showTip(event)
      return
    }
    if (event.pointerId !== drag.pointer) return
    const threshold = drag.grip === "brush" ? (BRUSH_THRESHOLD_PX[event.pointerType] ?? 4) : 1
    if (!drag.moved && Math.abs(event.clientX - drag.startX) < threshold) return
    drag.moved = true
    const place = placeAt(event)
    if (drag.grip === "brush") show(brushed(tidy(drag.from), tidy(place), limits, steps.place))
    else if (drag.grip === "window") show(tidyWindow(shifted(drag.start, place - drag.from, limits)))
    else show(withEnd(band, drag.grip, tidy(place + (drag.start[drag.grip] - drag.from)), limits, steps.place))
  }
  function tidyWindow(moved) {
    const low = tidy(moved.low)
    return shifted({ low, high: low + (drag.start.high - drag.start.low) }, 0, limits)
  }
  function letGo() {
    drag = null
    plot.classList.remove("moving")
    for (const held of root.querySelectorAll(".held")) held.classList.remove("held")
  }
  plot.onpointerup = event => {
    if (!drag || event.pointerId !== drag.pointer) return
    const { moved } = drag
    letGo()
    if (moved) tell()
    else if (event.pointerType !== "mouse") tapped(event)
  }
  function tapped(event) {
    showTip(event)
    clearTimeout(tapTimer)
    tapTimer = setTimeout(hideTip, TAP_TOOLTIP_MS)
  }
  // the page scrolls after all, or Escape was pressed: nothing was meant
  function giveUp() {
    const { start, moved } = drag
    letGo()
    if (!moved) return
    band = start
    exact = !unanswered && !timer
    drawBand()
  }
  plot.onpointercancel = event => drag && event.pointerId === drag.pointer && giveUp()
  plot.onpointerleave = event => event.pointerType === "mouse" && !drag && hideTip()

  // --- the bin under the pointer -------------------------------------------------------------------------------

  function showTip(event) {
    const y = event.clientY - plot.getBoundingClientRect().top
    const x = pixelOf(event)
    const [start, end] = [limits.start, limits.end].map(box.scale.toPx)
    if (y < box.top || y > box.bottom || x < start || x > end) return hideTip()
    const bin = binAt(data.places, placeAt(event))
    const [left, right] = [data.places[bin], data.places[bin + 1]].map(place => Math.round(box.scale.toPx(place)))
    const style = { transform: `translateX(${left}px)`, top: `${box.top}px`, height: `${box.bottom - box.top}px` }
    Object.assign(column.style, style, { width: `${right - left}px` })
    column.hidden = false
    if (tip.hidden || tip.dataset.bin !== String(bin)) {
      showFacts(tip, binFacts(data, bin, band, inBand(), writeValue), look.colors, left, right, {
        width: plot.clientWidth,
        narrow: root.classList.contains("narrow"),
      })
      tip.dataset.bin = bin
    }
    return undefined
  }

  function hideTip() {
    tip.hidden = true
    column.hidden = true
  }

  // --- keys ----------------------------------------------------------------------------------------------------

  function move(part, event) {
    const by = { small: steps.place * 2, large: steps.place * 20 }
    const next = keyed(band, part, event, by, limits, steps.place)
    if (!next) return
    event.preventDefault()
    hideTip()
    if (next.low === band.low && next.high === band.high) return
    show(next)
    tellSoon()
  }

  root.onkeydown = event => {
    event.stopPropagation() // Streamlit's own shortcuts (r, c) must not fire from here
    if (event.key === "Escape" && drag) giveUp()
    if (drag || !data.movable || event.altKey || event.ctrlKey || event.metaKey) return
    if (event.target === windowPart) move("window", event)
    else if (event.target.closest?.(".handle")) move(event.target.closest(".handle").dataset.end, event)
  }

  const onPageKey = event => {
    if (event.key === "Escape" && drag) giveUp()
    if (drag || event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey) return
    if (!data?.primary || !data.movable || (event.key !== "ArrowLeft" && event.key !== "ArrowRight")) return
    if (keysAreFree(document) && root.getClientRects().length) move("window", event)
  }
  document.addEventListener("keydown", onPageKey)
  document.addEventListener("pointerdown", tellNow, true)

  part("legend").onscroll = fadeLegend
  const watcher = new ResizeObserver(() => `${plot.clientWidth} ${plot.clientHeight}` !== lastSize && drawStill())
  watcher.observe(root)
  // labels are measured: once more, when the page's font has come
  if (document.fonts.status !== "loaded") document.fonts.ready.then(drawStill)

  return {
    update,
    leave() {
      tellNow()
      document.removeEventListener("keydown", onPageKey)
      document.removeEventListener("pointerdown", tellNow, true)
      watcher.disconnect()
      cancelAnimationFrame(frame)
      clearTimeout(tapTimer)
    },
  }
}
