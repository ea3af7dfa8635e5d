// Reads one of our component files as a module, whatever Node makes of its ".js".
import { readFileSync } from "node:fs"

export function load(path) {
  const text = readFileSync(new URL(`../../../assets/${path}`, import.meta.url))
  return import(`data:text/javascript;base64,${text.toString("base64")}`)
}
