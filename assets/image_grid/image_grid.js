// The component: state, drawing, mouse and keys. Streamlit calls `imageGrid` whenever `data` or the theme changes.

const SELECTION_REPORT_MS = 400
const DRAG_THRESHOLD_PX = 5

/** What outlives a component that is taken away and mounted again: by the key it has in Python. */
const memories = new Map()
/** Thumbnails as data URLs by image id, by the same key; they come in a message of their own. */
const pictures = new Map()
/** The mounted grid of a key, to repaint when its thumbnails come. */
const mounted = new Map()
const grids = new WeakMap()

function memoryOf(store) {
  if (!memories.has(store)) {
    const memory = { selected: new Set(), active: null, given: undefined, transmit: null }
    const client = Math.random().toString(36).slice(2) + Date.now().toString(36)
    memory.outbox = createOutbox({ client, transmit: message => memory.transmit?.(message) })
    memories.set(store, memory)
  }
  return memories.get(store)
}

export default function imageGrid({ data, parentElement, setStateValue }) {
  if (!data) return undefined
  if (data.role === "thumbnails") {
    parentElement.querySelector(".grid-root")?.remove() // this one only carries pictures
    const urls = Object.entries(data.thumbnails).map(([id, text]) => [Number(id), `data:image/webp;base64,${text}`])
    pictures.set(data.store, new Map(urls))
    mounted.get(data.store)?.draw()
    return undefined
  }
  if (!grids.has(parentElement)) grids.set(parentElement, createGrid(parentElement, data.store))
  const grid = grids.get(parentElement)
  grid.update(data, setStateValue)
  return () => {
    grid.leave()
    grids.delete(parentElement)
  }
}

