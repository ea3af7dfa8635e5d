"""Contrast as the browser has painted it: WCAG 2 ratios of what matches a selector against the ground under it."""

from __future__ import annotations

from playwright.sync_api import Page

_MEASURE = """([words, ground, property]) => {
    const canvas = document.createElement("canvas")
    canvas.width = canvas.height = 1
    const pen = canvas.getContext("2d", { willReadFrequently: true })
    const painted = (...colors) => {
        pen.clearRect(0, 0, 1, 1)
        for (const color of colors) { pen.fillStyle = color; pen.fillRect(0, 0, 1, 1) }
        return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3)
    }
    const lit = rgb => rgb
        .map(part => part / 255)
        .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0)
    const page = getComputedStyle(document.querySelector("[data-testid=stApp]")).backgroundColor
    const roots = [document, ...[...document.querySelectorAll("*")].flatMap(node => node.shadowRoot ?? [])]
    return roots.flatMap(root => [...root.querySelectorAll(words)]).map(word => {
        const style = getComputedStyle(word)
        const own = style.backgroundColor
        const under = getComputedStyle(word.closest(ground)).backgroundColor
        const color = property ? style[property] : word instanceof SVGElement ? style.fill : style.color
        const [one, other] = [lit(painted(page, under, own, color)), lit(painted(page, under, own))]
        return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05)
    })
}"""


def contrasts(page: Page, words: str, ground: str, property_: str = "") -> list[float]:
    """One ratio per element: its text (or an SVG shape's fill, or `property_`) against itself over `ground`."""
    return page.evaluate(_MEASURE, [words, ground, property_])
