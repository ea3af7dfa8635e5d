import assert from "node:assert/strict"
import test from "node:test"

import { load } from "./load.mjs"

const {
  nothing, whole, holds, including, toggled, sizeOf, stillShown, carried, rangeBetween, movedFocus, boxBetween, touched,
  nearest, edgeSpeed, selectionText, actsOn, inFrame,
} = await load("image_grid/selection.js")
const { digitOf, letterOf, stepOf, zoomOf } = await load("image_grid/keys.js")
const { createOutbox, effectiveTags, chipsAfter } = await load("image_grid/outbox.js")
const { createHold } = await load("image_grid/held.js")
const { grouped, rangeText, typedPage, turned, awaitedPage, zoomed, leastColumns, SIZES } = await load("image_grid/paging.js")
const { countText, refusal, explanation, question, pillText, buttonKeys, stateWord, sentences } = await load(
  ...["paging", "states", "toolbar", "tiles"].map(name => `image_grid/${name}.js`),
)

const selectionOf = (...ids) => ({ everything: false, ids: new Set(ids) })
const allBut = (...ids) => ({ everything: true, ids: new Set(ids) })

/** Timers that run when told to. */
function clock() {
  let due = []
  let now = 0
  return {
    setTimeout: (run, ms) => {
      const timer = { run, at: now + ms }
      due.push(timer)
      return timer
    },
    clearTimeout: timer => (due = due.filter(other => other !== timer)),
    pass: ms => {
      now += ms
      const ready = due.filter(timer => timer.at <= now)
      due = due.filter(timer => timer.at > now)
      ready.forEach(timer => timer.run())
    },
  }
}

function outboxOf(client = "me") {
  const sent = []
  const timers = clock()
  const outbox = createOutbox({ client, transmit: message => sent.push(message), retryMs: 1000, timers })
  return { outbox, sent, timers, numbers: () => sent.map(message => message.events.map(event => event.seq)) }
}

test("a range holds both its ends, whichever was clicked first", () => {
  assert.deepEqual(rangeBetween([7, 3, 9, 4], 1, 3), [3, 9, 4])
  assert.deepEqual(rangeBetween([7, 3, 9, 4], 3, 1), [3, 9, 4])
  assert.deepEqual(rangeBetween([7, 3, 9, 4], 2, 2), [9])
})

test("toggling twice changes nothing and leaves the selection given alone", () => {
  const before = selectionOf(1)
  assert.deepEqual(toggled(toggled(before, 2), 2), before)
  assert.deepEqual(toggled(before, 1), nothing())
  assert.deepEqual([...before.ids], [1])
})

test("a whole band is selected but for what is taken out of it", () => {
  const band = toggled(toggled(whole(), 3), 8)
  assert.deepEqual([2, 3, 8, 9].map(id => holds(band, id)), [true, false, false, true])
  assert.equal(sizeOf(band, 4812), 4810)
  assert.deepEqual(including(band, [3, 4]), allBut(8))
  assert.equal(sizeOf(selectionOf(1, 2), 4812), 2)
})

test("what is shown of a selection is named one by one", () => {
  assert.deepEqual(stillShown(selectionOf(1, 2, 9), [2, 1, 5]), selectionOf(2, 1))
  assert.deepEqual(stillShown(allBut(1), [2, 1, 5]), selectionOf(2, 5))
})

test("a selection is carried over the pages of a scope and ends with it", () => {
  const chosen = selectionOf(1, 2, 9)
  const mid = { scope: "mid", total: 100 }
  assert.deepEqual(carried(chosen, mid, { ...mid }, [50, 51]), chosen)
  assert.deepEqual(carried(chosen, mid, { scope: "top", total: 100 }, [1, 2]), nothing())
  assert.deepEqual(carried(whole(), mid, { scope: "top", total: 100 }, [1, 2]), nothing())
})

test("without a scope, or when the band has other members, only what is seen stays selected", () => {
  const chosen = selectionOf(1, 2, 9)
  assert.deepEqual(carried(chosen, { scope: null, total: 3 }, { scope: null, total: 3 }, [2, 3]), selectionOf(2))
  assert.deepEqual(carried(chosen, { scope: "a", total: 9 }, { scope: "a", total: 8 }, [1, 3]), selectionOf(1))
  assert.deepEqual(carried(whole(), { scope: "a", total: 9 }, { scope: "a", total: 8 }, [1, 3]), selectionOf(1, 3))
})

