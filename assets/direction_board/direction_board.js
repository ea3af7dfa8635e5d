// The component: cards, keys, and what Python is told. Streamlit calls `directionBoard` when `data` changes.

const SPARK_WIDTH = 240
const SPARK_HEIGHT = 56

const boards = new WeakMap()
let boardNumber = 0

export default function directionBoard({ data, parentElement, setTriggerValue }) {
  if (!data) return undefined
  if (!boards.has(parentElement)) boards.set(parentElement, createBoard(parentElement))
  const board = boards.get(parentElement)
  board.update(data, setTriggerValue)
  return () => boards.delete(parentElement)
}

function createBoard(parentElement) {
  const root = parentElement.querySelector(".board-root")
  const list = root.querySelector(".cards")
  const emptyText = root.querySelector(".empty")
  // cards are passed with arrow keys: none flashes up on the way
  const hideTooltip = installTooltip(root, root.querySelector(".tooltip"), () => TOOLTIP_KEYBOARD_DELAY)
  const prefix = `midband-board-${(boardNumber += 1)}`

  let data = { cards: [] }
  let send = () => {}
  let drawn = new Map() // spec -> {item, button, text: JSON of the card as drawn}
  let current = null // spec of the one card that the Tab key reaches

  // --- drawing -------------------------------------------------------------------------------------------------

  function update(next, setTriggerValue) {
    send = setTriggerValue
    data = next
    const kept = drawn
    drawn = new Map()
    for (const card of data.cards) {
      const text = JSON.stringify([card, data.colors, data.scoreLabel, data.selected === card.spec])
      const before = kept.get(card.spec)
      drawn.set(card.spec, before?.text === text ? before : { ...createCard(card), text })
    }
    hideTooltip()
    const focused = parentElement.activeElement?.closest?.(".card")?.dataset.spec
    if (!drawn.has(current)) current = drawn.has(data.selected) ? data.selected : (data.cards[0]?.spec ?? null)
    const items = [...drawn.values()].map(entry => entry.item)
    if (items.length !== list.children.length || items.some((item, index) => item !== list.children[index])) {
      list.replaceChildren(...items)
      if (drawn.has(focused)) drawn.get(focused).button.focus({ preventScroll: true })
    }
    for (const [spec, { button }] of drawn) button.tabIndex = spec === current ? 0 : -1
    emptyText.textContent = data.empty
    emptyText.hidden = data.cards.length > 0
    root.hidden = false
  }

  function createCard(card) {
    const item = made("li", "item")
    const button = made("button", "card", { type: "button" })
    const open = data.selected === card.spec
    button.dataset.spec = card.spec
    if (open) button.setAttribute("aria-current", "true")
    const words = made("span", "words")
    if (card.score !== null) words.append(createScore(card))
    if (card.why) words.append(made("span", "why", {}, card.why))
    if (card.more) words.append(made("span", "more", {}, card.more))
    const go = made("span", "open", { "aria-hidden": "true" }, open ? "Shown now" : "Open")
    go.append(arrow())
    const foot = made("span", "foot")
    foot.append(go)
    if (card.badge) foot.append(made("span", "badge", {}, card.badge))
    words.append(foot)
    const figure = createFigure(card)
    describe(figure, () => figureLines(card))
    // for the keyboard, which reaches whole cards only; of a card under the mouse the parts tell
    const whole = () => [...scoreLines(card, data), ...figureLines(card)]
    describe(button, () => (button.matches(":focus-visible") ? whole() : null))
    button.append(made("span", "title", {}, card.title), figure, words)
    button.setAttribute("aria-label", spokenCard(card, data.scoreLabel))
    button.setAttribute("aria-describedby", `${prefix}-keys`)
    item.append(button)
    return { item, button }
  }

  function createFigure(card) {
    const [low, high] = card.edges
    const plot = made("span", "plot")
    if (card.band) {
      const mid = made("span", "mid")
      mid.style.left = `${card.band[0] * 100}%`
      mid.style.right = `${(1 - card.band[1]) * 100}%`
      const inside = createSpark(card, "spark")
      inside.style.clipPath = `inset(0 ${(1 - card.band[1]) * 100}% 0 ${card.band[0] * 100}%)`
      plot.append(mid, createSpark(card, "spark pale"), inside)
    } else {
      plot.append(createSpark(card, "spark"))
    }
    const axis = made("span", "ends")
    axis.append(made("span", "end", {}, shortNumber(low)), made("span", "end", {}, shortNumber(high)))
    const figure = made("span", "figure")
    figure.append(plot, axis)
    return figure
  }

  function createSpark(card, className) {
    const viewBox = `0 0 ${SPARK_WIDTH} ${SPARK_HEIGHT}`
    const svg = shape("svg", { class: className, viewBox, preserveAspectRatio: "none", "aria-hidden": "true" })
    let lower = card.counts[0].map(() => 0)
    for (const [row, upper] of stackedHeights(card.counts).entries()) {
      const path = shape("path", { class: "area", d: stepArea(lower, upper, SPARK_WIDTH, SPARK_HEIGHT, 1.5) })
      if (data.colors[row]) path.style.fill = data.colors[row]
      svg.append(path)
      lower = upper
    }
    return svg
  }

  function createScore(card) {
    const score = made("span", "score")
    const bar = made("span", "bar")
    const fill = made("span", "fill")
    fill.style.width = `${Math.round(card.score * 100)}%`
    bar.append(fill)
    score.append(made("span", "score-name", {}, data.scoreLabel), bar, made("b", "score-value", {}, card.score.toFixed(2)))
    describe(score, () => scoreLines(card, data))
    return score
  }

  // --- what a person does --------------------------------------------------------------------------------------

  const cardOf = event => event.target.closest?.(".card")

  root.onclick = event => {
    const card = cardOf(event)
    if (!card) return
    reach(card.dataset.spec)
    send("open", card.dataset.spec)
  }
  root.onkeydown = event => {
    event.stopPropagation() // Streamlit's own shortcuts (r, c) must not fire from here
    const card = cardOf(event)
    if (!card || event.altKey || event.ctrlKey || event.metaKey) return
    const specs = [...drawn.keys()]
    const columns = getComputedStyle(list).gridTemplateColumns.split(" ").length
    const next = nextCard(event.key, specs.indexOf(card.dataset.spec), specs.length, columns)
    if (next === null) return
    event.preventDefault()
    reach(specs[next])
    drawn.get(specs[next]).button.focus()
  }
  root.addEventListener("focusin", event => {
    const card = cardOf(event)
    if (card) reach(card.dataset.spec)
  })

  function reach(spec) {
    current = spec
    for (const [other, { button }] of drawn) button.tabIndex = other === spec ? 0 : -1
  }

  root.querySelector(".board-keys").id = `${prefix}-keys`
  return { update }
}

