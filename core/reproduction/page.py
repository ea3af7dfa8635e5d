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
from core.reproduction.sweep import SHOWN, Cell, Sweep, read_pictures
from core.retraining.intervals import mean_interval, wilson
from core.synthetic.sprites import SHAPES, ZONES, zone_at

REPORT = "report.html"
# pixels of a matrix
_MATRIX = 216
# around a picture of a sheet: pixels, and colours of one in its own zone and of one elsewhere
_FRAME, _PLAIN, _STRAY = 2, (90, 90, 90), (240, 150, 30)
# correlation 0 is the paper, 1 the ink
_INK = np.array([11, 114, 133], dtype=np.float64)
_STYLE = """
.chart .line.own { stroke-dasharray: 2 4; }
.key.thin { background: repeating-linear-gradient(90deg, var(--after) 0 2px, transparent 2px 5px); }
.scale { display: inline-block; width: 8rem; height: .75rem; border-radius: .2rem; margin-right: .5rem;
  border: 1px solid var(--line); background: linear-gradient(90deg, #ffffff, #0b7285); vertical-align: middle; }
.matrices { list-style: none; padding: 0; display: grid; gap: 1.5rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); }
.matrices h3 { margin: 0 0 .35rem; }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: .6rem; }
.two figure { margin: 0; }
.two img { width: 100%; height: auto; display: block; image-rendering: pixelated; border: 1px solid var(--line); }
.matrices p { font-size: .85rem; }
.sheet { display: block; height: auto; }
.band figure { margin: .35rem 0 .6rem; }
.stray { border: 2px solid #f0961e; padding: 0 .25rem; border-radius: .2rem; }
"""


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
        f'<p class="soft">{escape(_scale(sweep))}</p><p class="lead">{escape(finding(sweep))}</p></header>',
        _section("Accuracy and bias", _accuracy(sweep, levels)),
        _section("What the features group by", _similarities(sweep, levels)),
        _section("The top and the middle", _sheets(sweep, levels)),
        _section("Why ours differ from theirs", _differences(sweep, levels)),
        _section("Look for yourself", _onwards(sweep, levels)),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>Shapes and their place</title>\n'
        f"<style>\n{STYLE.read_text(encoding='utf-8')}{_STYLE}</style></head>\n<body><main>\n"
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
    # at 1 no picture of val lies outside of its own zone
    biased = [cell for cell in sweep.cells if 0.5 <= cell.level < 1 and cell.strays_top is not None]
    both = [(cell.strays_top, cell.strays_middle) for cell in biased if cell.strays_middle is not None]
    if not both:
        return f"{said}."
    top, middle = (float(np.mean(column)) for column in zip(*both, strict=True))
    of = sorted({cell.level for cell in biased})
    where = f"At a bias of {of[0]:.0%}" if len(of) == 1 else f"At biases from {of[0]:.0%} to {of[-1]:.0%}"
    return (
        f"{said}. {where}, {middle:.0%} of a shape's pictures in the middle of its logit "
        f"lie outside of its own zone, and {top:.0%} of those at the top."
    )


def _accuracy(sweep: Sweep, levels: Sequence[float]) -> str:
    ours = {part: [_mean(sweep.of(level), part) for level in levels] for part in ("train", "test")}
    limits = [_interval(sweep, level) for level in levels]
    known = [level for level in REFERENCE if levels[0] <= level <= levels[-1]]
    lines: list[Mapping[str, Any]] = [
        {"kind": "was", "title": "the authors' notebook, test", "x": known, "y": [REFERENCE[level] for level in known]},
        {"kind": "own", "title": "ours, train", "x": levels, "y": ours["train"]},
        {
            "kind": "now",
            "title": "ours, test",
            "x": levels,
            "y": ours["test"],
            "lower": [low for low, _ in limits],
            "upper": [high for _, high in limits],
        },
    ]
    rows = "".join(
        f'<tr><td class="n">{level:.0%}</td><td class="n">{len(sweep.of(level))}</td><td class="n">{train:.1%}</td>'
        f'<td class="n">{test:.1%}</td><td class="n">{low:.1%} to {high:.1%}</td>'
        f'<td class="n">{_reference(level)}</td><td class="n">{_beyond(test, level)}</td>'
        f'<td class="n">{_mean(sweep.of(level), "worst"):.1%}</td></tr>'
        for level, train, test, (low, high) in zip(levels, ours["train"], ours["test"], limits, strict=True)
    )
    chart = share_chart(
        lines, min(levels[0], 0.0), max(levels[-1], 1.0), "bias: share of each shape in its own zone", finding(sweep)
    )
    return (
        '<p class="soft legend"><span class="key after"></span>ours, test <span class="key after thin"></span>ours, '
        'train <span class="key"></span>the authors\' notebook, test</p>'
        f'<figure>{chart}<figcaption class="soft">{_band_said(sweep, levels)} Chance is 33%.</figcaption></figure>'
        '<div class="scroll"><table><thead><tr><th class="n">bias</th><th class="n">seeds</th><th class="n">train</th>'
        '<th class="n">test</th><th class="n">95% interval</th><th class="n">the authors\' test</th>'
        '<th class="n">ours less theirs</th><th class="n">worst shape and zone</th></tr>'
        f"</thead><tbody>{rows}</tbody></table></div>"
    )


