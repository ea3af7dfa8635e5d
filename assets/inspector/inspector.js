// The component: what Python sends, what a person does. Parts of an image's story come in messages of their own, in any
// order; what is about another image than the one shown is kept aside.

/** By the key in Python: the latest message of each role, the mounted component, events on their way. */
const stores = new Map()
const inspectors = new WeakMap()
/** Closing first hands the focus to where it was, which inside a component means nowhere. */
const FOCUS_BACK_MS = 80

function storeOf(key) {
  if (!stores.has(key)) {
    const store = { messages: {}, mounted: null, transmit: null, lastConcept: null }
    const client = Math.random().toString(36).slice(2) + Date.now().toString(36)
    store.outbox = createOutbox({ client, transmit: message => store.transmit?.(message) })
    stores.set(key, store)
  }
  return stores.get(key)
}

export default function inspector({ data, parentElement, setStateValue }) {
  if (!data) return undefined
  const store = storeOf(data.store)
  store.messages[data.role] = data
  if (data.role !== "facts") {
    store.mounted?.draw(data.role)
    return undefined // this mount only carries a message: its template stays unused
  }
  if (!inspectors.has(parentElement)) inspectors.set(parentElement, createInspector(parentElement, store))
  const shown = inspectors.get(parentElement)
  shown.update(data, setStateValue)
  return () => {
    shown.leave()
    parentElement.querySelector(".inspector")?.remove()
    inspectors.delete(parentElement)
  }
}

