"""Contact sheets on paper: pictures and pages that open, hold everything, and survive any name."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from core.activations.bands import Range
from core.activations.contact_sheet import ContactSheet, contact_sheet, sheet_edges
from core.activations.directions import parse_direction
from core.activations.facets import Facet, parse_facet
from core.activations.index import make_index, open_index
from core.activations.store import Analysis
from core.activations.thumbnails import make_thumbnail
from core.errors import BadRequest, StorageProblem
from core.export import pen as pen_module
from core.export import sheet as module
from core.export.pen import SCALE, Pen
from core.export.sheet import HEIGHT, WIDTH, pdf, png, write_sheet
from tests.core.conftest import AnalysisMaker

DAY = datetime(2026, 3, 9)
GREEN = (30, 200, 60)


@pytest.fixture
def analysis(make_analysis: AnalysisMaker) -> Analysis:
    """Each thumbnail is one green square."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 300)
    made = make_analysis(
        rng.normal(size=(300, 4)) + labels[:, None],
        labels,
        classes=("landbird", "waterbird"),
        place=rng.integers(0, 2, 300),
    )
    square = make_thumbnail(Image.new("RGB", (40, 30), GREEN), 40, 90)
    made.__dict__["thumbnails"] = [square] * 300
    return made


def make(analysis: Analysis, bands: int = 5, per_band: int = 8, extra: tuple[Facet, ...] = ()) -> ContactSheet:
    direction = parse_direction("logit:waterbird", analysis)
    index = open_index(analysis, direction)
    facets = [*(parse_facet(spec, analysis) for spec in ("class", "correctness", "attribute:place")), *extra]
    return contact_sheet(
        analysis,
        direction,
        index,
        sheet_edges(index, bands),
        facets=facets,
        per_band=per_band,
        seed=0,
        mid=Range(0.0, 1.0, ""),
        top=Range(2.0, 9.0, ""),
    )


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def pages_of(content: bytes) -> int:
    return len(re.findall(rb"/Type /Page\b", content))


def test_png_is_a4_landscape_at_twice_the_resolution(analysis: Analysis) -> None:
    image = opened(png(analysis, make(analysis), written=DAY))
    assert image.format == "PNG"
    assert image.size[0] == WIDTH * SCALE
    assert image.size[1] <= HEIGHT * SCALE
    assert image.info["dpi"] == pytest.approx((192, 192), abs=0.1)


def test_every_sampled_image_is_drawn(analysis: Analysis) -> None:
    sheet = make(analysis)
    image = np.asarray(opened(png(analysis, sheet)).convert("RGB")).astype(int)
    green = (np.abs(image - GREEN).max(axis=2) < 40).sum()
    drawn = sum(len(band.rows) for band in sheet.bands)
    # each square but for the class's colour at its foot, the corners, and the cross of the wrong ones
    side = np.sqrt(green / drawn) / SCALE
    assert 55 < side < 90
    fewer = contact_sheet(
        analysis,
        parse_direction("logit:waterbird", analysis),
        open_index(analysis, parse_direction("logit:waterbird", analysis)),
        np.array([band.low for band in reversed(sheet.bands)] + [sheet.bands[0].high]),
        facets=[],
        per_band=0,
        seed=0,
    )
    blank = np.asarray(opened(png(analysis, fewer)).convert("RGB")).astype(int)
    assert (np.abs(blank - GREEN).max(axis=2) < 40).sum() == 0


def test_wrongly_named_images_and_only_those_have_a_cross(analysis: Analysis, monkeypatch: pytest.MonkeyPatch) -> None:
    crosses: list[tuple[float, float]] = []
    pictures: list[bool] = []
    cross, picture = Pen.cross, Pen.picture

    def crossing(pen: Pen, x: float, y: float, radius: float) -> None:
        crosses.append((x, y))
        cross(pen, x, y, radius)

    def placing(pen: Pen, *arguments: object, wrong: bool) -> None:
        pictures.append(wrong)
        picture(pen, *arguments, wrong=wrong)  # type: ignore[arg-type]

    monkeypatch.setattr(Pen, "cross", crossing)
    monkeypatch.setattr(Pen, "picture", placing)
    sheet = make(analysis)
    png(analysis, sheet)
    wrong = analysis.predicted != analysis.labels
    expected = [bool(wrong[row]) for band in sheet.bands for row in band.rows]
    assert pictures == expected
    assert 0 < sum(expected) < len(expected)
    # one more stands in the legend
    assert len(crosses) == sum(expected) + 1
    allright = replace(analysis, predicted=analysis.labels)
    allright.__dict__["thumbnails"] = analysis.thumbnails
    crosses.clear()
    red = np.asarray(opened(png(allright, sheet)).convert("RGB")).astype(int)
    assert len(crosses) == 1
    # and nowhere else is there ink of its colour
    assert (np.abs(red[: -module.FOOTER * SCALE] - (0xB3, 0x26, 0x1E)).max(axis=2) < 10).sum() == 0


