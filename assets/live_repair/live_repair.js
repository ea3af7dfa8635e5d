// The strip: asks the server once a second what a repair would give now, and tells grids and cards which of their
// images it would name otherwise. A plain request, since a run of the page for every tag would disturb who tags.

const BEAT_MS = 1000
/** After two requests that failed: the server may be gone for a while, and it is said. */
const PAUSE_MS = 5000
const ANSWER_MS = 5000

const strips = new WeakMap()

export default function liveRepair({ data, parentElement }) {
  if (!data) return undefined
  if (!strips.has(parentElement)) strips.set(parentElement, createStrip(parentElement))
  const strip = strips.get(parentElement)
  strip.url = data.url
  return () => {
    strip.leave()
    parentElement.querySelector(".strip")?.remove()
    strips.delete(parentElement)
  }
}

function createStrip(parentElement) {
  parentElement.append(parentElement.querySelector(".markup").content.cloneNode(true))
  const root = parentElement.querySelector(".strip")
  const part = name => root.querySelector(`.${name}`)
  const hideTooltip = installTooltip(root, part("tooltip"))
  const strip = { url: "" }
  let [timer, ended, asking, answer] = [null, false, false, null]
  let [failures, lost, begun] = [0, "", performance.now()]
  const speak = createSpeaker(text => setText(part("announcer"), text))
  part("way").setAttribute("viewBox", "0 0 100 100")
  describe(part("told"), () => [
    "Live preview",
    ...(answer?.sentence ? [answer.sentence] : ["What a repair with the tags so far would give."]),
    ...(answer?.range ? [answer.range] : []),
    ...(answer?.concepts?.length ? [`Concepts: ${answer.concepts.join(", ")}`] : []),
    "Images that it would name otherwise say so below.",
  ])

  function draw() {
    const words = wordsOf(answer, lost, (performance.now() - begun) / 1000)
    for (const name of ["before", "after", "interval", "state"]) setText(part(name), words[name])
    part("figure").hidden = part("interval").hidden = !words.after
    part("lead").hidden = Boolean(answer?.problem) || Boolean(lost && !words.after)
    root.classList.toggle("working", Boolean(answer?.working))
    root.classList.toggle("lost", Boolean(lost))
    const { line, band } = wayPaths(answer?.way ?? [])
    part("way").toggleAttribute("hidden", !line)
    part("line").setAttribute("d", line)
    part("band").setAttribute("d", band)
    part("told").setAttribute("aria-label", (!lost && spoken(answer)) || words.state)
    speak(lost || spoken(answer))
  }

  async function beat() {
    if (ended || asking || document.visibilityState === "hidden") return
    asking = true
    let [pause, status] = [BEAT_MS, 0]
    try {
      const response = await fetch(`${strip.url}?ids=${idsOnScreen().join(",")}`, { cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS) })
      status = response.status
      if (!response.ok) throw new Error(`status ${response.status}`)
      const fresh = await response.json()
      if (!ended) {
        ;[answer, failures, lost] = [fresh, 0, ""]
        draw()
        tellChanges(answer.changes)
      }
    } catch {
      failures += 1
      if (failures >= 2 && !ended) {
        pause = PAUSE_MS
        lost = lossOf(status)
        draw()
      }
    }
    asking = false
    clearTimeout(timer)
    if (!ended) timer = setTimeout(beat, pause)
  }

  const turned = () => void beat()
  document.addEventListener("visibilitychange", turned)
  strip.leave = () => {
    ended = true
    clearTimeout(timer)
    hideTooltip()
    document.removeEventListener("visibilitychange", turned)
    tellChanges({})
  }
  draw()
  // the address comes with the call that made the strip
  timer = setTimeout(beat, 0)
  return strip
}
