"""The report as one web page: no script, nothing loaded from elsewhere, every name shown as text."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from core.export.card import EACH_AVERAGE, averages, settings_of
from core.export.charts import curve_chart, reliability_chart, shift_chart

STYLE = Path(__file__).resolve().parents[2] / "assets" / "report" / "report.css"
# what turns the direction of all text after it: a name must not do that to a sentence
DIRECTIONS = re.compile("[\u202a-\u202e\u2066-\u2069]")
# classes with a histogram of their own
MOST_SHIFTS = 6
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
    title = title_of(report)
    sections = [
        f'<header>{MARK}<h1 dir="auto">{_text(title)}</h1>'
        f'<p class="soft">{_text(subtitle_of(report))}</p>'
        f'<p class="lead">{_text(report["comparison"]["sentence"])}</p>'
        + (f'<p class="note" dir="auto">{_text(report["note"])}</p>' if report.get("note") else "")
        + "</header>",
        _figures(before, after, report["comparison"]),
        _section("What it looked at", _findings(report, thumbnails)),
        _section("Groups", _groups(before, after)),
        _section("How it compares", _baselines(report)),
        _section("Has the middle emptied?", _shifts(report)),
        _section("What is taken for what", _confusion(report)),
        _section("Is it as sure as it is right?", _calibration(before, after)),
        _section("Images that changed sides", _examples(report, thumbnails)),
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


def title_of(report: Mapping[str, Any]) -> str:
    changed = "trained further" if report.get("kind") == "network" else "a new last layer"
    return f"{report['model']['name']} on {report['dataset']['name']}: {changed}"


def subtitle_of(report: Mapping[str, Any]) -> str:
    name = f"{report['name']}, run {report['run']}" if report.get("name") else f"Run {report['run']}"
    return f"{name}, {report['method']['title']}, written {report['written']}"


def _figures(before: Mapping[str, Any], after: Mapping[str, Any], comparison: Mapping[str, Any]) -> str:
    cards = []
    for name, key in averages(after):
        interval = after.get({"worst_group": "worst_interval", "average": "interval"}.get(key, ""))
        between = f'<span class="soft">{percent(interval[0])} to {percent(interval[1])}</span>' if interval else ""
        cards.append(
            f'<div class="figure">{_text(name)}<b><span class="was">{percent(before.get(key))} →</span> '
            f"{percent(after[key])}</b>{between}</div>"
        )
    flips = f'{len(comparison["fixed"]):,}<span class="was"> / {len(comparison["broken"]):,}</span>'
    cards.append(f'<div class="figure">Images fixed / broken<b>{flips}</b></div>')
    return f'<div class="figures">{"".join(cards)}</div>'


def _findings(report: Mapping[str, Any], thumbnails: Mapping[int, bytes]) -> str:
    """Per class, the curve of what differs most and a contact sheet of three bands."""
    found = report.get("findings") or {}
    parts = []
    for sheet in found.get("sheets", ()):
        parts.append(f'<h3 dir="auto">{_text(sheet["class"])}</h3>')
        curve = sheet["curve"]
        if curve is not None:
            parts.append(f'<p dir="auto">{_text(curve["sentence"])}</p>')
            chart = curve_chart(curve, sheet["mid"], sheet["class"])
            if chart:
                parts.append(
                    f'<figure>{chart}<figcaption class="soft legend" dir="auto">Share of {_text(curve["name"])} along '
                    f'the logit of {_text(sheet["class"])}: <span class="key"></span>all images '
                    f'<span class="key after"></span>{_text(sheet["class"])} alone. {_text(curve["note"])}'
                    "</figcaption></figure>"
                )
        parts += [_band(band, thumbnails) for band in sheet["bands"]]
    if not parts:
        return ""
    before = (
        f'<p class="soft">Before the repair, on {found["images"]:,} images ({_text(found["split"])}). Each strip is a '
        "random sample of a range of the class's logit: what the model likes best, what it hesitates about, and the "
        "class's own images that it trusts least. A red edge marks what it named wrongly.</p>"
    )
    return before + "".join(parts)


def _band(band: Mapping[str, Any], thumbnails: Mapping[int, bytes]) -> str:
    facts = [f"{band['count']:,} image{'' if band['count'] == 1 else 's'}"]
    if band["accuracy"] is not None:
        facts.append(f"{percent(band['accuracy'])} named rightly")
    facts += [band["shares"]] if band["shares"] else []
    images = "".join(
        _image(image, thumbnails, "wrong" if image["label"] != image["before"] else "", _text(image["label"]))
        for image in band["images"]
        if image["id"] in thumbnails
    )
    reach = f"{band['low']:.3g} to {band['high']:.3g}".replace("-", "−")
    return (
        f'<div class="band {_text(band["band"])}"><h4>{_text(band["title"])} <span class="soft">{reach}</span></h4>'
        f'<p class="soft" dir="auto">{_text(", ".join(facts))}</p><ul class="strip tight">{images}</ul></div>'
    )


def _image(image: Mapping[str, Any], thumbnails: Mapping[int, bytes], kind: str, words: str) -> str:
    """words: of HTML."""
    content = thumbnails[image["id"]]
    kind_of = "jpeg" if content.startswith(b"\xff\xd8") else "webp"
    source = base64.b64encode(content).decode("ascii")
    name = _text(image["image"])
    return (
        f'<li class="{kind}"><img src="data:image/{kind_of};base64,{source}" alt="{name}" title="{name}">'
        f'<span dir="auto">{words}</span></li>'
    )


def _shifts(report: Mapping[str, Any]) -> str:
    parts = [
        f'<h3 dir="auto">{_text(shift["class"])}</h3><p dir="auto">{_text(shift["sentence"])}</p>'
        f"<figure>{shift_chart(shift)}</figure>"
        for shift in (report.get("shifts") or ())[:MOST_SHIFTS]
    ]
    if not parts:
        return ""
    return (
        '<p class="soft">Images measured, along the margin of each class on a scale on which −1 is the mean of the '
        "other classes and 1 that of the class, so that a mere rescaling changes nothing.</p>"
        '<p class="soft legend"><span class="key"></span>before <span class="key after"></span>after</p>'
        + "".join(parts)
    )


def _confusion(report: Mapping[str, Any]) -> str:
    found = report.get("confusion")
    if not found:
        return ""
    classes = report["dataset"]["classes"]
    head = "".join(f'<th class="n" dir="auto" scope="col">{_text(name)}</th>' for name in classes)
    tables = []
    for title in ("before", "after"):
        rows = []
        for c, counts in enumerate(found[title]):
            total = sum(counts)
            cells = "".join(
                f'<td class="n{" right" if c == j else ""}" style="--share:{count / total if total else 0:.3f}">'
                f"{count:,}</td>"
                for j, count in enumerate(counts)
            )
            rows.append(f'<tr><th dir="auto" scope="row">{_text(classes[c])}</th>{cells}</tr>')
        tables.append(
            f'<div class="scroll"><table class="confusion"><caption>{title.capitalize()}</caption><thead><tr><th></th>'
            f"{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        )
    return (
        '<p class="soft">Rows: what the image is. Columns: what the model says. Images of each.</p>'
        f'<div class="pair">{"".join(tables)}</div>'
    )


def _calibration(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    was, now = before.get("calibration"), after.get("calibration")
    if not was or not now:
        return ""
    rows = "".join(
        f'<tr><td>{title}</td><td class="n">{was[key]:.3f}</td><td class="n">{now[key]:.3f}</td></tr>'
        for title, key in (
            ("Expected calibration error", "ece"),
            ("Brier score", "brier"),
            ("Negative log-likelihood", "nll"),
        )
        if key in was and key in now
    )
    return (
        '<div class="pair"><figure>'
        f"{reliability_chart(was, now)}</figure><div>"
        '<p class="soft legend"><span class="key"></span>before <span class="key after"></span>after</p>'
        "<p>Points on the diagonal: what the model says with 80% confidence is right eight times in ten. Lower figures "
        "are better.</p>"
        '<div class="scroll"><table><thead><tr><th></th><th class="n">before</th><th class="n">after</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div></div></div>"
    )


def _groups(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    earlier = {(group["class"], group["concept"]): group for group in before["groups"]}
    worst = min((group["accuracy"] for group in after["groups"] if group["count"]), default=None)
    rows = []
    for group in after["groups"]:
        was = earlier.get((group["class"], group["concept"]), {"count": 0, "accuracy": None})
        marked = ' class="worst"' if group["count"] and group["accuracy"] == worst else ""
        rows.append(
            f"<tr{marked}><td>{_text(group['class'])}</td><td>{_text(group['concept'] or '')}</td>"
            f'<td class="n">{group["count"]:,}</td><td class="n">{percent(was["accuracy"])}</td>'
            f'<td class="n">{percent(group["accuracy"])}</td>'
            f'<td class="n soft">{_interval(group)}</td>'
            f'<td class="bars">{_bar(was, "")}{_bar(group, "after")}</td></tr>'
        )
    source = after["groups_from"] + (" (estimated)" if after["estimated"] else "")
    note = f"<p>{_text(after['note'])}</p>" if after.get("note") else ""
    return note + (
        f'<p class="soft">Accuracy on {_text(after["split"])}. Groups from: {_text(source)}. '
        f"Whiskers and brackets: 95% intervals. {EACH_AVERAGE}</p>"
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
        f'<tr{marked}><td>{_text(title)}</td><td class="n">{percent(worst)}</td>'
        f'<td class="n">{percent(average)}</td></tr>'
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
    return _image(image, thumbnails, kind, f"{_text(image['label'])}, {words} {_text(image[taken])}")


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
        ("Labels it needs", method.get("labels", "")),
        ("Settings", settings_of(report.get("settings") or {}, method)),
        ("Decided on the way", settings_of(report.get("chosen") or {}, method)),
        ("Can it be repaired?", (report.get("feasibility") or {}).get("sentence", "")),
        ("Seed", str(report["seed"])),
    ]
    if curation:
        counts = ", ".join(f"{count:,} {reason}" for reason, count in curation.get("counts", {}).items())
        facts.append(("Fitted on", f"{curation.get('images', 0):,} images ({counts})"))
    hashes = [f"tags {report['tags']}" if report.get("tags") else "", f"data {report.get('data') or ''}".rstrip()]
    facts.append(("Hashes", ", ".join(one for one in hashes if one and one != "data")))
    listed = "".join(f'<dt>{_text(name)}</dt><dd dir="auto">{_text(value)}</dd>' for name, value in facts if value)
    again = ""
    if report.get("replay"):
        again = (
            "<p>The same numbers again, to the last digit on the same machine:</p>"
            f"<pre><code>{_text(report['replay'])}</code></pre>"
        )
    return (
        f"{f'<p>{chips}</p>' if chips else ''}<dl>{listed}</dl>{_curated(curation)}{_sentences(report['notes'])}{again}"
    )


def _curated(curation: Mapping[str, Any] | None) -> str:
    groups = (curation or {}).get("groups") or ()
    if not groups:
        return ""
    rows = "".join(
        f'<tr><td dir="auto">{_text(group["class"])}</td><td dir="auto">{_text(group["concept"] or "")}</td>'
        f'<td class="n">{group["count"]:,}</td><td class="n">{group.get("tagged", 0):,}</td></tr>'
        for group in groups
    )
    return (
        '<div class="scroll"><table><caption>Images fitted on; every group weighs the same</caption><thead><tr>'
        '<th>class</th><th>group</th><th class="n">images</th><th class="n">of these tagged</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _files(report: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{_text(file['file'])}</code></td><td>{_text(file['what'])}</td>"
        f'<td class="n">{file["bytes"]:,} bytes</td></tr>'
        for file in report["files"]
    )
    listed = f'<div class="scroll"><table class="files"><tbody>{rows}</tbody></table></div>'
    refused = _sentences(remarks_of(report))
    return f"<p>{_text(checked_of(report))}</p>{listed}{refused}<pre><code>{_text(report['how_to_load'])}</code></pre>"


def remarks_of(report: Mapping[str, Any]) -> list[str]:
    """What to know of the files: what else they hold, and which formats are not among them."""
    notes = [f"{one['file']}: {note}" for one in report.get("formats", ()) for note in one["notes"]]
    return notes + [f"Not offered as {one['format']}: {one['reason']}" for one in report.get("refused", ())]


def checked_of(report: Mapping[str, Any]) -> str:
    """How the models were tried, in a sentence."""
    furthest = [one["furthest"] for one in report.get("formats", ()) if one["furthest"] is not None]
    if not furthest:
        return ""
    tried = report["tried"]
    asked = f"{tried} images" if tried else "noise, since no image could be read any more,"
    return (
        f"Each model was read back and asked about {asked} before it was offered; the largest difference from the "
        f"stored logits is {max(furthest):.1g}."
    )


def _section(title: str, content: str) -> str:
    return f"<section><h2>{_text(title)}</h2>{content}</section>" if content else ""


def _sentences(sentences: Sequence[str]) -> str:
    return f'<ul class="plain">{"".join(f"<li>{_text(one)}</li>" for one in sentences)}</ul>' if sentences else ""


def _text(value: object) -> str:
    return escape(DIRECTIONS.sub("", str(value)))


def _color(value: str) -> str:
    return value if value.startswith("#") and value[1:].isalnum() else "#98a5af"


def percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}%"


def _interval(group: Mapping[str, Any]) -> str:
    return f"[{100 * group['low']:.1f}, {100 * group['high']:.1f}]" if group["count"] else ""
