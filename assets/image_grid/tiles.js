// One tile per image: built once per id, afterwards only what differs is touched.

/** A tile without content. */
export function createTile(id) {
  const tile = element("div", "tile", { role: "option", "aria-selected": "false" })
  tile.dataset.id = id
  tile.tabIndex = -1
  const frame = element("div", "frame")
  const picture = element("img", "picture", { alt: "", draggable: "false", decoding: "async" })
  picture.onload = () => {
    // A photo smaller than its tile is blurred by smoothing; show its pixels instead.
    picture.classList.toggle("tiny", Math.max(picture.naturalWidth, picture.naturalHeight) < 48)
    frame.classList.add("loaded")
  }
  const open = element("button", "open", { type: "button", tabindex: "-1", "aria-hidden": "true" })
  open.append(icon("M9 2h5v5 M14 2 8.5 7.5 M7 14H2V9 M2 14l5.5-5.5"))
  frame.append(picture, element("div", "chips"), element("span", "check"), open)
  frame.querySelector(".check").append(icon("M3.5 8.5 6.5 11.5 12.5 5"))
  const caption = element("div", "caption")
  caption.append(element("span", "label"), element("span", "value"))
  tile.append(frame, caption, element("div", "verdict"))
  return tile
}

/** Bring a tile up to its image. `chips` already hold what waits to be saved; `colorOf` gives a concept's colour. */
export function updateTile(tile, image, { chips, colorOf, thumbnail }) {
  const picture = tile.querySelector(".picture")
  if (thumbnail && picture.src !== thumbnail) picture.src = thumbnail
  const wrong = image.correct === false
  tile.classList.toggle("wrong", wrong)
  setText(tile.querySelector(".label"), image.label)
  setText(tile.querySelector(".value"), image.value)
  setText(tile.querySelector(".verdict"), wrong ? image.predicted : image.note)

  const wanted = JSON.stringify(chips.map(([name, present]) => [name, present, colorOf(name)]))
  const holder = tile.querySelector(".chips")
  if (holder.dataset.shown !== wanted) {
    holder.dataset.shown = wanted
    holder.replaceChildren(...chips.map(([name, present]) => chip(name, present, colorOf(name))))
  }
  tile.setAttribute("aria-label", sentences(image, chips).join(", "))
}

/** Everything known about an image, a line each; the name comes first. */
export function sentences(image, chips) {
  const lines = [image.title]
  if (image.label) lines.push(`labelled ${image.label}`)
  if (image.predicted) lines.push(`predicted ${image.predicted}${image.correct === false ? " (wrong)" : ""}`)
  if (image.value) lines.push(`activation ${image.value}`)
  for (const [name, present] of chips) lines.push(`${name}: ${present ? "present" : "absent"}`)
  if (image.note) lines.push(image.note)
  return lines
}

function chip(name, present, color) {
  const mark = element("span", present ? "chip" : "chip absent")
  const dot = element("span", "dot")
  dot.style.setProperty("--concept", color)
  const text = element("span", "chip-name")
  text.textContent = name
  mark.append(dot, text)
  return mark
}
