// The other end of `carrier.js`.

/** `take` gets every message that is carried to the component of this name, also those that came before it. */
export function receive(name, take) {
  const post = ((globalThis.midbandPosts ??= {})[name] ??= { waiting: [], deliver: null })
  post.deliver = take
  for (const data of post.waiting.splice(0)) take(data)
}
