// The bar of the grid: what is selected, which concept, what to do with it, which page.

/** What the selection is, as in "60 shown · 3 selected"; right after tagging, what was saved. */
export function countText({ shown, selected, elsewhere, everything, total, paged, within }, saved = null) {
  if (saved) {
    return `${grouped(saved.count)} saved as ${stateWord(saved.present, "untagged")}`
  }
  if (everything) {
    const left = total - selected
    return left ? `${grouped(selected)} selected: all ${within} but ${grouped(left)}` : `All ${grouped(total)} ${within} selected`
  }
  const where = elsewhere ? `, ${grouped(elsewhere)} on other pages` : ""
  if (paged) return selected ? `${grouped(selected)} selected${where}` : "None selected"
  return selected ? `${shown} shown · ${grouped(selected)} selected` : `${shown} shown`
}

/** Why an action cannot be done now, as a sentence; null if it can. */
export function refusal(action, { concept, selected, untagged, shown, everything, reason, page, pages, size }) {
  if (["undo", "redo", "keys"].includes(action)) return null
  if (action === "first" || action === "previous") return page > 0 ? null : "This is the first page."
  if (action === "next" || action === "last") return page < pages - 1 ? null : "This is the last page."
  if (action === "larger") return zoomed(size, 1) === size ? "Images are as large as they get here." : null
  if (action === "smaller") return zoomed(size, -1) === size ? "Images are as small as they get here." : null
  if (action === "all") return shown ? null : "There is nothing to select."
  if (action === "everything") return reason || (everything ? "All are selected." : shown ? null : "There is nothing to select.")
  if (action === "none") return selected ? null : "Nothing is selected."
  if (!concept) return "Create a concept first."
  if (action === "rest") return untagged ? null : `Every image shown is tagged for “${concept.name}”.`
  return selected ? null : "Select images first: click, drag a box, or press A."
}

/** What an action does, as lines for its tooltip. */
export function explanation(action, { concept, selected, elsewhere, untagged, number, total, within, shown }) {
  const name = concept ? `“${concept.name}”` : ""
  const images = imagesText(selected)
  const key = number ? ` Key ${number}.` : ""
  const unseen = elsewhere ? `${grouped(elsewhere)} of them ${elsewhere === 1 ? "is" : "are"} not in view. ` : ""
  const lines = {
    present: [`${name} is in the ${images}`, `${unseen}Tags the selection.${key}`],
    absent: [`${name} is not in the ${images}`, `${unseen}Tags the selection.${key ? ` Key Shift+${number}.` : ""}`],
    unsure: [`Cannot tell whether ${name} is in the ${images}`, `${unseen}Such images teach nothing and are not asked about again. Key U.`],
    clear: [`Take the tag ${name} off`, `${unseen}From the ${images} selected. Key 0.`],
    rest: [`${name} is not in the rest`, `Tags ${imagesText(untagged)} shown and not tagged yet as absent.`],
    undo: ["Undo", "Key Z"],
    redo: ["Redo", "Key Shift+Z"],
    all: [`Select the ${grouped(shown)} shown`, "Key A"],
    everything: [`Select all ${grouped(total)} ${within}`, "Also those on other pages. Key Shift+A"],
    none: ["Select nothing", "Key Esc"],
    first: ["First page"],
    previous: ["Page before", "Key Page up"],
    next: ["Next page", "Key Page down"],
    last: ["Last page"],
    larger: ["Larger images", "Key +"],
    smaller: ["Smaller images", "Key −"],
  }
  return lines[action] ?? null
}

/** The question before all images of the scope are tagged, and what the button that says yes is called. */
export function question({ selected, total, within, name, present }) {
  const left = total - selected
  const which = left
    ? `${imagesText(selected)}: all ${within} but the ${grouped(left)} left out`
    : `all ${imagesText(selected)} ${within}`
  return present === null
    ? { text: `Take the tag “${name}” off ${which}?`, yes: `Untag ${imagesText(selected)}` }
    : { text: `Tag ${which}, with “${name}” ${stateWord(present)}?`, yes: `Tag ${imagesText(selected)}` }
}

/** Draw the concepts as a row of choices; rebuilt only when they change. */
export function drawConcepts(holder, concepts, active) {
  const wanted = JSON.stringify(concepts)
  if (holder.dataset.shown !== wanted) {
    holder.dataset.shown = wanted
    holder.replaceChildren(...concepts.map(pill))
  }
  for (const button of holder.children) {
    button.setAttribute("aria-checked", String(Number(button.dataset.concept) === active))
  }
}

/** What is known of a concept and which keys tag with it, as lines for its tooltip. */
export function pillText({ name, about, key }) {
  const keys = key ? `Key ${key} tags as present, Shift+${key} as absent.` : "It has no number key: choose it here, then press a button."
  return [name, ...(about ? [about] : []), keys]
}

/** The keys that stand on the buttons while a concept is chosen: {action: text}. */
export function buttonKeys(concept) {
  const digit = concept?.key
  return { present: digit ? `${digit}` : "", absent: digit ? `⇧ ${digit}` : "", unsure: "U", clear: "0" }
}

function pill(concept) {
  const button = element("button", "pill", { type: "button", role: "radio", tabindex: "-1" })
  button.dataset.concept = concept.id
  button.style.setProperty("--concept", concept.color)
  const name = element("span", "pill-name")
  name.textContent = concept.name
  name.dir = "auto"
  button.append(element("span", "dot"), name)
  if (concept.key) {
    const key = element("kbd", "key", { "aria-hidden": "true" })
    key.textContent = String(concept.key)
    button.append(key)
  }
  describe(button, () => pillText(concept))
  return button
}

/**
 * One Tab stop for all controls of a bar: arrows move between them.
 *
 * `settle` is to be called after controls appeared or vanished.
 */
export function installRoving(bar) {
  const controls = () => [...bar.querySelectorAll("button, input")].filter(control => control.offsetParent !== null)
  let current = null
  const settle = () => {
    const all = controls()
    if (!all.includes(current)) current = all[0] ?? null
    for (const control of bar.querySelectorAll("button, input")) {
      const index = control === current ? 0 : -1
      if (control.tabIndex !== index) control.tabIndex = index
    }
  }
  bar.addEventListener("focusin", event => {
    current = event.target
    settle()
  })
  return {
    settle,
    /** Move the focus for an arrow key; false where the key belongs to the control itself. */
    move(event) {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key]
      if (!step) return false
      const from = event.target
      // inside a number that is typed, arrows move the caret until it is at an end
      const caret = from.matches("input") ? from.selectionStart : null
      if (caret !== null && from.selectionStart === from.selectionEnd && caret !== (step > 0 ? from.value.length : 0)) return false
      const all = controls()
      all[(all.indexOf(from) + step + all.length) % all.length]?.focus()
      return true
    },
  }
}
