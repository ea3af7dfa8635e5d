// "Skip to images": the first Tab stop of the page, so that nobody has to pass every control above the grid.

const LINK = "midband-skip-to-images"
const reachable = new Set()

const LINK_STYLE = `
#${LINK} button { position: fixed; top: 8px; left: 8px; z-index: 1000001; padding: 8px 14px; border: 0; border-radius: 8px;
  font: 600 14px/1.4 system-ui, sans-serif; color: #fff; background: #0b5f6f; box-shadow: 0 4px 18px rgb(0 0 0 / 30%); }
#${LINK} button:not(:focus) { transform: translateY(-80px); }
#${LINK} button:focus { outline: 3px solid #fff; outline-offset: -5px; }`

/** Make `grid` ({root, focus}) reachable; returns a function that takes it back. */
export function installSkipLink(grid) {
  reachable.add(grid)
  if (!document.getElementById(LINK)) {
    const holder = element("div", "", { id: LINK })
    const link = element("button", "", { type: "button" })
    link.textContent = "Skip to images"
    link.onclick = () => {
      const all = [...reachable].filter(each => each.root.offsetParent !== null && each.root.isConnected)
      all.sort((a, b) => a.root.getBoundingClientRect().top - b.root.getBoundingClientRect().top)
      all[0]?.focus()
    }
    const style = document.createElement("style")
    style.textContent = LINK_STYLE
    holder.append(style, link)
    document.body.prepend(holder)
  }
  return () => {
    reachable.delete(grid)
    if (!reachable.size) document.getElementById(LINK)?.remove()
  }
}
