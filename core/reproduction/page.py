"""The report of a sweep: one web page, no script, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from core.export.charts import share_chart
from core.export.page import MARK, POLICY, STYLE
from core.files import replacing
from core.reproduction.reference import REFERENCE
from core.reproduction.sweep import DATA, MODELS, Cell, Preset, Sweep, read_pictures
from core.retraining.intervals import mean_interval
from core.synthetic.sprites import SHAPES, ZONES

REPORT = "report.html"
# pixels of a sheet's pictures and of a matrix
_PICTURE, _MATRIX = 64, 216
# correlation 0 is the paper, 1 the ink
_INK = np.array([11, 114, 133], dtype=np.float64)


def write_report(sweep: Sweep) -> Path:
    """Write `report.html` into the sweep's folder."""
    path = sweep.folder / REPORT
    with replacing(path) as beside:
        beside.write_text(render_report(sweep), encoding="utf-8")
    return path


def render_report(sweep: Sweep) -> str:
    levels = [level for level in sweep.preset.levels if sweep.of(level)]
    sections = [
        f"<header>{MARK}<h1>Shapes whose place gives them away</h1>"
        f'<p class="soft">{escape(_scale(sweep.preset))}</p><p class="lead">{escape(finding(sweep))}</p></header>',
        _section("Accuracy and bias", _accuracy(sweep, levels)),
        _section("What the features group by", _similarities(sweep, levels)),
        _section("The top and the middle", _sheets(sweep, levels)),
        _section("Why ours differ from theirs", _differences(sweep)),
        _section("Look for yourself", _onwards(sweep, levels)),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>Shapes and their place</title>\n'
        f"<style>\n{STYLE.read_text(encoding='utf-8')}</style></head>\n<body><main>\n"
        + "\n".join(sections)
        + "\n</main></body></html>\n"
    )


def finding(sweep: Sweep) -> str:
    """What came out, in two sentences."""
    levels = [level for level in sweep.preset.levels if sweep.of(level)]
    tests = {level: _mean(sweep.of(level), "test") for level in levels}
    best, last = max(tests, key=lambda level: tests[level]), levels[-1]
    said = f"Without bias in the test pictures, accuracy is best ({tests[best]:.1%}) at a bias of {best:.0%}"
    if last != best:
        said += f" and {tests[last]:.1%} at {last:.0%}, while accuracy on train is {_mean(sweep.of(last), 'train'):.1%}"
    biased = [cell for cell in sweep.cells if cell.level >= 0.5 and cell.strays_top is not None]
    both = [(cell.strays_top, cell.strays_middle) for cell in biased if cell.strays_middle is not None]
    if not both:
        return f"{said}."
    top, middle = (float(np.mean(column)) for column in zip(*both, strict=True))
    return (
        f"{said}. From a bias of 50% on, {middle:.0%} of a shape's pictures in the middle of its logit lie outside of "
        f"its own zone, and {top:.0%} of those at the top."
    )


def _accuracy(sweep: Sweep, levels: Sequence[float]) -> str:
    ours = {part: [_mean(sweep.of(level), part) for level in levels] for part in ("train", "test")}
    limits = [_interval(sweep.of(level), "test") for level in levels]
    known = [level for level in REFERENCE if levels[0] <= level <= levels[-1]]
    lines: list[Mapping[str, Any]] = [
        {"kind": "was", "title": "the authors' notebook, test", "x": known, "y": [REFERENCE[level] for level in known]},
        {"kind": "own", "title": "ours, train", "x": levels, "y": ours["train"]},
        {
            "kind": "now",
            "title": "ours, test",
            "x": levels,
            "y": ours["test"],
            "lower": [low for low, _ in limits] if sweep.preset.seeds > 1 else None,
            "upper": [high for _, high in limits] if sweep.preset.seeds > 1 else None,
        },
    ]
    rows = "".join(
        f'<tr><td class="n">{level:.0%}</td><td class="n">{train:.1%}</td><td class="n">{test:.1%}</td>'
        f'<td class="n">{low:.1%} to {high:.1%}</td><td class="n">{_mean(sweep.of(level), "worst"):.1%}</td>'
        f'<td class="n">{f"{REFERENCE[level]:.1%}" if level in REFERENCE else "–"}</td></tr>'
        for level, train, test, (low, high) in zip(levels, ours["train"], ours["test"], limits, strict=True)
    )
    chart = share_chart(
        lines, min(levels[0], 0.0), max(levels[-1], 1.0), "bias: share of each shape in its own zone", finding(sweep)
    )
    return (
        '<p class="soft legend"><span class="key after"></span>ours: with the band test, without train '
        '<span class="key"></span>the authors\' notebook, test</p>'
        f'<figure>{chart}<figcaption class="soft">Mean of {_seeds(sweep)}; the band is a 95% interval of the '
        "mean. Chance is 33%.</figcaption></figure>"
        '<div class="scroll"><table><thead><tr><th class="n">bias</th><th class="n">train</th><th class="n">test</th>'
        '<th class="n">95% interval</th><th class="n">worst shape and zone</th>'
        '<th class="n">the authors\' test</th></tr>'
        f"</thead><tbody>{rows}</tbody></table></div>"
    )