test("what is told of a selection changes with it and with what it is a selection of", () => {
  const texts = [
    { selected: [], everything: false, scope: "mid" },
    { selected: [1], everything: false, scope: "mid" },
    { selected: [1, 2], everything: false, scope: "mid" },
    { selected: [1], everything: true, scope: "mid" },
    { selected: [], everything: true, scope: "mid" },
    { selected: [1], everything: false, scope: "top" },
  ].map(selectionText)
  assert.equal(new Set(texts).size, texts.length)
  // nothing is nothing, wherever
  assert.equal(selectionText({ selected: [], everything: false, scope: "top" }), texts[0])
})

test("pressing a button may act on the selection, a drag on a slider or a click beside does not", () => {
  const matching = wanted => ({ matches: text => text.split(", ").includes(wanted) })
  assert.deepEqual([matching("button"), matching("[role=option]"), matching("canvas"), {}].map(actsOn), [true, true, false, false])
})

test("a press in the sidebar or on the tour's bar is none that acts on the selection", () => {
  const within = place => ({ closest: selector => (selector.split(", ").includes(place) ? {} : null) })
  assert.deepEqual([within("[data-testid=stSidebar]"), within(".st-key-tour-bar"), within("main"), {}].map(inFrame), [true, true, false, false])
})

test("arrows move by one and by a row and stop at the edges", () => {
  assert.equal(movedFocus("ArrowRight", 4, 3, 8), 5)
  assert.equal(movedFocus("ArrowLeft", 0, 3, 8), 0)
  assert.equal(movedFocus("ArrowDown", 1, 3, 8), 4)
  assert.equal(movedFocus("ArrowUp", 1, 3, 8), 1)
  assert.equal(movedFocus("End", 1, 3, 8), 7)
  assert.equal(movedFocus("x", 1, 3, 8), null)
})

test("down from a full row lands on the last tile where none is right below", () => {
  assert.equal(movedFocus("ArrowDown", 5, 3, 8), 7)
  assert.equal(movedFocus("ArrowDown", 6, 3, 8), 6)
})

test("a drawn box takes what it touches, in any direction of drawing", () => {
  const tiles = [0, 1, 2].map(i => ({ id: i, left: i * 100, right: i * 100 + 90, top: 0, bottom: 90 }))
  assert.deepEqual(touched(tiles, boxBetween({ x: 150, y: 50 }, { x: 80, y: 20 })), [0, 1])
  assert.deepEqual(touched(tiles, boxBetween({ x: 92, y: 5 }, { x: 98, y: 9 })), [])
})

test("a point between tiles belongs to the nearest", () => {
  const tiles = [0, 1, 2].map(i => ({ id: i, left: i * 100, right: i * 100 + 90, top: 0, bottom: 90 }))
  assert.equal(nearest(tiles, { x: 150, y: 50 }), 1)
  assert.equal(nearest(tiles, { x: 97, y: 50 }), 1)
  assert.equal(nearest(tiles, { x: 9999, y: 9999 }), 2)
  assert.equal(nearest([], { x: 0, y: 0 }), -1)
})

test("a drag scrolls faster the nearer it is to an edge, and not at all in the middle", () => {
  assert.equal(edgeSpeed(400, 100, 800), 0)
  assert.ok(edgeSpeed(140, 100, 800) < 0)
  assert.ok(edgeSpeed(105, 100, 800) < edgeSpeed(140, 100, 800))
  assert.ok(edgeSpeed(795, 100, 800) > edgeSpeed(760, 100, 800))
  assert.equal(edgeSpeed(5000, 100, 800), edgeSpeed(800, 100, 800))
})

test("number keys count whatever the keyboard's layout prints on them", () => {
  assert.equal(digitOf({ code: "Digit1", key: "&" }), 1)
  assert.equal(digitOf({ code: "Numpad9", key: "9" }), 9)
  assert.equal(digitOf({ code: "Digit0", key: "0" }), 0)
  assert.equal(digitOf({ code: "KeyA", key: "a" }), 0)
})

