// What the ring shows, as numbers and words.

/** Percent of the ring that is filled; whole from the budget on. */
export function ringShare(tags, budget) {
  if (!(budget > 0)) return 0
  return Math.round(100 * Math.min(1, Math.max(0, tags / budget)))
}

/** The sentence with the count as it is now; what was computed for a count just left stays until there is a new one. */
export const sentenceNow = (count, verdict) => count.said + (verdict?.rest ?? "")