def _similarities(sweep: Sweep, levels: Sequence[float]) -> str:
    figures = []
    for level in levels:
        cell = sweep.of(level)[0]
        matrix = read_pictures(sweep.folder, cell)["matrix"]
        label = f"Bias {level:.0%}: by shape {cell.by_shape:+.2f}, by zone {cell.by_zone:+.2f}"
        figures.append(f'<li><img src="{_png(_shaded(matrix))}" alt="{escape(label)}">{escape(label)}</li>')
    first, last = sweep.of(levels[0])[0], sweep.of(levels[-1])[0]
    return (
        "<p>Correlation of the features of each two test pictures, in order of shape (square, ellipse, heart) and "
        "zone (left, middle, right). Large blocks along the diagonal: the network groups by shape. Stripes that "
        "repeat: it groups by place. The numbers say how much more alike two pictures are that share the shape, or the "
        f"zone: by shape {first.by_shape:+.2f} at a bias of {first.level:.0%} and {last.by_shape:+.2f} at "
        f"{last.level:.0%}, by zone {first.by_zone:+.2f} and {last.by_zone:+.2f}.</p>"
        f'<ul class="strip">{"".join(figures)}</ul>'
    )


def _sheets(sweep: Sweep, levels: Sequence[float]) -> str:
    parts = [
        "<p>For each level, pictures of a shape from the top of its own logit and from the middle of it (val, first "
        "seed). Where the place has become the shortcut, the top holds the shape in its own zone only, and the strays "
        "are in the middle.</p>"
    ]
    for level in levels:
        cell = sweep.of(level)[0]
        pictures = read_pictures(sweep.folder, cell)
        parts.append(f"<h3>Bias {level:.0%}</h3>")
        for band, title, strays in (("top", "Top", cell.strays_top), ("middle", "Middle", cell.strays_middle)):
            kind = "top" if band == "top" else "mid-gap"
            rows = "".join(
                _sheet(pictures[f"{shape}-{band}"], f"{shape}, own zone: {zone}")
                for shape, zone in zip(SHAPES, ZONES, strict=True)
            )
            said = "no picture lies there" if strays is None else f"{strays:.0%} outside of their own zone"
            parts.append(f'<div class="band {kind}"><p>{title}: {said}</p>{rows}</div>')
    return "".join(parts)


def _sheet(pictures: np.ndarray, title: str) -> str:
    if not len(pictures):
        return f'<p class="soft">{escape(title)}: none</p>'
    framed = np.pad(pictures, ((0, 0), (1, 1), (1, 1)), constant_values=90)
    strip = Image.fromarray(np.concatenate(list(framed), axis=1))
    return (
        f'<figure><img src="{_png(strip)}" alt="{escape(title)}" style="max-width:100%">'
        f'<figcaption class="soft">{escape(title)}</figcaption></figure>'
    )


def _differences(sweep: Sweep) -> str:
    preset = sweep.preset
    said = [
        "The authors' network and the fine print of their training are not in what was available; ours has three "
        "convolutions and 64 features, and sees the whole picture without averaging over places.",
        "Their pictures are dSprites; ours are drawn by the same latents, with the shapes about as large.",
        "Of pictures outside of their own zone we draw the zone from all three, so that at 0% place and shape are "
        "independent. How theirs are drawn decides how the left end of the curve looks.",
    ]
    if (preset.images, preset.epochs) != (20_000, 80):
        said.append(
            f"They trained on 20,000 pictures for 80 epochs; this sweep on {preset.images:,} for {preset.epochs}. "
            "The preset “full” is as large as theirs."
        )
    return "<ul class='plain'>" + "".join(f"<li>{escape(sentence)}</li>" for sentence in said) + "</ul>"


def _onwards(sweep: Sweep, levels: Sequence[float]) -> str:
    there = [level for level in levels if (sweep.folder / DATA / f"{level:.2f}.npz").is_file()]
    level = min(there, key=lambda value: abs(value - 0.9), default=levels[-1])
    data, model = f"{DATA}/{level:.2f}.npz", f"{MODELS}/{level:.2f}-0.pt"
    command = (
        f"python -m core analyse --data {data} --model {model} --image-size 64 --mean 0.5,0.5,0.5 --std 0.5,0.5,0.5"
    )
    return (
        f"<p>Every network and the data of its first seed lie beside this page. This one has a bias of {level:.0%}:</p>"
        f"<pre>{escape(command)}</pre>"
        "<p>Then look at the bands of <code>logit:square</code>, and tag what does not belong into the left zone.</p>"
    )


def _scale(preset: Preset) -> str:
    return (
        f"{len(preset.levels)} levels of bias, {preset.seeds} seeds, {preset.images:,} training pictures, "
        f"{preset.epochs} epochs: the preset “{preset.name}”"
    )


def _seeds(sweep: Sweep) -> str:
    return f"{sweep.preset.seeds} seeds" if sweep.preset.seeds > 1 else "one seed"


def _mean(cells: Sequence[Cell], figure: str) -> float:
    return float(np.mean([getattr(cell, figure) for cell in cells]))


def _interval(cells: Sequence[Cell], figure: str) -> tuple[float, float]:
    low, high = mean_interval(np.array([getattr(cell, figure) for cell in cells]))
    return max(0.0, low), min(1.0, high)


def _shaded(matrix: np.ndarray) -> Image.Image:
    """Correlations from 0 (white) to 1 (ink); below 0 stays white."""
    share = np.clip(matrix, 0, 1)[..., None]
    pixels = np.rint(255 + share * (_INK - 255)).astype(np.uint8)
    return Image.fromarray(pixels).resize((_MATRIX, _MATRIX), Image.Resampling.NEAREST)


def _png(image: Image.Image) -> str:
    target = io.BytesIO()
    image.save(target, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(target.getvalue()).decode('ascii')}"


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>"