def test_long_sheets_grow_as_a_picture_and_turn_pages_in_print(analysis: Analysis) -> None:
    tall = make(analysis, 14)
    assert opened(png(analysis, tall)).size[1] > 1.5 * HEIGHT * SCALE
    printed = pdf(analysis, tall)
    assert printed.startswith(b"%PDF-")
    # 14 bands: five on each of two pages and four on the last
    assert pages_of(printed) == 3
    assert pages_of(pdf(analysis, make(analysis, 6))) == 1
    boxes = re.findall(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", printed)
    assert len(boxes) == 3
    for width, height in boxes:
        # A4 landscape, in points
        assert (float(width), float(height)) == pytest.approx((841.9, 595.3), abs=0.6)


def test_the_same_sheet_gives_the_same_picture(analysis: Analysis) -> None:
    assert png(analysis, make(analysis), written=DAY) == png(analysis, make(analysis), written=DAY)


def drawn_texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    draw = ImageDraw.ImageDraw.text

    def listening(self: ImageDraw.ImageDraw, xy: object, text: str, *args: object, **kwargs: object) -> None:
        found.append(text)
        draw(self, xy, text, *args, **kwargs)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", listening)
    return found


def test_head_ranges_figures_and_legend_are_written(analysis: Analysis, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = drawn_texts(monkeypatch)
    sheet = make(analysis)
    png(analysis, sheet, lead="place water: 12% of the top band.", filtered="split val", written=DAY)
    assert "Logit of waterbird" in texts
    assert "place water: 12% of the top band." in texts
    assert "9 March 2026" in texts
    assert any("300 images, split val" in text for text in texts)
    for band in sheet.bands:
        assert band.range_text in texts
        assert f"{band.count} image{'s' if band.count != 1 else ''}" in texts
    assert {"TOP", "MID BAND", "landbird", "waterbird", "place: water", "taken for another class"} <= set(texts)


def test_shares_beside_the_bars_are_the_counted_ones(analysis: Analysis, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = drawn_texts(monkeypatch)
    sheet = make(analysis, 1)
    png(analysis, sheet)
    water = (analysis.attributes[0].codes == 1).mean()
    right = (analysis.predicted == analysis.labels).mean()
    for share in (water, right, analysis.labels.mean()):
        assert f"{100 * share:.0f}%" in texts


def test_tagged_concepts_say_of_how_many(analysis: Analysis, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = drawn_texts(monkeypatch)
    states = np.full(300, -1)
    states[:40] = np.arange(40) % 4 == 0
    concept = parse_facet("concept:reeds", analysis, states=lambda name: states)
    never = parse_facet("concept:fog", analysis, states=lambda name: np.full(300, -1))
    png(analysis, make(analysis, 1, extra=(concept, never)))
    assert "25%" in texts
    assert "of 40 tagged" in texts
    assert "not tagged" in texts


def test_more_attributes_than_there_is_room_for_are_counted(
    analysis: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = drawn_texts(monkeypatch)
    many = tuple(Facet(f"attribute:a{i}", f"a{i}", ("no", "yes"), np.arange(300) % 2) for i in range(9))
    png(analysis, make(analysis, extra=many))
    assert "a2" in texts
    assert "a3" not in texts
    assert any(text.startswith("6 more attr") for text in texts)


ODD_NAMES = (
    "水鳥 — מים 🦆",
    "line\nbreak\tand\x00nul",
    "half \udcff of a sign",
    "W" * 400,
    "<b>&amp;</b>",
    "",
    "ﷺ" * 30,
)


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("fonts", ["installed", "none"])
def test_unusual_names_do_not_break_it(
    analysis: Analysis, monkeypatch: pytest.MonkeyPatch, name: str, fonts: str
) -> None:
    if fonts == "none":
        monkeypatch.setattr(pen_module, "FONTS", ())
    pen_module._font.cache_clear()
    attribute = replace(analysis.attributes[0], name=name, values=(name, f"{name}2"))
    odd = replace(analysis, classes=(name, f"{name}2"), dataset_name=name, model_name=name, attributes=(attribute,))
    odd.__dict__["thumbnails"] = analysis.thumbnails
    direction = replace(parse_direction("neuron:0", odd), title=f"logit of {name}")
    index = make_index(odd.features[:, 0])
    facets = [
        parse_facet("class", odd),
        Facet(f"attribute:{name}", name, attribute.values, attribute.codes),
        Facet(f"concept:{name}", name, ("absent", "present", "not tagged"), np.arange(300) % 3),
    ]
    sheet = contact_sheet(odd, direction, index, sheet_edges(index, 3), facets=facets, per_band=4, seed=0)
    assert opened(png(odd, sheet, lead=name, filtered=name)).size[0] == WIDTH * SCALE
    assert pages_of(pdf(odd, sheet, lead=name)) == 1
    pen_module._font.cache_clear()


@pytest.mark.parametrize("room", [5, 60, 200])
def test_long_texts_are_cut_to_their_room(room: int) -> None:
    pen = Pen(Image.new("RGB", (600 * SCALE, 40 * SCALE), "white"))
    taken = pen.text(0, 0, "an uncommonly long name of a class that nobody will read", 12, "black", room=room)
    assert taken <= room
    ink = np.asarray(pen.image).min(axis=2) < 128
    assert not ink[:, round(room * SCALE) + 2 :].any()
    assert ink.any() == (room > 10)


def test_unreadable_thumbnails_become_grey(analysis: Analysis) -> None:
    broken = replace(analysis)
    broken.__dict__["thumbnails"] = [b"no picture"] * 300
    image = np.asarray(opened(png(broken, make(analysis))).convert("RGB")).astype(int)
    assert (np.abs(image - (200, 208, 214)).max(axis=2) == 0).sum() > 10_000


def test_no_band_is_said(analysis: Analysis, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = drawn_texts(monkeypatch)
    index = make_index(np.full(300, np.nan, dtype=np.float32))
    direction = parse_direction("neuron:0", analysis)
    sheet = contact_sheet(analysis, direction, index, sheet_edges(index, 4), facets=[], per_band=4, seed=0)
    assert pages_of(pdf(analysis, sheet)) == 1
    assert any("no bands" in text for text in texts)
    assert any("300 in no band" in text for text in texts)


def test_bands_without_images_are_said_to_be_empty(analysis: Analysis, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = drawn_texts(monkeypatch)
    index = make_index(np.where(np.arange(300) < 150, 0, 10).astype(np.float32))
    direction = parse_direction("neuron:0", analysis)
    sheet = contact_sheet(analysis, direction, index, sheet_edges(index, 3), facets=[], per_band=4, seed=0)
    png(analysis, sheet)
    assert texts.count("No image lies here.") == 1


@pytest.mark.parametrize("many", [1, 3, 17, 60])
def test_any_number_of_images_fits_in_its_row(analysis: Analysis, many: int) -> None:
    sheet = make(analysis, 2, per_band=many)
    image = np.asarray(opened(png(analysis, sheet)).convert("RGB")).astype(int)
    green = np.abs(image - GREEN).max(axis=2) < 40
    columns = np.flatnonzero(green.any(axis=0))
    assert columns[-1] < (WIDTH - module.MARGIN) * SCALE
    assert columns[0] >= (module.MARGIN + module.IMAGES[0]) * SCALE


def test_written_to_a_path_by_its_ending(analysis: Analysis, tmp_path: Path) -> None:
    sheet = make(analysis)
    picture = write_sheet(analysis, sheet, tmp_path / "out" / "sheet.png", written=DAY)
    printed = write_sheet(analysis, sheet, str(tmp_path / "Sheet.PDF"))
    assert picture.read_bytes() == png(analysis, sheet, written=DAY)
    assert printed.read_bytes().startswith(b"%PDF-")
    for bad in ("sheet.jpg", "sheet", "out"):
        with pytest.raises(BadRequest, match=bad.partition(".")[0]):
            write_sheet(analysis, sheet, tmp_path / bad)
    with pytest.raises(StorageProblem):
        write_sheet(analysis, sheet, picture / "below-a-file.png")
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix) == ["Sheet.PDF"]
