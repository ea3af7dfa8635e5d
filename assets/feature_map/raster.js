// Points as pixels: round dots written straight into the picture's memory. Plain functions over typed arrays.
// Colours are 32 bit numbers as a little-endian ImageData holds them: alpha, blue, green, red from the highest byte.

/** "#rrggbb" or "rgb(r, g, b)" as [red, green, blue]. */
export function channels(color) {
  const hex = /^#([0-9a-f]{6})$/i.exec(color.trim())
  if (hex) return [0, 2, 4].map(at => Number.parseInt(hex[1].slice(at, at + 2), 16))
  return (color.match(/[\d.]+/g) ?? [0, 0, 0]).slice(0, 3).map(Number)
}

export function packed([red, green, blue]) {
  return ((255 << 24) | (Math.round(blue) << 16) | (Math.round(green) << 8) | Math.round(red)) >>> 0
}

/** `share` of one colour and the rest of another. */
export function mixed(color, other, share) {
  return color.map((value, i) => value * share + other[i] * (1 - share))
}

/** A dot of a radius in device pixels: offsets of its pixels {dx, dy, cover 0..256}. */
export function dotOf(radius) {
  const reach = Math.ceil(radius + 0.5)
  const pixels = []
  for (let dy = -reach; dy <= reach; dy += 1) {
    for (let dx = -reach; dx <= reach; dx += 1) {
      const cover = Math.round(256 * Math.min(1, Math.max(0, radius + 0.5 - Math.hypot(dx, dy))))
      if (cover > 0) pixels.push({ dx, dy, cover })
    }
  }
  return { reach, pixels }
}

/** A dot laid out for pictures of one width: places relative to its middle, whole pixels and edges apart. */
export function stampOf(radius, width) {
  const { reach, pixels } = dotOf(radius)
  const whole = pixels.filter(pixel => pixel.cover >= 250)
  const edge = pixels.filter(pixel => pixel.cover < 250)
  const place = ({ dx, dy }) => dy * width + dx
  return {
    reach,
    pixels,
    whole: Int32Array.from(whole, place),
    edge: Int32Array.from(edge, place),
    cover: Int32Array.from(edge, pixel => pixel.cover),
  }
}

function blended(under, color, cover) {
  const rest = 256 - cover
  const redBlue = (((under & 0xff00ff) * rest + (color & 0xff00ff) * cover) >>> 8) & 0xff00ff
  const green = (((under & 0xff00) * rest + (color & 0xff00) * cover) >>> 8) & 0xff00
  return (0xff000000 | redBlue | green) >>> 0
}

/** Put a stamp in one colour with its middle at pixel (x, y), the parts beyond the picture left out. */
export function stamp(picture, width, height, shape, x, y, color) {
  const { reach } = shape
  if (x >= reach && y >= reach && x < width - reach && y < height - reach) {
    const middle = y * width + x
    const { whole, edge, cover } = shape
    for (let i = 0; i < whole.length; i += 1) picture[middle + whole[i]] = color
    for (let i = 0; i < edge.length; i += 1) {
      const at = middle + edge[i]
      picture[at] = blended(picture[at], color, cover[i])
    }
    return
  }
  for (const { dx, dy, cover } of shape.pixels) {
    const [left, top] = [x + dx, y + dy]
    if (left < 0 || top < 0 || left >= width || top >= height) continue
    const at = top * width + left
    picture[at] = cover >= 250 ? color : blended(picture[at], color, cover)
  }
}

/**
 * Draw points into a picture. points: {xs, ys, codes, marks, count}; marks: bit 1 selected, bit 2 in the band. frame:
 * in device pixels. look: {background, strong, pale: 256 colours each, ring, paleRing: a colour each, radius, ringWidth in
 * device pixels, onlySelected: whether what is not selected is pale, shown: (256,) 1 where a code is not pale, ringed:
 * whether the band has rings, faint: the code of points that are drawn small, and in faintColor unless selected, or
 * null, faintRadius}. From below: faint points, pale ones, those that would be faint but are selected or in the band, strong
 * ones, strong ones with a ring.
 */
export function paint(picture, width, height, points, frame, look) {
  const { xs, ys, codes, marks, count } = points
  const dots = [look.radius, look.faintRadius ?? look.radius].map(radius => ({
    dot: stampOf(radius, width),
    halo: stampOf(radius + look.ringWidth, width),
  }))
  const beyond = dots[0].halo.reach + 1
  const { scale } = frame
  const faint = look.faint ?? -1
  const [addX, addY] = [width / 2 - frame.x * scale, height / 2 + frame.y * scale]
  picture.fill(look.background)
  for (let layer = faint < 0 ? 1 : 0; layer < 5; layer += 1) {
    if ((layer === 2 && faint < 0) || (layer === 4 && !look.ringed)) continue
    for (let i = 0; i < count; i += 1) {
      const code = codes[i]
      const strong = look.shown[code] === 1 && (!look.onlySelected || (marks[i] & 1) === 1)
      const ring = look.ringed && (marks[i] & 2) === 2
      const own = code === faint ? (strong && (ring || look.onlySelected) ? 2 : 0) : strong ? (ring ? 4 : 3) : 1
      if (layer !== own) continue
      // NaN compares false: points without a place are not drawn
      const left = xs[i] * scale + addX
      const top = addY - ys[i] * scale
      if (!(left > -beyond && top > -beyond && left < width + beyond && top < height + beyond)) continue
      const [x, y] = [Math.floor(left), Math.floor(top)]
      const unknown = code === faint
      const { dot, halo } = dots[unknown ? 1 : 0]
      if (ring) stamp(picture, width, height, halo, x, y, strong ? look.ring : look.paleRing)
      stamp(picture, width, height, dot, x, y, !strong ? look.pale[code] : unknown && !look.onlySelected ? look.faintColor : look.strong[code])
    }
  }
}