test("letters are those printed on the key, or those under it where others are printed", () => {
  assert.equal(letterOf({ key: "A", code: "KeyA" }), "a")
  assert.equal(letterOf({ key: "ф", code: "KeyA" }), "a", "Russian")
  assert.equal(letterOf({ key: "Я", code: "KeyZ" }), "z", "Russian with Shift")
  assert.equal(letterOf({ key: "ζ", code: "KeyZ" }), "z", "Greek")
  assert.equal(letterOf({ key: "z", code: "KeyY" }), "z", "German")
  assert.equal(letterOf({ key: "y", code: "KeyZ" }), "y", "German")
  assert.equal(letterOf({ key: "a", code: "KeyQ" }), "a", "French")
  assert.equal(letterOf({ key: ";", code: "KeyZ" }), "", "Dvorak")
  assert.equal(letterOf({ key: "ö", code: "Semicolon" }), "")
  assert.equal(letterOf({ key: "Dead", code: "KeyA" }), "")
  assert.equal(letterOf({ key: "Escape" }), "")
})

test("plus and minus zoom, but not where a layout prints them on the number row", () => {
  const keys = [["+", "NumpadAdd"], ["=", "Equal"], ["-", "Minus"], ["_", "Minus"], ["-", "Slash"]]
  assert.deepEqual(keys.map(([key, code]) => zoomOf({ key, code })), [1, 1, -1, -1, -1])
  assert.equal(zoomOf({ key: "-", code: "Digit6" }), 0, "French: concept 6")
  assert.equal(zoomOf({ key: "+", code: "Digit1" }), 0, "Czech: concept 1")
  assert.equal(zoomOf({ key: "ß", code: "Minus" }), 0)
})

test("one message is under way; what gathers meanwhile goes with the next", () => {
  const { outbox, numbers } = outboxOf()
  outbox.push({ kind: "tag" })
  outbox.push({ kind: "tag" })
  outbox.push({ kind: "undo" })
  assert.deepEqual(numbers(), [[1]])
  outbox.acknowledge({ me: 1 })
  assert.deepEqual(numbers(), [[1], [2, 3]])
  outbox.acknowledge({ me: 3 })
  assert.equal(outbox.busy, false)
  assert.deepEqual(outbox.waiting, [])
})

test("an unanswered message is repeated, ever more rarely, and differs each time", () => {
  const { outbox, sent, numbers, timers } = outboxOf()
  outbox.push({ kind: "tag" })
  timers.pass(999)
  assert.equal(sent.length, 1)
  timers.pass(1)
  timers.pass(1999)
  assert.equal(sent.length, 2)
  timers.pass(1)
  assert.deepEqual(numbers(), [[1], [1], [1]])
  assert.equal(new Set(sent.map(message => message.attempt)).size, 3)
})

test("the acknowledgement of another page load acknowledges nothing", () => {
  const { outbox } = outboxOf()
  outbox.push({ kind: "tag" })
  outbox.acknowledge({ "somebody else": 99 })
  outbox.acknowledge({})
  assert.equal(outbox.waiting.length, 1)
})

test("an old acknowledgement neither loses events nor sends again", () => {
  const { outbox, sent } = outboxOf()
  outbox.push({ kind: "tag" })
  outbox.push({ kind: "tag" })
  outbox.acknowledge({ me: 1 })
  outbox.acknowledge({ me: 1 })
  outbox.acknowledge({ me: 0 })
  assert.equal(sent.length, 2)
  assert.deepEqual(outbox.waiting.map(event => event.seq), [2])
})

test("leaving sends what waits at once, and only if something new does", () => {
  const { outbox, numbers } = outboxOf()
  outbox.flush()
  outbox.push({ kind: "tag" })
  outbox.flush()
  outbox.push({ kind: "tag" })
  outbox.flush()
  assert.deepEqual(numbers(), [[1], [1, 2]])
})

test("what has left the page sends no more, however long it takes", () => {
  const { outbox, numbers, timers } = outboxOf()
  outbox.push({ kind: "tag" })
  outbox.push({ kind: "tag" })
  outbox.rest()
  assert.deepEqual(numbers(), [[1], [1, 2]], "what was never sent goes out once")
  outbox.push({ kind: "tag" })
  outbox.flush()
  outbox.acknowledge({ me: 1 })
  timers.pass(1_000_000)
  assert.equal(numbers().length, 2)
})

