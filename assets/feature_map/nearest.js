// Which point is near: points sorted into cells of a grid once, so that a look touches a few of them. Plain functions.

const PER_CELL = 4
const MOST_CELLS = 1 << 20

/** {columns, rows, left, bottom, size, starts, members} over the finite points. */
export function createCells(xs, ys, bounds) {
  if (!bounds) return null
  const wide = Math.max(bounds.right - bounds.left, 1e-30)
  const tall = Math.max(bounds.top - bounds.bottom, 1e-30)
  const cells = Math.min(MOST_CELLS, Math.max(1, xs.length / PER_CELL))
  const size = Math.max(Math.sqrt((wide * tall) / cells), Math.max(wide, tall) / 2048)
  const grid = { left: bounds.left, bottom: bounds.bottom, size }
  grid.columns = Math.floor(wide / size) + 1
  grid.rows = Math.floor(tall / size) + 1
  const starts = new Uint32Array(grid.columns * grid.rows + 1)
  const own = new Int32Array(xs.length)
  for (let i = 0; i < xs.length; i += 1) {
    own[i] = xs[i] === xs[i] && ys[i] === ys[i] ? cellOf(grid, xs[i], ys[i]) : -1
    if (own[i] >= 0) starts[own[i] + 1] += 1
  }
  for (let cell = 1; cell < starts.length; cell += 1) starts[cell] += starts[cell - 1]
  const members = new Uint32Array(starts.at(-1))
  const filled = starts.slice()
  for (let i = 0; i < xs.length; i += 1) if (own[i] >= 0) members[filled[own[i]]++] = i
  return { ...grid, starts, members }
}

function cellOf(grid, x, y) {
  return row(grid, y) * grid.columns + column(grid, x)
}

const column = (grid, x) => Math.min(grid.columns - 1, Math.max(0, Math.floor((x - grid.left) / grid.size)))
const row = (grid, y) => Math.min(grid.rows - 1, Math.max(0, Math.floor((y - grid.bottom) / grid.size)))

/** Positions within `reach` of (x, y), the nearest first, `most` of them at most; allowed(i) says which count. */
export function near(grid, xs, ys, x, y, reach, most, allowed) {
  if (!grid) return []
  const found = []
  for (let r = row(grid, y - reach); r <= row(grid, y + reach); r += 1) {
    for (let c = column(grid, x - reach); c <= column(grid, x + reach); c += 1) {
      const cell = r * grid.columns + c
      for (let k = grid.starts[cell]; k < grid.starts[cell + 1]; k += 1) {
        const i = grid.members[k]
        const apart = (xs[i] - x) ** 2 + (ys[i] - y) ** 2
        if (apart <= reach * reach && allowed(i)) found.push([apart, i])
      }
    }
  }
  return found.sort((a, b) => a[0] - b[0] || a[1] - b[1]).slice(0, most).map(([, i]) => i)
}

/** 0..n-1 in an order that looks random and is always the same, so that no class lies on top for being listed last. */
export function shuffledOrder(n) {
  const order = new Uint32Array(n)
  for (let i = 0; i < n; i += 1) order[i] = i
  let state = 0x9e3779b9
  for (let i = n - 1; i > 0; i -= 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    const j = Math.floor((state / 4294967296) * (i + 1))
    const held = order[i]
    order[i] = order[j]
    order[j] = held
  }
  return order
}
