// Carries a message to another component, in any order with it. A component of its own, because Streamlit sends a
// component's source with everything that is shown by it: the source of the one that draws is sent once.

export default function carrier({ data }) {
  if (!data) return
  const posts = (globalThis.midbandPosts ??= {})
  const post = (posts[data.to] ??= { waiting: [], deliver: null })
  if (post.deliver) post.deliver(data)
  else post.waiting.push(data)
}
