// What is known of an image and what the model says: words, tags, bars.

/** Names and values, as a definition list. */
export function drawFacts(list, pairs) {
  list.replaceChildren(
    ...pairs.flatMap(([name, value, mark]) => {
      const term = element("dt", "")
      const definition = element("dd", mark ?? "")
      term.textContent = name
      definition.textContent = value
      return [term, definition]
    }),
  )
}

/** One row per concept; rows stay when tags change, so that the focus does. */
export function drawTags(rows, concepts) {
  const known = new Map([...rows.children].map(row => [Number(row.dataset.concept), row]))
  const wanted = concepts.map(concept => {
    const row = known.get(concept.id) ?? tagRow(concept)
    row.style.setProperty("--concept", concept.color)
    setText(row.querySelector(".tag-name"), concept.name)
    setText(row.querySelector("kbd"), concept.key ? String(concept.key) : "")
    for (const button of row.querySelectorAll("button")) {
      const says = JSON.parse(button.dataset.present)
      const pressed = concept.present === says
      if (says === null) button.disabled = concept.present === null
      else button.setAttribute("aria-pressed", String(pressed))
      button.setAttribute("aria-label", `${concept.name}: ${stateWord(says)}`)
    }
    return row
  })
  if (wanted.length !== rows.children.length || wanted.some((row, i) => row !== rows.children[i])) {
    rows.replaceChildren(...wanted)
  }
}

function tagRow(concept) {
  const row = element("div", "tag-row", { role: "group", "aria-label": concept.name })
  row.dataset.concept = concept.id
  const name = element("span", "tag-title")
  name.append(element("span", "dot"), element("span", "tag-name", { dir: "auto" }), element("kbd", ""))
  const buttons = [
    [null, "Clear"],
    [true, "Present"],
    [false, "Absent"],
    [UNSURE, "Can’t tell"],
  ].map(([says, text]) => {
    const button = element("button", "tag-button", { type: "button" })
    button.dataset.present = JSON.stringify(says)
    button.textContent = text
    return button
  })
  row.append(name, ...buttons)
  return row
}

/** One row per class: its logit as a bar from zero, its probability as a bar of its own. */
export function drawBars(table, { classes, limits }) {
  table.replaceChildren(...classes.map((one, place) => barRow(one, limits, place)))
}

function barRow(one, [low, high], place) {
  const row = element("div", `bar-row${one.predicted ? " predicted" : ""}${one.label ? " label" : ""}`, { role: "row" })
  // a label that comes after the best ones was fetched from further down
  const far = one.rank > place + 1 ? `, rank ${one.rank.toLocaleString("en")}` : ""
  const marks = [one.predicted && "predicted", one.label && `label${far}`].filter(Boolean)
  const name = element("span", "bar-name", { role: "rowheader" })
  name.append(one.name)
  name.title = one.name
  if (marks.length) {
    const mark = element("span", "bar-mark")
    mark.textContent = marks.join(", ")
    name.append(" ", mark)
  }
  const logit = element("span", "bar logit", { "aria-hidden": "true" })
  const { start, length } = barFromZero(one.logit, low, high)
  const zero = barFromZero(high, low, high).start
  logit.append(fill(start, length), line(low < 0 ? zero : 0))
  const share = element("span", "bar share", { "aria-hidden": "true" })
  share.append(fill(0, 100 * (one.probability ?? 0)))
  row.append(name, logit, number(one.told, "logit"), share, number(one.percent, "probability"))
  return row
}

function fill(start, length) {
  const bar = element("span", "fill")
  bar.style.left = `${start}%`
  bar.style.width = `${length}%`
  return bar
}

function line(at) {
  const zero = element("span", "zero")
  zero.style.left = `${at}%`
  return zero
}

function number(text, what) {
  const cell = element("span", "number", { role: "cell", "aria-label": `${what} ${text}` })
  cell.textContent = text
  return cell
}
