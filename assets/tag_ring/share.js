// What the ring shows, as numbers and words.

/** Percent of the ring that is filled; whole from the budget on. */
export function ringShare(tags, budget) {
  if (!(budget > 0)) return 0
  return Math.round(100 * Math.min(1, Math.max(0, tags / budget)))
}

/** The sentence with the count as it is now: what was computed for a count just left keeps its second half. */
export function sentenceNow(count, verdict) {
  const now = `${count.tags} of about ${count.budget} tags`
  if (!verdict) return now
  return verdict.tags === count.tags ? verdict.sentence : verdict.sentence.replace(/^\d+ of about \d+ tags/, now)
}