function scoreLines(card, data) {
  const lines = card.score === null ? [] : [`${data.scoreLabel} ${card.score.toFixed(2)} of 1`]
  if (card.score !== null && data.scoreHelp) lines.push(data.scoreHelp)
  return [...lines, ...card.details]
}

function figureLines(card) {
  const images = card.counts.flat().reduce((sum, count) => sum + count, 0)
  const lines = [`${new Intl.NumberFormat("en").format(images)} images from ${card.edges.map(shortNumber).join(" to ")}`]
  if (card.limits) lines.push(`Mid band ${card.limits.map(shortNumber).join(" to ")}`)
  return [...lines, "Heights are square roots of the counts"]
}

function arrow() {
  const svg = shape("svg", { class: "arrow", viewBox: "0 0 16 16" })
  svg.append(shape("path", { d: "M3 8h10M9 4l4 4-4 4" }))
  return svg
}

/** What a screen reader says for a card. */
function spokenCard(card, scoreLabel) {
  const parts = [card.title]
  if (card.badge) parts.push(card.badge)
  if (card.score !== null) parts.push(`${scoreLabel} ${card.score.toFixed(2)} of 1`)
  if (card.limits) parts.push(`mid band ${card.limits.map(shortNumber).join(" to ")}`)
  if (card.why) parts.push(card.why)
  if (card.more) parts.push(card.more)
  parts.push(...card.details)
  return parts.join(". ").replaceAll("..", ".")
}

function made(tag, className, attributes = {}, text = "") {
  const element = document.createElement(tag)
  element.className = className
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  if (text) element.textContent = text
  return element
}

function shape(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag)
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  return element
}
