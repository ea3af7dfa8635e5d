// What a person can say of an image and a concept: true, false, "unsure" (looked, and cannot tell), null takes it back.

export const UNSURE = "unsure"

/** The word for it: on chips, in tooltips and for screen readers. */
export function stateWord(present, none = "no tag") {
  if (present === null || present === undefined) return none
  return present === UNSURE ? "unsure" : present ? "present" : "absent"
}
