"""The report as a PDF to print: text that can be searched and copied, the images beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.export.card import EACH_AVERAGE, averages, settings_of
from core.export.page import MOST_SHIFTS, checked_of, percent, remarks_of, subtitle_of, title_of
from core.export.paper import LINE, Paper

BEFORE, AFTER, MIDDLE = (152, 165, 175), (11, 114, 133), (224, 154, 43)


def pdf(report: Mapping[str, Any], thumbnails: Mapping[int, bytes]) -> bytes:
    """The whole report. report: see `core.export.report`. thumbnails: image id -> WebP bytes."""
    paper = Paper(title_of(report))
    paper.heading(title_of(report), 1)
    paper.text(subtitle_of(report), soft=True)
    paper.gap(2)
    paper.text(report["comparison"]["sentence"], size=11.5)
    if report.get("note"):
        paper.text(report["note"])
    _figures(paper, report)
    _groups(paper, report)
    _baselines(paper, report)
    _findings(paper, report, thumbnails)
    _shifts(paper, report)
    _confusion(paper, report)
    _calibration(paper, report)
    _examples(paper, report, thumbnails)
    _method(paper, report)
    paper.heading("What it does not say", 2)
    paper.bullets(report["limits"])
    _files(paper, report)
    return paper.finished()


def _figures(paper: Paper, report: Mapping[str, Any]) -> None:
    before, after, comparison = report["before"], report["after"], report["comparison"]
    paper.gap(2)
    rows = []
    for title, key in averages(after):
        interval = after.get({"worst_group": "worst_interval", "average": "interval"}.get(key, ""))
        between = f"{percent(interval[0])} to {percent(interval[1])}" if interval else ""
        rows.append([title, percent(before.get(key)), percent(after[key]), between])
    paper.table(["", "before", "after", "95% interval"], rows, [4, 2, 2, 3])
    paper.text(
        f"Fixed {len(comparison['fixed']):,} images, broke {len(comparison['broken']):,}. Measured on "
        f"{after['count']:,} images of {after['split']}. {EACH_AVERAGE}",
        soft=True,
    )


def _groups(paper: Paper, report: Mapping[str, Any]) -> None:
    before, after = report["before"], report["after"]
    earlier = {(group["class"], group["concept"]): group for group in before["groups"]}
    paper.heading("Groups", 2)
    if after.get("note"):
        paper.text(after["note"])
    rows, worst = [], -1
    least = min((group["accuracy"] for group in after["groups"] if group["count"]), default=None)
    for i, group in enumerate(after["groups"]):
        was = earlier.get((group["class"], group["concept"]), {})
        worst = i if group["count"] and group["accuracy"] == least and worst < 0 else worst
        rows.append(
            [
                group["class"],
                group["concept"] or "",
                f"{group['count']:,}",
                percent(was.get("accuracy")),
                percent(group["accuracy"]),
                f"{percent(group['low'])} to {percent(group['high'])}",
            ]
        )
    paper.table(["class", "group", "images", "before", "after", "95% interval"], rows, [4, 4, 2, 2, 2, 3.4], bold=worst)
    estimated = " (estimated)" if after["estimated"] else ""
    paper.text(f"Groups from: {after['groups_from']}{estimated}. The worst group is bold.", soft=True)


def _baselines(paper: Paper, report: Mapping[str, Any]) -> None:
    if not report["baselines"]:
        return
    paper.heading("How it compares", 2)
    lines = [[one["title"], percent(one["worst_group"]), percent(one["average"])] for one in report["baselines"]]
    after = report["after"]
    lines.append([f"{report['method']['title']} (this run)", percent(after["worst_group"]), percent(after["average"])])
    paper.table(["last layer", "worst group", "average"], lines, [6, 2, 2], bold=len(lines) - 1)


def _findings(paper: Paper, report: Mapping[str, Any], thumbnails: Mapping[int, bytes]) -> None:
    found = report.get("findings") or {}
    if not found.get("sheets"):
        return
    paper.heading("What it looked at", 2, needs=85)
    paper.text(
        f"Before the repair, on {found['images']:,} images ({found['split']}): what the model likes best, what it "
        "hesitates about, and the class's own images that it trusts least. A red edge marks what it named wrongly.",
        soft=True,
    )
    for one in found["sheets"]:
        paper.heading(one["class"], 3, needs=60)
        if one["curve"] is not None:
            paper.text(one["curve"]["sentence"])
            _curve(paper, one)
        for band in one["bands"]:
            facts = [f"{band['count']:,} images"]
            facts += [f"{percent(band['accuracy'])} named rightly"] if band["accuracy"] is not None else []
            facts += [band["shares"]] if band["shares"] else []
            paper.room(34)
            paper.text(f"{band['title']} ({band['low']:.3g} to {band['high']:.3g}): {', '.join(facts)}", size=8.5)
            shown = [
                (thumbnails[image["id"]], image["label"], image["label"] != image["before"])
                for image in band["images"]
                if image["id"] in thumbnails
            ]
            paper.strip(shown, side=15.4)


def _curve(paper: Paper, one: Mapping[str, Any]) -> None:
    curve = one["curve"]
    lines = [line for line in curve["curves"] if line["name"] in ("all images", one["class"])]
    low, high = curve["curves"][0]["low"][0], curve["curves"][0]["high"][-1]
    if not low < high:
        return
    height = 36.0
    left, top, width = paper.frame(height + 5)
    page, inner = paper.page, left + 10
    wide = width - 10

    def place(x: float, y: float) -> tuple[float, float]:
        return inner + (min(max(x, low), high) - low) / (high - low) * wide, top + (1 - y) * height

    page.set_fill_color(250, 238, 217)
    first, last = place(one["mid"]["low"], 1)[0], place(one["mid"]["high"], 1)[0]
    page.rect(first, top, max(last - first, 0.3), height, style="F")
    page.set_draw_color(*LINE)
    for share in (0.0, 0.5, 1.0):
        page.line(inner, place(low, share)[1], inner + wide, place(low, share)[1])
        paper.label(inner - 1.5, place(low, share)[1] + 1, f"{share:.0%}", align="R")
    for kind, line in zip((BEFORE, AFTER), lines, strict=False):
        page.set_draw_color(*kind)
        page.set_line_width(0.5)
        points = [place(x, y) for x, y in zip(line["places"], line["shares"], strict=True) if y is not None]
        if len(points) > 1:
            page.polyline(points)
    page.set_line_width(0.2)
    paper.label(inner, top + height + 3.5, f"{low:.3g}")
    paper.label(inner + wide, top + height + 3.5, f"{high:.3g}", align="R")
    named = f"share of {curve['name']}: all images (grey), {one['class']} alone (teal); the middle is shaded"
    paper.label(inner + wide / 2, top + height + 3.5, named[:110], align="C")


def _shifts(paper: Paper, report: Mapping[str, Any]) -> None:
    shifts = (report.get("shifts") or ())[:MOST_SHIFTS]
    if not shifts:
        return
    paper.heading("Has the middle emptied?", 2, needs=65)
    for shift in shifts:
        paper.heading(shift["class"], 3, needs=55)
        paper.text(shift["sentence"])
        _histogram(paper, shift)


def _histogram(paper: Paper, shift: Mapping[str, Any]) -> None:
    edges, before, after = shift["edges"], shift["before"], shift["after"]
    most, height = max([*before, *after, 1]), 30.0
    left, top, width = paper.frame(height + 5)
    page, span = paper.page, edges[-1] - edges[0]

    def x(value: float) -> float:
        return left + (min(max(value, edges[0]), edges[-1]) - edges[0]) / span * width

    def y(count: float) -> float:
        return top + (1 - count / most) * height

    page.set_fill_color(250, 238, 217)
    page.rect(x(shift["middle"][0]), top, x(shift["middle"][1]) - x(shift["middle"][0]), height, style="F")
    page.set_fill_color(*BEFORE)
    for i, count in enumerate(before):
        page.rect(
            x(edges[i]) + 0.1, y(count), max(x(edges[i + 1]) - x(edges[i]) - 0.2, 0.1), y(0) - y(count), style="F"
        )
    points = [(x(edges[0]), y(0))]
    for i, count in enumerate(after):
        points += [(x(edges[i]), y(count)), (x(edges[i + 1]), y(count))]
    page.set_draw_color(*AFTER)
    page.set_line_width(0.5)
    page.polyline([*points, (x(edges[-1]), y(0))])
    page.set_line_width(0.2)
    if shift.get("comparable", True):
        paper.label(x(-1), top + height + 3.5, "mean of the others", align="C")
        paper.label(x(1), top + height + 3.5, f"mean of {shift['class']}"[:40], align="C")
    paper.label(left, top + height + 3.5, "before: grey, after: teal")


def _confusion(paper: Paper, report: Mapping[str, Any]) -> None:
    found = report.get("confusion")
    if not found:
        return
    classes = report["dataset"]["classes"]
    paper.heading("What is taken for what", 2)
    for title in ("before", "after"):
        rows = [[name, *(f"{count:,}" for count in counts)] for name, counts in zip(classes, found[title], strict=True)]
        paper.table([f"{title}: is / said", *classes], rows, [3, *([2] * len(classes))])


def _calibration(paper: Paper, report: Mapping[str, Any]) -> None:
    was, now = report["before"].get("calibration"), report["after"].get("calibration")
    if not was or not now:
        return
    paper.heading("Is it as sure as it is right?", 2)
    keys = (("Expected calibration error", "ece"), ("Brier score", "brier"), ("Negative log-likelihood", "nll"))
    rows = [[title, f"{was[key]:.3f}", f"{now[key]:.3f}"] for title, key in keys if key in was and key in now]
    paper.table(["", "before", "after"], rows, [6, 2, 2])
    rows = [
        [f"{percent(one['low'])} to {percent(one['high'])}", f"{one['count']:,}", percent(one["accuracy"])]
        for one in now.get("bins", ())
    ]
    if rows:
        paper.table(["confidence after", "images", "of these right"], rows, [6, 2, 2])


def _examples(paper: Paper, report: Mapping[str, Any], thumbnails: Mapping[int, bytes]) -> None:
    parts = (("fixed", "wrong before, right now", "before"), ("broken", "right before, wrong now", "after"))
    if not any(report["examples"][kind] for kind, _, _ in parts):
        return
    paper.heading("Images that changed sides", 2, needs=42)
    for kind, words, taken in parts:
        shown = [image for image in report["examples"][kind] if image["id"] in thumbnails]
        if shown:
            total = len(report["comparison"][kind])
            paper.room(38)
            paper.text(f"{kind.capitalize()}: {words}. {len(shown):,} of {total:,}.")
            said = "was taken for" if kind == "fixed" else "now taken for"
            images = [(thumbnails[image["id"]], f"{image['label']}, {said} {image[taken]}", False) for image in shown]
            paper.strip(images, side=20)


def _method(paper: Paper, report: Mapping[str, Any]) -> None:
    method, dataset, curation = report["method"], report["dataset"], report["curation"] or {}
    paper.heading("How it was made", 2)
    counts = ", ".join(f"{count:,} {reason}" for reason, count in curation.get("counts", {}).items())
    facts = [
        ("Dataset", f"{dataset['name']}, {dataset['images']:,} images, classes {', '.join(dataset['classes'])}"),
        ("Model", f"{report['model']['name']} ({report['model']['arch']})"),
        ("Method", f"{method['title']}. {method.get('description', '')}"),
        ("Source", method.get("source", "")),
        ("Settings", settings_of(report.get("settings") or {}, method)),
        ("Decided on the way", settings_of(report.get("chosen") or {}, method)),
        ("Can it be repaired?", (report.get("feasibility") or {}).get("sentence", "")),
        ("Concepts", ", ".join(concept["concept"] for concept in report["concepts"])),
        ("Fitted on", f"{curation.get('images', 0):,} images ({counts})" if curation else ""),
        ("Seed", str(report["seed"])),
        ("Hashes", f"tags {report.get('tags') or 'none'}, data {report.get('data') or 'none'}"),
    ]
    paper.table(["", ""], [[name, value] for name, value in facts if value], [2, 7])
    paper.bullets(report["notes"])
    if report.get("replay"):
        paper.text("The same numbers again, to the last digit on the same machine:")
        paper.code(report["replay"])


def _files(paper: Paper, report: Mapping[str, Any]) -> None:
    paper.heading("Files", 2)
    if checked_of(report):
        paper.text(checked_of(report))
    rows = [[file["file"], file["what"], f"{file['bytes']:,}"] for file in report["files"]]
    paper.table(["file", "what it is", "bytes"], rows, [3, 6, 1.6])
    paper.bullets(remarks_of(report))
    paper.code(report["how_to_load"])
