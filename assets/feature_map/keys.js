// What a key does on the map: plain functions.

const ACTIONS = { v: "move", l: "lasso", b: "box", "+": "in", "=": "in", "-": "out", _: "out", 0: "fit", a: "all", n: "next", p: "previous" }
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }
const SMALL_STEP = 8
const LARGE_STEP = 64

/** {action} or {step: [right, down] in pixels} or null for a key that means nothing here. */
export function keyMeaning({ key, shiftKey, altKey, ctrlKey, metaKey }) {
  if (altKey || ctrlKey || metaKey) return null
  if (STEPS[key]) {
    const far = shiftKey ? LARGE_STEP : SMALL_STEP
    return { step: STEPS[key].map(side => side * far) }
  }
  if (key === " ") return { action: "point" }
  if (key === "Enter") return { action: "open" }
  if (key === "Escape") return { action: "escape" }
  const action = ACTIONS[key.length === 1 ? key.toLowerCase() : key]
  return action ? { action } : null
}
