// Two small builders. All files of this folder become one module: each may use what another defines.

/** An element with a class and attributes. */
export function element(tag, className, attributes = {}) {
  const made = document.createElement(tag)
  made.className = className
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  return made
}

/** A 16 px line drawing from an SVG path. */
export function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg")
  svg.setAttribute("viewBox", "0 0 16 16")
  svg.setAttribute("aria-hidden", "true")
  svg.classList.add("icon")
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path")
  line.setAttribute("d", path)
  svg.append(line)
  return svg
}

/** Write text only where it differs: untouched nodes cost no layout. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text
}
