"""The report as one web page: no script, nothing loaded from elsewhere, every name shown as text."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

STYLE = Path(__file__).resolve().parents[2] / "assets" / "report" / "report.css"
# Nothing on the page may reach out, whatever the names in it contain.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

MARK = (
    '<svg viewBox="0 0 28 24" width="28" height="24" role="img" aria-label="Midband">'
    '<rect x="10" y="1" width="8" height="22" rx="2.5" fill="#e09a2b" fill-opacity=".25"/>'
    '<path d="M2 20.5 C9 20.5 11 18.5 14 12 S19 3.5 26 3.5" fill="none" stroke="#2b8fa3" stroke-width="2.8" '
    'stroke-linecap="round"/></svg>'
)


def render(report: Mapping[str, Any], thumbnails: Mapping[int, bytes]) -> str:
    """The whole page. report: see `core.export.report`. thumbnails: image id -> WebP bytes."""
    before, after = report["before"], report["after"]
    dataset, model, method = report["dataset"], report["model"], report["method"]
    title = f"{model['name']} on {dataset['name']}: a new last layer"
    sections = [
        f"<header>{MARK}<h1>{_text(title)}</h1>"
        f'<p class="soft">Run {_text(report["run"])}, {_text(method["title"])}, written {_text(report["written"])}</p>'
        f'<p class="lead">{_text(report["comparison"]["sentence"])}</p></header>',
        _figures(before, after, report["comparison"]),
        _section("Groups", _groups(before, after)),
        _section("How it compares", _baselines(report)),
        _section("Images", _examples(report, thumbnails)),
        _section("How it was made", _method(report)),
        _section("What it does not say", _sentences(report["limits"])),
        _section("Files", _files(report)),
        f"<footer>Midband {_text(report['midband'])}. The same figures are in report.json.</footer>",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>\n{STYLE.read_text(encoding='utf-8')}</style></head>\n"
        "<body><main>\n" + "\n".join(section for section in sections if section) + "\n</main></body></html>\n"
    )


def _figures(before: Mapping[str, Any], after: Mapping[str, Any], comparison: Mapping[str, Any]) -> str:
    figures = [
        ("Worst group", before["worst_group"], after["worst_group"]),
        ("Average", before["average"], after["average"]),
        ("Weighted average", before["weighted_average"], after["weighted_average"]),
    ]
    cards = [
        f'<div class="figure">{_text(name)}<b><span class="was">{_percent(was)} →</span> {_percent(now)}</b></div>'
        for name, was, now in figures
        if now is not None
    ]
    flips = f'{len(comparison["fixed"]):,}<span class="was"> / {len(comparison["broken"]):,}</span>'
    cards.append(f'<div class="figure">Images fixed / broken<b>{flips}</b></div>')
    return f'<div class="figures">{"".join(cards)}</div>'


def _groups(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    earlier = {(group["class"], group["concept"]): group for group in before["groups"]}
    worst = min((group["accuracy"] for group in after["groups"] if group["count"]), default=None)
    rows = []
    for group in after["groups"]:
        was = earlier[group["class"], group["concept"]]
        marked = ' class="worst"' if group["count"] and group["accuracy"] == worst else ""
        rows.append(
            f"<tr{marked}><td>{_text(group['class'])}</td><td>{_text(group['concept'] or '')}</td>"
            f'<td class="n">{group["count"]:,}</td><td class="n">{_percent(was["accuracy"])}</td>'
            f'<td class="n">{_percent(group["accuracy"])}</td>'
            f'<td class="n soft">{_interval(group)}</td>'
            f'<td class="bars">{_bar(was, "")}{_bar(group, "after")}</td></tr>'
        )
    source = after["groups_from"] + (" (estimated)" if after["estimated"] else "")
    return (
        f'<p class="soft">Accuracy on {_text(after["split"])}. Groups from: {_text(source)}. '
        "Whiskers and brackets: 95% intervals. The weighted average takes the groups by their shares in train.</p>"
        '<p class="soft legend"><span class="key"></span>before <span class="key after"></span>after</p>'
        '<div class="scroll"><table><thead><tr><th>class</th><th>group</th><th class="n">images</th>'
        '<th class="n">before</th><th class="n">after</th><th class="n">interval</th><th></th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _bar(group: Mapping[str, Any], kind: str) -> str:
    if not group["count"]:
        return ""
    low, high = 100 * group["low"], 100 * group["high"]
    return (
        f'<div class="bar {kind}"><i style="width:{100 * group["accuracy"]:.1f}%"></i>'
        f'<u style="left:{low:.1f}%;width:{max(high - low, 0):.1f}%"></u></div>'
    )


def _baselines(report: Mapping[str, Any]) -> str:
    if not report["baselines"]:
        return ""
    lines = [(entry["title"], entry["worst_group"], entry["average"], "") for entry in report["baselines"]]
    after = report["after"]
    lines.append((f"{report['method']['title']} (this run)", after["worst_group"], after["average"], ' class="worst"'))
    rows = "".join(
        f'<tr{marked}><td>{_text(title)}</td><td class="n">{_percent(worst)}</td>'
        f'<td class="n">{_percent(average)}</td></tr>'
        for title, worst, average, marked in lines
    )
    return (
        '<div class="scroll"><table><thead><tr><th>last layer</th><th class="n">worst group</th>'
        f'<th class="n">average</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _examples(report: Mapping[str, Any], thumbnails: Mapping[int, bytes]) -> str:
    parts = []
    for kind, words in (("fixed", "wrong before, right now"), ("broken", "right before, wrong now")):
        shown = [image for image in report["examples"][kind] if image["id"] in thumbnails]
        if shown:
            total = len(report["comparison"][kind])
            parts.append(f"<p>{kind.capitalize()}: {words}. {len(shown):,} of {total:,}.</p>")
            parts.append(f'<ul class="strip">{"".join(_example(image, thumbnails, kind) for image in shown)}</ul>')
    return "".join(parts)


def _example(image: Mapping[str, Any], thumbnails: Mapping[int, bytes], kind: str) -> str:
    # the label is one of the two predictions: say the other
    words, taken = ("was taken for", "before") if kind == "fixed" else ("now taken for", "after")
    source = base64.b64encode(thumbnails[image["id"]]).decode("ascii")
    name = escape(image["image"])
    return (
        f'<li><img src="data:image/webp;base64,{source}" alt="{name}" title="{name}">'
        f"{_text(image['label'])}, {words} {_text(image[taken])}</li>"
    )


def _method(report: Mapping[str, Any]) -> str:
    method, dataset, model, curation = report["method"], report["dataset"], report["model"], report["curation"]
    chips = "".join(
        f'<span class="chip" style="border-color:{_color(concept["color"])}">{_text(concept["concept"])}: '
        f"{concept['present']:,} present, {concept['absent']:,} absent</span>"
        for concept in report["concepts"]
    )
    facts = [
        ("Dataset", f"{dataset['name']}, {dataset['images']:,} images, classes {', '.join(dataset['classes'])}"),
        ("Model", f"{model['name']} ({model['arch']})"),
        ("Method", f"{method['title']}. {method['description']}"),
        ("Source", method["source"]),
        ("Seed", str(report["seed"])),
    ]
    if curation:
        counts = ", ".join(f"{count:,} {reason}" for reason, count in curation.get("counts", {}).items())
        facts.append(("Fitted on", f"{curation.get('images', 0):,} images ({counts})"))
    listed = "".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in facts if value)
    return f"{f'<p>{chips}</p>' if chips else ''}<dl>{listed}</dl>{_sentences(report['notes'])}"


def _files(report: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{_text(file['file'])}</code></td><td>{_text(file['what'])}</td>"
        f'<td class="n">{file["bytes"]:,} bytes</td></tr>'
        for file in report["files"]
    )
    listed = f'<div class="scroll"><table><tbody>{rows}</tbody></table></div>'
    return f"{listed}<pre><code>{_text(report['how_to_load'])}</code></pre>"


def _section(title: str, content: str) -> str:
    return f"<section><h2>{_text(title)}</h2>{content}</section>" if content else ""


def _sentences(sentences: Sequence[str]) -> str:
    return f'<ul class="plain">{"".join(f"<li>{_text(one)}</li>" for one in sentences)}</ul>' if sentences else ""


def _text(value: object) -> str:
    return escape(str(value))


def _color(value: str) -> str:
    return value if value.startswith("#") and value[1:].isalnum() else "#98a5af"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}%"


def _interval(group: Mapping[str, Any]) -> str:
    return f"[{100 * group['low']:.1f}, {100 * group['high']:.1f}]" if group["count"] else ""