test("who was sent everything rests without a word", () => {
  const { outbox, sent, timers } = outboxOf()
  outbox.push({ kind: "tag" })
  outbox.rest()
  timers.pass(1_000_000)
  assert.equal(sent.length, 1)
})

test("back on the page, tags that were never answered are handed over, and repeated as before", () => {
  const { outbox, numbers, timers } = outboxOf()
  outbox.push({ kind: "tag" })
  outbox.push({ kind: "tag" })
  timers.pass(1000) // repeated once: patience has grown
  outbox.rest()
  outbox.acknowledge({ me: 1 })
  outbox.resume()
  outbox.resume()
  assert.deepEqual(numbers().at(-1), [2])
  const before = numbers().length
  timers.pass(1000)
  assert.deepEqual(numbers().slice(before), [[2]])
  outbox.acknowledge({ me: 2 })
  outbox.push({ kind: "undo" })
  assert.deepEqual(numbers().at(-1), [3])
})

test("back on the page, nothing is opened or turned that was asked for long ago", () => {
  const { outbox, sent } = outboxOf()
  for (const kind of ["open", "tag", "page", "go", "undo", "redo"]) outbox.push({ kind })
  outbox.rest()
  outbox.resume()
  assert.deepEqual(sent.at(-1).events.map(event => event.kind), ["tag", "undo", "redo"])
})

test("nothing waits, nothing is handed over on coming back", () => {
  const { outbox, sent } = outboxOf()
  outbox.rest()
  outbox.resume()
  assert.deepEqual(sent, [])
  outbox.push({ kind: "tag" })
  assert.equal(sent.length, 1)
})

test("chips show waiting tags as if they were saved", () => {
  const nameOf = id => ({ 1: "water", 2: "tree" })[id]
  const tags = [
    { kind: "tag", ids: [5, 6], concept: 1, present: true },
    { kind: "tag", ids: [5], concept: 2, present: null },
    { kind: "tag", ids: [6], concept: 1, present: false },
    { kind: "tag", ids: [5], concept: 77, present: true },
  ]
  assert.deepEqual(chipsAfter([["tree", true]], 5, tags, nameOf), [["water", true]])
  assert.deepEqual(chipsAfter([["tree", true]], 6, tags, nameOf), [["tree", true], ["water", false]])
  assert.deepEqual(chipsAfter([["tree", true]], 7, tags, nameOf), [["tree", true]])
})

test("a tag of everything reaches every image of its own scope but those left out", () => {
  const nameOf = () => "water"
  const tag = { kind: "tag", everything: true, scope: "mid", ids: [7], concept: 1, present: true }
  assert.deepEqual(chipsAfter([], 5, [tag], nameOf), [["water", true]])
  assert.deepEqual(chipsAfter([], 7, [tag], nameOf), [])
  assert.deepEqual(effectiveTags([tag], "mid"), [tag])
  assert.deepEqual(effectiveTags([tag], "top"), [])
  assert.deepEqual(effectiveTags([tag, { kind: "undo" }], "mid"), [])
})

test("what cannot be told is a state of its own, on chips that wait and in every word", () => {
  const tag = { kind: "tag", ids: [5], concept: 1, present: "unsure" }
  assert.deepEqual(chipsAfter([["water", true]], 5, [tag], () => "water"), [["water", "unsure"]])
  assert.deepEqual([true, false, "unsure", null].map(said => stateWord(said)), ["present", "absent", "unsure", "no tag"])
  assert.deepEqual(sentences({ title: "a.jpg" }, [["water", "unsure"]]), ["a.jpg", "water: unsure"])
  assert.equal(countText(NOW, { count: 2, present: "unsure" }), "2 saved as unsure")
  assert.match(question({ selected: 3, total: 3, within: "in this band", name: "water", present: "unsure" }).text, /“water” unsure\?$/)
  const now = { ...NOW, concept: { name: "water" }, selected: 2 }
  assert.match(explanation("unsure", now)[1], /Key U/)
  assert.equal(refusal("unsure", now), null)
  assert.match(refusal("unsure", { ...now, selected: 0 }), /Select images first/)
})

