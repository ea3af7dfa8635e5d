// The stage: all steps lie on it at once and one is seen, so that the next one is there in the frame after the key.
// Streamlit calls `present` whenever `data` or the theme changes; pictures come in messages of their own.

const ICONS = {
  full: "M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4",
  leave: "M3 3l10 10M13 3L3 13",
  previous: "M10 3L5 8l5 5",
  next: "M6 3l5 5-5 5",
}
/** Milliseconds after the last step at which the address follows. */
const SETTLED = 250
/** Pixels that a finger has to go sideways. */
const SWIPE = 60
const PHONE = "(max-width: 700px), (max-height: 420px)"

const stores = new Map()
const stages = new WeakMap()

function storeOf(key) {
  if (!stores.has(key)) {
    const kept = createKept(sessionStore(), key)
    const store = { pictures: createPictures(), kept, mounted: null, transmit: null, work: null }
    const client = Math.random().toString(36).slice(2) + Date.now().toString(36)
    store.outbox = createOutbox({ client, transmit: message => store.transmit?.(message) })
    stores.set(key, store)
  }
  return stores.get(key)
}

export default function present({ data, parentElement, setStateValue }) {
  if (!data) return undefined
  const store = storeOf(data.store)
  if (data.role === "thumbnails") store.pictures.takeThumbnails(data.pictures)
  if (data.role === "sharp") store.pictures.takeSharp(data.pictures)
  if (data.role === "work") {
    store.work = data
    store.mounted?.showWork()
  }
  if (data.role !== "stage") return undefined
  if (!stages.has(parentElement)) stages.set(parentElement, createStage(parentElement, store))
  const stage = stages.get(parentElement)
  stage.update(data, setStateValue)
  return () => {
    stage.leave()
    stages.delete(parentElement)
  }
}