def _reference(level: float) -> str:
    return f"{REFERENCE[level]:.1%}" if level in REFERENCE else "–"


def _beyond(test: float, level: float) -> str:
    return f"{100 * (test - REFERENCE[level]):+.1f}".replace("-", "−") if level in REFERENCE else "–"


def _band_said(sweep: Sweep, levels: Sequence[float]) -> str:
    counts = {len(sweep.of(level)) for level in levels}
    of_seeds = "the 95% interval of the mean over seeds (Student's t)"
    of_pictures = f"the 95% interval of one network over {sweep.preset.held_out:,} test pictures (Wilson)"
    if counts == {1}:
        return f"One seed for each level. The band is {of_pictures}: other seeds would differ by more."
    if 1 not in counts:
        return f"Mean of the seeds. The band is {of_seeds}."
    return f"Mean of the seeds. The band is {of_seeds}; where there is one seed, {of_pictures}."


def _similarities(sweep: Sweep, levels: Sequence[float]) -> str:
    cards = []
    for level in levels:
        cell = sweep.of(level)[0]
        stored = read_pictures(sweep.folder, cell)
        orders = {
            "by shape": np.lexsort((stored["xs"], stored["shapes"])),
            "by position": np.lexsort((stored["shapes"], stored["xs"])),
        }
        pictures = "".join(
            f'<figure><img src="{_png(_shaded(stored["matrix"][np.ix_(order, order)]))}" '
            f'alt="Bias {level:.0%}, sorted {title}"><figcaption class="soft">{title}</figcaption></figure>'
            for title, order in orders.items()
        )
        cards.append(
            f'<li><h3>Bias {level:.0%}</h3><div class="two">{pictures}</div><p class="soft">more alike by '
            f"{_signed(cell.by_shape)} with the same shape, by {_signed(cell.by_zone)} with the same zone</p></li>"
        )
    return (
        "<p>Each square is the correlation of the features of each two test pictures, as many of every shape in every "
        "zone; the same numbers twice. Sorted by shape (square, ellipse, heart), blocks along the diagonal mean that "
        "the network groups by shape. Sorted by position (from left to right), blocks along the diagonal mean that it "
        f"groups by place. The order that shows the blocks is what the network goes by. {_overtaken(sweep, levels)}</p>"
        '<p class="soft legend"><span class="scale"></span>correlation from 0 or less to 1</p>'
        f'<ul class="matrices">{"".join(cards)}</ul>'
    )


def _overtaken(sweep: Sweep, levels: Sequence[float]) -> str:
    """From which bias on the place counts for more than the shape."""
    by_place = [level for level in levels if _mean(sweep.of(level), "by_zone") > _mean(sweep.of(level), "by_shape")]
    if not by_place:
        return "Here the shape counts for more at every bias."
    if len(by_place) == len(levels):
        return "Here the place counts for more at every bias."
    after = [level for level in levels if level > max(set(levels) - set(by_place))]
    if not after:
        return (
            f"Here the place counts for more at some biases only ({', '.join(f'{level:.0%}' for level in by_place)})."
        )
    return f"Here the place counts for more from a bias of {after[0]:.0%} on."


def _sheets(sweep: Sweep, levels: Sequence[float]) -> str:
    parts = [
        "<p>For each bias, a shape's own pictures from the top of its logit and from the middle of it (val, first "
        "seed). Where the place has become the shortcut, the top holds the shape in its own zone only, and those that "
        'lie elsewhere, <span class="stray">framed in orange</span>, are in the middle.</p>'
    ]
    for level in levels:
        cell = sweep.of(level)[0]
        pictures = read_pictures(sweep.folder, cell)
        bands = []
        for band, title, strays in (("top", "Top", cell.strays_top), ("middle", "Middle", cell.strays_middle)):
            kind = "top" if band == "top" else "mid-gap"
            rows = "".join(
                _sheet(pictures[f"{shape}-{band}"], number, f"{shape}, own zone: {zone}")
                for number, (shape, zone) in enumerate(zip(SHAPES, ZONES, strict=True))
            )
            said = "no picture lies there" if strays is None else f"{strays:.0%} outside of their own zone"
            bands.append(f'<div class="band {kind}"><p><b>{title}</b>: {said}</p>{rows}</div>')
        parts.append(f'<h3>Bias {level:.0%}</h3><div class="pair">{"".join(bands)}</div>')
    return "".join(parts)


