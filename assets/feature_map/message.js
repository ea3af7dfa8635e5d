// Messages from Python: a header in JSON and the arrays it names, packed into bytes. Plain functions.

const KINDS = { float32: Float32Array, uint8: Uint8Array }

/**
 * {header, arrays: {name: typed array}} of a message: uint32 length of the header, the header, then the arrays one
 * after another, each starting at a multiple of four. The header's `arrays` lists [name, kind, length].
 */
export function unpack(bytes) {
  // a copy starts at a multiple of four, whatever the message arrived in
  const whole = bytes.slice()
  const size = new DataView(whole.buffer).getUint32(0, true)
  const header = JSON.parse(new TextDecoder().decode(whole.subarray(4, 4 + size)))
  const arrays = {}
  let at = aligned(4 + size)
  for (const [name, kind, length] of header.arrays) {
    arrays[name] = new KINDS[kind](whole.buffer, at, length)
    at = aligned(at + arrays[name].byteLength)
  }
  return { header, arrays }
}

function aligned(place) {
  return Math.ceil(place / 4) * 4
}

/** Bit i of packed bits, the first one highest: as numpy packs them. */
export function bit(bits, i) {
  return (bits[i >> 3] >> (7 - (i & 7))) & 1
}
