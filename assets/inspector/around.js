// What is like the image, and where it stands among all of them.

const STRIP_WIDTH = 240
const STRIP_HEIGHT = 34

/** The neighbours as buttons; grey places while they are looked for. */
export function drawNear(grid, message, count) {
  if (!message) {
    grid.replaceChildren(...Array.from({ length: count }, () => element("div", "near-tile waits")))
    return
  }
  grid.replaceChildren(
    ...message.items.map(item => {
      const button = element("button", `near-tile${item.correct === false ? " wrong" : ""}${item.same ? " same" : ""}`, {
        type: "button",
        "aria-label":
          `${item.name}, ${item.label ? `labelled ${item.label}, ` : ""}predicted ${item.predicted}` +
          `${item.correct === false ? " (wrong)" : ""}, distance ${item.distance}`,
      })
      button.dataset.id = item.id
      button.title = `${item.name}\ndistance ${item.distance}`
      const picture = element("img", "near-picture", { alt: "" })
      picture.src = item.url
      const label = element("span", "near-label")
      label.textContent = item.label
      const verdict = element("span", "near-verdict")
      const said = item.correct === null ? `says ${item.predicted}` : `✕ says ${item.predicted}`
      verdict.textContent = item.correct ? "✓ right" : said
      button.append(picture, label, verdict)
      return button
    }),
  )
}

/** One small histogram per direction with the image marked in it. */
export function drawPlaces(grid, message, count) {
  if (!message) {
    grid.replaceChildren(...Array.from({ length: count }, () => element("div", "place waits")))
    return
  }
  grid.replaceChildren(...message.items.map(placeCard))
}

function placeCard(item) {
  const card = element("div", `place${item.current ? " current" : ""}`, { role: "group", "aria-label": item.title })
  const head = element("div", "place-head")
  const title = element("span", "place-title")
  title.textContent = item.title
  title.title = item.title
  const value = element("span", "place-value")
  value.textContent = item.told
  head.append(title, value)
  const words = element("p", "place-words")
  words.textContent = item.words
  const ends = element("div", "place-ends", { "aria-hidden": "true" })
  for (const end of [item.low, item.high]) {
    const mark = element("span", "")
    mark.textContent = end
    ends.append(mark)
  }
  card.append(head, strip(item), ends, words)
  return card
}

function strip(item) {
  const picture = svg("svg", { viewBox: `0 0 ${STRIP_WIDTH} ${STRIP_HEIGHT}`, preserveAspectRatio: "none", class: "strip", "aria-hidden": "true" })
  const most = Math.max(...item.counts, 1)
  picture.append(
    svg("path", { class: "all", d: areaPath(item.counts, most, STRIP_WIDTH, STRIP_HEIGHT) }),
    svg("path", { class: "own", d: areaPath(item.own, most, STRIP_WIDTH, STRIP_HEIGHT) }),
  )
  const box = element("div", "strip-box")
  box.append(picture)
  if (item.at !== null) {
    const mark = element("span", "here")
    mark.style.setProperty("--at", Math.min(1, Math.max(0, item.at)))
    box.append(mark)
  }
  return box
}

function svg(tag, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  return made
}
