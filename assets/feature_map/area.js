// What somebody drew around points: plain functions over corners [x0, y0, x1, y1, ...].

/** Corners far enough apart to matter, at most `most` of them: a hand moves in more points than its curve needs. */
export function simplified(corners, least, most = 400) {
  let apart = least
  let kept = thinned(corners, apart)
  while (kept.length / 2 > most) {
    // a start of nothing would stay nothing
    apart = apart > 0 ? apart * 1.5 : spanOf(corners) / 1000
    kept = thinned(corners, apart)
  }
  return kept
}

function spanOf(corners) {
  const [xs, ys] = [0, 1].map(side => corners.filter((_, i) => i % 2 === side))
  return Math.max(Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys))
}

function thinned(corners, apart) {
  const kept = corners.slice(0, 2)
  for (let i = 2; i < corners.length; i += 2) {
    if (Math.hypot(corners[i] - kept.at(-2), corners[i + 1] - kept.at(-1)) >= apart) kept.push(corners[i], corners[i + 1])
  }
  return kept
}

/** The `most` corners that say most of an outline: again and again the one is left out whose absence changes it least
 * (Visvalingam and Whyatt, 1993). */
export function reduced(corners, most) {
  const kept = []
  for (let i = 0; i < corners.length; i += 2) kept.push([corners[i], corners[i + 1]])
  const change = i => {
    const [[x0, y0], [x1, y1], [x2, y2]] = [kept.at(i - 1), kept[i], kept[(i + 1) % kept.length]]
    return Math.abs((x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0))
  }
  while (kept.length > Math.max(most, 3)) {
    let least = 0
    let smallest = Infinity
    for (let i = 0; i < kept.length; i += 1) {
      const by = change(i)
      if (by < smallest) [least, smallest] = [i, by]
    }
    kept.splice(least, 1)
  }
  return kept.flat()
}

/** Corners with as few figures as half a pixel takes, at `scale` pixels per unit. */
export function rounded(corners, scale) {
  const figures = Math.min(12, Math.max(0, Math.ceil(Math.log10(scale) + 0.3)))
  return corners.map(value => Number(value.toFixed(figures)))
}

/** The corners of a box between two opposite ones. */
export function boxCorners(x0, y0, x1, y1) {
  return [x0, y0, x1, y0, x1, y1, x0, y1]
}

/**
 * How often the corners go around a point; not 0 is inside. The same rule as in Python: half-open edges, so that a
 * point on the line between two areas is in one of them.
 */
export function winding(corners, x, y) {
  let around = 0
  const last = corners.length
  for (let i = 0; i < last; i += 2) {
    const [y0, y1] = [corners[i + 1], corners[(i + 3) % last]]
    if (y0 <= y === y1 <= y) continue
    const [x0, x1] = [corners[i], corners[(i + 2) % last]]
    if (x < x0 + (y - y0) * ((x1 - x0) / (y1 - y0))) around += y1 > y0 ? 1 : -1
  }
  return around
}

/** Positions of the points inside; allowed(i) says whether a point may be taken at all. */
export function inside(corners, xs, ys, allowed) {
  if (corners.length < 6) return []
  let [left, right, bottom, top] = [Infinity, -Infinity, Infinity, -Infinity]
  for (let i = 0; i < corners.length; i += 2) {
    left = Math.min(left, corners[i])
    right = Math.max(right, corners[i])
    bottom = Math.min(bottom, corners[i + 1])
    top = Math.max(top, corners[i + 1])
  }
  const found = []
  for (let i = 0; i < xs.length; i += 1) {
    const [x, y] = [xs[i], ys[i]]
    if (x >= left && x <= right && y >= bottom && y <= top && allowed(i) && winding(corners, x, y) !== 0) found.push(i)
  }
  return found
}

/** What the modifier keys make of a new area: it replaces what was selected, adds to it or takes away from it. */
export function modeOf({ shiftKey, altKey }) {
  if (altKey) return "remove"
  return shiftKey ? "add" : "replace"
}

/** Mark points as selected: marks' bit 1, changed in place. */
export function marked(marks, positions, mode) {
  if (mode === "replace") for (let i = 0; i < marks.length; i += 1) marks[i] &= ~1
  for (const i of positions) {
    if (mode === "remove") marks[i] &= ~1
    else marks[i] |= 1
  }
}
