import assert from "node:assert/strict"
import { beforeEach, test } from "node:test"

import { load } from "./load.mjs"

const { default: carrier } = await load("carrier/carrier.js")
const { receive } = await load("carrier/receive.js")

beforeEach(() => {
  delete globalThis.midbandPosts
})

test("what comes before its receiver waits for it, in order", () => {
  carrier({ data: { to: "grid", store: "a" } })
  carrier({ data: { to: "grid", store: "b" } })
  const got = []
  receive("grid", data => got.push(data.store))
  assert.deepEqual(got, ["a", "b"])
  carrier({ data: { to: "grid", store: "c" } })
  assert.deepEqual(got, ["a", "b", "c"])
})

test("a message reaches only whom it names", () => {
  const got = []
  receive("grid", data => got.push(["grid", data.store]))
  receive("card", data => got.push(["card", data.store]))
  carrier({ data: { to: "card", store: "a" } })
  assert.deepEqual(got, [["card", "a"]])
})

test("a receiver that comes again takes over, and gets nothing twice", () => {
  const [first, second] = [[], []]
  receive("grid", data => first.push(data.store))
  carrier({ data: { to: "grid", store: "a" } })
  receive("grid", data => second.push(data.store))
  carrier({ data: { to: "grid", store: "b" } })
  assert.deepEqual([first, second], [["a"], ["b"]])
})

test("a mount without data carries nothing", () => {
  carrier({ data: null })
  const got = []
  receive("grid", data => got.push(data))
  assert.deepEqual(got, [])
})
