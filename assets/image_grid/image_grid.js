// The component: state, drawing and keys. Streamlit calls `imageGrid` whenever `data` or the theme changes.

const SELECTION_REPORT_MS = 400
const SIZE_KEY = "midband-tile-size"

/** What outlives a component that is taken away and mounted again: by the key it has in Python. */
const memories = new Map()
/** Thumbnails as data URLs by image id, by the same key; they come in a message of their own. */
const pictures = new Map()
/** The mounted grid of a key, to repaint when its thumbnails come. */
const mounted = new Map()
const grids = new WeakMap()

function memoryOf(store) {
  if (!memories.has(store)) {
    const memory = { selection: nothing(), scope: null, total: 0, active: null, given: undefined, transmit: null }
    memory.spent = false // the selection has been tagged: the next plain click starts a new one
    memory.saved = null // what the last tag said, as {count, present}
    memory.order = [] // ids as last shown
    memory.at = null // the image that last had the focus
    memory.held = null // "tile" or "bar" while the keyboard is the grid's: nobody pressed or went elsewhere since
    memory.hold = createHold({ page: wholePage() })
    memory.told = selectionText({ selected: [], everything: false }) // what Python knows of the selection
    const client = Math.random().toString(36).slice(2) + Date.now().toString(36)
    memory.outbox = createOutbox({ client, transmit: message => memory.transmit?.(message) })
    memories.set(store, memory)
  }
  return memories.get(store)
}

/** The size a person chose for all grids of this browser tab; null where none was chosen. */
function chosenSize() {
  try {
    const size = Number(sessionStorage.getItem(SIZE_KEY))
    return SIZES.includes(size) ? size : null
  } catch {
    return null // storage may be forbidden
  }
}

function keepSize(size) {
  try {
    sessionStorage.setItem(SIZE_KEY, String(size))
  } catch {
    // then it holds until the page is left
  }
}

receive("image_grid", ({ store, thumbnails }) => {
  pictures.set(store, new Map(Object.entries(thumbnails).map(([id, url]) => [Number(id), url])))
  mounted.get(store)?.drawPictures()
})

