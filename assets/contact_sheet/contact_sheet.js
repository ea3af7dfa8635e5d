// Draws the bands of a contact sheet and says what was opened. Streamlit calls `contactSheet` when data or theme change.

const LABELS = { top: "top", mid: "mid band" }
const sheets = new WeakMap()

export default function contactSheet({ data, parentElement, setTriggerValue }) {
  if (!data) return undefined
  if (!sheets.has(parentElement)) sheets.set(parentElement, createSheet(parentElement))
  sheets.get(parentElement).update(data, setTriggerValue)
  return () => sheets.delete(parentElement)
}

function createSheet(parentElement) {
  const root = parentElement.querySelector(".sheet")
  const bands = root.querySelector(".bands")
  const hideTooltip = installTooltip(root, root.querySelector(".tooltip"))
  let data = { rows: [] }
  let drawn = ""
  let cells = [] // per band: its heading, then its images
  let place = [0, 0]
  let send = () => {}

  function update(next, setTriggerValue) {
    send = opened => setTriggerValue("open", opened)
    const wanted = JSON.stringify(next)
    if (wanted === drawn) return
    drawn = wanted
    data = next
    const hadFocus = bands.contains(parentElement.activeElement)
    hideTooltip()
    bands.setAttribute("aria-label", `Bands of the ${data.title}, strongest first`)
    bands.style.setProperty("--images", String(Math.max(1, ...data.rows.map(row => row.images.length))))
    const { stacks, lines } = stacked(Math.max(1, ...data.rows.map(row => row.bars.length)))
    bands.style.setProperty("--stacks", String(stacks))
    bands.style.setProperty("--lines", String(lines))
    cells = []
    bands.replaceChildren(...data.rows.map(drawBand))
    place = cells.length ? [Math.min(place[0], cells.length - 1), 0] : [0, 0]
    if (cells.length) current().tabIndex = 0
    const note = root.querySelector(".note")
    setText(note, data.note)
    note.hidden = !data.note
    root.hidden = false
    if (hadFocus) current()?.focus({ preventScroll: true })
  }

  const current = () => cells[place[0]]?.[place[1]]

  function drawBand(row, position) {
    const band = element("div", `band ${row.label}`, { role: "row" })
    const heading = drawHeading(row)
    const bars = element("div", "bars", { "aria-hidden": "true" }) // the heading says them
    bars.append(...row.bars.map(drawBar))
    const images = element("div", "images", { role: "presentation" })
    const pictures = row.images.map(drawImage)
    images.append(...pictures)
    if (!pictures.length) {
      const none = element("span", "none")
      none.textContent = "No image lies in this band."
      images.append(none)
    }
    cells[position] = [heading.firstChild, ...pictures]
    band.append(heading, bars, images)
    return band
  }

  function drawHeading(row) {
    const cell = element("div", "head", { role: "rowheader" })
    const button = element("button", "open-band", { type: "button", tabindex: "-1", "aria-label": headingText(row) })
    const range = element("span", "range")
    range.textContent = row.range
    const count = element("span", "count")
    count.textContent = row.count
    if (LABELS[row.label]) {
      const badge = element("span", "badge")
      badge.textContent = LABELS[row.label]
      button.append(badge)
    }
    button.append(range, count)
    button.onclick = () => send({ kind: "band", low: row.low, high: row.high })
    describe(button, () => ["Open this band", "All its images, to look at and to tag."])
    cell.append(button)
    return cell
  }

  function drawBar(bar) {
    const holder = element("div", "bar")
    const text = element("div", "bar-text")
    const [title, said] = [element("span", "bar-title"), element("span", "bar-said")]
    title.textContent = bar.title
    said.textContent = bar.text
    text.append(title, said)
    const track = element("div", "track")
    for (const part of bar.parts) {
      const piece = element("span", part.faint ? "part faint" : "part")
      piece.style.width = `${100 * part.share}%`
      piece.style.background = part.color
      track.append(piece)
    }
    holder.append(text, track)
    describe(holder, () => barLines(bar))
    return holder
  }

  function drawImage(image) {
    const cell = element("div", image.wrong ? "image wrong" : "image", { role: "gridcell", tabindex: "-1" })
    cell.dataset.id = image.id
    cell.setAttribute("aria-label", image.lines.join(", "))
    const picture = element("img", "picture", { alt: "", draggable: "false", decoding: "async" })
    picture.src = image.picture
    cell.append(picture)
    describe(cell, () => image.lines)
    return cell
  }

  bands.addEventListener("focusin", event => {
    const band = cells.findIndex(all => all.includes(event.target))
    if (band < 0) return
    if (current()) current().tabIndex = -1
    place = [band, cells[band].indexOf(event.target)]
    event.target.tabIndex = 0
  })
  bands.addEventListener("load", event => {
    const { naturalWidth, naturalHeight } = event.target
    event.target.classList.toggle("tiny", Math.max(naturalWidth, naturalHeight) < 48)
  }, true)
  bands.onclick = event => {
    const image = event.target.closest(".image")
    if (!image) return
    image.focus({ preventScroll: true })
    send({ kind: "image", id: Number(image.dataset.id) })
  }
  root.onkeydown = event => {
    // no key may reach Streamlit's own shortcuts (r reruns, c clears caches)
    if (event.key !== "Escape") event.stopPropagation()
    if (event.altKey || event.metaKey || !bands.contains(event.target)) return
    const image = event.target.closest(".image")
    if (image && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault()
      send({ kind: "image", id: Number(image.dataset.id) })
      return
    }
    // a narrow page leaves out the last images of each band
    const columns = cells.map(all => all.filter(cell => cell.offsetParent !== null).length)
    const next = movedPlace(event.key, place, columns, event.ctrlKey)
    if (!next) return
    event.preventDefault()
    cells[next[0]][next[1]].focus()
  }

  return { update }
}
