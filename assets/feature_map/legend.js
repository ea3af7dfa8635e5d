// What the colours mean, how many points have each, and which of them stand out.

const grouped = new Intl.NumberFormat("en")

/** Points per code, all and selected: {all, selected} of 256 each. marks: bit 1 selected; points without a place too. */
export function tally(codes, marks) {
  const all = new Uint32Array(256)
  const selected = new Uint32Array(256)
  for (let i = 0; i < codes.length; i += 1) {
    all[codes[i]] += 1
    if (marks[i] & 1) selected[codes[i]] += 1
  }
  return { all, selected }
}

/** Entries of the legend: {code, name, count, selected}; of a ramp only the unknown, where there are any. */
export function legendEntries(header, { all, selected }) {
  const named = header.names.map((name, code) => ({ code, name, count: all[code], selected: selected[code] }))
  const unknown = { code: 255, name: header.unknown, count: all[255], selected: selected[255] }
  return all[255] ? [...named, unknown] : named
}

/** (256,) 1 where points stand out: all of them, or those whose values were pressed. */
export function shownCodes(pressed) {
  const shown = new Uint8Array(256)
  if (!pressed.size) return shown.fill(1)
  for (const code of pressed) shown[code] = 1
  return shown
}

export function countText({ selected, total, noun = "images" }) {
  const all = `${grouped.format(total)} ${noun}`
  return selected ? `${grouped.format(selected)} of ${all} circled` : all
}

/** On the button that leads to what is circled, where that lies below the window. */
export function showText(selected) {
  return selected === 1 ? "Show the image circled" : `Show ${grouped.format(selected)} images circled`
}

/** What a screen reader says of the map: its kind, its colours and the counts. */
export function spokenMap(title, header, entries, band, selected, noun = "images") {
  const parts = [`${title} of the ${noun}`, `coloured by ${header.title}`]
  if (header.ramp) parts.push(`from ${header.low} to ${header.high}`)
  parts.push(...entries.map(entry => `${entry.name}: ${grouped.format(entry.count)}`))
  if (band) parts.push(`in the current band: ${grouped.format(band)}`)
  if (selected) parts.push(`${grouped.format(selected)} circled`)
  return parts.join(". ")
}

/**
 * Draw the legend into `holder`. state: {header, entries, colors, pressed, band: {count, on, label} or null}.
 * act: {press(code), preview(code or null), ring()}.
 */
export function drawLegend(holder, state, act) {
  const { header, entries, colors, pressed, band } = state
  const anySelected = entries.some(entry => entry.selected > 0)
  const focused = holder.getRootNode().activeElement?.dataset?.entry
  const title = element("div", "legend-title")
  title.textContent = header.title
  const list = element("div", "entries")
  for (const entry of entries) {
    const button = element("button", "entry", {
      type: "button",
      "aria-pressed": String(pressed.has(entry.code)),
      "data-entry": entry.code,
    })
    const [name, count] = [element("span", "entry-name", { dir: "auto" }), element("span", "entry-count")]
    name.textContent = entry.name
    const ofSelected = anySelected ? `${grouped.format(entry.selected)} / ` : ""
    count.textContent = `${ofSelected}${grouped.format(entry.count)}`
    const selectedToo = anySelected ? `, ${grouped.format(entry.selected)} circled` : ""
    button.setAttribute("aria-label", `${entry.name}: ${grouped.format(entry.count)} images${selectedToo}`)
    button.style.setProperty("--value-color", colors[entry.code])
    button.append(element("i", "swatch"), name, count)
    button.onclick = () => act.press(entry.code)
    button.onpointerenter = event => event.pointerType === "mouse" && act.preview(entry.code)
    button.onpointerleave = () => act.preview(null)
    describe(button, () => [entry.name, pressed.has(entry.code) ? "Press to show all again" : "Press to bring these forward and circle among them"])
    list.append(button)
  }
  const parts = [title]
  if (header.ramp) parts.push(drawRamp(header, colors))
  if (entries.length) parts.push(list)
  if (band) parts.push(drawBandEntry(band, act))
  holder.replaceChildren(...parts)
  holder.setAttribute("aria-label", `Colours: ${header.title}`)
  if (focused !== undefined) holder.querySelector(`[data-entry="${focused}"]`)?.focus({ preventScroll: true })
}

function drawRamp(header, colors) {
  const ramp = element("div", "ramp")
  const bar = element("span", "ramp-bar")
  const stops = [0, 32, 64, 96, 127, 159, 191, 223, 254].map(step => colors[step])
  bar.style.background = `linear-gradient(to right, ${stops.join(", ")})`
  const ends = element("span", "ramp-ends")
  const [low, high] = [element("span", "ramp-low"), element("span", "ramp-high")]
  low.textContent = header.low
  high.textContent = header.high
  ends.append(low, high)
  ramp.append(bar, ends)
  return ramp
}

function drawBandEntry(band, act) {
  const button = element("button", "entry ring-entry", { type: "button", "aria-pressed": String(band.on), "data-entry": "band" })
  const [name, count] = [element("span", "entry-name", { dir: "auto" }), element("span", "entry-count")]
  name.textContent = "current band"
  count.textContent = grouped.format(band.count)
  button.append(element("i", "swatch"), name, count)
  button.setAttribute("aria-label", `Rings around the current band, ${band.label}: ${grouped.format(band.count)} images`)
  button.onclick = () => act.ring()
  describe(button, () => [band.label, band.on ? "Press to take the rings off" : "Press to put rings around these"])
  return button
}
