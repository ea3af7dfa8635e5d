import assert from "node:assert/strict"
import test from "node:test"

import { load } from "./load.mjs"

const order = await load("run_rows/order.js")

const row = (id, sort, text = String(sort)) => ({ id, cells: { score: { sort, text, full: "" }, name: { sort: text, text, full: "" } } })
const ids = rows => rows.map(one => one.id).join("")

test("rows stand by a column, those alike as they came, those without a value last", () => {
  const rows = [row("a", 2), row("b", null, ""), row("c", 10), row("d", 2)]
  assert.equal(ids(order.ordered(rows, null)), "abcd")
  assert.equal(ids(order.ordered(rows, { key: "score", down: true })), "cadb")
  assert.equal(ids(order.ordered(rows, { key: "score", down: false })), "adcb")
  assert.equal(ids(rows), "abcd", "what came is left as it is")
  const named = [row("x", 0, "run 10"), row("y", 0, "Run 9"), row("z", 0, "alpha")]
  assert.equal(ids(order.ordered(named, { key: "name", down: false })), "zyx", "words as people count")
})

test("a head sorts one way, then the other, then not", () => {
  const once = order.nextOrder(null, "score", true)
  assert.deepEqual(once, { key: "score", down: true })
  const twice = order.nextOrder(once, "score", true)
  assert.deepEqual(twice, { key: "score", down: false })
  assert.equal(order.nextOrder(twice, "score", true), null)
  assert.deepEqual(order.nextOrder(twice, "name", false), { key: "name", down: false })
})

test("a tick adds at the end, and takes away", () => {
  assert.deepEqual(order.ticked(["a"], "b"), ["a", "b"])
  assert.deepEqual(order.ticked(["a", "b"], "a"), ["b"])
})

test("a file holds numbers as they are, quotes what needs it, and no formula", () => {
  const columns = [{ key: "name", title: "Name", kind: "text" }, { key: "score", title: "Score, %", kind: "number" }]
  const rows = [row("a", 0.25, 'say "hi", all'), row("b", -1, "=HYPERLINK(1)"), row("c", null, "plain")]
  assert.equal(
    order.asCsv(columns, rows),
    'Name,"Score, %"\r\n"say ""hi"", all",0.25\r\n\'=HYPERLINK(1),-1\r\nplain,\r\n',
  )
})
