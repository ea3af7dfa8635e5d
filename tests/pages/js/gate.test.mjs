// Leaving a page whose sign-in has ended.

import assert from "node:assert/strict"
import test from "node:test"
import { load } from "./load.mjs"

const { default: leave } = await load("gate/gate.js")

function went(data) {
  const steps = []
  globalThis.window = { location: { assign: to => steps.push(to), reload: () => steps.push("again") } }
  leave({ data })
  return steps
}

test("the page is asked for again, which leads to the sign-in", () => {
  assert.deepEqual(went({ to: "" }), ["again"])
})

test("where an identity provider asked, its session is ended first", () => {
  assert.deepEqual(went({ to: "/auth/logout" }), ["/auth/logout"])
})
