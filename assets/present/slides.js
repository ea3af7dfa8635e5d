// One function per kind of step: from what Python says of it to nodes. Texts are set as text, whatever people typed.

/** make("p.lead", {dir: "auto"}, "text", node ...): an element with classes, attributes and children. */
export function make(what, attributes = {}, ...children) {
  const [tag, ...classes] = what.split(".")
  const node = document.createElement(tag)
  if (classes.length) node.className = classes.join(" ")
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "")
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value)
  }
  node.append(...children.filter(child => child !== null && child !== undefined && child !== ""))
  return node
}

const heading = slide => make("h1.title", { dir: "auto" }, slide.title)
const finding = slide => (slide.finding ? make("p.finding", { dir: "auto" }, slide.finding) : null)

function button(label, action, { primary = false, disabled = false } = {}) {
  const node = make(primary ? "button.primary" : "button.quiet", { type: "button", disabled })
  node.textContent = label
  node.onclick = action
  return node
}

/** Square pictures with or without words below; as large as there is room for. */
function grid(tiles, tools, { words = false, columns = 3, name = "" } = {}) {
  const list = make("ul.grid", { "data-count": tiles.length, "data-columns": columns, "aria-label": name || null })
  if (words) list.classList.add("worded")
  for (const [place, tile] of tiles.entries()) {
    const picture = tools.pictures.node(tile.id, words ? "" : tile.text || `Picture ${place + 1}`)
    const figure = make(tile.wrong ? "li.tile.wrong" : "li.tile", {}, make("span.frame", {}, picture))
    if (words) {
      const told = make("span.words", {}, make("span.label", { dir: "auto", title: tile.text }, tile.text))
      if (tile.says) told.append(make("span.says", { dir: "auto", title: tile.says }, tile.says))
      figure.append(told)
    }
    list.append(figure)
  }
  return make("div.fill", {}, list)
}

function missing(slide, tools) {
  const box = make("div.centre", {}, make("p.large", { dir: "auto" }, slide.missing.text))
  if (slide.missing.label) box.append(button(slide.missing.label, () => tools.ask(slide.missing), { primary: true }))
  return box
}

