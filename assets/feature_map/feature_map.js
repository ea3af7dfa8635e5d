// The component: what Python sends, what is drawn, what a person does. Streamlit calls `featureMap` for where the map
// stands; messages come through `part.js`.

const mapStores = new Map()
const maps = new WeakMap()
const REST_MS = 30 // of the pointer before a picture is asked for
const VIEW_MS = 600 // of a view before the address takes it over
const REACH_PX = 12
const TOUCH_REACH_PX = 26
const DRAG_PX = 4
const CORNER_PX = 3
const MOST_CORNERS = 40 // of what is drawn: an address has room for no more
const FAINT_SIZE = 0.6 // of a point whose value is not known
const FRAME_MS = 20 // for a picture while something moves; fewer points are drawn if all take longer
const DOUBLE_MS = 350
const MOST_DENSITY = 2
const PAGE_BAR = 72 // pixels that the page's own bar takes at the top of the window
const SHOW_MS = 300 // before what is circled is looked for again, and how often
const SHOW_TIMES = 12
const BY_HAND = ["wheel", "touchmove"] // who scrolls is not led any further
const FIRST_LINES = 140 // pixels of what stands under the map that have to be seen

const ICONS = {
  move: "M8 2v12M2 8h12M6 4l2-2 2 2M6 12l2 2 2-2M4 6 2 8l2 2M12 6l2 2-2 2",
  lasso: "M5 11.5C3 10.800 2 9.300 2 7.500 2 4.700 4.700 3 8 3s6 1.700 6 4.500S11.300 12 8 12c-.6 0-1.200-.1-1.700-.2M4 12.200a1.500 1.500 0 1 0 3 0 1.500 1.500 0 0 0-3 0Zm.3 1.200c0 .8-.4 1.200-1.300 1.600",
  box: "M3 5V3h2M8 3h0M11 3h2v2M13 8v0M13 11v2h-2M8 13h0M5 13H3v-2M3 8v0",
  in: "M8 3v10M3 8h10",
  out: "M3 8h10",
  fit: "M2.500 6V2.500H6M10 2.500h3.500V6M13.500 10v3.500H10M6 13.500H2.500V10",
  keys: "M6 6.200a2 2 0 1 1 2.800 1.800c-.6.300-.8.700-.8 1.300M8 11.800v.1",
}
const EXPLAINED = {
  move: ["Move", "Drag to move the map. Key V"],
  lasso: ["Lasso", "Draw around points. Shift adds, Alt takes away. Key L"],
  box: ["Box", "Drag a box around points. Shift adds, Alt takes away. Key B"],
  in: ["Zoom in", "Key +"],
  out: ["Zoom out", "Key −"],
  fit: ["Show everything", "Key 0"],
  all: ["Circle all", "Of the values that stand out. Key A"],
  clear: ["Circle nothing", "Key Esc"],
  keys: ["Keyboard shortcuts"],
}

function mapStoreOf(key) {
  if (!mapStores.has(key)) {
    const store = { messages: {}, mounted: null, transmit: null, tell: null }
    store.pictures = createPictures({
      load: async (rows, signal) => {
        const answer = await fetch(`${store.messages.map.header.pictures}/${rows.join(",")}`, { signal })
        if (!answer.ok) throw new Error(answer.statusText)
        return answer.json()
      },
      arrived: () => store.mounted?.pictured(),
    })
    const client = Math.random().toString(36).slice(2) + Date.now().toString(36)
    store.outbox = createOutbox({ client, transmit: message => store.transmit?.(message) })
    mapStores.set(key, store)
  }
  return mapStores.get(key)
}

/** What `part.js` brought: a message, or where to tell the view. */
function receive({ data, setStateValue }) {
  const message = unpack(data)
  const { role, store: key } = message.header
  const store = mapStoreOf(key)
  if (role === "view") {
    store.tell = view => setStateValue("view", view)
    return
  }
  store.messages[role] = message
  store.mounted?.arrived()
}