export default function imageGrid({ data, parentElement, setStateValue }) {
  if (!data) return undefined
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
  const [bar, tiles, keysPanel, confirm, pageInput] = ["bar", "tiles", "keys", "confirm", "number"].map(part)
  const actions = new Map([...root.querySelectorAll("[data-action]")].map(button => [button.dataset.action, button]))
  const action = name => actions.get(name)
  const memory = memoryOf(store)
  const { outbox } = memory
  const hideTooltip = installTooltip(root, part("tooltip"))
  const roving = installRoving(bar)
  // a mount of its own: Python may have forgotten what the one before said
  if (memory.selection.everything || memory.selection.ids.size) memory.told = null

  let data = { images: [], concepts: [], scope: null, paging: null }
  let order = [] // ids as shown
  let byId = new Map()
  let nodes = new Map() // id -> tile
  let focused = 0 // position in `order`
  let anchor = null // where a range starts
  let base = null // the selection before the range that is being drawn
  let asked = null // the tag of everything that waits for a yes
  let size = 0
  let reportTimer = null
  let reported = ""
  let would = new Map() // id -> class that a repair would make of it
  let settled = "" // which controls there were when the bar's Tab stop was found

  // --- what is chosen ------------------------------------------------------------------------------------------

  const conceptOf = id => data.concepts.find(concept => concept.id === id)
  const colorOf = name => data.concepts.find(concept => concept.name === name)?.color ?? "var(--muted)"
  const activeConcept = () => conceptOf(memory.active)
  const waitingTags = () => effectiveTags(outbox.waiting, data.scope)
  const chipsOf = (image, tags) => chipsAfter(image.chips, image.id, tags, id => conceptOf(id)?.name)
  const total = () => data.paging?.total ?? order.length
  const within = () => data.paging?.within ?? "shown"
  const awaited = () => awaitedPage(outbox.waiting, data.scope, data.paging.page)

  function untaggedIds() {
    const name = activeConcept()?.name
    if (name === undefined || !data.restAbsent) return []
    const tags = waitingTags()
    return data.images.filter(image => !chipsOf(image, tags).some(([chip]) => chip === name)).map(image => image.id)
  }

  /** Ids a tag goes to: those shown first, in their order. With everything selected there are none to name. */
  function chosenIds() {
    if (memory.selection.everything) return []
    const shown = order.filter(id => memory.selection.ids.has(id))
    const known = new Set(shown)
    return [...shown, ...[...memory.selection.ids].filter(id => !known.has(id))]
  }

  function select(selection, range = null) {
    memory.selection = selection
    base = range
    // where the last one of a whole band was taken out, nothing is selected any more
    if (selection.everything && sizeOf(selection, total()) === 0) memory.selection = nothing()
    drawSelection()
    if (data.track) reportSoon()
  }

  function toggle(start, position) {
    const id = order[position]
    const next = toggled(start, id)
    // A range starts at what was last put in, not at what was taken out.
    if (holds(next, id)) anchor = position
    select(next)
  }

  /** Select from the anchor to a position; the range may shrink again while it is drawn. */
  function stretch(start, position) {
    anchor ??= position
    const before = base ?? start
    select(including(before, rangeBetween(order, anchor, position)), before)
  }

  function choose(conceptId) {
    if (memory.active === conceptId) return
    memory.active = conceptId
    drawToolbar()
    if (data.track) reportSoon()
  }

  // --- to Python -----------------------------------------------------------------------------------------------

  const statement = () => ({
    selected: memory.selection.everything ? [...memory.selection.ids] : chosenIds(),
    everything: memory.selection.everything,
    scope: memory.scope,
    concept: memory.active,
  })

  function reportSoon() {
    clearTimeout(reportTimer)
    reportTimer = setTimeout(() => {
      if (JSON.stringify(statement()) === reported) return
      // An event under way interrupts its own page run if anything follows it: wait for the answer.
      if (outbox.busy) reportSoon()
      else memory.transmit({ client: outbox.client, events: [], attempt: outbox.nextAttempt() })
    }, SELECTION_REPORT_MS)
  }

  /** Let Python know the selection now, with all that waits: a button outside is about to act on it. */
  function tellSelection() {
    outbox.flush()
    if (selectionText(statement()) === memory.told || !memory.transmit) return
    clearTimeout(reportTimer)
    memory.transmit({ client: outbox.client, events: outbox.waiting, attempt: outbox.nextAttempt() })
  }

  const announce = text => setText(part("announcer"), text)
  const announceCount = () => announce(countText(situation()))

  function tag(ids, conceptId, present) {
    const concept = conceptOf(conceptId)
    if (!ids.length || !concept) return
    send({ ids }, ids.length, concept, present)
  }

  function send(which, count, concept, present) {
    outbox.push({ kind: "tag", ...which, concept: concept.id, present })
    memory.spent = true
    base = null
    memory.saved = { count, present }
    announce(`${concept.name}: ${stateWord(present, "tag taken off")}, ${imagesText(count)}`)
    draw()
  }

  /** Tag what is selected; all images of the scope only after a yes. */
  function tagSelected(conceptId, present, otherwise = []) {
    if (memory.selection.everything) ask(conceptId, present)
    else tag(memory.selection.ids.size ? chosenIds() : otherwise, conceptId, present)
  }

  function ask(conceptId, present) {
    const concept = conceptOf(conceptId)
    if (!concept || !data.everything) return
    const selected = sizeOf(memory.selection, total())
    asked = { concept, present, selected, back: parentElement.activeElement }
    const { text, yes } = question({ selected, total: total(), within: within(), name: concept.name, present })
    setText(part("question"), text)
    setText(action("yes"), yes)
    showKeys(false)
    confirm.hidden = false
    action("yes").focus()
  }

  function answer(yes) {
    if (!asked) return
    const { concept, present, selected, back } = asked
    asked = null
    confirm.hidden = true
    if (back?.isConnected) back.focus({ preventScroll: true })
    else focusTile(focused, false)
    if (!yes) return
    const left = [...memory.selection.ids]
    send({ ids: left, everything: true, scope: data.scope, total: total() }, selected, concept, present)
  }

  function simple(kind) {
    outbox.push({ kind })
    memory.saved = null
    announce(kind)
    draw()
  }

  function turn(page) {
    if (page === null || !data.paging || page === awaited()) return
    outbox.push({ kind: "page", page, scope: data.scope })
    drawToolbar()
  }

  const openImage = id => outbox.push({ kind: "open", ids: [id] })

  function perform(name) {
    if (name === "yes" || name === "no") return answer(name === "yes")
    const now = situation()
    if (refusal(name, now)) return undefined
    if (name === "all") return select(including(memory.selection, order)), announceCount()
    if (name === "everything") return select(whole()), announceCount()
    if (name === "none") return select(nothing()), announceCount()
    if (name === "present") return tagSelected(memory.active, true)
    if (name === "absent") return tagSelected(memory.active, false)
    if (name === "unsure") return tagSelected(memory.active, UNSURE)
    if (name === "clear") return tagSelected(memory.active, null)
    if (name === "rest") return tag(untaggedIds(), memory.active, false)
    if (name === "keys") return showKeys(keysPanel.hidden)
    if (name === "larger" || name === "smaller") return resize(zoomed(size, name === "larger" ? 1 : -1))
    if (["first", "previous", "next", "last"].includes(name)) return turn(turned(name, now.page, now.pages))
    return simple(name)
  }

  // --- drawing -------------------------------------------------------------------------------------------------

  function situation() {
    const concept = activeConcept()
    const selected = sizeOf(memory.selection, total())
    return {
      concept,
      number: concept?.key ?? 0,
      selected,
      elsewhere: selected - order.filter(id => holds(memory.selection, id)).length,
      everything: memory.selection.everything,
      untagged: untaggedIds().length,
      shown: order.length,
      total: total(),
      within: within(),
      paged: data.paging !== null,
      page: data.paging ? awaited() : 0,
      pages: data.paging?.pages ?? 1,
      reason: data.reason,
      size,
    }
  }

  function draw() {
    const tags = waitingTags()
    order.forEach((id, position) => {
      const image = byId.get(id)
      const place = data.paging && [data.paging.first + position + 1, data.paging.total]
      updateTile(nodes.get(id), image, { chips: chipsOf(image, tags), colorOf, place, would: would.get(id) })
    })
    drawPictures()
    drawSelection()
  }

  function drawPictures() {
    const thumbnails = pictures.get(store)
    for (const id of order) setThumbnail(nodes.get(id), thumbnails?.get(id))
  }

  function drawSelection() {
    for (const id of order) setChosen(nodes.get(id), holds(memory.selection, id))
    drawToolbar()
  }

  function drawToolbar() {
    const now = situation()
    const { paging } = data
    bar.hidden = !data.toolbar && !paging
    part("count").hidden = !data.toolbar && !now.selected
    part("act").hidden = !data.toolbar
    part("range").hidden = !paging
    setText(part("span"), paging ? rangeText(paging, order.length) : "")
    setText(part("within"), paging ? within() : "")
    part("pager").hidden = now.pages < 2
    setText(part("pages"), grouped(now.pages))
    if (parentElement.activeElement !== pageInput) pageInput.value = grouped(now.page + 1)
    tiles.classList.toggle("turning", paging !== null && now.page !== paging.page)

    setText(part("count"), countText(now, memory.spent ? memory.saved : null))
    bar.classList.toggle("single", !paging)
    bar.classList.toggle("chosen", now.selected > 0)
    bar.classList.toggle("always", data.restAbsent)
    action("undo").classList.toggle("offered", memory.spent && memory.saved !== null)
    drawConcepts(part("concepts"), data.concepts, memory.active)
    for (const [name, text] of Object.entries(buttonKeys(now.concept))) setText(action(name).querySelector("kbd"), text)
    action("rest").hidden = !data.restAbsent
    setText(action("all"), now.pages > 1 ? "Select page" : "Select all")
    action("everything").hidden = now.pages < 2 || !(data.everything || data.reason)
    setText(action("everything"), `Select all ${grouped(now.total)}`)
    for (const [name, button] of actions) {
      if (refusal(name, now)) button.setAttribute("aria-disabled", "true")
      else button.removeAttribute("aria-disabled")
    }
    const visible = [bar.className, ...[...actions.values()].map(button => button.hidden), now.pages > 1].join()
    if (visible !== settled) requestAnimationFrame(roving.settle)
    settled = visible
  }

  for (const [name, button] of actions) {
    describe(button, () => {
      const now = situation()
      const why = name === "yes" || name === "no" ? null : refusal(name, now)
      return why ? [why] : explanation(name, now)
    })
  }

  function update(next, setStateValue) {
    memory.transmit = message => {
      const said = statement()
      reported = JSON.stringify(said)
      memory.told = selectionText(said)
      setStateValue("up", { ...message, ...said })
    }
    const turnedOver = data.paging && next.paging && next.scope === data.scope && next.paging.page !== data.paging.page
    const hadFocus = tiles.contains(parentElement.activeElement)
    data = next
    outbox.acknowledge(data.ack)
    outbox.resume()

    const before = order
    order = data.images.map(image => image.id)
    byId = new Map(data.images.map(image => [image.id, image]))
    const others = !sameIds(order, before)
    const back = before.length === 0 && memory.order.length > 0 // a mount of its own: one before it was taken away
    const unchanged = sameIds(order, memory.order)
    const now = { scope: data.scope, total: total() }
    memory.selection = carried(memory.selection, memory, now, order)
    if (memory.selection.everything && !data.everything) memory.selection = nothing()
    if (asked && (memory.scope !== now.scope || memory.total !== now.total)) answer(false)
    Object.assign(memory, now)
    if (data.active !== null && data.active !== memory.given) memory.active = data.active
    memory.given = data.active
    if (!activeConcept()) memory.active = data.concepts[0]?.id ?? null

    if (others) {
      dragging.stop()
      hideTooltip()
      nodes = new Map(order.map(id => [id, nodes.get(id) ?? createTile(id)]))
      for (const id of order) describe(nodes.get(id).node, () => hoverText(id))
      if (back) focused = order.indexOf(memory.at)
      focused = turnedOver ? 0 : Math.max(0, Math.min(focused, order.length - 1))
      anchor = null
      base = null
    }
    applySize(chosenSize() ?? data.size)
    draw()
    if (others) {
      tiles.replaceChildren(...order.map(id => nodes.get(id).node))
      order.forEach((id, position) => (nodes.get(id).node.tabIndex = position === focused ? 0 : -1))
    }
    root.style.setProperty("--header", `${headerHeight()}px`)
    setText(part("empty"), data.empty)
    part("empty").hidden = order.length > 0
    tiles.hidden = order.length === 0
    root.hidden = false
    // Focus must not fall out of the grid, or the next key would reach Streamlit's own shortcuts.
    if (hadFocus && !tiles.contains(parentElement.activeElement)) focusTile(focused, false)
    memory.order = order
    if (back) comeBack(unchanged)
    if (turnedOver) {
      showStart()
      announce(`Page ${data.paging.page + 1} of ${data.paging.pages}, images ${rangeText(data.paging, order.length)} ${within()}`)
    }
  }

  /** What was pressed while the grid was away is done now, and the keyboard is the grid's again. */
  function comeBack(unchanged) {
    const keys = memory.hold.end()
    if (!memory.held) return
    if (wholePage().free()) {
      if (memory.held === "tile") focusTile(focused, false)
      else bar.querySelector("[tabindex='0']")?.focus({ preventScroll: true })
    }
    // a key must not reach an image that nobody saw when pressing it
    if (!unchanged) return keys.length ? announce("Other images are shown now: the keys pressed meanwhile did nothing.") : undefined
    for (const key of keys) press({ ...key, target: memory.held === "tile" ? nodes.get(order[focused]).node : bar })
  }

  const hoverText = id => {
    const image = byId.get(id)
    return image ? [...sentences(image, chipsOf(image, waitingTags()), would.get(id)), ...(image.details ?? [])] : null
  }

  /** A page begins at its first image: scroll there if that is above what can be seen, and leave all else alone. */
  function showStart() {
    const { top } = view()
    const start = tiles.getBoundingClientRect().top
    if (start < top) scrollerOf(root).scrollTop += start - top
  }

  // --- size ----------------------------------------------------------------------------------------------------

  function applySize(wanted) {
    if (wanted === size) return
    size = wanted
    tiles.style.setProperty("--size", `${size}px`)
    tiles.style.setProperty("--least", String(leastColumns(size)))
  }

  /** Zoom around the image in focus, or the first one in view: it stays where it is on the screen. */
  function resize(wanted) {
    if (wanted === size) return
    const { top, bottom } = view()
    const tops = order.map(id => nodes.get(id).node.getBoundingClientRect().top)
    const inView = position => tops[position] >= top - 1 && tops[position] < bottom
    const kept = inView(focused) ? focused : tops.findIndex((_, position) => inView(position))
    keepSize(wanted)
    applySize(wanted)
    const node = nodes.get(order[kept])?.node
    if (node) scrollerOf(root).scrollTop += node.getBoundingClientRect().top - tops[kept]
    drawToolbar()
  }

  /** The part of the window in which tiles can be seen: not under Streamlit's header nor under our bar. */
  function view() {
    const at = bar.getBoundingClientRect()
    const below = bar.hidden || at.top > window.innerHeight / 2
    const top = below ? parseFloat(root.style.getPropertyValue("--header")) || 0 : at.bottom
    return { top, bottom: below && !bar.hidden ? at.top : window.innerHeight }
  }

  // --- focus and keys ------------------------------------------------------------------------------------------

  function focusTile(position, scroll = true) {
    const tile = nodes.get(order[position])?.node
    if (!tile) return
    tile.focus({ preventScroll: true }) // "focusin" below notes the position
    if (scroll) tile.scrollIntoView({ block: "nearest" })
  }

  /** How far below the top edge the toolbar sticks: Streamlit's header lies over the page, but not over a dialog. */
  function headerHeight() {
    if (parentElement.host?.closest("[role=dialog]")) return 0
    return document.querySelector("[data-testid=stHeader]")?.offsetHeight ?? 0
  }

  const columns = () => getComputedStyle(tiles).gridTemplateColumns.split(" ").length

  function showKeys(visible) {
    keysPanel.hidden = !visible
    action("keys").setAttribute("aria-expanded", String(visible))
    hideTooltip()
  }

  /** Do what a key means; false if it means nothing here. */
  function press(event) {
    const onTile = event.target.closest?.(".tile") !== null
    const command = event.ctrlKey || event.metaKey
    const [key, digit, letter, zoom] = [event.key, digitOf(event), letterOf(event), zoomOf(event)]

    if (key === "Escape") return escape()
    if (asked) return false
    if (letter === "a" && !event.altKey) return perform(event.shiftKey ? "everything" : "all"), true
    const step = data.undo && stepOf(event)
    if (step) return simple(step), true
    if (command || event.altKey || !order.length) return false // Ctrl with + or - zooms the whole page
    if (zoom) return perform(zoom > 0 ? "larger" : "smaller"), true
    const to = { PageDown: "next", ".": "next", PageUp: "previous", ",": "previous" }[key]
    if (to && data.paging && data.paging.pages > 1) return perform(to), true
    const subject = onTile ? [order[focused]] : []
    const meant = digit && data.concepts.find(concept => concept.key === digit)
    if (meant && data.toolbar) {
      choose(meant.id)
      return tagSelected(memory.active, !event.shiftKey, subject), true
    }
    if (data.toolbar && letter === "u") return tagSelected(memory.active, UNSURE, subject), true
    if (data.toolbar && /^(Digit|Numpad)0$/.test(event.code)) return tagSelected(memory.active, null, subject), true
    if (!onTile) return false

    if (key === " ") return event.shiftKey ? stretch(fresh(event), focused) : toggle(fresh(event), focused), true
    if (key === "Enter") return openImage(order[focused]), true
    const next = movedFocus(key, focused, columns(), order.length)
    if (next === null) return false
    if (event.shiftKey) {
      anchor ??= focused
      stretch(memory.selection, next)
    } else [anchor, base] = [next, null]
    focusTile(next)
    return true
  }

  function escape() {
    if (asked) return answer(false), true
    if (dragging.active) return select(before), dragging.stop(), true
    if (!keysPanel.hidden) return showKeys(false), true
    if (sizeOf(memory.selection, total())) return select(nothing()), announceCount(), true
    return false
  }

  /** The selection that a click adds to: a new one if the last has been tagged, unless a key says "go on". */
  function fresh(event) {
    const start = memory.spent && !event.shiftKey && !event.ctrlKey && !event.metaKey ? nothing() : memory.selection
    memory.spent = false
    return start
  }

  root.onkeydown = event => {
    // Digits, letters and arrows belong to the number that is being typed.
    if (event.target === pageInput && typing(event)) return event.stopPropagation()
    const inBar = bar.contains(event.target)
    if (!(inBar && roving.move(event)) && !press(event)) {
      // What means nothing here must still not reach Streamlit's shortcuts (r reruns, c clears caches); Escape may
      // close the dialog that the grid is in.
      if (event.key !== "Escape") event.stopPropagation()
      return undefined
    }
    event.preventDefault()
    event.stopPropagation()
    return undefined
  }

  function typing(event) {
    if (event.key === "Enter") turnToTyped(), pageInput.select()
    else if (event.key === "Escape") pageInput.value = grouped(data.paging.page + 1)
    else return !(/^(ArrowLeft|ArrowRight|PageUp|PageDown)$/.test(event.key))
    return true
  }

  function turnToTyped() {
    turn(typedPage(pageInput.value, data.paging.pages))
    pageInput.value = grouped(awaited() + 1)
  }
  pageInput.onfocus = () => pageInput.select()
  pageInput.onblur = () => {
    if (data.paging) turnToTyped()
  }

  // --- mouse and touch -----------------------------------------------------------------------------------------

  let before = nothing() // the selection before a drag
  const dragging = installDragging({
    root,
    tiles,
    marquee: part("marquee"),
    view,
    rectangles() {
      const frame = root.getBoundingClientRect()
      return order.map(id => {
        const at = nodes.get(id).node.getBoundingClientRect()
        return {
          id,
          left: at.left - frame.left,
          top: at.top - frame.top,
          right: at.right - frame.left,
          bottom: at.bottom - frame.top,
        }
      })
    },
    begin(event) {
      hideTooltip()
      before = fresh(event)
    },
    reach(ids) {
      const next = including(before, ids)
      if (next.ids.size !== memory.selection.ids.size || [...next.ids].some(id => !memory.selection.ids.has(id))) select(next)
    },
    end() {
      const first = order.findIndex(id => holds(memory.selection, id))
      if (first >= 0) focusTile(first, false)
      announceCount()
    },
  })

  // A screen reader moves the focus without our keys.
  tiles.addEventListener("focusin", event => {
    const tile = event.target.closest(".tile")
    if (!tile) return
    memory.held = "tile"
    memory.at = Number(tile.dataset.id)
    nodes.get(order[focused])?.node.setAttribute("tabindex", "-1")
    focused = order.indexOf(Number(tile.dataset.id))
    tile.tabIndex = 0
  })
  tiles.addEventListener("load", event => pictureLoaded(event.target), true)

  let unclicked = null // the selection before the click that may be the first half of a double click
  tiles.onclick = event => {
    const tile = event.target.closest(".tile")
    if (dragging.ended || !tile) return
    const id = Number(tile.dataset.id)
    if (event.target.closest(".open")) return void openImage(id)
    if (event.detail < 2) unclicked = { selection: memory.selection, spent: memory.spent, saved: memory.saved }
    const position = order.indexOf(id)
    focusTile(position, false)
    const start = fresh(event)
    if (event.shiftKey) stretch(start, position)
    else toggle(start, position)
  }
  tiles.ondblclick = event => {
    const tile = event.target.closest(".tile")
    if (!tile || !unclicked || event.target.closest(".open")) return
    Object.assign(memory, { spent: unclicked.spent, saved: unclicked.saved })
    select(unclicked.selection)
    openImage(Number(tile.dataset.id))
  }
  bar.onclick = event => {
    const button = event.target.closest(".action")
    const chosen = event.target.closest(".pill")
    if (button) perform(button.dataset.action)
    if (chosen) choose(Number(chosen.dataset.concept))
    if (button?.dataset.action !== "keys" && !keysPanel.hidden) showKeys(false)
  }

  // --- coming and leaving --------------------------------------------------------------------------------------

  // A click elsewhere may lead to another page, where nobody would answer: hand over what still waits.
  const elsewhere = event => {
    const path = event.composedPath()
    if (path.includes(root)) return
    memory.held = null
    // a drag elsewhere must not be met by a run of the page: only what may act on the selection is told of it
    if (path.some(actsOn) && !path.some(inFrame)) tellSelection()
    else outbox.flush()
  }
  root.addEventListener("focusout", event => {
    const to = event.relatedTarget
    if (to && !root.contains(to) && actsOn(to) && !inFrame(to)) tellSelection()
  })
  const away = () => outbox.flush()
  const strayed = event => {
    if (!event.composedPath().includes(root)) memory.held = null
  }
  bar.addEventListener("focusin", () => (memory.held = "bar"))
  document.addEventListener("focusin", strayed, true)
  document.addEventListener("pointerdown", elsewhere, true)
  window.addEventListener("pagehide", away)
  const removeSkipLink = installSkipLink({ root, focus: () => focusTile(focused) })
  // how much of a tile the bar hides, for scrolling to it
  const barHeight = new ResizeObserver(() => {
    root.style.setProperty("--bar", `${bar.offsetHeight}px`)
    roving.settle()
  })
  barHeight.observe(bar)

  const drawings = {
    undo: "M6 3 2.5 6.5 6 10 M3 6.5h6.5a3.5 3.5 0 0 1 0 7H7",
    redo: "M10 3l3.5 3.5L10 10 M13 6.5H6.5a3.5 3.5 0 0 0 0 7H9",
    keys: "M1.5 4h13v8h-13z M4 6.5h.01 M6.7 6.5h.01 M9.3 6.5h.01 M12 6.5h.01 M5 9.5h6",
    first: "M11.5 3.5 7 8l4.5 4.5 M4 3.5v9",
    previous: "M10 3.5 5.5 8l4.5 4.5",
    next: "M6 3.5 10.5 8 6 12.5",
    last: "M4.5 3.5 9 8l-4.5 4.5 M12 3.5v9",
    smaller: "M3.5 8h9",
    larger: "M3.5 8h9 M8 3.5v9",
  }
  for (const [name, path] of Object.entries(drawings)) action(name).append(icon(path))
  const undoWord = element("span", "undo-word")
  undoWord.textContent = "Undo"
  action("undo").append(undoWord)
  action("undo").setAttribute("aria-label", "Undo")

  const unfollow = followChanges({
    ids: () => order,
    show(changes) {
      would = changes
      draw()
    },
  })

  const grid = {
    drawPictures,
    update,
    leave() {
      dragging.stop()
      removeSkipLink()
      barHeight.disconnect()
      unfollow()
      clearTimeout(reportTimer)
      document.removeEventListener("focusin", strayed, true)
      document.removeEventListener("pointerdown", elsewhere, true)
      window.removeEventListener("pagehide", away)
      // another one of the same store may have come first: then it is that one's
      if (mounted.get(store) !== grid) return
      outbox.rest()
      mounted.delete(store)
      if (memory.held) memory.hold.begin()
    },
  }
  mounted.set(store, grid)
  return grid
}
