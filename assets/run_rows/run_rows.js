// The component: rows, ticks, and what Python is told. Streamlit calls `runRows` when `data` changes.

const tables = new WeakMap()
// the order a person chose, by the table's key: it outlives a visit to another room
const orders = new Map()

export default function runRows({ data, parentElement, setTriggerValue }) {
  if (!data) return undefined
  if (!tables.has(parentElement)) tables.set(parentElement, createTable(parentElement))
  tables.get(parentElement).update(data, setTriggerValue)
  return () => tables.delete(parentElement)
}

function createTable(parentElement) {
  const root = parentElement.querySelector(".runs-root")
  const frame = root.querySelector(".frame")
  const head = root.querySelector("thead tr")
  const body = root.querySelector("tbody")
  const by = root.querySelector(".by select") // on a phone, where there are no heads to press
  const hideTooltip = installTooltip(root, root.querySelector(".tooltip"))

  let data = { columns: [], rows: [], picked: [] }
  let send = () => {}
  let drawn = new Map() // id -> {row, tick, text: JSON of the row as drawn}
  let drawnHead = ""
  let picked = []
  let sent = 0 // number of the last message

  function update(next, setTriggerValue) {
    send = setTriggerValue
    data = next
    // an answer to an earlier tick must not undo a later one
    if (data.ack >= sent) {
      sent = data.ack
      picked = data.picked
    }
    picked = picked.filter(id => data.rows.some(row => row.id === id))
    frame.setAttribute("aria-label", data.label)
    frame.style.setProperty("--rows", data.tall)
    const kept = drawn
    drawn = new Map()
    const columns = JSON.stringify(data.columns)
    for (const row of data.rows) {
      const text = JSON.stringify(row) + columns
      const before = kept.get(row.id)
      drawn.set(row.id, before?.text === text ? before : { ...createRow(row), text })
    }
    if (drawnHead !== columns) {
      drawnHead = columns
      drawHead()
    }
    arrange()
    showPicked()
    root.hidden = false
  }

  // --- drawing -------------------------------------------------------------------------------------------------

  function drawHead() {
    const all = made("input", "tick", { type: "checkbox", "aria-label": "All runs" })
    all.onchange = () => pick(all.checked ? data.rows.map(row => row.id) : [])
    const corner = made("th", "corner", { scope: "col" })
    corner.append(all)
    head.replaceChildren(
      corner,
      ...data.columns.map(column => {
        const cell = made("th", column.kind, { scope: "col" })
        cell.dataset.key = column.key
        const button = made("button", "sort", { type: "button" }, column.title)
        button.onclick = () => {
          orders.set(data.key, nextOrder(orderNow(), column.key, column.kind !== "text"))
          hideTooltip()
          arrange()
        }
        if (column.help) describe(button, () => [column.help])
        cell.append(button)
        return cell
      }),
    )
    by.replaceChildren(
      made("option", "", { value: "" }, "newest first"),
      ...data.columns.map(column => made("option", "", { value: column.key }, column.title)),
    )
  }

  const orderNow = () => orders.get(data.key) ?? null

  function arrange() {
    const order = orderNow()
    by.value = order?.key ?? ""
    for (const cell of head.querySelectorAll("th[data-key]")) {
      if (cell.dataset.key === order?.key) cell.setAttribute("aria-sort", order.down ? "descending" : "ascending")
      else cell.removeAttribute("aria-sort")
    }
    const rows = ordered(data.rows, order).map(row => drawn.get(row.id).row)
    if (rows.length === body.children.length && rows.every((row, at) => row === body.children[at])) return
    const focused = parentElement.activeElement
    body.replaceChildren(...rows)
    if (focused && focused !== parentElement.activeElement && focused.isConnected) focused.focus({ preventScroll: true })
  }

  function createRow(row) {
    const line = made("tr", "")
    line.dataset.id = row.id
    const tick = made("input", "tick", { type: "checkbox", "aria-label": `Pick ${row.name}` })
    tick.onchange = () => pick(ticked(picked, row.id))
    const corner = made("td", "corner")
    corner.append(tick)
    line.append(corner, ...data.columns.map((column, at) => createCell(row, column, at)))
    return { row: line, tick }
  }

  function createCell(row, column, at) {
    const cell = row.cells[column.key]
    const box = made(at ? "td" : "th", column.kind, at ? { dir: "auto" } : { scope: "row", dir: "auto" })
    box.dataset.head = column.title
    if (!at) {
      const link = made("a", "name", { href: row.href }, cell.text)
      link.onclick = event => {
        // another tab or window is the browser's
        if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return
        event.preventDefault()
        pick([row.id])
      }
      box.append(link)
    } else if (column.kind === "share") {
      const bar = made("span", "bar", { "aria-hidden": "true" })
      bar.style.setProperty("--share", Math.min(Math.max(cell.sort ?? 0, 0), 100) / 100)
      box.append(bar, made("span", "", {}, cell.text))
    } else {
      box.append(made("span", "", {}, cell.text))
    }
    if (!cell.text || cell.text === "–") box.classList.add("none")
    if (cell.full) box.title = cell.full
    return box
  }

  function showPicked() {
    for (const [id, { row, tick }] of drawn) {
      tick.checked = picked.includes(id)
      row.classList.toggle("picked", tick.checked)
    }
    const all = head.querySelector(".tick")
    all.checked = data.rows.length > 0 && picked.length === data.rows.length
    all.indeterminate = picked.length > 0 && !all.checked
  }

  // --- what a person does --------------------------------------------------------------------------------------

  function pick(ids) {
    picked = ids
    showPicked()
    sent += 1
    send("pick", { number: sent, ids })
  }

  by.onchange = () => {
    const column = data.columns.find(one => one.key === by.value)
    orders.set(data.key, column ? nextOrder(null, column.key, column.kind !== "text") : null)
    arrange()
  }
  body.onclick = event => {
    const row = event.target.closest("tr")
    // who marks text to copy it picks nothing
    if (!row || event.target.closest("a, input") || String(document.getSelection()).length) return
    pick(ticked(picked, row.dataset.id))
  }
  // Streamlit's own shortcuts (r, c) must not fire from here
  root.onkeydown = event => event.stopPropagation()

  root.querySelector(".take").onclick = () => {
    const text = asCsv(data.columns, ordered(data.rows, orderNow()))
    const address = URL.createObjectURL(new Blob([`\ufeff${text}`], { type: "text/csv" }))
    made("a", "", { href: address, download: "runs.csv" }).click()
    setTimeout(() => URL.revokeObjectURL(address), 1000)
  }

  return { update }
}

function made(tag, className, attributes = {}, text = "") {
  const element = document.createElement(tag)
  if (className) element.className = className
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  if (text) element.textContent = text
  return element
}
