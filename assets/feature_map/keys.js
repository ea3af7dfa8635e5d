// What a key does on the map: plain functions.

const ACTIONS = new Map([
  ...Object.entries({ v: "move", l: "lasso", b: "box", a: "all", n: "next", p: "previous" }),
  ...Object.entries({ "+": "in", "=": "in", "-": "out", _: "out", 0: "fit" }),
])
const CROSS_STEPS = new Map(Object.entries({ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }))
const SMALL_STEP = 8
const LARGE_STEP = 64

/** {action} or {step: [right, down] in pixels} or null for a key that means nothing here. */
export function keyMeaning({ key, shiftKey, altKey, ctrlKey, metaKey }) {
  if (altKey || ctrlKey || metaKey) return null
  if (CROSS_STEPS.has(key)) {
    const far = shiftKey ? LARGE_STEP : SMALL_STEP
    return { step: CROSS_STEPS.get(key).map(side => side * far) }
  }
  if (key === " ") return { action: "point" }
  if (key === "Enter") return { action: "open" }
  if (key === "Escape") return { action: "escape" }
  const action = ACTIONS.get(key.toLowerCase())
  return action ? { action } : null
}
