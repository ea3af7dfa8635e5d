// One tile per image: built once per id, afterwards only what differs is touched.

let blank = null

/** A tile without content: its nodes by name, so that nothing is looked up again. */
export function createTile(id) {
  blank ??= blankTile()
  const node = blank.cloneNode(true)
  node.dataset.id = id
  const part = name => node.querySelector(`.${name}`)
  return {
    node,
    frame: part("frame"),
    picture: part("picture"),
    chips: part("chips"),
    label: part("label"),
    value: part("value"),
    verdict: part("verdict-text"),
    would: part("would"),
    shown: "",
    thumbnail: null,
    chosen: false,
  }
}

function blankTile() {
  const tile = element("div", "tile", { role: "option", "aria-selected": "false", tabindex: "-1" })
  const frame = element("div", "frame")
  const picture = element("img", "picture", { alt: "", draggable: "false", decoding: "async" })
  const check = element("span", "check")
  check.append(icon("M3.5 8.5 6.5 11.5 12.5 5"))
  const open = element("span", "open", { "aria-hidden": "true" })
  open.append(icon("M9 2h5v5 M14 2 8.5 7.5 M7 14H2V9 M2 14l5.5-5.5"))
  frame.append(picture, element("div", "chips"), check, open)
  const caption = element("div", "caption")
  caption.append(element("span", "label"), element("span", "value"))
  const verdict = element("div", "verdict")
  verdict.append(element("span", "verdict-text"), element("span", "would", { dir: "auto" }))
  tile.append(frame, caption, verdict)
  return tile
}

/** A picture has come: to be called for the "load" events of all pictures. */
export function pictureLoaded(picture) {
  // A photo smaller than its tile is blurred by smoothing; show its pixels instead.
  picture.classList.toggle("tiny", Math.max(picture.naturalWidth, picture.naturalHeight) < 48)
  picture.parentElement.classList.add("loaded")
}

export function setThumbnail(tile, thumbnail) {
  if (!thumbnail || tile.thumbnail === thumbnail) return
  tile.thumbnail = thumbnail
  tile.picture.src = thumbnail
}

/**
 * Bring a tile up to its image. `chips` already hold what waits to be saved; `colorOf` gives a concept's colour; `would`
 * is the class that a repair would make of it, if it is another one.
 */
export function updateTile(tile, image, { chips, colorOf, place, would }) {
  const wanted = JSON.stringify([image, chips.map(([name, present]) => [name, present, colorOf(name)]), place, would])
  if (tile.shown === wanted) return
  tile.shown = wanted
  const wrong = image.correct === false
  tile.node.classList.toggle("wrong", wrong)
  setText(tile.label, image.label)
  setText(tile.value, image.value)
  setText(tile.verdict, wrong ? image.predicted : image.note)
  setText(tile.would, would ? `→ ${would}` : "")
  tile.chips.replaceChildren(...chips.map(([name, present]) => chip(name, present, colorOf(name))))
  tile.node.setAttribute("aria-label", sentences(image, chips, would).join(", "))
  if (image.details?.length) tile.node.setAttribute("aria-description", image.details.join(", "))
  else tile.node.removeAttribute("aria-description")
  if (place) {
    tile.node.setAttribute("aria-posinset", place[0])
    tile.node.setAttribute("aria-setsize", place[1])
  }
}

export function setChosen(tile, chosen) {
  if (tile.chosen === chosen) return
  tile.chosen = chosen
  tile.node.setAttribute("aria-selected", String(chosen))
}

/** Everything a tile itself says about its image, a line each; the name comes first. */
export function sentences(image, chips, would) {
  const lines = [image.title]
  if (image.label) lines.push(`labelled ${image.label}`)
  if (image.predicted) lines.push(`predicted ${image.predicted}${image.correct === false ? " (wrong)" : ""}`)
  if (would) lines.push(`would become ${would} after a repair with the tags so far`)
  if (image.value) lines.push(`activation ${image.value}`)
  for (const [name, present] of chips) lines.push(`${name}: ${stateWord(present)}`)
  if (image.note) lines.push(image.note)
  return lines
}

function chip(name, present, color) {
  const mark = element("span", present === UNSURE ? "chip unsure" : present ? "chip" : "chip absent")
  const dot = element("span", "dot")
  dot.style.setProperty("--concept", color)
  if (present === UNSURE) dot.textContent = "?"
  const text = element("span", "chip-name")
  text.textContent = name
  text.dir = "auto"
  mark.append(dot, text)
  return mark
}