function createInspector(parentElement, store) {
  parentElement.append(parentElement.querySelector(".markup").content.cloneNode(true))
  const root = parentElement.querySelector(".inspector")
  const part = name => root.querySelector(`.${name}`)
  const { outbox } = store
  let data = null
  let target = null // where the person is going: ahead of what is shown while Python answers
  const picture = createPicture(root, { onChoice: choice => send("choice", choice) })

  part("step").append(icon("M10 3 5 8l5 5"))
  root.querySelector("[data-action=next]").append(icon("M6 3l5 5-5 5"))

  const send = (kind, value) => {
    outbox.push({ kind, value })
    draw("facts")
  }
  /** A message if it is about the image shown. */
  const about = role => (store.messages[role]?.image === data.image ? store.messages[role] : null)

  // --- drawing -------------------------------------------------------------------------------------------------

  function draw(role) {
    if (!data) return
    if (role === "facts" || role === "heat") drawHeat()
    if (role === "facts" || role === "picture") drawPicture()
    if (role === "facts") drawKnown()
    if (role === "facts" || role === "neighbours") drawNeighbours()
    if (role === "facts" || role === "standing") drawStanding()
  }

  function drawPicture() {
    const found = about("picture")
    root.classList.toggle("moving", !found || target.image !== data.image)
    if (found) picture.show({ ...found, alt: `${data.name}: ${data.label || data.predicted}` })
  }

  function drawHeat() {
    const on = asked("heat", data.heat.on)
    const choice = asked("choice", data.heat.choice)
    picture.showHeat({ ...data.heat, on, choice }, about("heat"))
  }

  /** What a person asked for last, though Python may not know yet. */
  function asked(kind, known) {
    const last = outbox.waiting.filter(event => event.kind === kind).at(-1)
    return last ? last.value : known
  }

  function drawKnown() {
    const steps = stepsFrom({ ...data, ...target })
    const several = data.total > 1 || steps.away
    part("steps").hidden = !several
    setText(part("position"), positionText({ ...data, ...target }))
    setOff("previous", steps.previous === null)
    setOff("next", steps.next === null)
    const back = root.querySelector("[data-action=previous]")
    back.setAttribute("aria-label", steps.away ? "Back to the image before" : "Previous image")
    setText(part("name"), data.name)
    const verdict = part("verdict")
    // null where nobody has said what the image shows
    const judged = data.correct !== null
    verdict.classList.toggle("wrong", data.correct === false)
    verdict.hidden = !judged
    setText(verdict, data.correct ? "✓ the model is right" : "✕ the model is wrong")
    drawFacts(part("facts"), [
      ["Label", judged ? data.label : "none"],
      ["Predicted", data.predicted, ...(judged ? [data.correct ? "right" : "wrong"] : [])],
      ...(data.split ? [["Split", data.split]] : []),
      ...data.attributes,
    ])
    part("tags").hidden = !data.concepts.length
    drawTags(part("tag-rows"), conceptsAfter(data.concepts, data.image, outbox.waiting))
    drawBars(part("bars"), data)
    part("bars").classList.toggle("long", data.every_class)
    const every = part("every")
    every.hidden = data.classes.length >= data.total_classes && !(data.every_class && data.total_classes > 11)
    setText(every, data.every_class ? "The best ten only" : `All ${data.total_classes.toLocaleString("en")} classes`)
    drawMetrics()
  }

  function drawMetrics() {
    const metric = asked("metric", data.metric)
    const box = part("metrics")
    if (!box.children.length) {
      for (const [code, title] of data.metrics) {
        const button = element("button", "metric", { type: "button", role: "radio" })
        button.dataset.metric = code
        button.textContent = title
        box.append(button)
      }
    }
    for (const button of box.children) {
      const chosen = button.dataset.metric === metric
      button.setAttribute("aria-checked", String(chosen))
      button.tabIndex = chosen ? 0 : -1
    }
  }

  function drawNeighbours() {
    const found = about("neighbours")
    const here = found?.metric === asked("metric", data.metric) ? found : null
    setText(part("near-said"), here?.sentence ?? `Comparing with ${data.images} images …`)
    drawNear(part("near-grid"), here, data.neighbours)
  }

  function drawStanding() {
    const found = about("standing")
    drawPlaces(part("place-grid"), found, Math.min(data.total_classes, 6) + 3)
    const key = part("key")
    key.replaceChildren(swatch("own"), `${data.label || `predicted ${data.predicted}`}  `, swatch("all"), "all images")
  }

  function swatch(kind) {
    return element("span", `swatch ${kind}`)
  }

  function setOff(action, off) {
    const button = root.querySelector(`[data-action=${action}]`)
    if (off) button.setAttribute("aria-disabled", "true")
    else button.removeAttribute("aria-disabled")
  }

  // --- what a person does --------------------------------------------------------------------------------------

  function go(id) {
    if (id === null || id === undefined) return
    target = { image: id, anchor: data.ids.includes(id) ? id : target.anchor }
    outbox.push({ kind: "go", value: id })
    draw("facts")
  }

  function tag(concept, present) {
    if (!concept) return
    store.lastConcept = concept.id
    outbox.push({ kind: "tag", concept: concept.id, present, ids: [target.image] })
    drawKnown()
    setText(part("announcer"), `${concept.name}: ${stateWord(present)}`)
  }

  const lastConcept = () => data.concepts.find(concept => concept.id === store.lastConcept)

  function perform(wish) {
    const steps = stepsFrom({ ...data, ...target })
    if (wish.kind === "previous") go(steps.previous)
    else if (wish.kind === "next") go(steps.next)
    else if (wish.kind === "heat") send("heat", !asked("heat", data.heat.on))
    else if (wish.kind === "every") send("every", !data.every_class)
    else if (wish.kind === "tag") tag(data.concepts.find(concept => concept.key === wish.key), wish.present)
    else if (wish.kind === "clear") tag(lastConcept(), null)
    else if (wish.kind === "unsure") tag(lastConcept() ?? data.concepts[0], UNSURE)
    else send(wish.kind)
  }

  root.onclick = event => {
    const button = event.target.closest("button")
    if (!button || button.getAttribute("aria-disabled")) return
    if (button.dataset.action) perform({ kind: button.dataset.action })
    else if (button.dataset.metric) send("metric", button.dataset.metric)
    else if (button.classList.contains("near-tile")) near(Number(button.dataset.id))
    else if (button.classList.contains("tag-button")) {
      const id = Number(button.closest(".tag-row").dataset.concept)
      const concept = conceptsAfter(data.concepts, data.image, outbox.waiting).find(one => one.id === id)
      const says = JSON.parse(button.dataset.present)
      // pressing what is pressed takes it back
      tag(concept, concept.present === says ? null : says)
    }
  }

  function near(id) {
    go(id)
    // the tile that was pressed is about to go: the focus goes to what leads back
    root.querySelector("[data-action=previous]").focus({ preventScroll: true })
    root.closest("[role=dialog]")?.scrollTo?.({ top: 0 })
    root.scrollIntoView({ block: "start" })
  }

  // On the window and early: the page below listens to arrow keys too, and a dialog is in front of it.
  const press = event => {
    if (!root.isConnected || event.defaultPrevented) return
    const from = event.composedPath()[0]
    const field = from?.matches?.("input, select, textarea")
    const metric = from?.matches?.(".metric")
    if (metric && /^Arrow(Left|Right)$/.test(event.key)) {
      const other = [...part("metrics").children].find(button => button !== from)
      send("metric", other.dataset.metric)
      other.focus()
    } else if (!field && meaning(event)) perform(meaning(event))
    else {
      // Streamlit's shortcuts (r reruns, c clears caches) are for the page
      if (letterOf(event) && !event.ctrlKey && !event.metaKey && !field) event.stopImmediatePropagation()
      return
    }
    event.preventDefault()
    event.stopImmediatePropagation()
  }
  window.addEventListener("keydown", press, true)
  const away = () => outbox.flush()
  window.addEventListener("pagehide", away)

  const shown = {
    draw,
    update(fresh, setStateValue) {
      const arrived = data?.image !== fresh.image
      data = fresh
      store.transmit = message => setStateValue("up", message)
      outbox.acknowledge(data.ack)
      outbox.resume()
      const last = outbox.waiting.filter(event => event.kind === "go").at(-1)
      if (!last) target = { image: data.image, anchor: data.anchor }
      draw("facts")
      if (arrived) {
        const verdict = data.correct ? "right" : `predicted ${data.predicted}`
        setText(part("announcer"), [data.name, data.label, verdict].filter(Boolean).join(", "))
      }
    },
    leave() {
      picture.leave()
      window.removeEventListener("keydown", press, true)
      window.removeEventListener("pagehide", away)
      // another one of the same store may have come first: then it is that one's
      if (store.mounted === shown) {
        outbox.rest()
        store.mounted = null
      }
      setTimeout(focusImage, FOCUS_BACK_MS, data?.image)
    },
  }
  store.mounted = shown
  return shown
}

/** Go on in the grid at the image that was looked at last, unless the focus has found a place. */
function focusImage(image) {
  if (document.activeElement && document.activeElement !== document.body) return
  for (const host of document.querySelectorAll("*")) {
    const tile = host.shadowRoot?.querySelector(`.tile[data-id="${Number(image)}"]`)
    if (tile) return void tile.focus()
  }
}
