// Pictures decoded ahead of time, so that the next one is painted in the frame after the key.

/** Held at once: what is asked next, and what undo goes back to. */
const MOST_PICTURES = 14

/** Pictures by image id: {node, ready, width, height, note}. */
export function createPictures() {
  const held = new Map()
  return {
    /** Take a picture and decode it; `done` is called when it can be painted at once. */
    take({ image, url, width, height, note }, needed, done) {
      if (held.get(image)?.url === url) return
      const node = new Image()
      node.decoding = "sync" // it is decoded below: painting must not be put off once more
      node.className = "photo"
      node.draggable = false
      node.alt = ""
      const picture = { node, url, ready: false, width, height, note }
      held.delete(image)
      held.set(image, picture)
      for (const id of dropped([...held.keys()], [...needed, image], MOST_PICTURES)) held.delete(id)
      node.src = url
      node.decode().then(
        () => {
          picture.ready = true
          done(image)
        },
        () => {}, // replaced meanwhile, or no picture: the thumbnail stays
      )
    },
    of: image => held.get(image) ?? null,
  }
}