test("a concept says which keys tag with it, or that none does", () => {
  assert.deepEqual(pillText({ name: "water", about: "Confounder.", key: 3 }), [
    "water",
    "Confounder.",
    "Key 3 tags as present, Shift+3 as absent.",
  ])
  assert.match(pillText({ name: "water", about: "", key: null }).at(-1), /no number key/)
  assert.deepEqual(buttonKeys({ key: 3 }), { present: "3", absent: "⇧ 3", unsure: "U", clear: "0" })
  assert.equal(buttonKeys(undefined).present, "")
})

test("an undo that waits takes back the tag that waits before it", () => {
  const kinds = ["tag", "tag", "undo", "open", "undo", "undo", "tag"]
  const events = kinds.map((kind, seq) => ({ kind, seq }))
  assert.deepEqual(effectiveTags(events).map(event => event.seq), [6])
})

test("a range of images is written as it stands among all", () => {
  assert.equal(rangeText({ first: 60, total: 4812 }, 60), "61–120 of 4,812")
  assert.equal(rangeText({ first: 4811, total: 4812 }, 1), "4,812 of 4,812")
  assert.equal(rangeText({ first: 0, total: 12 }, 12), "All 12")
  assert.equal(rangeText({ first: 0, total: 1 }, 1), "The only one")
  assert.equal(rangeText({ first: 0, total: 0 }, 0), "0 of 0")
  assert.equal(grouped(1234567), "1,234,567")
})

test("a typed page is taken as meant, or not at all", () => {
  assert.equal(typedPage(" 3 ", 81), 2)
  assert.equal(typedPage("1,024", 2000), 1023)
  assert.equal(typedPage("999", 81), 80)
  for (const text of ["", "0", "-2", "two", "1e3", "NaN"]) assert.equal(typedPage(text, 81), null)
})

test("pages turn within their bounds", () => {
  assert.deepEqual(["first", "previous", "next", "last"].map(to => turned(to, 3, 9)), [0, 2, 4, 8])
  assert.deepEqual(["first", "previous", "next", "last"].map(to => turned(to, 0, 1)), [null, null, null, null])
})

test("pressing on turns on from the page asked for, unless it was of another band", () => {
  const waiting = [{ kind: "page", page: 4, scope: "mid" }, { kind: "page", page: 5, scope: "mid" }, { kind: "tag" }]
  assert.equal(awaitedPage(waiting, "mid", 3), 5)
  assert.equal(awaitedPage(waiting, "top", 0), 0)
})

test("sizes go up and down in steps and stop at the ends", () => {
  assert.equal(zoomed(120, 1), 150)
  assert.equal(zoomed(110, -1), 100)
  assert.equal(zoomed(SIZES.at(-1), 1), SIZES.at(-1))
  assert.equal(zoomed(SIZES[0], -1), SIZES[0])
  assert.deepEqual([64, 120, 190, 240].map(leastColumns), [4, 3, 2, 1])
})

const NOW = {
  concept: null, selected: 0, elsewhere: 0, untagged: 0, shown: 9, everything: false, reason: "", page: 0, pages: 1,
  size: 120, total: 9, within: "in this band", paged: false, number: 1,
}

test("z takes back, Shift and z or y does it again, on any layout", () => {
  assert.equal(stepOf({ key: "z", code: "KeyZ" }), "undo")
  assert.equal(stepOf({ key: "z", code: "KeyY", ctrlKey: true }), "undo", "German")
  assert.equal(stepOf({ key: "я", code: "KeyZ" }), "undo", "Russian")
  assert.equal(stepOf({ key: "Z", code: "KeyZ", shiftKey: true }), "redo")
  assert.equal(stepOf({ key: "y", code: "KeyY" }), "redo")
  assert.equal(stepOf({ key: "z", code: "KeyZ", altKey: true }), "")
  assert.equal(stepOf({ key: "x", code: "KeyX" }), "")
})

test("a button that cannot act says why", () => {
  const none = { ...NOW, shown: 0 }
  const ready = { ...NOW, concept: { name: "water" }, selected: 2, untagged: 3, page: 1, pages: 3 }
  assert.match(refusal("present", none), /concept first/)
  assert.match(refusal("absent", { ...ready, selected: 0 }), /Select images first/)
  assert.match(refusal("rest", { ...ready, untagged: 0 }), /tagged for “water”/)
  assert.match(refusal("previous", { ...ready, page: 0 }), /first page/)
  assert.match(refusal("last", { ...ready, page: 2 }), /last page/)
  assert.match(refusal("larger", { ...ready, size: 240 }), /as large/)
  assert.equal(refusal("everything", { ...ready, reason: "Too many." }), "Too many.")
  for (const action of ["present", "absent", "clear", "rest", "all", "everything", "none", "undo", "first", "next", "smaller"]) {
    assert.equal(refusal(action, ready), null)
  }
})

