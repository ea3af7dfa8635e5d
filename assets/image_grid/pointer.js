// Dragging: a box with the mouse, a sweep over the tiles with a finger that rested first.

const DRAG_THRESHOLD_PX = 5
const REST_MS = 420
const REST_SLOP_PX = 10

/** What scrolls when this element moves: the nearest ancestor that can, also outside of a shadow root. */
export function scrollerOf(node) {
  for (let up = node; up; up = up.parentElement ?? up.getRootNode().host) {
    if (up.nodeType === 1 && /auto|scroll/.test(getComputedStyle(up).overflowY) && up.scrollHeight > up.clientHeight) return up
  }
  return document.scrollingElement
}

/**
 * Report drags over `tiles`: `begin(event)` once, `reach(ids)` with all ids the drag covers so far, `end()`.
 *
 * rectangles() gives {id, left, top, right, bottom} of all tiles relative to `root`; view() the {top, bottom} of the
 * window that is not covered, near whose edges the page scrolls along.
 */
export function installDragging({ root, tiles, marquee, rectangles, view, begin, reach, end }) {
  let drag = null // {kind, from, last, rectangles, scroller, pointer, started}
  let rest = null
  let frame = 0
  let swallow = false // the click that ends a drag selects nothing

  const here = at => {
    const origin = root.getBoundingClientRect()
    return { x: at.clientX - origin.left, y: at.clientY - origin.top }
  }

  function start(event) {
    drag.started = true
    drag.rectangles = rectangles()
    drag.scroller = scrollerOf(root)
    drag.origin = nearest(drag.rectangles, drag.from)
    root.classList.add("dragging")
    begin(event)
    frame = requestAnimationFrame(step)
  }

  /** Once per frame, however many moves there were: scroll near an edge, then see what is covered. */
  function step() {
    if (!drag?.started) return
    const { top, bottom } = view()
    const speed = edgeSpeed(drag.last.clientY, top, bottom)
    if (speed) drag.scroller.scrollTop += speed
    const to = here(drag.last)
    if (speed || to.x !== drag.to?.x || to.y !== drag.to?.y) {
      drag.to = to
      if (drag.kind === "box") drawBox(to)
      else {
        const order = drag.rectangles.map(each => each.id)
        reach(rangeBetween(order, drag.origin, nearest(drag.rectangles, to)))
      }
    }
    frame = requestAnimationFrame(step)
  }

  function drawBox(to) {
    const box = boxBetween(drag.from, to)
    marquee.style.transform = `translate(${box.left}px, ${box.top}px)`
    marquee.style.width = `${box.right - box.left}px`
    marquee.style.height = `${box.bottom - box.top}px`
    marquee.hidden = false
    reach(touched(drag.rectangles, box))
  }

  function stop() {
    clearTimeout(rest)
    cancelAnimationFrame(frame)
    const started = Boolean(drag?.started)
    drag = null
    marquee.hidden = true
    root.classList.remove("dragging")
    if (started) end()
    return started
  }

  tiles.onpointerdown = event => {
    swallow = false
    if (event.button !== 0 || !event.isPrimary || event.target.closest(".open")) return
    const kind = event.pointerType === "mouse" ? "box" : "sweep"
    drag = { kind, from: here(event), last: event, pointer: event.pointerId, started: false }
    if (kind === "sweep") rest = setTimeout(() => drag && start(event), REST_MS)
  }
  tiles.onpointermove = event => {
    if (!drag || event.pointerId !== drag.pointer) return
    const moved = Math.hypot(event.clientX - drag.last.clientX, event.clientY - drag.last.clientY)
    if (drag.started) drag.last = event
    else if (drag.kind === "box" && moved >= DRAG_THRESHOLD_PX) {
      tiles.setPointerCapture(drag.pointer)
      start(event)
      drag.last = event
    } else if (drag.kind === "sweep" && moved > REST_SLOP_PX) stop() // this finger scrolls
  }
  tiles.onpointerup = event => {
    if (!drag || event.pointerId !== drag.pointer) return
    if (drag.started) {
      drag.last = event
      cancelAnimationFrame(frame)
      step()
    }
    swallow = stop()
  }
  tiles.onpointercancel = stop
  // While a finger sweeps, the page must not scroll; that can only be said here.
  tiles.addEventListener("touchmove", event => drag?.started && event.preventDefault(), { passive: false })
  tiles.oncontextmenu = event => drag?.kind === "sweep" && event.preventDefault()

  return {
    stop,
    get active() {
      return Boolean(drag?.started)
    },
    /** Whether the click that is being handled only ends a drag. */
    get ended() {
      const was = swallow
      swallow = false
      return was
    },
  }
}
