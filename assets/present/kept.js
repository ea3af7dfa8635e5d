// What was typed and clicked on the stage and is not sent yet. It outlives a reload of the page, in this tab.

/** storage: the browser's sessionStorage, or null where it must not be used. name: of the presentation. */
export function createKept(storage, name) {
  const key = `midband-${name}`
  const known = read()
  const kept = {
    typed: typeof known.typed === "string" ? known.typed : "",
    chosen: new Set(Array.isArray(known.chosen) ? known.chosen.filter(Number.isInteger) : []),
    /**
     * Other pictures are other answers: only of those that are asked about again is what was clicked kept. Returns the
     * pictures to be asked about instead, or null: those that were clicked among, where Python has begun a new session,
     * which knows nothing of them. session: the name of its session.
     */
    ask(concept, ids, session = "") {
      const before = asked
      const goesOn = session !== last && concept === about && kept.chosen.size > 0 && ids.length > 0
      last = session
      if (goesOn && before.length && before.some((id, place) => id !== ids[place])) return before
      if (concept !== about) kept.chosen.clear()
      for (const id of kept.chosen) if (!ids.includes(id)) kept.chosen.delete(id)
      about = concept
      asked = ids
      write()
      return null
    },
    type(text) {
      kept.typed = text
      write()
    },
    /** Whether it is chosen now. */
    toggle(id) {
      if (!kept.chosen.delete(id)) kept.chosen.add(id)
      write()
      return kept.chosen.has(id)
    },
  }
  let about = known.about ?? null
  let asked = Array.isArray(known.asked) ? known.asked.filter(Number.isInteger) : []
  let last = null
  return kept

  function read() {
    try {
      return JSON.parse(storage.getItem(key)) ?? {}
    } catch {
      return {}
    }
  }

  function write() {
    try {
      storage.setItem(key, JSON.stringify({ typed: kept.typed, about, asked, chosen: [...kept.chosen] }))
    } catch {
      // without it everything works, but for a reload
    }
  }
}

/** Some browsers forbid even to ask for it. */
export function sessionStore() {
  try {
    return window.sessionStorage
  } catch {
    return null
  }
}