def _sheet(pictures: np.ndarray, own: int, title: str) -> str:
    if not len(pictures):
        return f'<p class="soft">{escape(title)}: none</p>'
    strays = [zone_seen(picture) != own for picture in pictures]
    strip = np.concatenate(
        [_framed(picture, _STRAY if stray else _PLAIN) for picture, stray in zip(pictures, strays, strict=True)], axis=1
    )
    said = f"{title}; {sum(strays)} of {len(strays)} elsewhere"
    return (
        f'<figure><img src="{_png(Image.fromarray(strip))}" alt="{escape(said)}" class="sheet" '
        f'style="width: {min(100, 100 * len(pictures) // SHOWN)}%">'
        f'<figcaption class="soft">{escape(title)}</figcaption></figure>'
    )


def _framed(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    framed = np.full((picture.shape[0] + 2 * _FRAME, picture.shape[1] + 2 * _FRAME, 3), colour, dtype=np.uint8)
    framed[_FRAME:-_FRAME, _FRAME:-_FRAME] = picture[..., None]
    return framed


def _differences(sweep: Sweep, levels: Sequence[float]) -> str:
    preset = sweep.preset
    gaps = {level: _mean(sweep.of(level), "test") - REFERENCE[level] for level in levels if level in REFERENCE}
    said = []
    if gaps:
        widest = max(gaps, key=lambda level: abs(gaps[level]))
        side = "above" if gaps[widest] > 0 else "below"
        said.append(
            f"On average over the levels ours is {100 * float(np.mean(list(gaps.values()))):+.1f} points from theirs; "
            f"furthest at a bias of {widest:.0%}, {100 * abs(gaps[widest]):.1f} points {side}.".replace("-", "−")
        )
    if (preset.images, preset.epochs) != (20_000, 80):
        said.append(
            f"They trained on 20,000 pictures for 80 epochs; this sweep on {preset.images:,} for {preset.epochs}, so "
            "that its networks have seen fewer shapes outside of their zones, and less often. The preset “full” is as "
            "large as theirs."
        )
    said += [
        "The authors' network and the fine print of their training are not in what was available; ours has three "
        "convolutions and 64 features, and sees the whole picture without averaging over places. How much a network "
        "averages decides how easily it can go by the place at all.",
        "Their pictures are dSprites; ours are drawn by the same latents, with the shapes about as large, and with "
        "smooth edges.",
        "Of pictures outside of their own zone we draw the zone from all three, so that at 0% place and shape are "
        "independent. How theirs are drawn decides how the left end of the curve looks: theirs rises from 0% to 50%, "
        "which a shape that never lies in one of the zones would explain.",
        "At 100% place and shape are the same thing in training: a network that goes by the place is right about one "
        "test picture in three, in theirs as in ours.",
    ]
    return "<ul class='plain'>" + "".join(f"<li>{escape(sentence)}</li>" for sentence in said) + "</ul>"


def _onwards(sweep: Sweep, levels: Sequence[float]) -> str:
    level = min(levels, key=lambda value: abs(value - 0.9))
    command = (
        f"python -m core reproduce shapes --preset {sweep.preset.name} --levels {level:g} --seeds 1 --look {level:g}"
    )
    return (
        "<p>Every network and the data of its first seed lie beside this page, as TorchScript in <code>models/</code> "
        "and as arrays that open as a dataset in <code>data/</code>. With the same <code>--out</code> as before, this "
        f"opens the network of a bias of {level:.0%} in the app; nothing is trained again:</p>"
        f"<pre>{escape(command)}</pre>"
        "<p>Then look at the bands of <code>logit:square</code>, and tag what does not belong into the left zone.</p>"
    )


def _scale(sweep: Sweep) -> str:
    preset, done = sweep.preset, len(sweep.cells)
    said = (
        f"{_count(len(preset.levels), 'level')} of bias, {_count(preset.seeds, 'seed')}, {preset.images:,} training "
        f"pictures, {_count(preset.epochs, 'epoch')}: the preset “{preset.name}”"
    )
    return said if done == len(preset.cells) else f"{said}; {done} of {len(preset.cells)} networks are trained so far"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _signed(number: float) -> str:
    return f"{number:+.2f}".replace("-", "−")


def _mean(cells: Sequence[Cell], figure: str) -> float:
    return float(np.mean([getattr(cell, figure) for cell in cells]))


def _interval(sweep: Sweep, level: float) -> tuple[float, float]:
    """Of the mean test accuracy over seeds; over the test pictures where there is one seed."""
    tests = np.array([cell.test for cell in sweep.of(level)])
    if len(tests) == 1:
        return wilson(round(tests[0] * sweep.preset.held_out), sweep.preset.held_out)
    low, high = mean_interval(tests)
    return max(0.0, low), min(1.0, high)


def zone_seen(picture: np.ndarray) -> int:
    """The zone that a picture's shape lies in, by the middle of what is bright: a position in `ZONES`."""
    bright = picture.astype(np.float64).sum(axis=0)
    middle = float(bright @ (np.arange(len(bright)) + 0.5)) / max(float(bright.sum()), 1.0) / len(bright)
    return zone_at(middle)


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
