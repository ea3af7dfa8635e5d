import assert from "node:assert/strict"
import test from "node:test"
import { load } from "./load.mjs"

const { createPulse, createPress, answerOf } = await load("live/live.js")
const { cookieText } = await load("who/who.js")

/** A pulse whose clock, page and server are played by the test. */
function pulse(answers = []) {
  const made = { asked: 0, refreshed: 0, notes: [], hidden: false, busy: false, answers: [...answers], time: 0 }
  let due = null
  made.pulse = createPulse({
    ask: async () => {
      made.asked += 1
      const answer = made.answers.length > 1 ? made.answers.shift() : made.answers[0]
      if (answer instanceof Error) throw answer
      return answer
    },
    refresh: () => (made.refreshed += 1),
    show: note => made.notes.push(note),
    page: { hidden: () => made.hidden, busy: () => made.busy },
    timers: { setTimeout: (run, ms) => (due = { run, ms }), clearTimeout: () => (due = null) },
    now: () => made.time,
  })
  made.waits = () => due?.ms ?? null
  /** Let the next beat come, and everything that follows from its answer. */
  made.beat = async () => {
    const next = due
    due = null
    if (!next) return
    made.time += next.ms
    next.run()
    for (let i = 0; i < 8; i++) await null
  }
  made.pulse.start()
  return made
}

const QUIET = { news: false, note: "" }
const NEWS = { news: true, note: "Ada is here too." }

test("it asks about once a second, shows the note and leaves the page alone without news", async () => {
  const made = pulse([QUIET, { news: false, note: "Ada is here too." }])
  assert.equal(made.waits(), 800)
  await made.beat()
  await made.beat()
  assert.deepEqual([made.asked, made.refreshed, made.notes], [2, 0, ["", "Ada is here too."]])
  assert.equal(made.waits(), 800)
})

test("news run the page once, not again while that run is under way", async () => {
  const made = pulse([NEWS])
  for (let i = 0; i < 4; i++) await made.beat()
  assert.equal(made.refreshed, 1)
  made.pulse.ran()
  await made.beat()
  assert.equal(made.refreshed, 2, "there were news again after that run")
})

test("a run that never came is asked for again", async () => {
  const made = pulse([NEWS])
  for (let i = 0; i < 10; i++) await made.beat()
  assert.equal(made.refreshed, 2)
})

test("nothing changes under the hand: news wait until it is free", async () => {
  const made = pulse([NEWS])
  made.busy = true
  for (let i = 0; i < 3; i++) await made.beat()
  assert.equal(made.refreshed, 0)
  made.busy = false
  await made.beat()
  assert.equal(made.refreshed, 1)
})

test("a hidden page asks nothing, and at once when it is seen again", async () => {
  const made = pulse([QUIET])
  made.hidden = true
  await made.beat()
  assert.deepEqual([made.asked, made.waits()], [0, null])
  made.pulse.turned()
  assert.equal(made.asked, 0)
  made.hidden = false
  made.pulse.turned()
  assert.equal(made.asked, 1)
  for (let i = 0; i < 8; i++) await null
  assert.equal(made.waits(), 800)
})

test("a server that forgot the page has it run again; one that is gone is asked more rarely", async () => {
  const made = pulse([{ unknown: true }, new Error("gone"), QUIET])
  await made.beat()
  assert.deepEqual([made.refreshed, made.notes], [1, []])
  await made.beat()
  assert.equal(made.waits(), 5000)
  await made.beat()
  assert.equal(made.waits(), 800)
})

test("where nobody answers such questions it ends, as it does when the page is left", async () => {
  const made = pulse([null])
  await made.beat()
  assert.equal(made.waits(), null)
  const left = pulse([NEWS])
  left.pulse.stop()
  await left.beat()
  left.pulse.turned()
  assert.deepEqual([left.asked, left.refreshed], [0, 0])
})

test("while a question is under way no other is asked", async () => {
  let asked = 0
  let answer = null
  const pulse = createPulse({
    ask: () => {
      asked += 1
      return new Promise(done => (answer = done))
    },
    refresh: () => {},
    show: () => {},
    page: { hidden: () => false, busy: () => false },
    timers: { setTimeout: () => 0, clearTimeout: () => {} },
    now: () => 0,
  })
  pulse.turned()
  pulse.turned() // hidden and seen again, faster than the answer
  assert.equal(asked, 1)
  answer(QUIET)
  for (let i = 0; i < 8; i++) await null
  pulse.turned()
  assert.equal(asked, 2)
})

test("a pointer is held until it is let go, in whichever way that shows", () => {
  const moved = buttons => ["pointermove", { buttons }]
  for (const [name, event] of [["pointerup"], ["pointercancel"], ["dragend"], ["contextmenu"], ["blur"], moved(0)]) {
    const press = createPress()
    assert.equal(press.held, false)
    press.listeners.pointerdown()
    press.listeners.pointermove({ buttons: 1 })
    assert.equal(press.held, true)
    press.listeners[name](event)
    assert.equal(press.held, false, name)
  }
})

test("only JSON is an answer", async () => {
  const response = (status, type, body = "{}") => ({
    status,
    ok: status < 400,
    headers: { get: () => type },
    json: async () => JSON.parse(body),
  })
  assert.deepEqual(await answerOf(response(200, "application/json", '{"news":true}')), { news: true })
  assert.deepEqual(await answerOf(response(404, "application/json")), { unknown: true })
  assert.equal(await answerOf(response(200, "text/html")), null, "the page itself, sent for any address")
  assert.equal(await answerOf(response(200, null)), null)
  await assert.rejects(answerOf(response(500, "application/json")))
})

test("the name is kept for a year, for this site, and only over https where there is https", () => {
  const text = cookieText({ name: "midband-person", value: "00ff.Ada" }, false)
  assert.equal(text, "midband-person=00ff.Ada; path=/; max-age=31536000; SameSite=Lax")
  assert.match(cookieText({ name: "a", value: "b" }, true), /; Secure$/)
})