const BUILDERS = {
  score(slide, tools) {
    const told = make("div.told", {}, make("h1.title.figured", { dir: "auto" }))
    if (slide.figure) told.firstChild.append(make("span.figure", {}, slide.figure), " ")
    told.firstChild.append(make("span.claim", {}, slide.title))
    for (const line of slide.lines) told.append(make("p.lead", { dir: "auto" }, line))
    told.append(finding(slide) ?? "")
    return [make("div.halves", {}, told, grid(slide.pictures, tools, { columns: 4 }))]
  },

  pictures(slide, tools) {
    return [heading(slide), grid(slide.pictures, tools, { words: slide.words, name: slide.title }), finding(slide)]
  },

  see(slide, tools) {
    const rows = slide.rows.map(row =>
      make("div.row", {}, make("h2.side", { dir: "auto" }, row.name), grid(row.pictures, tools, { columns: 3, name: row.name })),
    )
    const field = make("input.name", {
      type: "text",
      placeholder: slide.placeholder,
      "aria-label": "What do you see?",
      maxlength: slide.longest,
      autocomplete: "off",
      dir: "auto",
    })
    field.value = tools.kept.typed
    const form = make("form.naming", { autocomplete: "off" }, field)
    const go = make("button.primary", { type: "submit" }, "Name it")
    form.append(go)
    const ready = () => (go.disabled = !field.value.trim())
    field.oninput = () => {
      tools.kept.type(field.value)
      ready()
    }
    form.onsubmit = event => {
      event.preventDefault()
      if (!field.value.trim()) return
      tools.send({ kind: "name", text: field.value })
      tools.kept.type("")
      tools.wait(go, "One moment …")
    }
    ready()
    const known = make("div.known", { role: "group", "aria-label": "Named before" })
    for (const concept of slide.concepts) {
      const chip = button(concept.name, () => tools.send({ kind: "concept", concept: concept.id }))
      chip.className = "chip"
      chip.dir = "auto"
      chip.setAttribute("aria-pressed", String(concept.id === slide.chosen))
      known.append(chip)
    }
    return [heading(slide), ...rows, make("div.ask", {}, form, slide.concepts.length ? known : null)]
  },

  tag(slide, tools) {
    if (slide.missing) return [heading(slide), missing(slide, tools)]
    if (slide.answered) return tagged(slide, tools)
    const chosen = tools.kept.chosen
    const count = make("span.count", { "aria-live": "polite" })
    const done = button("Done", () => {
      const ids = slide.pictures.map(tile => tile.id)
      tools.send({ kind: "tags", concept: slide.concept, shown: ids.filter(id => chosen.has(id)), rest: ids.filter(id => !chosen.has(id)) })
      tools.wait(done, "Saving …")
    }, { primary: true })
    const tell = () => {
      const number = slide.pictures.filter(tile => chosen.has(tile.id)).length
      count.textContent = number ? `${number} of ${slide.pictures.length} show it` : "Click those that show it"
    }
    const list = make("ul.grid.choice", { "data-count": slide.pictures.length, "data-columns": 4 })
    const tiles = slide.pictures.map((tile, place) => {
      const node = make("button.frame.pick", { type: "button", "aria-label": `Picture ${place + 1}`, "aria-pressed": chosen.has(tile.id) ? "true" : "false", tabindex: place ? -1 : 0, "data-id": tile.id })
      node.append(tools.pictures.node(tile.id), make("span.mark", { "aria-hidden": "true" }, "✓"))
      node.onclick = () => {
        node.setAttribute("aria-pressed", String(tools.kept.toggle(tile.id)))
        tell()
      }
      list.append(make("li.tile", {}, node))
      return node
    })
    list.onkeydown = event => {
      const at = tiles.indexOf(event.target)
      if (at < 0 || !event.key.startsWith("Arrow") || !event.target.matches(":focus-visible")) return
      event.preventDefault()
      tiles[neighbour(event.key, at, tiles.length, Number(list.dataset.fitted) || 1)].focus()
    }
    // one stop of the tab key for all tiles, at the one that had the focus last
    list.addEventListener("focusin", event => {
      for (const tile of tiles) tile.tabIndex = tile === event.target ? 0 : -1
    })
    tell()
    return [heading(slide), make("div.fill", {}, list), make("div.bar", {}, count, done)]
  },

  repair(slide, tools) {
    if (slide.missing) return [heading(slide), missing(slide, tools)]
    const learnt = make("div.learnt.alike", {})
    for (const row of slide.rows) {
      learnt.append(make("div.half", {}, make("h2.side", {}, row.name), grid(row.pictures, tools, { columns: 4, name: row.name })))
    }
    const box = make("div.centre.repair", {}, make("p.large", { dir: "auto" }, slide.text))
    const row = make("div.buttons", {})
    // what tells of the work has its place before and after it as well: nothing below it moves
    if (slide.running) {
      box.append(make("div.bar-line", { role: "progressbar", "aria-label": "Learning", "aria-valuemin": 0, "aria-valuemax": 100 }, make("span.filled")))
      row.append(button("Stop", () => tools.send({ kind: "stop" })))
    } else {
      box.append(make("div.bar-line.idle", {}))
      if (slide.result) row.append(button("See what changed", () => tools.turn(1), { primary: true }))
      const start = button(slide.label, () => {
        tools.send({ kind: "repair" })
        tools.wait(start, "Starting …")
      }, { primary: !slide.result })
      if (slide.label) row.append(start)
      if (slide.undo) row.append(button("Undo the answers", () => tools.send({ kind: "undo" })))
    }
    box.append(make("p.work", slide.running ? { "aria-live": "polite" } : { dir: "auto" }, slide.running ? "Starting …" : slide.told), row)
    return [heading(slide), slide.rows.length ? learnt : null, box]
  },

  after(slide, tools) {
    if (slide.missing) return [heading(slide), missing(slide, tools)]
    const figures = make("div.figures", {})
    for (const one of slide.figures) {
      const numbers = make("p.pair", {}, make("span.was", {}, one.before), make("span.to", { "aria-label": "to" }, "→"), make("span.now", {}, one.after))
      figures.append(make("div.figure-card", {}, make("h2.side", {}, one.name), numbers, make("p.small", { dir: "auto" }, one.text)))
    }
    const bars = make("div.bars", {}, make("h2.side", {}, slide.groups_title))
    for (const group of slide.groups) {
      bars.append(
        make("div.group", {},
          make("p.group-name", { dir: "auto", title: group.name }, group.name),
          line("before", group.before, group.before_text),
          line("after", group.after, group.after_text)),
      )
    }
    const right = make("div.fixed", {}, make("h2.side", {}, slide.pictures_title))
    if (slide.pictures.length) right.append(grid(slide.pictures, tools, { columns: 3 }))
    if (slide.pictures_note) right.append(make("h2.side", {}, slide.pictures_note))
    return [heading(slide), make("div.halves.results", {}, make("div.told", {}, figures, bars), right), finding(slide)]
  },

  end(slide, tools) {
    const box = make("div.centre.last", {}, heading(slide))
    for (const line of slide.lines) box.append(make("p.large", { dir: "auto" }, line))
    const row = make("div.buttons", {})
    for (const one of slide.buttons) row.append(button(one.label, () => tools.ask(one), { primary: one.primary }))
    box.append(finding(slide) ?? "", row)
    return [box]
  },

  message(slide, tools) {
    return BUILDERS.end({ lines: [], buttons: [], ...slide }, tools)
  },
}

/** The answers of before, in two halves. */
function tagged(slide, tools) {
  const half = (name, tiles) => {
    const box = make("div.half", {}, make("h2.side", { dir: "auto" }, name))
    box.append(tiles.length ? grid(tiles, tools, { columns: 4, name }) : make("div.fill"))
    return box
  }
  const row = make("div.buttons", {}, button("Go on", () => tools.turn(1), { primary: true }))
  if (slide.more) row.append(button(slide.more, () => tools.send({ kind: "more" })))
  if (slide.undo) row.append(button("Undo", () => tools.send({ kind: "undo" })))
  return [
    heading(slide),
    make("div.halves.answers.alike", {}, half(slide.present_title, slide.present), half(slide.absent_title, slide.absent)),
    make("div.bar", {}, make("span.count", {}, slide.finding), row),
  ]
}

function line(kind, share, text) {
  const bar = make(`span.bar-line.${kind}`, { "aria-hidden": "true" }, make("span.filled"))
  bar.firstChild.style.width = `${100 * share}%`
  return make("p.share", {}, make("span.when", {}, kind), bar, make("span.number", {}, text))
}

/** The nodes of a step. */
export function build(slide, tools) {
  return BUILDERS[slide.kind](slide, tools).filter(Boolean)
}