function createStage(parentElement, store) {
  parentElement.append(parentElement.querySelector(".markup").content.cloneNode(true))
  const root = parentElement.querySelector(".stage")
  const part = name => root.querySelector(`.${name}`)
  const [slides, dots, classes, overlay] = ["slides", "dots", "classes", "overlay"].map(part)
  const phone = matchMedia(PHONE)
  const kept = store.kept
  let data = null
  let setState = () => {}
  let at = 0
  let turned = null // the latest turn that Python asked for
  let drawn = [] // per step what it was drawn from
  let settling = null
  let before = null // what had the focus when the keys were shown

  for (const [name, path] of Object.entries(ICONS)) root.querySelector(`[data-do=${name}]`).append(icon(path))

  const tools = {
    pictures: store.pictures,
    kept,
    send: event => store.outbox.push(event),
    turn: step => go(at + step),
    /** A button of a step: leads to another step, or asks Python. */
    ask: one => (Number.isInteger(one.to) ? go(one.to) : store.outbox.push({ kind: one.kind })),
    /** What was asked is under way; the answer draws the step anew, or gives the button back. */
    wait(button, text) {
      button.dataset.was = button.textContent
      button.disabled = true
      button.textContent = text
    },
  }

  // --- drawing ---------------------------------------------------------------------------------------------------

  function draw() {
    for (const [name, value] of Object.entries(data.colors)) root.style.setProperty(`--${name}`, value)
    setText(part("about"), data.about)
    drawClasses()
    drawProblem()
    const pieces = data.slides.map(slide => JSON.stringify(slide))
    while (slides.children.length > pieces.length) slides.lastChild.remove()
    for (const [place, slide] of data.slides.entries()) {
      const section = slides.children[place] ?? slides.appendChild(element("section", "slide", {}))
      if (drawn[place] === pieces[place] && section.childNodes.length) continue
      if (slide.kind === "tag" && slide.concept) {
        const others = kept.ask(slide.concept, (slide.pictures ?? []).map(tile => tile.id), data.session)
        if (others) store.outbox.push({ kind: "ask", concept: slide.concept, shown: others, rest: [] })
      }
      const within = section.contains(parentElement.activeElement ?? root.getRootNode().activeElement)
      section.dataset.kind = slide.kind
      section.setAttribute("aria-label", `${place + 1}. ${slide.name}`)
      section.replaceChildren(...build(slide, tools))
      if (within) section.querySelector("input, .primary")?.focus({ preventScroll: true })
    }
    if (!store.outbox.waiting.length) giveBack()
    drawn = pieces
    drawDots()
    showWork()
    place()
    fitAll()
  }

  function giveBack() {
    for (const button of slides.querySelectorAll("button[data-was]")) {
      button.textContent = button.dataset.was
      button.disabled = false
      delete button.dataset.was
    }
  }

  function drawClasses() {
    part("which").hidden = data.classes.length < 2
    const told = JSON.stringify(data.classes)
    if (classes.dataset.told !== told) {
      classes.dataset.told = told
      classes.replaceChildren(...data.classes.map(one => new Option(one.name, one.index)))
    }
    classes.value = String(data.class)
  }

  function drawProblem() {
    const box = part("problem")
    box.hidden = !data.problem || data.problem.turn === box.dataset.dismissed
    if (!data.problem) return
    setText(part("problem-title"), data.problem.title)
    setText(part("problem-text"), data.problem.text)
  }

  function drawDots() {
    while (dots.children.length > data.slides.length) dots.lastChild.remove()
    for (const [step, slide] of data.slides.entries()) {
      let item = dots.children[step]
      if (!item) {
        item = element("li", "", {})
        const dot = element("button", "dot", { type: "button" })
        dot.onclick = () => go(step)
        item.append(dot)
        dots.append(item)
      }
      item.firstChild.setAttribute("aria-label", `Step ${step + 1} of ${data.slides.length}: ${slide.name}`)
      item.firstChild.title = slide.name
    }
  }

  /** Show the step at hand, and nothing else to the keyboard. */
  function place() {
    for (const [step, section] of [...slides.children].entries()) {
      section.inert = step !== at
      section.classList.toggle("now", step === at)
      section.classList.toggle("past", step < at)
    }
    for (const [step, item] of [...dots.children].entries()) {
      if (step === at) item.firstChild.setAttribute("aria-current", "step")
      else item.firstChild.removeAttribute("aria-current")
    }
    root.querySelector("[data-do=previous]").disabled = at === 0
    root.querySelector("[data-do=next]").disabled = at >= data.slides.length - 1
  }

  function showWork() {
    const slide = data?.slides.findIndex(one => one.kind === "repair" && one.running) ?? -1
    if (slide < 0) {
      store.work = null
      return
    }
    const bar = slides.children[slide].querySelector("[role=progressbar]")
    if (!bar || !store.work) return
    const share = store.work.fraction
    bar.classList.toggle("unknown", share === null)
    if (share === null) bar.removeAttribute("aria-valuenow")
    else bar.setAttribute("aria-valuenow", String(Math.round(100 * share)))
    bar.firstChild.style.width = share === null ? "" : `${100 * share}%`
    setText(slides.children[slide].querySelector(".work"), store.work.text)
  }

  function fitAll() {
    for (const list of slides.querySelectorAll(".grid")) {
      const place = placeFor(list)
      const count = Number(list.dataset.count)
      const found = phone.matches
        ? flow(count, place.width, place.gap, Number(list.dataset.columns))
        : fit(count, place.width, place.height, place.gap, place.extra)
      setSize(list, found, place.gap)
    }
    if (phone.matches) return
    // pictures that are compared are of one size
    for (const box of slides.querySelectorAll(".alike")) {
      const lists = [...box.querySelectorAll(".grid")]
      const side = Math.min(...lists.map(list => Number(list.dataset.side)))
      for (const list of lists) {
        const { width, height, gap } = placeFor(list)
        const columns = columnsOf(Number(list.dataset.count), side, width, height, gap)
        setSize(list, { columns, side }, gap)
      }
    }
  }

  function placeFor(list) {
    const room = list.parentElement
    const extra = list.querySelector(".words")?.offsetHeight ?? 0
    const gap = parseFloat(getComputedStyle(list).columnGap) || 0
    return { width: room.clientWidth, height: room.clientHeight, gap, extra }
  }

  function setSize(list, { columns, side }, gap) {
    list.dataset.fitted = columns
    list.dataset.side = side
    list.style.setProperty("--side", `${side}px`)
    list.style.width = `${columns * (side + gap) - gap + 1}px`
  }

  // --- going on --------------------------------------------------------------------------------------------------

  function go(step, { tell = true } = {}) {
    const to = Math.min(Math.max(step, 0), data.slides.length - 1)
    if (to === at) return
    at = to
    place()
    slides.children[at].scrollTop = 0
    setText(part("announced"), `${at + 1} of ${data.slides.length}: ${data.slides[at].title}`)
    if (!tell) return
    clearTimeout(settling)
    settling = setTimeout(() => {
      keepAddress()
      // with the turn it was taken in: Python may have turned to another step meanwhile
      setState("step", { at, turn: turned })
    }, SETTLED)
  }

  /** The address follows, so that it can be copied and reloaded; the browser's Back leaves the stage at once. */
  function keepAddress() {
    const url = new URL(location.href)
    for (const name of ["analysis", "class", "step"]) url.searchParams.delete(name)
    for (const [name, value] of Object.entries({ ...data.address, step: at + 1 })) url.searchParams.set(name, value)
    if (data.address.analysis && url.href !== location.href) history.replaceState(history.state, "", url)
  }

  const act = {
    next: () => go(at + 1),
    previous: () => go(at - 1),
    first: () => go(0),
    last: () => go(data.slides.length - 1),
    leave: () => (overlay.hidden ? store.outbox.push({ kind: "leave" }) : act.help()),
    black: () => (part("black").hidden = !part("black").hidden),
    blur: () => root.getRootNode().activeElement?.blur(),
    act() {
      const section = slides.children[at]
      // nothing was typed or clicked yet: that comes first
      const first = section.querySelector("input, .choice:not(:has([aria-pressed=true])) [tabindex='0']")
      if (first && !first.value) first.focus()
      else section.querySelector(".primary:not(:disabled)")?.click()
    },
    help() {
      const shows = overlay.hidden
      if (shows) before = root.getRootNode().activeElement
      overlay.hidden = !shows
      // as long as they are shown, the tab key leads to nothing else
      for (const name of ["head", "problem", "slides", "foot"]) part(name).inert = shows
      if (shows) part("keys").focus()
      else before?.focus?.()
    },
    full() {
      if (document.fullscreenElement) document.exitFullscreen()
      else document.documentElement.requestFullscreen?.().catch(() => {})
    },
    dismiss() {
      part("problem").dataset.dismissed = data.problem.turn
      part("problem").hidden = true
    },
  }

  function focused(event) {
    const node = event.composedPath()[0]
    if (!(node instanceof Element)) return ""
    if (node.matches("input, textarea")) return "text"
    if (node.matches("select")) return "choice"
    return node.matches("button") ? "button" : ""
  }

  function onKey(event) {
    const on = focused(event)
    const node = event.composedPath()[0]
    // among the tiles arrows go from one to the next, once the keyboard has led there
    if (on === "button" && event.key.startsWith("Arrow") && node.matches(".pick:focus-visible")) return
    const action = actionOf(event, on)
    if (!overlay.hidden && action !== "leave" && action !== "help") {
      if (action || event.key === "Tab") event.preventDefault()
      if (event.key === "Tab") overlay.querySelector(".primary").focus()
      return
    }
    if (action === null) return
    event.preventDefault()
    event.stopPropagation()
    if (!part("black").hidden) part("black").hidden = true
    else act[action]()
  }

  root.addEventListener("click", event => {
    const name = event.target.closest("[data-do]")?.dataset.do
    if (name) act[name]()
  })
  part("black").onclick = () => act.black()
  classes.onchange = () => {
    store.outbox.push({ kind: "class", class: Number(classes.value) })
    classes.blur()
  }
  // Streamlit has keys of its own (r, c), which nobody on a stage means
  root.addEventListener("keydown", event => event.stopPropagation())
  const quiet = event => event.stopPropagation()
  document.addEventListener("keydown", onKey, true)
  document.body.addEventListener("keydown", quiet)
  let from = null
  slides.addEventListener("touchstart", event => (from = event.touches.length === 1 ? event.touches[0] : null), { passive: true })
  slides.addEventListener("touchend", event => {
    const to = event.changedTouches[0]
    if (!from || !to) return
    const [dx, dy] = [to.clientX - from.clientX, to.clientY - from.clientY]
    if (Math.abs(dx) > SWIPE && Math.abs(dx) > 2 * Math.abs(dy)) go(at + (dx < 0 ? 1 : -1))
    from = null
  }, { passive: true })
  const resized = new ResizeObserver(fitAll)
  resized.observe(slides)

  const stage = {
    showWork,
    update(fresh, setStateValue) {
      setState = setStateValue
      store.transmit = message => setStateValue("up", message)
      store.outbox.acknowledge(fresh.ack)
      data = fresh
      if (turned !== fresh.turn) {
        turned = fresh.turn
        at = Math.min(Math.max(fresh.at, 0), fresh.slides.length - 1)
        clearTimeout(settling)
      }
      at = Math.min(at, fresh.slides.length - 1)
      draw()
      keepAddress()
    },
    leave() {
      clearTimeout(settling)
      store.outbox.flush()
      store.transmit = null
      store.mounted = null
      resized.disconnect()
      document.removeEventListener("keydown", onKey, true)
      document.body.removeEventListener("keydown", quiet)
      root.remove()
    },
  }
  store.mounted = stage
  return stage
}
