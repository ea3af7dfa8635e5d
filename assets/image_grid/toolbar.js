// The bar above the tiles: what is selected, which concept, what to do with it.

/** Say how many are shown and selected, as in "60 shown · 3 selected"; right after tagging, what was saved. */
export function countText(shown, selected, saved = null) {
  if (saved) return `${saved.count} saved as ${saved.present === null ? "untagged" : saved.present ? "present" : "absent"}`
  return selected ? `${shown} shown · ${selected} selected` : `${shown} shown`
}

/** Why an action cannot be done now, as a sentence; null if it can. */
export function refusal(action, { concept, selected, untagged, shown }) {
  if (action === "undo" || action === "redo" || action === "keys") return null
  if (action === "all") return shown ? null : "There is nothing to select."
  if (action === "none") return selected ? null : "Nothing is selected."
  if (!concept) return "Create a concept first."
  if (action === "rest") return untagged ? null : `Every image shown is tagged for “${concept.name}”.`
  return selected ? null : "Select images first: click, drag a box, or press A."
}

/** What an action does, as lines for its tooltip. */
export function explanation(action, { concept, selected, untagged, number }) {
  const name = concept ? `“${concept.name}”` : ""
  const images = n => (n === 1 ? "1 image" : `${n} images`)
  const key = number ? ` Key ${number}.` : ""
  const lines = {
    present: [`${name} is in the ${images(selected)}`, `Tags the selection.${key}`],
    absent: [`${name} is not in the ${images(selected)}`, `Tags the selection.${key ? ` Key Shift+${number}.` : ""}`],
    clear: [`Take the tag ${name} off`, `From the ${images(selected)} selected. Key 0.`],
    rest: [`${name} is not in the rest`, `Tags ${images(untagged)} shown and not tagged yet as absent.`],
    undo: ["Undo", "Key Z"],
    redo: ["Redo", "Key Y"],
    keys: null,
    all: ["Select all shown", "Key A"],
    none: ["Select nothing", "Key Esc"],
  }
  return lines[action]
}

/** Draw the concepts as a row of choices; rebuilt only when they change. */
export function drawConcepts(holder, concepts, active, choose) {
  const wanted = JSON.stringify(concepts)
  if (holder.dataset.shown !== wanted) {
    holder.dataset.shown = wanted
    holder.replaceChildren(...concepts.map((concept, position) => pill(concept, position)))
  }
  for (const button of holder.children) {
    const chosen = Number(button.dataset.concept) === active
    button.setAttribute("aria-checked", String(chosen))
    button.tabIndex = chosen ? 0 : -1
    button.onclick = () => choose(Number(button.dataset.concept))
  }
}

function pill(concept, position) {
  const button = element("button", "pill", { type: "button", role: "radio" })
  button.dataset.concept = concept.id
  button.style.setProperty("--concept", concept.color)
  const name = element("span", "pill-name")
  name.textContent = concept.name
  button.append(element("span", "dot"), name)
  if (position < 9) {
    const key = element("kbd", "key", { "aria-hidden": "true" })
    key.textContent = String(position + 1)
    button.append(key)
  }
  return button
}
