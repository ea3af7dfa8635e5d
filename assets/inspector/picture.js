// The picture, and the heat map over the part of it that the network saw.

const OPACITY_KEPT = "midband-heat-opacity"
const DEFAULT_OPACITY = 60

export function createPicture(root, { onChoice }) {
  const part = name => root.querySelector(`.${name}`)
  const [frame, photo, heat, seen, note] = ["frame", "photo", "heat", "seen", "note"].map(part)
  const [working, workingText, choice, opacity] = ["working", "working-text", "choice", "opacity"].map(part)
  const [legend, said, more] = ["legend", "said", "heat-more"].map(part)
  let clock = null

  opacity.value = remembered()
  fade()
  opacity.oninput = () => {
    fade()
    remember(opacity.value)
  }
  choice.onchange = () => onChoice(choice.value)

  function fade() {
    heat.style.opacity = opacity.value / 100
    opacity.setAttribute("aria-valuetext", `${opacity.value} percent`)
  }

  function wait(since) {
    if (clock) return
    const tell = () => {
      const seconds = Math.round((performance.now() - since) / 1000)
      const slow = "loading the model"
      setText(workingText, seconds < 1 ? "Looking" : `Looking, ${slow} (${seconds} s)`)
    }
    tell()
    working.hidden = false
    clock = setInterval(tell, 500)
  }

  function rest() {
    clearInterval(clock)
    clock = null
    working.hidden = true
  }

  function show(message) {
    if (photo.src !== message.url) photo.src = message.url
    photo.alt = message.alt
    frame.style.setProperty("--ratio", message.width / message.height)
    photo.classList.toggle("tiny", Math.max(message.width, message.height) <= 48)
    note.hidden = !message.note
    setText(note, message.note)
  }

  function showHeat(asked, found) {
    const button = root.querySelector("[data-action=heat]")
    button.classList.toggle("on", asked.on)
    setText(button, asked.on ? "Hide where the model looks" : "Show where the model looks")
    more.hidden = !asked.on
    const here = asked.on && found && found.choice === asked.choice ? found : null
    const drawn = here && !here.problem
    const options = asked.choices.map(([code, title]) => {
      const option = document.createElement("option")
      option.value = code
      option.textContent = title
      return option
    })
    if ([...choice.options].map(o => o.value + o.text).join() !== options.map(o => o.value + o.text).join()) {
      choice.replaceChildren(...options)
    }
    // a choice that this image does not have stands for the one that its map is drawn of
    choice.value = asked.choices.some(([code]) => code === asked.choice) ? asked.choice : fallback(asked)
    heat.hidden = !drawn
    seen.hidden = !drawn || isWhole(here.box)
    legend.hidden = !drawn
    if (asked.on && !here) wait(performance.now())
    else rest()
    setText(said, here ? (here.problem ?? here.sentence) : "")
    said.classList.toggle("problem", Boolean(here?.problem))
    if (!drawn) return
    if (heat.src !== here.url) heat.src = here.url
    heat.alt = here.sentence
    for (const layer of [heat, seen]) placeIn(layer, here.box)
    setText(legend.querySelector(".low"), here.low)
    setText(legend.querySelector(".high"), here.high)
    legend.querySelector(".ramp").style.background = `linear-gradient(90deg, ${here.colors.join(", ")})`
  }

  return { show, showHeat, leave: rest }
}

/** The runner-up of a wrong prediction is not offered, nor the label of a right one. */
function fallback({ choice, choices }) {
  const stand = { "runner-up": "label", label: "predicted" }[choice]
  return choices.some(([code]) => code === stand) ? stand : choices[0][0]
}

function placeIn(layer, [left, top, right, bottom]) {
  Object.assign(layer.style, {
    left: `${100 * left}%`,
    top: `${100 * top}%`,
    width: `${100 * (right - left)}%`,
    height: `${100 * (bottom - top)}%`,
  })
}

function isWhole([left, top, right, bottom]) {
  return left === 0 && top === 0 && right === 1 && bottom === 1
}

function remembered() {
  try {
    return sessionStorage.getItem(OPACITY_KEPT) ?? DEFAULT_OPACITY
  } catch {
    return DEFAULT_OPACITY // storage may be forbidden
  }
}

function remember(value) {
  try {
    sessionStorage.setItem(OPACITY_KEPT, value)
  } catch {
    // storage may be forbidden: the slider still works
  }
}
