// The component: what Python sends, what a person answers. Streamlit calls `tagCard` whenever `data` or the theme
// changes; thumbnails and large pictures come in messages of their own, in any order.

const OPINION_KEPT = "midband-show-opinion"
/** Images after the one in question whose pictures are kept ready. */
const AHEAD = 5

/** By the key in Python: pictures, thumbnails, events on their way, the mounted component. */
const stores = new Map()
const cards = new WeakMap()

function storeOf(key) {
  if (!stores.has(key)) {
    const store = { pictures: createPictures(), thumbnails: new Map(), mounted: null, transmit: null }
    const client = Math.random().toString(36).slice(2) + Date.now().toString(36)
    store.outbox = createOutbox({ client, transmit: message => store.transmit?.(message) })
    stores.set(key, store)
  }
  return stores.get(key)
}

/** Whether label and prediction are shown; not before somebody asks, since they lead the eye. */
function opinionShown() {
  try {
    return sessionStorage.getItem(OPINION_KEPT) === "yes"
  } catch {
    return false // storage may be forbidden
  }
}

function keepOpinion(shown) {
  try {
    sessionStorage.setItem(OPINION_KEPT, shown ? "yes" : "no")
  } catch {
    // then it holds until the page is left
  }
}

receive("tag_card", data => {
  const store = storeOf(data.store)
  const draw = () => store.mounted?.drawPictures()
  if (data.role === "thumbnails") {
    const fresh = Object.entries(data.thumbnails).map(([id, url]) => [Number(id), url])
    // those of the images before are kept: undo goes back to them
    store.thumbnails = new Map([...[...store.thumbnails].slice(-60), ...fresh])
    draw()
  } else if (data.url) {
    store.pictures.take(data, store.mounted?.needed() ?? [], draw)
  }
})

export default function tagCard({ data, parentElement, setStateValue }) {
  if (!data) return undefined
  const store = storeOf(data.store)
  if (!cards.has(parentElement)) cards.set(parentElement, createCards(parentElement, store))
  const shown = cards.get(parentElement)
  shown.update(data, setStateValue)
  return () => {
    shown.leave()
    parentElement.querySelector(".cards")?.remove()
    cards.delete(parentElement)
  }
}

