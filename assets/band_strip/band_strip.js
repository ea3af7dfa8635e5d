// The component: the band, what moves it, and what Python is told. Streamlit calls `bandStrip` when `data` changes.

const KEYBOARD_REPORT_MS = 250
const BRUSH_THRESHOLD_PX = 4
const LEGEND_ENTRIES = 8
const HEAD_HEIGHT = 24

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
  const [plot, windowPart, countText] = ["plot", "window", "count"].map(part)
  const handles = { low: root.querySelector("[data-end=low]"), high: root.querySelector("[data-end=high]") }
  const clipId = `midband-band-${(stripNumber += 1)}`
  root.querySelector("clipPath").id = clipId
  const clip = root.querySelector("clipPath rect")
  const numbers = new Intl.NumberFormat("en")

  let data = null
  let send = () => {}
  let band = { low: 0, high: 1 }
  let limits = { start: 0, end: 1 }
  let step = 1
  let totals = []
  let box = null // {scale, top, bottom} of the plot as drawn
  let drag = null
  let unanswered = 0 // the move that Python has not answered yet
  let exact = true // the count Python gave is that of the band shown
  let frame = 0
  let timer = null
  let lastWidth = 0

  // --- drawing -------------------------------------------------------------------------------------------------

  function drawStill() {
    const width = plot.clientWidth
    const height = plot.clientHeight
    if (!width || !data) return
    lastWidth = width
    box = drawPlot(part("still"), data, width, height, clipId)
    drawBand()
  }

  function drawBand() {
    frame = 0
    if (!box) return
    // whole pixels: lines and numbers stay sharp
    const [left, right] = [band.low, band.high].map(value => Math.round(box.scale.toPx(value)))
    const tall = `${box.bottom - box.top}px`
    clip.setAttribute("x", left)
    clip.setAttribute("width", Math.max(0, right - left))
    Object.assign(windowPart.style, {
      transform: `translateX(${left}px)`,
      top: `${box.top}px`,
      width: `${Math.max(0, right - left)}px`,
      height: tall,
    })
    for (const [end, px] of [["low", left], ["high", right]]) {
      Object.assign(handles[end].style, { transform: `translateX(${px}px)`, top: `${box.top}px`, height: tall })
      handles[end].querySelector(".value").textContent = formatValue(band[end], step)
      setSlider(handles[end], band[end], formatValue(band[end], step))
    }
    spreadValues(left, right)
    setSlider(
      windowPart,
      (band.low + band.high) / 2,
      `from ${formatValue(band.low, step)} to ${formatValue(band.high, step)}`,
    )
    drawCount()
  }

  /** Push the two numbers apart where the handles are too near each other, and in from the strip's ends. */
  function spreadValues(left, right) {
    const [a, b] = ["low", "high"].map(end => handles[end].querySelector(".value"))
    const [wa, wb] = [a.offsetWidth, b.offsetWidth]
    const overlap = Math.max(0, (wa + wb) / 2 + 2 - (right - left))
    const width = lastWidth
    const nudgeLow = Math.max(-left + wa / 2, -overlap / 2)
    const nudgeHigh = Math.min(width - right - wb / 2, overlap / 2)
    a.style.setProperty("--nudge", `${Math.min(nudgeLow, nudgeHigh + right - left - (wa + wb) / 2 - 2)}px`)
    b.style.setProperty("--nudge", `${Math.max(nudgeHigh, nudgeLow + left - right + (wa + wb) / 2 + 2)}px`)
  }

  function setSlider(element, value, text) {
    const attributes = { valuemin: limits.start, valuemax: limits.end, valuenow: rounded(value, step), valuetext: text }
    for (const [name, now] of Object.entries(attributes)) element.setAttribute(`aria-${name}`, now)
  }

  function drawCount() {
    const known = exact && data.count !== null
    const number = known ? data.count : estimate(data.edges, totals, band.low, band.high)
    const strong = document.createElement("b")
    strong.textContent = `${known ? "" : "≈ "}${numbers.format(number)}`
    countText.replaceChildren(strong, ` of ${numbers.format(data.total)} ${data.noun}`)
  }

  function drawLegend() {
    part("value-label").textContent = data.valueLabel
    const entries = data.classes.slice(0, LEGEND_ENTRIES).map((name, index) => {
      const entry = document.createElement("span")
      entry.className = "entry"
      entry.textContent = name
      entry.style.setProperty("--class-color", data.colors[index])
      return entry
    })
    const more = data.classes.length - entries.length
    part("legend").replaceChildren(...entries, ...(more > 0 ? [`and ${more} more`] : []))
  }

  // --- the band ------------------------------------------------------------------------------------------------

  function show(next) {
    const clean = value => Number(value.toPrecision(12)) // without the noise of binary sums
    band = { low: clean(next.low), high: clean(next.high) }
    exact = false
    if (!frame) frame = requestAnimationFrame(drawBand)
  }

  /** Round to steps a person can read, but never past the ends of the range. */
  function tidy(value) {
    return Math.min(limits.end, Math.max(limits.start, rounded(value, step)))
  }

  function tell() {
    clearTimeout(timer)
    if (data.low === band.low && data.high === band.high && !unanswered) {
      exact = true
      drawBand()
      return
    }
    // Rising across page loads too, so that Python can tell a new move from one it has seen.
    unanswered = Math.max(unanswered + 1, Date.now())
    send("band", { move: unanswered, low: band.low, high: band.high })
  }

  function update(next, setStateValue) {
    send = setStateValue
    const redraw = !data || changed(data, next, ["edges", "counts", "colors", "markers", "preset", "height"])
    data = next
    limits = { start: data.edges[0], end: data.edges.at(-1) }
    step = niceStep((limits.end - limits.start) / 400)
    totals = totalsOf(data.counts)
    root.hidden = false
    plot.style.height = `${data.height - HEAD_HEIGHT}px`
    if (data.move >= unanswered && !drag) {
      unanswered = 0
      band = { low: data.low, high: data.high }
      exact = true
    }
    drawLegend()
    if (redraw) drawStill()
    else drawBand()
  }

  function changed(before, after, names) {
    return names.some(name => JSON.stringify(before[name]) !== JSON.stringify(after[name]))
  }

  // --- mouse and touch -----------------------------------------------------------------------------------------

  const valueAt = event => box.scale.toValue(event.clientX - plot.getBoundingClientRect().left)

  plot.onpointerdown = event => {
    if (event.button !== 0 || !box || drag) return
    const x = event.clientX - plot.getBoundingClientRect().left
    const reach = event.pointerType === "mouse" ? 12 : 22
    const grip = event.shiftKey ? "brush" : gripAt(x, box.scale.toPx(band.low), box.scale.toPx(band.high), reach)
    drag = { grip, from: valueAt(event), startX: event.clientX, start: band, moved: false, pointer: event.pointerId }
    plot.setPointerCapture(event.pointerId)
    plot.classList.toggle("moving", grip === "window")
    const part = grip === "window" ? windowPart : handles[grip]
    part?.classList.add("held")
    part?.focus({ preventScroll: true })
    event.preventDefault()
  }
  plot.onpointermove = event => {
    if (!drag || event.pointerId !== drag.pointer) return
    if (!drag.moved && Math.abs(event.clientX - drag.startX) < (drag.grip === "brush" ? BRUSH_THRESHOLD_PX : 1)) return
    drag.moved = true
    const value = valueAt(event)
    if (drag.grip === "brush") show(brushed(tidy(drag.from), tidy(value), limits, step))
    else if (drag.grip === "window") show(tidyWindow(shifted(drag.start, value - drag.from, limits)))
    else show(withEnd(band, drag.grip, tidy(value + (drag.start[drag.grip] - drag.from)), limits, step))
  }
  function tidyWindow(moved) {
    const low = tidy(moved.low)
    return shifted({ low, high: low + (drag.start.high - drag.start.low) }, 0, limits)
  }
  const release = event => {
    if (!drag || event.pointerId !== drag.pointer) return
    const { moved } = drag
    drag = null
    plot.classList.remove("moving")
    for (const held of root.querySelectorAll(".held")) held.classList.remove("held")
    if (moved) tell()
  }
  plot.onpointerup = release
  plot.onpointercancel = release

  // --- keys ----------------------------------------------------------------------------------------------------

  root.onkeydown = event => {
    event.stopPropagation() // Streamlit's own shortcuts (r, c) must not fire from here
    const end = event.target.closest?.(".handle")?.dataset.end
    const onWindow = event.target === windowPart
    if (!end && !onWindow) return
    const direction = { ArrowRight: 1, ArrowUp: 1, PageUp: 1, ArrowLeft: -1, ArrowDown: -1, PageDown: -1 }[event.key]
    const large = event.shiftKey || event.key.startsWith("Page")
    const jump = { Home: limits.start, End: limits.end }[event.key]
    if (direction === undefined && jump === undefined) return
    event.preventDefault()
    const by = (direction ?? 0) * step * (large ? 20 : 2)
    if (end) show(withEnd(band, end, jump ?? tidy(band[end] + by), limits, step))
    else show(shifted(band, jump === undefined ? by : jump < band.low ? jump - band.low : jump - band.high, limits))
    clearTimeout(timer)
    timer = setTimeout(tell, KEYBOARD_REPORT_MS)
  }

  const watcher = new ResizeObserver(() => plot.clientWidth !== lastWidth && drawStill())
  watcher.observe(plot)

  return {
    update,
    leave() {
      watcher.disconnect()
      cancelAnimationFrame(frame)
      clearTimeout(timer)
    },
  }
}
