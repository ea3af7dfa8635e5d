// Carries one message to the map. A component of its own, because Streamlit sends a component's source with every
// message: the map's is sent once.

export default function mapPart({ data, setStateValue }) {
  if (!data) return
  const part = { data, setStateValue }
  const post = (globalThis.midbandMapPost ??= { waiting: [], deliver: null })
  if (post.deliver) post.deliver(part)
  else post.waiting.push(part)
}