const post = (globalThis.midbandMapPost ??= { waiting: [], deliver: null })
post.deliver = receive
for (const part of post.waiting.splice(0)) receive(part)

export default function featureMap({ data, parentElement, setStateValue }) {
  if (!data) return undefined
  const store = mapStoreOf(data.store)
  store.transmit = said => setStateValue("up", said)
  if (!maps.has(parentElement)) maps.set(parentElement, createMap(parentElement, store))
  const map = maps.get(parentElement)
  store.mounted = map
  map.update()
  return () => {
    map.leave()
    if (store.mounted === map) store.mounted = null
    maps.delete(parentElement)
  }
}

function createMap(parentElement, store) {
  parentElement.append(parentElement.querySelector(".markup").content.cloneNode(true))
  const root = parentElement.querySelector(".map-root")
  const part = name => root.querySelector(`.${name}`)
  const [stage, canvas, legend, countLine, card, announcer] = ["stage", "picture", "legend", "count", "card", "announcer"].map(part)
  const button = action => root.querySelector(`[data-action=${action}]`)
  const { outbox, pictures } = store

  let points = null // {layout, xs, ys, codes, marks, rows: of the points shown, total: images there are, count}
  let cells = null
  let colours = null // the message's header
  let bounds = null
  let whole = null // frame of everything, CSS pixels
  let frame = null
  let tool = "lasso"
  let pressed = new Set()
  let preview = null // a code that stands out while the pointer rests on its entry
  let rings = true
  let drag = null
  let late = false // places came while somebody drew
  let pinch = null
  const fingers = new Map()
  let cross = null // {left, top} of the keyboard's cross
  let walk = { at: null, order: [], step: -1 }
  let at = -1 // position of the point that the card is of
  let buffer = null // {context, image, pixels, density}
  let paintFrame = 0
  let cost = 0 // ms per point of the last picture
  let restTimer = 0
  let viewTimer = 0
  let settleTimer = 0
  let showTimer = 0
  let told = "" // the view that Python knows
  let palettes = null
  let lastClick = { when: 0, row: -1 }

  for (const [action, path] of Object.entries(ICONS)) button(action).append(icon(path))
  for (const [action, lines] of Object.entries(EXPLAINED)) describe(button(action), () => lines)
  const hideTooltip = installTooltip(root, part("tooltip"))
  const hintId = `midband-map-${outbox.client}`
  part("hint").id = hintId
  stage.setAttribute("aria-describedby", hintId)

  // --- what Python sends ---------------------------------------------------------------------------------------

  /** Take over whatever has come; messages arrive one after another and may not belong together yet. */
  function arrived() {
    const { points: places, colours: colour, map } = store.messages
    if (!places || !colour || !map) return
    const { header } = map
    if (places.header.layout !== header.layout || colour.header.colours !== header.colours) return
    const n = places.arrays.x.length
    if (colour.arrays.codes.length !== n) return
    const fresh = points?.message !== places
    // what is being drawn belongs to the points it is drawn around
    late = fresh && points !== null && drag !== null
    if (late) return
    if (fresh) takePlaces(places, n)
    const recoloured = fresh || colours !== colour.header
    if (recoloured) takeColours(colour, fresh)
    const marked = takeMarks(map)
    const reframed = fresh || !whole || root.hidden
    root.hidden = false
    if (fresh || !whole) layOut(header.view)
    // an answer that says what is drawn already costs nothing
    if (recoloured || marked || reframed || !palettes) drawAll()
  }

  function takePlaces(message, n) {
    const { x, y, shown } = message.arrays
    const rows = shuffledOrder(n).filter(row => bit(shown, row))
    const xs = Float32Array.from(rows, row => x[row])
    const ys = Float32Array.from(rows, row => y[row])
    const { layout, title, noun } = message.header
    if (points && points.total !== n) pictures.forget()
    points = { message, layout, title, noun, xs, ys, rows, total: n, count: rows.length }
    points.codes = new Uint8Array(points.count)
    points.marks = new Uint8Array(points.count)
    // of all images: the same place on screen, whoever is shown
    bounds = boundsOf(x, y)
    cells = null
    cross = null
    walk = { at: null, order: [], step: -1 }
    at = -1
    drawOver()
  }

  /** Nothing is drawn any more, and what came meanwhile is taken over. */
  function endDrag() {
    drag = null
    drawOver()
    if (late) arrived()
  }

  /** Made when somebody first points at the map: drawing needs none. */
  function cellsNow() {
    cells ??= createCells(points.xs, points.ys, bounds)
    return cells
  }

  function takeColours(message, fresh) {
    if (!fresh && colours?.colours !== message.header.colours) pressed = new Set()
    if (colours && colours.colours !== message.header.colours) pictures.forget()
    colours = message.header
    const known = new Set([...colours.names.keys(), 255])
    pressed = new Set([...pressed].filter(code => known.has(code)))
    for (let i = 0; i < points.count; i += 1) points.codes[i] = message.arrays.codes[points.rows[i]]
    preview = null
    palettes = null
  }

  function takeMarks({ header, arrays }) {
    outbox.acknowledge(header.ack)
    outbox.resume()
    // what was drawn since is shown as the browser counted it, until Python has answered
    const answered = !outbox.waiting.length
    let changed = header.bandLabel !== bandLabel
    bandLabel = header.bandLabel
    for (let i = 0; i < points.count; i += 1) {
      const row = points.rows[i]
      const selected = answered ? bit(arrays.selected, row) : points.marks[i] & 1
      const mark = selected | (bit(arrays.band, row) << 1)
      changed ||= mark !== points.marks[i]
      points.marks[i] = mark
    }
    return changed
  }

  // --- drawing -------------------------------------------------------------------------------------------------

  function isDark() {
    const [red, green, blue] = channels(getComputedStyle(root).backgroundColor)
    return red * 0.3 + green * 0.6 + blue * 0.1 < 128
  }

  function readPalettes() {
    const style = getComputedStyle(root)
    const background = channels(style.backgroundColor)
    const text = channels(style.color)
    const names = colours.colors[isDark() ? "dark" : "light"]
    const listed = [...Array(256).keys()].map(code => names[code === 255 ? names.length - 1 : Math.min(code, names.length - 1)])
    const rgb = listed.map(channels)
    palettes = {
      names: listed,
      background: packed(background),
      strong: Uint32Array.from(rgb, packed),
      faintColor: packed(mixed(rgb[255], background, 0.45)),
      pale: Uint32Array.from(rgb, color => packed(mixed(color, background, 0.2))),
      ring: packed(text),
      paleRing: packed(mixed(text, background, 0.28)),
    }
  }

  function layOut(view = null) {
    const [width, height] = [stage.clientWidth, stage.clientHeight]
    if (!width || !height || !points) return
    const before = whole
    whole = fitted(bounds, width, height)
    frame = before && view === null && frame && sameLayout ? resized(frame, whole, before) : restored(view, whole)
    sameLayout = true
    const density = Math.min(window.devicePixelRatio || 1, MOST_DENSITY)
    canvas.width = Math.max(1, Math.round(width * density))
    canvas.height = Math.max(1, Math.round(height * density))
    const context = canvas.getContext("2d")
    const image = context.createImageData(canvas.width, canvas.height)
    buffer = { context, image, pixels: new Uint32Array(image.data.buffer), density }
    told = JSON.stringify(written(frame, whole))
  }
  let sameLayout = false

  /** moving: something is under way, a picture of fewer points will do. */
  function drawSoon(moving = false) {
    if (moving) {
      clearTimeout(settleTimer)
      settleTimer = setTimeout(() => drawSoon(), 120)
    }
    cancelAnimationFrame(paintFrame)
    paintFrame = requestAnimationFrame(() => drawPoints(moving))
  }

  function drawPoints(moving = false) {
    if (!buffer || !points || !colours) return
    if (!palettes) readPalettes()
    const { context, image, pixels, density } = buffer
    const { width, height } = image
    const count = moving && cost ? Math.min(points.count, Math.max(2000, Math.floor(FRAME_MS / cost))) : points.count
    const zoom = zoomOf(frame, whole)
    const shown = shownCodes(preview === null ? pressed : new Set([preview]))
    const started = performance.now()
    paint(
      pixels,
      width,
      height,
      { ...points, count },
      { x: frame.x, y: frame.y, scale: frame.scale * density },
      {
        ...palettes,
        shown,
        onlySelected: preview === null && selectedCount > 0,
        ringed: rings && hasBand(),
        faint: colours.ramp || preview === 255 || pressed.has(255) ? null : 255,
        radius: radiusOf(points.count, zoom) * density,
        faintRadius: radiusOf(points.count, zoom) * density * FAINT_SIZE,
        ringWidth: 1.1 * density,
      },
    )
    context.putImageData(image, 0, 0)
    if (count >= Math.min(points.count, 2000)) cost = (performance.now() - started) / Math.max(count, 1)
    if (!moving) root.dataset.drawn = String(Number(root.dataset.drawn ?? 0) + 1)
  }

  let bandLabel = null
  const hasBand = () => store.messages.map.header.hasBand
  let selectedCount = 0
  let bandCount = 0

  function countMarks() {
    selectedCount = 0
    bandCount = 0
    for (let i = 0; i < points.count; i += 1) {
      selectedCount += points.marks[i] & 1
      bandCount += (points.marks[i] >> 1) & 1
    }
  }

  function drawAll() {
    countMarks()
    drawPoints()
    drawWords()
    drawOver()
  }

  function drawWords() {
    if (!palettes) readPalettes()
    const entries = legendEntries(colours, tally(points.codes, points.marks))
    const { header } = store.messages.map
    drawLegend(
      legend,
      {
        header: colours,
        entries,
        colors: palettes.names,
        pressed,
        band: header.hasBand ? { count: bandCount, on: rings, label: header.bandLabel } : null,
      },
      { press, preview: bringForward, ring: () => ((rings = !rings), drawPoints(), drawWords()) },
    )
    setText(countLine, countText({ selected: selectedCount, total: points.count, noun: points.noun }))
    countLine.classList.toggle("chosen", selectedCount > 0)
    button("clear").disabled = selectedCount === 0
    offerToShow()
    for (const name of ["move", "lasso", "box"]) {
      button(name).setAttribute("aria-checked", String(tool === name))
      button(name).tabIndex = tool === name ? 0 : -1
    }
    stage.dataset.tool = tool
    stage.setAttribute("aria-label", spokenMap(points.title, colours, entries, bandCount, selectedCount, points.noun))
    const nothing = part("nothing")
    nothing.hidden = bounds !== null
    setText(nothing, bounds ? "" : "No image has finite features, so none has a place here.")
  }

  function drawOver() {
    const path = !drag || !drag.corners ? "" : outline(drag.corners)
    for (const name of ["drawn", "drawn-edge"]) part(name).setAttribute("d", path)
    stage.classList.toggle("taking", drag?.mode === "remove")
    const lines = cross ? `M${cross.left - 9} ${cross.top}h18M${cross.left} ${cross.top - 9}v18` : ""
    for (const name of ["cross-line", "cross-edge"]) part(name).setAttribute("d", lines)
    const spot = at >= 0 && frame ? toPx(frame, points.xs[at], points.ys[at]) : null
    for (const name of ["at", "at-edge"]) {
      part(name).setAttribute("cx", spot?.left ?? -99)
      part(name).setAttribute("cy", spot?.top ?? -99)
      part(name).setAttribute("r", spot ? radiusOf(points.count, zoomOf(frame, whole)) + 3.5 : 0)
    }
  }

  function outline(corners) {
    const spots = []
    for (let i = 0; i < corners.length; i += 2) {
      const { left, top } = toPx(frame, corners[i], corners[i + 1])
      spots.push(`${left.toFixed(1)} ${top.toFixed(1)}`)
    }
    return spots.length ? `M${spots.join("L")}Z` : ""
  }

  // --- values that stand out -----------------------------------------------------------------------------------

  function press(code) {
    pressed = new Set(pressed)
    if (!pressed.delete(code)) pressed.add(code)
    preview = null
    drawPoints()
    drawWords()
  }

  function bringForward(code) {
    if (preview === code) return
    preview = code
    drawSoon()
  }

  const standsOut = i => !pressed.size || pressed.has(points.codes[i])

  // --- the view ------------------------------------------------------------------------------------------------

  function look(next, moving = true) {
    frame = next
    hideCard()
    drawSoon(moving)
    drawOver()
    clearTimeout(viewTimer)
    viewTimer = setTimeout(tellView, VIEW_MS)
  }

  function tellView() {
    const view = written(frame, whole)
    const text = JSON.stringify(view)
    if (text === told) return
    told = text
    store.tell?.({ layout: points.layout, at: view })
  }

  function zoom(by, spot = { left: whole.width / 2, top: whole.height / 2 }) {
    look(zoomed(frame, whole, by, spot.left, spot.top))
  }

  // --- the selection -------------------------------------------------------------------------------------------

  function push(event) {
    const values = pressed.size ? [...pressed] : null
    return outbox.push({ ...event, layout: points.layout, colours: colours.colours, values })
  }

  function enclose(corners, mode) {
    // Python and the address count with the very same corners
    const drawn = rounded(reduced(simplified(corners, CORNER_PX / frame.scale), MOST_CORNERS), frame.scale)
    if (drawn.length < 6) return
    const number = push({ kind: "area", mode, corners: drawn })
    markSoon(number, () => marked(points.marks, inside(drawn, points.xs, points.ys, standsOut), mode))
  }

  /** Mark with the next frame: the event is on its way before the points are counted and drawn. */
  function markSoon(number, mark) {
    const meant = points
    requestAnimationFrame(() => {
      // Python was faster, or there is another map by now
      if (points !== meant || !outbox.waiting.some(event => event.seq === number)) return
      mark()
      drawAll()
      announce()
    })
  }

  function pick(position, mode) {
    marked(points.marks, [position], mode)
    push({ kind: "one", mode, row: points.rows[position] })
    drawAll()
    announce()
  }

  function selectAll() {
    markSoon(push({ kind: "all", mode: "replace" }), () => {
      const found = []
      for (let i = 0; i < points.count; i += 1) if (standsOut(i)) found.push(i)
      marked(points.marks, found, "replace")
    })
  }

  function clear() {
    if (!selectedCount) return
    marked(points.marks, [], "replace")
    push({ kind: "clear" })
    drawAll()
    announce()
  }

  function offerToShow() {
    const show = button("show")
    // whether what stands under the map lies under the window
    const below = part("end").getBoundingClientRect().top > window.innerHeight - FIRST_LINES
    show.hidden = !below || selectedCount === 0
    if (!show.hidden) setText(show, showText(selectedCount))
  }

  /** Bring what is circled into the window, and lead the keyboard there; it may not be there yet, or still grow. */
  function showSelected(times = SHOW_TIMES) {
    clearTimeout(showTimer)
    const found = document.querySelector(".st-key-map-selected")
    if (found && found.getBoundingClientRect().top > PAGE_BAR) {
      const still = matchMedia("(prefers-reduced-motion: reduce)").matches
      found.style.scrollMarginTop = `${PAGE_BAR - 8}px`
      found.scrollIntoView({ behavior: still ? "auto" : "smooth", block: "start" })
      found.tabIndex = -1 // its first button comes next
      found.focus({ preventScroll: true })
    } else if (found) return
    if (times > 0) showTimer = setTimeout(showSelected, SHOW_MS, times - 1)
  }

  function announce() {
    announcer.textContent = selectedCount ? countText({ selected: selectedCount, total: points.count, noun: points.noun }) : "Nothing circled"
  }

  // --- the picture under the pointer ---------------------------------------------------------------------------

  function pointAt(left, top, reach) {
    const { x, y } = toPlace(frame, left, top)
    return near(cellsNow(), points.xs, points.ys, x, y, reach / frame.scale, 1, standsOut)[0] ?? -1
  }

  function point(position) {
    if (position === at) return
    at = position
    drawOver()
    clearTimeout(restTimer)
    if (at < 0) return hideCard()
    showCard()
    restTimer = setTimeout(askForPictures, REST_MS)
    return undefined
  }

  function askForPictures() {
    if (at < 0) return
    const around = near(cellsNow(), points.xs, points.ys, points.xs[at], points.ys[at], 60 / frame.scale, PICTURES_AT_ONCE + 1, standsOut)
    pictures.ask([at, ...around.filter(i => i !== at)].map(i => points.rows[i]))
  }

  function showCard() {
    const found = pictures.get(points.rows[at])
    card.hidden = !found
    if (!found) return
    const image = card.querySelector("img")
    if (image.src !== found.url) image.src = found.url
    part("card-lines").replaceChildren(
      ...found.lines.map((line, i) => {
        const row = element("div", i ? "card-line" : "card-title", { dir: "auto" })
        row.textContent = line
        return row
      }),
    )
    card.dataset.row = points.rows[at]
    const spot = toPx(frame, points.xs[at], points.ys[at])
    const { x, y } = cardPlace(spot, { width: card.offsetWidth, height: card.offsetHeight }, whole)
    card.style.transform = `translate(${x}px, ${y}px)`
    if (cross && found.lines.length) announcer.textContent = found.lines.join(", ")
  }

  function hideCard() {
    clearTimeout(restTimer)
    pictures.giveUp()
    card.hidden = true
    at = -1
    drawOver()
  }

  // --- mouse and touch -----------------------------------------------------------------------------------------

  const spotOf = event => {
    const box = stage.getBoundingClientRect()
    return { left: event.clientX - box.left, top: event.clientY - box.top }
  }

  stage.onpointerdown = event => {
    if (!frame || event.button > 1) return
    hideTooltip()
    stage.setPointerCapture(event.pointerId)
    fingers.set(event.pointerId, spotOf(event))
    if (fingers.size === 2) {
      pinch = pinched()
      endDrag()
      return
    }
    if (fingers.size > 2 || drag) return
    cross = null
    const spot = spotOf(event)
    const how = event.button === 1 ? "move" : tool
    drag = { id: event.pointerId, how, from: spot, last: spot, moved: false, mode: modeOf(event), corners: null }
    // no text is selected, and the focus stays where keys belong
    event.preventDefault()
    stage.classList.add("by-hand")
    stage.focus({ preventScroll: true })
  }

  stage.onpointermove = event => {
    if (!frame) return
    const spot = spotOf(event)
    if (fingers.has(event.pointerId)) fingers.set(event.pointerId, spot)
    if (pinch) return pinching()
    if (!drag) {
      if (event.pointerType === "mouse") {
        cross = null
        point(pointAt(spot.left, spot.top, REACH_PX))
      }
      return undefined
    }
    if (event.pointerId !== drag.id) return undefined
    if (!drag.moved && Math.hypot(spot.left - drag.from.left, spot.top - drag.from.top) < DRAG_PX) return undefined
    if (!drag.moved) {
      drag.moved = true
      hideCard()
    }
    if (drag.how === "move") {
      look(panned(frame, whole, spot.left - drag.last.left, spot.top - drag.last.top))
    } else {
      drag.mode = modeOf(event)
      const here = toPlace(frame, spot.left, spot.top)
      const start = toPlace(frame, drag.from.left, drag.from.top)
      drag.corners = drag.how === "box" ? boxCorners(start.x, start.y, here.x, here.y) : [...(drag.corners ?? [start.x, start.y]), here.x, here.y]
      drawOver()
    }
    drag.last = spot
    return undefined
  }

  const lifted = event => {
    fingers.delete(event.pointerId)
    if (pinch) {
      if (!fingers.size) pinch = null
      return
    }
    if (!drag || event.pointerId !== drag.id) return
    const { moved, how, corners, mode, from } = drag
    if (event.type !== "pointercancel") {
      if (moved && how !== "move" && corners) enclose(corners, mode)
      else if (!moved) clicked(from, mode, event)
    }
    endDrag()
  }
  stage.onpointerup = lifted
  stage.onpointercancel = lifted
  stage.onpointerleave = event => event.pointerType === "mouse" && !drag && hideCard()

  function clicked(spot, mode, event) {
    const position = pointAt(spot.left, spot.top, event.pointerType === "mouse" ? REACH_PX : TOUCH_REACH_PX)
    if (position < 0) return hideCard()
    point(position)
    const row = points.rows[position]
    const now = performance.now()
    if (lastClick.row === row && now - lastClick.when < DOUBLE_MS) {
      lastClick = { when: 0, row: -1 }
      outbox.push({ kind: "open", row })
      return undefined
    }
    lastClick = { when: now, row }
    pick(position, mode)
    return undefined
  }

  function pinched() {
    const [a, b] = [...fingers.values()]
    return { apart: Math.hypot(a.left - b.left, a.top - b.top), left: (a.left + b.left) / 2, top: (a.top + b.top) / 2 }
  }

  function pinching() {
    if (fingers.size < 2) return undefined
    const now = pinched()
    const shifted = panned(frame, whole, now.left - pinch.left, now.top - pinch.top)
    look(zoomed(shifted, whole, now.apart / Math.max(pinch.apart, 1), now.left, now.top))
    pinch = now
    return undefined
  }

  stage.addEventListener(
    "wheel",
    event => {
      if (!frame) return
      // out of everything there is nothing: the page scrolls on
      if (event.deltaY > 0 && zoomOf(frame, whole) <= 1.0001 && !event.ctrlKey) return
      event.preventDefault()
      const lines = event.deltaMode === 1 ? 30 : 1
      zoom(Math.exp((-event.deltaY * lines * (event.ctrlKey ? 8 : 1)) / 500), spotOf(event))
    },
    { passive: false },
  )

  // --- keys and buttons ----------------------------------------------------------------------------------------

  const acts = {
    move: () => choose("move"),
    lasso: () => choose("lasso"),
    box: () => choose("box"),
    in: () => zoom(1.5, cross ?? undefined),
    out: () => zoom(1 / 1.5, cross ?? undefined),
    fit: () => look({ ...whole }, false),
    all: selectAll,
    clear,
    show: () => showSelected(),
    keys: () => {
      const list = part("keys")
      list.hidden = !list.hidden
      button("keys").setAttribute("aria-expanded", String(!list.hidden))
    },
    escape,
    point: event => atCross(event),
    open: () => at >= 0 && outbox.push({ kind: "open", row: points.rows[at] }),
    next: () => step(1),
    previous: () => step(-1),
  }

  function choose(name) {
    tool = name
    drawWords()
    endDrag()
  }

  function escape() {
    if (!part("keys").hidden) return acts.keys()
    if (drag) return endDrag()
    if (cross) {
      cross = null
      hideCard()
    }
    return clear()
  }

  /** Arrow keys: the cross moves, and takes the view along at the edge. */
  function moveCross([right, down]) {
    const spot = cross ?? { left: whole.width / 2, top: whole.height / 2 }
    const next = { left: spot.left + right, top: spot.top + down }
    const edge = 16
    const held = {
      left: Math.min(Math.max(next.left, edge), whole.width - edge),
      top: Math.min(Math.max(next.top, edge), whole.height - edge),
    }
    if (held.left !== next.left || held.top !== next.top) look(panned(frame, whole, held.left - next.left, held.top - next.top))
    cross = held
    walk.at = null
    stretch()
    point(pointAt(cross.left, cross.top, REACH_PX))
    drawOver()
  }

  /** From point to point around where the cross was, the nearest first. */
  function step(by) {
    const spot = cross ?? { left: whole.width / 2, top: whole.height / 2 }
    if (!walk.at) {
      const { x, y } = toPlace(frame, spot.left, spot.top)
      walk = { at: { x, y }, order: pointsAround(x, y), step: -1 }
    }
    walk.step = Math.min(Math.max(walk.step + by, 0), walk.order.length - 1)
    const position = walk.order[walk.step] ?? -1
    if (position < 0) return
    cross = toPx(frame, points.xs[position], points.ys[position])
    point(position)
    drawOver()
  }

  /** The nearest ones, however far the first of them is. */
  function pointsAround(x, y) {
    const farthest = 2 * (whole.width + whole.height)
    for (let reach = 100; reach <= farthest; reach *= 2) {
      const found = near(cellsNow(), points.xs, points.ys, x, y, reach / frame.scale, 200, standsOut)
      if (found.length) return found
    }
    return []
  }

  function stretch() {
    if (!drag?.byKeys) return
    const here = toPlace(frame, cross.left, cross.top)
    drag.corners = boxCorners(drag.start.x, drag.start.y, here.x, here.y)
    drawOver()
  }

  function atCross(event) {
    if (!cross) return moveCross([0, 0])
    const here = toPlace(frame, cross.left, cross.top)
    if (tool === "box" && drag?.byKeys) {
      enclose(drag.corners, drag.mode)
      return endDrag()
    }
    if (tool === "box" && at < 0) {
      drag = { byKeys: true, start: here, mode: modeOf(event), corners: boxCorners(here.x, here.y, here.x, here.y) }
      announcer.textContent = "First corner set"
      return undefined
    }
    if (at >= 0) pick(at, event.shiftKey ? "add" : points.marks[at] & 1 ? "remove" : "add")
    return undefined
  }

  root.onkeydown = event => {
    event.stopPropagation() // Streamlit's own shortcuts (r, c) must not fire from here
    stage.classList.remove("by-hand")
    if (!frame) return
    const onStage = event.target === stage
    const meaning = keyMeaning(event)
    if (!meaning) return
    if (!onStage && (meaning.step || ["point", "open"].includes(meaning.action))) {
      if (meaning.step) moveAmongTools(event)
      return
    }
    event.preventDefault()
    if (meaning.step) moveCross(meaning.step)
    else acts[meaning.action](event)
  }

  /** Arrow keys among the three tools, as in any group of radio buttons. */
  function moveAmongTools(event) {
    const names = ["move", "lasso", "box"]
    if (!names.includes(event.target.dataset?.action)) return
    const by = ["ArrowRight", "ArrowDown"].includes(event.key) ? 1 : -1
    const next = names[(names.indexOf(tool) + by + names.length) % names.length]
    event.preventDefault()
    choose(next)
    button(next).focus()
  }

  root.onclick = event => {
    const action = event.target.closest?.("[data-action]")?.dataset.action
    if (action && frame) acts[action](event)
  }

  stage.onblur = () => {
    stage.classList.remove("by-hand")
    cross = null
    hideCard()
    if (drag?.byKeys) endDrag()
  }

  const watcher = new ResizeObserver(() => {
    if (!points || (whole && stage.clientWidth === whole.width && stage.clientHeight === whole.height)) return
    layOut()
    drawAll()
  })
  watcher.observe(stage)
  const letGo = () => clearTimeout(showTimer)
  for (const name of BY_HAND) window.addEventListener(name, letGo, { passive: true })
  const scrolled = () => points && offerToShow()
  for (const name of ["scroll", "resize"]) window.addEventListener(name, scrolled, { capture: true, passive: true })

  return {
    arrived() {
      sameLayout = sameLayout && points?.message === store.messages.points
      arrived()
    },
    update() {
      palettes = null // the page may have become dark
      this.arrived()
    },
    pictured() {
      if (at >= 0) showCard()
    },
    leave() {
      outbox.rest()
      pictures.giveUp()
      watcher.disconnect()
      for (const name of ["scroll", "resize"]) window.removeEventListener(name, scrolled, { capture: true })
      cancelAnimationFrame(paintFrame)
      for (const timer of [restTimer, viewTimer, settleTimer, showTimer]) clearTimeout(timer)
      for (const name of BY_HAND) window.removeEventListener(name, letGo)
      root.remove()
    },
  }
}
