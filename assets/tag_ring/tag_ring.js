// A ring that fills with tags, and what they are good for so far. The count comes at once; what takes computing comes in
// a message of its own and replaces what was said before it.

const rings = new Map()

export default function tagRing({ data, parentElement }) {
  if (!data) return undefined
  if (!rings.has(data.store)) rings.set(data.store, { messages: {}, draw: null })
  const store = rings.get(data.store)
  store.messages[data.role] = data
  if (data.role !== "count") {
    store.draw?.()
    return undefined // this mount only carries a message: its template stays unused
  }
  let root = parentElement.querySelector(".progress")
  if (!root) {
    parentElement.append(parentElement.querySelector(".markup").content.cloneNode(true))
    root = parentElement.querySelector(".progress")
  }
  const draw = () => drawRing(root, store.messages)
  store.draw = draw
  draw()
  return () => {
    root.remove()
    if (store.draw === draw) store.draw = null
  }
}

function drawRing(root, { count, verdict }) {
  const part = name => root.querySelector(`.${name}`)
  const ring = part("ring")
  const share = ringShare(count.tags, count.budget)
  ring.dataset.share = share
  ring.style.setProperty("--share", share)
  ring.style.setProperty("--enough", ringShare(count.enough, count.budget))
  ring.setAttribute("aria-label", `${count.tags} of about ${count.budget} tags`)
  setText(part("number"), String(count.tags))
  // another concept's verdict, or none yet: the count alone is said meanwhile
  const told = verdict?.about === count.about ? verdict : null
  setText(part("state"), told?.tags === count.tags ? told.state : count.state)
  setText(part("sentence"), sentenceNow(count, told))
  part("sentence").classList.toggle("stale", Boolean(told) && told.tags !== count.tags)
  setText(part("next"), told?.next ?? "")
  setText(part("split"), count.note)
}