function createCards(parentElement, store) {
  parentElement.append(parentElement.querySelector(".markup").content.cloneNode(true))
  const root = parentElement.querySelector(".cards")
  const part = name => root.querySelector(`.${name}`)
  const [stage, frame, small, large, film] = ["stage", "frame", "small", "large", "film"].map(part)
  const { outbox } = store
  const hideTooltip = installTooltip(root, part("tooltip"))
  let data = null
  let state = { deck: [], trail: [], said: new Map() }
  let opinion = opinionShown()
  let announced = null
  let would = new Map() // id -> class that a repair would make of it

  // --- what is known ---------------------------------------------------------------------------------------------

  const saidByPython = (id, concept) => data.cards[id]?.said[concept] ?? null
  function said(id, concept) {
    const place = placeOf(id, concept)
    return state.said.has(place) ? state.said.get(place) : saidByPython(id, concept)
  }
  const current = () => state.deck[0] ?? null
  const card = () => data.cards[current()] ?? null
  const needed = () => (data ? [...state.deck.slice(0, 1 + AHEAD), ...state.trail.slice(-2).map(step => step.id)] : [])
  const conceptOf = id => data.concepts.find(one => one.id === id)

  // --- drawing ---------------------------------------------------------------------------------------------------

  function draw() {
    if (!data) return
    state = deckAfter(data, outbox.waiting, saidByPython)
    const id = current()
    setText(part("question"), questionOf(data.concept.name))
    root.style.setProperty("--concept", data.concept.color)
    stage.setAttribute("aria-label", id === null ? "No image" : `${questionOf(data.concept.name)} ${card()?.why ?? ""}`)
    drawWhy()
    part("waiting").hidden = id !== null
    setText(part("waiting"), outbox.waiting.length ? "Looking for the next images …" : data.empty)
    drawPictures()
    drawAnswers(id)
    drawOthers(id)
    drawOpinion()
    for (const name of ["skip", "open"]) setOff(root.querySelector(`[data-action=${name}]`), id === null)
  }

  const drawWhy = () => setText(part("why"), [card()?.why, store.pictures.of(current())?.note].filter(Boolean).join(" "))

  /** The picture in full where it is decoded, else the thumbnail at the same place. */
  function drawPictures() {
    if (!data) return
    const id = current()
    const picture = id === null ? null : store.pictures.of(id)
    const shown = picture?.ready ? picture.node : null
    if (large.firstChild !== shown) large.replaceChildren(...(shown ? [shown] : []))
    const thumbnail = id === null ? undefined : store.thumbnails.get(id)
    if (thumbnail && !shown) {
      if (small.src !== thumbnail) small.src = thumbnail
    } else small.removeAttribute("src")
    if (shown) shown.classList.toggle("tiny", Math.max(shown.naturalWidth, shown.naturalHeight) <= 48)
    stage.dataset.image = id ?? ""
    stage.dataset.painted = shown ? "large" : thumbnail ? "small" : "none"
    drawWhy()
    drawFilm()
  }

  function drawFilm() {
    const items = filmOf(state, data.concept.id)
    while (film.children.length > items.length) film.lastChild.remove()
    items.forEach(({ id, state: what }, place) => {
      let still = film.children[place]
      if (!still) {
        still = element("div", "still")
        still.append(element("img", "", { alt: "", draggable: "false" }), element("span", "mark"))
        film.append(still)
      }
      const url = store.thumbnails.get(id)
      const image = still.firstChild
      if (url && image.src !== url) image.src = url
      if (!url) image.removeAttribute("src")
      still.dataset.state = what
      setText(still.lastChild, { yes: "✓", no: "✕", unsure: "?" }[what] ?? "")
    })
  }

  function drawAnswers(id) {
    const mark = id === null ? "" : markOf(said(id, data.concept.id))
    for (const button of root.querySelectorAll(".answer")) {
      button.setAttribute("aria-pressed", String(button.dataset.answer === mark))
      setOff(button, id === null)
    }
    const own = data.concept.shortcut
    for (const [name, keys] of [["yes", own ? `Y or ${own}` : "Y"], ["no", own ? `N or ⇧${own}` : "N"]]) {
      setText(root.querySelector(`[data-answer=${name}] kbd`), keys)
    }
  }

  function drawOthers(id) {
    const holder = part("others")
    const others = data.concepts.filter(one => one.id !== data.concept.id)
    holder.hidden = !others.length
    root.classList.toggle("several", others.length > 0)
    const wanted = JSON.stringify(others)
    if (holder.dataset.shown !== wanted) {
      holder.dataset.shown = wanted
      holder.replaceChildren(...others.map(pill))
    }
    for (const button of holder.children) {
      const mark = id === null ? "" : markOf(said(id, Number(button.dataset.concept)))
      setOff(button, id === null)
      button.dataset.state = mark
      button.setAttribute("aria-pressed", String(mark === "yes"))
      const name = conceptOf(Number(button.dataset.concept))?.name ?? ""
      button.setAttribute("aria-label", mark ? `${name}: ${{ yes: "present", no: "absent", unsure: "can’t tell" }[mark]}` : name)
    }
  }

  function pill(concept) {
    const button = element("button", "pill", { type: "button" })
    button.dataset.concept = concept.id
    button.style.setProperty("--concept", concept.color)
    const name = element("span", "pill-name", { dir: "auto" })
    name.textContent = concept.name
    const key = element("kbd", "")
    key.textContent = concept.shortcut ?? ""
    button.append(element("span", "dot"), name, key)
    describe(button, () => [concept.name, `Press to say it is in this image too${concept.shortcut ? `. Key ${concept.shortcut}, absent with Shift` : ""}.`])
    return button
  }

  function drawOpinion() {
    const line = part("opinion")
    line.hidden = !opinion
    const button = root.querySelector("[data-action=opinion]")
    button.setAttribute("aria-pressed", String(opinion))
    setText(button.querySelector(".word"), opinion ? "Hide label and prediction" : "Show label and prediction")
    setText(line, opinion && card() ? opinionOf(card(), would.get(current())) : "")
  }

  function setOff(button, off) {
    if (off) button.setAttribute("aria-disabled", "true")
    else button.removeAttribute("aria-disabled")
  }

  const announce = text => setText(part("announcer"), text)

  // --- what a person does ----------------------------------------------------------------------------------------

  /** Say which image is in question now, after what was just done. */
  function announceNext(done) {
    const id = current()
    announced = id
    announce([done, id === null ? "No image left here." : `Next image. ${card()?.why ?? ""}`].filter(Boolean).join(" "))
  }

  function push(event, done) {
    outbox.push(event)
    draw()
    announceNext(done)
  }

  function perform(wish) {
    hideTooltip()
    const id = current()
    if (wish.kind === "nothing") return
    if (wish.kind === "opinion") {
      opinion = !opinion
      keepOpinion(opinion)
      drawOpinion()
      return
    }
    if (wish.kind === "undo" || wish.kind === "redo") return void push({ kind: wish.kind }, wish.kind === "undo" ? "Undone." : "Done again.")
    if (id === null) return
    if (wish.kind === "answer") {
      const event = { kind: "tag", id, concept: data.concept.id, present: wish.present, next: true }
      push(event, `Saved: ${wordOf(wish.present)}.`)
    } else if (wish.kind === "tag") {
      const present = toggledTag(said(id, wish.concept), wish.present)
      outbox.push({ kind: "tag", id, concept: wish.concept, present, next: false })
      draw()
      announce(`${conceptOf(wish.concept).name}: ${present === null ? "no tag" : present ? "present" : "absent"}`)
    } else if (wish.kind === "skip") push({ kind: "skip", id }, "Later.")
    else outbox.push({ kind: "open", id })
  }

  const ANSWERS = { yes: true, no: false, unsure: "unsure" }
  root.onclick = event => {
    const button = event.target.closest("button")
    if (!button || button.getAttribute("aria-disabled")) return
    if (button.dataset.answer) perform({ kind: "answer", present: ANSWERS[button.dataset.answer] })
    else if (button.dataset.action) perform({ kind: button.dataset.action })
    else if (button.dataset.concept) perform({ kind: "tag", concept: Number(button.dataset.concept), present: true })
    // after a click with the mouse, Space must not press the same button again: the keys are the card's
    if (event.detail > 0) stage.focus({ preventScroll: true })
  }
  stage.ondblclick = () => perform({ kind: "open" })

  // On the window and early: answers are given without looking where the focus is, as long as nobody types.
  const press = event => {
    if (!root.isConnected || event.defaultPrevented || !data) return
    const from = event.composedPath()[0]
    const inside = event.composedPath().includes(root)
    if (!inside && (document.querySelector("[role=dialog]") || inUse(from, event))) return
    if (inside && from !== stage && belongsToControls(event.key)) return void event.stopPropagation()
    const wish = meaningOf(event, { concepts: data.concepts, asked: data.concept.id })
    if (!wish) {
      // Streamlit's shortcuts (r reruns, c clears caches) are for the page
      if (inside && letterOf(event) && !event.ctrlKey && !event.metaKey) event.stopImmediatePropagation()
      return
    }
    event.preventDefault()
    event.stopImmediatePropagation()
    perform(wish)
  }
  window.addEventListener("keydown", press, true)
  const away = () => outbox.flush()
  const elsewhere = event => {
    if (!event.composedPath().includes(root)) outbox.flush()
  }
  document.addEventListener("pointerdown", elsewhere, true)
  window.addEventListener("pagehide", away)

  /** Whether a key pressed outside of the card is meant for what has the focus there. */
  function inUse(from, event) {
    if (!from?.matches || from === document.body || from === document.documentElement) return false
    if (from.matches("input, textarea, select, [contenteditable=true], [role=textbox], [role=combobox], iframe")) return true
    return belongsToControls(event.key)
  }

  // --- swiping ---------------------------------------------------------------------------------------------------

  let swipe = null
  stage.onpointerdown = event => {
    if (event.pointerType === "mouse" || !event.isPrimary || current() === null) return
    swipe = { x: event.clientX, y: event.clientY, pointer: event.pointerId, width: stage.clientWidth }
  }
  stage.onpointermove = event => {
    if (!swipe || event.pointerId !== swipe.pointer) return
    const dx = event.clientX - swipe.x
    frame.style.transform = `translateX(${dx}px) rotate(${dx / 60}deg)`
    const says = swiped(dx, event.clientY - swipe.y, swipe.width)
    part("verdict").hidden = says === null
    setText(part("verdict"), says === null ? "" : says ? "Yes" : "No")
  }
  const ended = event => {
    if (!swipe || event.pointerId !== swipe.pointer) return
    const says = event.type === "pointerup" ? swiped(event.clientX - swipe.x, event.clientY - swipe.y, swipe.width) : null
    swipe = null
    frame.style.transform = ""
    part("verdict").hidden = true
    if (says !== null) perform({ kind: "answer", present: says })
  }
  stage.onpointerup = ended
  stage.onpointercancel = ended

  // --- tooltips --------------------------------------------------------------------------------------------------

  const HINTS = {
    undo: ["Undo", "Goes back to the image answered last. Shift+Z does it again."],
    skip: ["Decide later", "The image comes back at the end."],
    open: ["Look closer", "The image in full, what is like it, where the model looks."],
    opinion: ["Label and prediction", "Hidden at first: who knows what the model thinks sees it more easily. Answer what you see."],
  }
  for (const button of root.querySelectorAll("[data-action]")) describe(button, () => HINTS[button.dataset.action])
  describe(root.querySelector("[data-answer=unsure]"), () => ["Can’t tell", "Kept as your answer: the image is not asked about again."])

  const unfollow = followChanges({
    ids: () => (data ? state.deck.slice(0, 1 + AHEAD) : []),
    show(changes) {
      would = changes
      drawOpinion()
    },
  })

  const shown = {
    needed,
    drawPictures,
    update(fresh, setStateValue) {
      data = fresh
      store.transmit = message => setStateValue("up", message)
      outbox.acknowledge(data.ack)
      outbox.resume()
      const before = current()
      draw()
      // an undo that only Python could decide, or the first image of all
      if (before !== current() && announced !== current()) announceNext("")
    },
    leave() {
      hideTooltip()
      unfollow()
      window.removeEventListener("keydown", press, true)
      document.removeEventListener("pointerdown", elsewhere, true)
      window.removeEventListener("pagehide", away)
      // another one of the same store may have come first: then it is that one's
      if (store.mounted !== shown) return
      outbox.rest()
      store.mounted = null
    },
  }
  store.mounted = shown
  return shown
}
