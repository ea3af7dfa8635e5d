// One tooltip for the whole component: appears after a moment of rest, never takes the pointer or the focus.

const TOOLTIP_DELAY = 450
/** Longer for the keyboard: who moves from image to image should not see one flash after the other. */
const TOOLTIP_KEYBOARD_DELAY = 900

/** Lines to show for an element: set by `describe`, read by the tooltip. */
const descriptions = new WeakMap()

/** Give an element its tooltip: a function that returns lines, the first one strong, or null for none. */
export function describe(element, lines) {
  descriptions.set(element, lines)
}

/** How long the focus rests before a tooltip shows: a button's at once, for what a button does is the question. */
const restOf = target => (target.matches("button") ? 0 : TOOLTIP_KEYBOARD_DELAY)

/**
 * Show the descriptions of what is under the mouse or has the keyboard's focus inside `root`; returns a function that
 * hides them. keyboardDelay(element): ms before one shows that the keyboard has moved to.
 */
export function installTooltip(root, box, keyboardDelay = restOf) {
  let timer = null
  let owner = null

  const described = target => {
    for (let node = target; node && node !== root; node = node.parentElement) if (descriptions.has(node)) return node
    return null
  }
  const hide = () => {
    clearTimeout(timer)
    owner = null
    box.hidden = true
  }
  const show = element => {
    const lines = descriptions.get(element)()
    if (!lines) return
    box.replaceChildren(
      ...lines.map((line, position) => {
        const row = document.createElement("div")
        row.className = position ? "tooltip-line" : "tooltip-title"
        row.textContent = line
        return row
      }),
    )
    box.hidden = false
    const frame = root.getBoundingClientRect()
    const at = element.getBoundingClientRect()
    const left = at.left - frame.left + at.width / 2 - box.offsetWidth / 2
    const below = at.bottom - frame.top + 6
    const above = at.top - frame.top - box.offsetHeight - 6
    const fits = at.bottom + box.offsetHeight + 12 < window.innerHeight
    box.style.left = `${Math.max(0, Math.min(left, frame.width - box.offsetWidth))}px`
    box.style.top = `${fits ? below : above}px`
  }
  const consider = (target, delay) => {
    const next = described(target)
    if (next === owner) return
    hide()
    owner = next
    if (next) timer = setTimeout(() => next.isConnected && show(next), delay)
  }

  root.onpointerover = event => event.pointerType === "mouse" && consider(event.target, TOOLTIP_DELAY)
  root.onpointerleave = hide
  root.addEventListener("pointerdown", hide)
  root.addEventListener("keydown", hide)
  root.addEventListener("focusin", event => {
    if (!event.target.matches(":focus-visible")) return
    consider(event.target, keyboardDelay(event.target))
  })
  root.addEventListener("focusout", hide)
  return hide
}