test("the count says what is selected and what of it cannot be seen", () => {
  assert.equal(countText(NOW), "9 shown")
  assert.equal(countText({ ...NOW, selected: 3 }), "9 shown · 3 selected")
  const paged = { ...NOW, paged: true, total: 4812 }
  assert.equal(countText(paged), "None selected")
  assert.equal(countText({ ...paged, selected: 12, elsewhere: 5 }), "12 selected, 5 on other pages")
  assert.equal(countText({ ...paged, everything: true, selected: 4812 }), "All 4,812 in this band selected")
  assert.equal(countText({ ...paged, everything: true, selected: 4809 }), "4,809 selected: all in this band but 3")
  assert.equal(countText(NOW, { count: 3, present: true }), "3 saved as present")
  assert.equal(countText(NOW, { count: 4812, present: null }), "4,812 saved as untagged")
})

test("what tags images out of view says so before it is pressed", () => {
  const now = { ...NOW, concept: { name: "water" }, selected: 12, elsewhere: 5 }
  assert.match(explanation("present", now)[1], /5 of them are not in view/)
  assert.doesNotMatch(explanation("present", { ...now, elsewhere: 0 })[1], /not in view/)
})

test("before a whole band is tagged, the number is said", () => {
  const now = { selected: 4812, total: 4812, within: "in this band", name: "water", present: true }
  assert.equal(question(now).text, "Tag all 4,812 images in this band, with “water” present?")
  assert.equal(question(now).yes, "Tag 4,812 images")
  assert.equal(
    question({ ...now, selected: 4810, present: false }).text,
    "Tag 4,810 images: all in this band but the 2 left out, with “water” absent?",
  )
  assert.equal(question({ ...now, present: null }).text, "Take the tag “water” off all 4,812 images in this band?")
})

/** A page that hears keys; `focus` is where it is. */
function pageOf() {
  const heard = new EventTarget()
  const page = {
    focus: null,
    add: (kind, listener) => heard.addEventListener(kind, listener),
    remove: (kind, listener) => heard.removeEventListener(kind, listener),
    free: () => page.focus === null,
  }
  const press = (key, more = {}) => {
    const event = Object.assign(new Event("keydown", { cancelable: true }), { key, code: "", shiftKey: false, ...more })
    heard.dispatchEvent(event)
    return event.defaultPrevented
  }
  return { page, press, click: () => heard.dispatchEvent(new Event("pointerdown")) }
}

test("keys pressed while the grid is away are kept in their order, and Streamlit does not hear them", () => {
  const { page, press } = pageOf()
  const hold = createHold({ page, timers: clock() })
  assert.equal(press("1"), false)
  hold.begin()
  assert.ok(press("!", { code: "Digit1", shiftKey: true }) && press("ArrowRight") && press("c"))
  assert.deepEqual(hold.end().map(({ key, shiftKey }) => [key, shiftKey]), [["!", true], ["ArrowRight", false], ["c", false]])
  assert.equal(press("1"), false)
  assert.deepEqual(hold.end(), [])
})

test("keys for something else, Tab and commands of the browser are not kept", () => {
  const { page, press, click } = pageOf()
  const hold = createHold({ page, timers: clock() })
  hold.begin()
  assert.deepEqual([press("Tab"), press("r", { ctrlKey: true }), press("1", { altKey: true })], [false, false, false])
  press("1")
  page.focus = "a text field"
  assert.equal(press("2"), false)
  page.focus = null
  assert.equal(press("3"), false)
  assert.deepEqual(hold.end().map(({ key }) => key), ["1"])
  hold.begin()
  click()
  assert.equal(press("1"), false)
  assert.deepEqual(hold.end(), [])
})

test("a grid that does not come back leaves the keys to the page that came instead", () => {
  const { page, press } = pageOf()
  const timers = clock()
  const hold = createHold({ page, timers })
  hold.begin()
  press("1")
  timers.pass(10_000)
  assert.equal(press("1"), false)
  assert.deepEqual(hold.end(), [])
})
