// Reads one of our component files as a module, whatever Node makes of its ".js"; several are joined as in the browser.
import { readFileSync } from "node:fs"

export function load(...paths) {
  const text = paths.map(path => readFileSync(new URL(`../../../assets/${path}`, import.meta.url), "utf8")).join("\n")
  return import(`data:text/javascript;base64,${Buffer.from(text).toString("base64")}`)
}