function createGrid(parentElement, store) {
  const root = parentElement.querySelector(".grid-root")
  const part = name => root.querySelector(`.${name}`)
  const [toolbar, tiles, marquee, keysPanel] = ["toolbar", "tiles", "marquee", "keys"].map(part)
  const action = name => root.querySelector(`[data-action=${name}]`)
  const memory = memoryOf(store)
  const { outbox } = memory
  const hideTooltip = installTooltip(root, part("tooltip"))

  let data = { images: [], concepts: [] }
  let order = [] // ids as shown
  let byId = new Map()
  let nodes = new Map() // id -> tile
  let focused = 0 // position in `order`
  let anchor = 0 // where a range starts
  let spent = false // the selection has been tagged: the next plain click starts a new one
  let saved = null // what the last tag said, as {count, present}
  let reportTimer = null
  let reported = ""

  // --- what is chosen ------------------------------------------------------------------------------------------

  const conceptOf = id => data.concepts.find(concept => concept.id === id)
  const colorOf = name => data.concepts.find(concept => concept.name === name)?.color ?? "var(--muted)"
  const activeConcept = () => conceptOf(memory.active)
  const chipsOf = (image, tags) => chipsAfter(image.chips, image.id, tags, id => conceptOf(id)?.name)

  function untaggedIds() {
    const name = activeConcept()?.name
    const tags = effectiveTags(outbox.waiting)
    return name === undefined
      ? []
      : data.images.filter(image => !chipsOf(image, tags).some(([chip]) => chip === name)).map(image => image.id)
  }

  function select(selected) {
    memory.selected = selected
    draw()
    if (data.track) reportSoon()
  }

  function toggle(start, position) {
    const next = toggled(start, order[position])
    // A range starts at what was last put in, not at what was taken out.
    if (next.has(order[position])) anchor = position
    select(next)
  }

  function choose(conceptId) {
    if (memory.active === conceptId) return
    memory.active = conceptId
    draw()
    if (data.track) reportSoon()
  }

  // --- to Python -----------------------------------------------------------------------------------------------

  const statement = () => ({ selected: order.filter(id => memory.selected.has(id)), concept: memory.active })

  function reportSoon() {
    clearTimeout(reportTimer)
    reportTimer = setTimeout(() => {
      if (JSON.stringify(statement()) === reported) return
      // An event under way interrupts its own page run if anything follows it: wait for the answer.
      if (outbox.busy) reportSoon()
      else memory.transmit({ client: outbox.client, events: [], attempt: outbox.nextAttempt() })
    }, SELECTION_REPORT_MS)
  }

  function tag(ids, conceptId, present) {
    const concept = conceptOf(conceptId)
    if (!ids.length || !concept) return
    outbox.push({ kind: "tag", ids, concept: conceptId, present })
    spent = true
    saved = { count: ids.length, present }
    const what = present === null ? "tag taken off" : present ? "present" : "absent"
    part("announcer").textContent = `${concept.name}: ${what}, ${ids.length} ${ids.length === 1 ? "image" : "images"}`
    draw()
  }

  function simple(kind) {
    outbox.push({ kind })
    saved = null
    part("announcer").textContent = kind
    draw()
  }

  const openImage = id => outbox.push({ kind: "open", ids: [id] })

  function perform(name) {
    const selected = statement().selected
    if (refusal(name, situation())) return
    if (name === "all") select(new Set(order))
    else if (name === "none") select(new Set())
    else if (name === "present") tag(selected, memory.active, true)
    else if (name === "absent") tag(selected, memory.active, false)
    else if (name === "clear") tag(selected, memory.active, null)
    else if (name === "rest") tag(untaggedIds(), memory.active, false)
    else if (name === "keys") showKeys(keysPanel.hidden)
    else simple(name)
  }

  // --- drawing -------------------------------------------------------------------------------------------------

  function situation() {
    const concept = activeConcept()
    return {
      concept,
      number: data.concepts.indexOf(concept) + 1,
      selected: memory.selected.size,
      untagged: untaggedIds().length,
      shown: order.length,
    }
  }

  function draw() {
    const tags = effectiveTags(outbox.waiting)
    const thumbnails = pictures.get(store)
    order.forEach((id, position) => {
      const tile = nodes.get(id)
      const image = byId.get(id)
      const chips = chipsOf(image, tags)
      updateTile(tile, image, { chips, colorOf, thumbnail: thumbnails?.get(id) })
      const chosen = memory.selected.has(id)
      if (tile.getAttribute("aria-selected") !== String(chosen)) tile.setAttribute("aria-selected", String(chosen))
      tile.tabIndex = position === focused ? 0 : -1
      describe(tile, sentences(image, chips))
    })
    drawToolbar()
  }

  function drawToolbar() {
    toolbar.hidden = !data.toolbar
    const now = situation()
    setText(part("count"), countText(now.shown, now.selected, spent ? saved : null))
    action("undo").classList.toggle("offered", spent && saved !== null)
    drawConcepts(part("concepts"), data.concepts, memory.active, choose)
    action("rest").hidden = !data.restAbsent
    for (const button of root.querySelectorAll(".action")) {
      const why = refusal(button.dataset.action, now)
      if (why) button.setAttribute("aria-disabled", "true")
      else button.removeAttribute("aria-disabled")
      describe(button, why ? [why] : explanation(button.dataset.action, now))
    }
  }

  function update(next, setStateValue) {
    memory.transmit = message => {
      const said = statement()
      reported = JSON.stringify(said)
      setStateValue("up", { ...message, ...said })
    }
    data = next
    outbox.acknowledge(data.ack)

    const before = order
    const hadFocus = tiles.contains(parentElement.activeElement)
    order = data.images.map(image => image.id)
    byId = new Map(data.images.map(image => [image.id, image]))
    nodes = new Map(order.map(id => [id, nodes.get(id) ?? createTile(id)]))
    if (order.length !== before.length || order.some((id, position) => id !== before[position])) {
      tiles.replaceChildren(...nodes.values())
      focused = Math.max(0, Math.min(focused, order.length - 1))
      anchor = focused
    }
    memory.selected = stillShown(memory.selected, order)
    if (data.active !== null && data.active !== memory.given) memory.active = data.active
    memory.given = data.active
    if (!activeConcept()) memory.active = data.concepts[0]?.id ?? null

    tiles.style.setProperty("--size", `${data.size}px`)
    root.style.setProperty("--header", `${headerHeight()}px`)
    part("empty").textContent = data.empty
    part("empty").hidden = order.length > 0
    tiles.hidden = order.length === 0
    root.hidden = false
    draw()
    // Focus must not fall out of the grid, or the next key would reach Streamlit's own shortcuts.
    if (hadFocus && !tiles.contains(parentElement.activeElement)) focusTile(focused, false)
  }

  // --- focus and keys ------------------------------------------------------------------------------------------

  function focusTile(position, scroll = true) {
    const tile = nodes.get(order[position])
    if (!tile) return
    tile.focus({ preventScroll: true }) // "focusin" below notes the position
    if (scroll) tile.scrollIntoView({ block: "nearest" })
  }

  /** How far below the top edge the toolbar sticks: Streamlit's header lies over the page, but not over a dialog. */
  function headerHeight() {
    if (parentElement.host?.closest("[role=dialog]")) return 0
    return document.querySelector("[data-testid=stHeader]")?.offsetHeight ?? 0
  }

  function columns() {
    return getComputedStyle(tiles).gridTemplateColumns.split(" ").length
  }

  function showKeys(visible) {
    keysPanel.hidden = !visible
    action("keys").setAttribute("aria-expanded", String(visible))
    hideTooltip()
  }

  /** Do what a key means; false if it means nothing here. */
  function press(event) {
    const onTile = event.target.closest?.(".tile") !== null
    const command = event.ctrlKey || event.metaKey
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key
    const digit = digitOf(event)

    if (key === "z" && !event.altKey) return simple(event.shiftKey ? "redo" : "undo"), true
    if (key === "y" && !event.altKey) return simple("redo"), true
    if (key === "a" && !event.altKey) return select(new Set(order)), true
    if (key === "Escape") {
      if (!keysPanel.hidden) return showKeys(false), true
      if (memory.selected.size) return select(new Set()), true
      return false
    }
    if (command || event.altKey || !order.length) return false
    const chosen = statement().selected
    const subject = chosen.length ? chosen : onTile ? [order[focused]] : []
    if (digit && data.concepts[digit - 1]) {
      memory.active = data.concepts[digit - 1].id
      return tag(subject, memory.active, !event.shiftKey), true
    }
    if (event.code === "Digit0" || event.code === "Numpad0") return tag(subject, memory.active, null), true
    if (!onTile) return false

    if (key === " ") return toggle(fresh(event), focused), true
    if (key === "Enter") return openImage(order[focused]), true
    const to = movedFocus(key, focused, columns(), order.length)
    if (to === null) return false
    focusTile(to)
    if (event.shiftKey) select(new Set([...memory.selected, ...rangeBetween(order, anchor, to)]))
    else anchor = to
    return true
  }

  /** The selection that a click adds to: a new one if the last has been tagged, unless a key says "go on". */
  function fresh(event) {
    const start = spent && !event.shiftKey && !event.ctrlKey && !event.metaKey ? new Set() : memory.selected
    spent = false
    return start
  }

  root.onkeydown = event => {
    const inConcepts = event.target.closest?.(".concepts")
    if (inConcepts && /^Arrow(Left|Right)$/.test(event.key)) moveConcept(event.key === "ArrowRight" ? 1 : -1)
    else if (!press(event)) {
      // What means nothing here must still not reach Streamlit's shortcuts (r reruns, c clears caches); Escape may
      // close the dialog that the grid is in.
      if (event.key !== "Escape") event.stopPropagation()
      return
    }
    event.preventDefault()
    event.stopPropagation()
  }

  function moveConcept(step) {
    const count = data.concepts.length
    if (!count) return
    const position = data.concepts.findIndex(concept => concept.id === memory.active)
    choose(data.concepts[(position + step + count) % count].id)
    part("concepts").querySelector("[aria-checked=true]").focus()
  }

  // --- mouse and touch -----------------------------------------------------------------------------------------

  function click(event, tile) {
    const id = Number(tile.dataset.id)
    const position = order.indexOf(id)
    if (event.target.closest(".open")) return openImage(id)
    focusTile(position, false)
    const start = fresh(event)
    if (event.shiftKey) return select(new Set([...start, ...rangeBetween(order, anchor, position)]))
    return toggle(start, position)
  }

  let drag = null
  let dragged = false
  const here = event => {
    const frame = root.getBoundingClientRect()
    return { x: event.clientX - frame.left, y: event.clientY - frame.top }
  }

  tiles.onpointerdown = event => {
    dragged = false
    if (event.pointerType !== "mouse" || event.button !== 0 || event.target.closest(".open")) return
    drag = { from: here(event), start: null, pointer: event.pointerId }
  }
  tiles.onpointermove = event => {
    if (!drag) return
    const to = here(event)
    if (!drag.start) {
      if (Math.hypot(to.x - drag.from.x, to.y - drag.from.y) < DRAG_THRESHOLD_PX) return
      drag.start = new Set(fresh(event))
      drag.rectangles = order.map(id => rectangle(nodes.get(id), id))
      tiles.setPointerCapture(drag.pointer)
      root.classList.add("dragging")
      hideTooltip()
    }
    const box = boxBetween(drag.from, to)
    Object.assign(marquee.style, {
      left: `${box.left}px`,
      top: `${box.top}px`,
      width: `${box.right - box.left}px`,
      height: `${box.bottom - box.top}px`,
    })
    marquee.hidden = false
    const next = new Set([...drag.start, ...touched(drag.rectangles, box)])
    if (next.size !== memory.selected.size || [...next].some(id => !memory.selected.has(id))) select(next)
  }
  tiles.onpointerup = tiles.onpointercancel = () => {
    dragged = Boolean(drag?.start)
    if (dragged && memory.selected.size) focusTile(order.findIndex(id => memory.selected.has(id)), false)
    drag = null
    marquee.hidden = true
    root.classList.remove("dragging")
  }
  function rectangle(tile, id) {
    const frame = root.getBoundingClientRect()
    const at = tile.getBoundingClientRect()
    return {
      id,
      left: at.left - frame.left,
      top: at.top - frame.top,
      right: at.right - frame.left,
      bottom: at.bottom - frame.top,
    }
  }

  // A screen reader moves the focus without our keys.
  tiles.addEventListener("focusin", event => {
    const tile = event.target.closest(".tile")
    if (!tile) return
    nodes.get(order[focused])?.setAttribute("tabindex", "-1")
    focused = order.indexOf(Number(tile.dataset.id))
    tile.tabIndex = 0
  })
  tiles.onclick = event => {
    const tile = event.target.closest(".tile")
    if (tile && !dragged) click(event, tile)
    dragged = false
  }
  tiles.ondblclick = event => {
    const tile = event.target.closest(".tile")
    if (tile && !event.target.closest(".open")) openImage(Number(tile.dataset.id))
  }
  toolbar.onclick = event => {
    const button = event.target.closest(".action")
    if (button) perform(button.dataset.action)
    if (button?.dataset.action !== "keys" && !keysPanel.hidden) showKeys(false)
  }

  // --- leaving -------------------------------------------------------------------------------------------------

  // A click elsewhere may lead to another page, where nobody would answer: hand over what still waits.
  const elsewhere = event => {
    if (!event.composedPath().includes(root)) outbox.flush()
  }
  const away = () => outbox.flush()
  document.addEventListener("pointerdown", elsewhere, true)
  window.addEventListener("pagehide", away)

  action("undo").append(icon("M6 3 2.5 6.5 6 10 M3 6.5h6.5a3.5 3.5 0 0 1 0 7H7"), "Undo")
  action("redo").append(icon("M10 3l3.5 3.5L10 10 M13 6.5H6.5a3.5 3.5 0 0 0 0 7H9"))
  action("keys").append(icon("M1.5 4h13v8h-13z M4 6.5h.01 M6.7 6.5h.01 M9.3 6.5h.01 M12 6.5h.01 M5 9.5h6"))

  const grid = {
    draw,
    update,
    leave() {
      outbox.flush()
      clearTimeout(reportTimer)
      document.removeEventListener("pointerdown", elsewhere, true)
      window.removeEventListener("pagehide", away)
      if (mounted.get(store) === grid) mounted.delete(store)
    },
  }
  mounted.set(store, grid)
  return grid
}
