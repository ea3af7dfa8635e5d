// Pictures by image id: a thumbnail at once, the sharp one in its place as soon as it is decoded.

/** A picture whose longer side is at most this many pixels is shown in its own pixels, not blurred. */
const BLOCKY = 48

export function createPictures() {
  const thumbnails = new Map()
  const sharp = new Map()
  const shown = new Map() // id -> Set of WeakRef of img

  const bestOf = id => sharp.get(id) ?? thumbnails.get(id) ?? ""

  function put(node, url) {
    if (url && node.getAttribute("src") !== url) node.src = url
    const mark = () => node.classList.toggle("blocky", Math.max(node.naturalWidth, node.naturalHeight) <= BLOCKY)
    if (node.complete) mark()
    else node.onload = mark
  }

  function paint(id) {
    for (const held of shown.get(id) ?? []) {
      const node = held.deref()
      if (node) put(node, bestOf(id))
      else shown.get(id).delete(held)
    }
  }

  return {
    /** An img of this image, now and when a better one arrives. */
    node(id, alt = "") {
      const node = document.createElement("img")
      node.className = "picture"
      node.alt = alt
      node.draggable = false
      node.decoding = "sync" // sharp ones are decoded before they are put in
      if (!shown.has(id)) shown.set(id, new Set())
      shown.get(id).add(new WeakRef(node))
      put(node, bestOf(id))
      return node
    },
    takeThumbnails(urls) {
      for (const [id, url] of Object.entries(urls)) {
        thumbnails.set(Number(id), url)
        if (!sharp.has(Number(id))) paint(Number(id))
      }
    },
    takeSharp(urls) {
      for (const [name, url] of Object.entries(urls)) {
        const id = Number(name)
        if (sharp.get(id) === url) continue
        const ahead = new Image()
        ahead.src = url
        ahead.decode().then(
          () => {
            sharp.set(id, url)
            paint(id)
          },
          () => {}, // no picture: the thumbnail stays
        )
      }
    },
  }
}
