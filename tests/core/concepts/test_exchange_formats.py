"""Each format: the round trip is exact, and a file that is not what it says ends in a sentence."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import tracemalloc
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from core.concepts.adoption import adopt
from core.concepts.concept import change_concept, create_concept, list_concepts
from core.concepts.exchange import (
    FORMATS,
    dump_tags,
    export_tags,
    format_of,
    import_tags,
    json_file,
    load_tags,
    preview_tags,
)
from core.concepts.exchange import parquet as parquet_reader
from core.concepts.exchange.contents import MOST_TAGS
from core.concepts.labels import judge, verdict_list
from core.concepts.tags import answers, tag, tag_states, undo
from core.database import ConceptRecord, DatasetRecord
from core.datasets.choices import Choices
from core.errors import BadRequest, MidbandError, PathNotFound
from core.workspace import Workspace, open_workspace

WHOLE = [name for name in FORMATS if name != "csv"]
HOSTILE = [
    "<b>bold</b>",
    "=HYPERLINK(1)",
    "+1",
    "-2",
    "@x",
    "'quoted'",
    "''=",
    "＝wide",
    "water, deep; wet\tgreen",
    '"q"',
    "ظلّ ماء",
    "🦆🏊‍♀️",
    "x" * 200,
    "null",
    "1",
    "water (absent)",
    "a|b",
]


@pytest.fixture
def analysis(make_analysis: Any) -> Any:
    return make_analysis(np.zeros((6, 1)), np.arange(6) % 2, place=np.array([0, 1, 0, 1, 0, -1]))


@pytest.fixture
def another(tmp_path: Path) -> Any:
    """another(): an empty workspace that knows the same dataset."""
    numbers = count()

    def make() -> Workspace:
        workspace = open_workspace(tmp_path / f"another-{next(numbers)}")
        with workspace.writing() as session:
            session.merge(
                DatasetRecord(
                    id="planted-data", name="planted", root=str(tmp_path), source="class-folders", fingerprint="0"
                )
            )
        return workspace

    return make


def fill(workspace: Workspace, analysis: Any) -> None:
    """A bit of everything that a workspace can know."""
    water = create_concept(workspace, analysis.dataset_id, "water", role="core", color="#112233", note="deep\nor =not")
    reeds = create_concept(workspace, analysis.dataset_id, "reeds", author="Ada")
    create_concept(workspace, analysis.dataset_id, "never used", role="wrong-label")
    change_concept(workspace, reeds, shortcut=7)
    change_concept(workspace, water, shortcut=0)
    place = adopt(workspace, analysis, "place", "water", author="Bo")
    tag(workspace, analysis, water, [0, 1], True, author="Ada", how="band", direction="logit:a", low=-1.5, high=1e-300)
    tag(workspace, analysis, water, [2], False, author="=Bo", source="review", low=float("-inf"), high=float("inf"))
    tag(workspace, analysis, reeds, [0, 3], "unsure", how="card")
    tag(workspace, analysis, place, [4], True)
    judge(workspace, analysis, [1], "wrong", relabel_to=analysis.classes[0], author="Ada")
    judge(workspace, analysis, [2], "wrong", author="Bo", how="list")
    judge(workspace, analysis, [3], "right")


@pytest.mark.parametrize("format", FORMATS)
def test_export_import_export_gives_the_same_file(
    workspace: Workspace, analysis: Any, another: Any, format: str
) -> None:
    fill(workspace, analysis)
    first = dump_tags(workspace, analysis, format)
    other = another()
    imported = load_tags(other, analysis, first, "tags", format=format, author="Somebody else")
    assert (imported.added, imported.rejected, imported.notes) == (6, (), ())
    assert dump_tags(other, analysis, format) == first
    for one, same in zip(
        list_concepts(workspace, analysis.dataset_id), list_concepts(other, analysis.dataset_id), strict=False
    ):
        if format != "csv":
            assert dataclasses.replace(one, id=same.id) == same
            assert (answers(workspace, analysis, one) == answers(other, analysis, same)).all()
    if format != "csv":
        assert [one.to_dict() | {"author": "", "when": ""} for one in verdict_list(other, analysis)] == [
            one.to_dict() | {"author": "", "when": ""} for one in verdict_list(workspace, analysis)
        ]
    assert load_tags(other, analysis, first, "tags", format=format).nothing_new
    # and through a third one, so that what was imported is exported as what it was
    third = another()
    load_tags(third, analysis, dump_tags(other, analysis, format), "tags", format=format)
    assert dump_tags(third, analysis, format) == first
    undo(other, analysis.dataset_id)
    assert load_tags(another(), analysis, dump_tags(other, analysis, format), "tags", format=format).nothing_new


names = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=30))
# what a file may be called; a file system has no NUL and no empty name
images = st.one_of(
    st.sampled_from(
        [*HOSTILE, "a/b.png", "a/b.jpg", "line\nbreak.png", "cr\r.png", " lead.png", "'=1.png", "no suffix"]
    ),
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=30),
)
numbers = st.one_of(st.none(), st.floats(allow_nan=False))
statements = st.tuples(
    names,
    st.integers(0, 5),
    st.sampled_from([True, False, "unsure"]),
    names,
    names,
    st.none() | names,
    numbers,
    numbers,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.lists(images, min_size=6, max_size=6, unique=True),
    said=st.lists(statements, max_size=12),
    format=st.sampled_from(FORMATS),
)
def test_hostile_names_survive_the_round_trip(
    analysis: Any, another: Any, files: list[str], said: list[Any], format: str
) -> None:
    analysis.images[:] = files
    workspace, other = another(), another()
    for name, row, present, author, how, direction, low, high in said:
        try:
            concept = create_concept(workspace, analysis.dataset_id, name, note=how)
        except BadRequest:
            # nothing but control characters is no name
            continue
        tag(
            workspace,
            analysis,
            concept,
            [row],
            present,
            author=author,
            how=how,
            direction=direction,
            low=low,
            high=high,
        )
    first = dump_tags(workspace, analysis, format)
    imported = load_tags(other, analysis, first, "x", format=format)
    assert imported.rejected == ()
    assert dump_tags(other, analysis, format) == first
    if format == "csv":
        for line in first.decode().split("\r\n"):
            assert not line.startswith(("=", "+", "-", "@", "＝")), "a spreadsheet would run this"


def test_names_equal_but_for_case_are_one_concept(workspace: Workspace, analysis: Any) -> None:
    content = json.dumps(
        [
            {"image": "images/000000.png", "concept": "Straße", "present": True},
            {"image": "images/000001.png", "concept": "STRASSE", "present": 0},
        ]
    ).encode()
    assert load_tags(workspace, analysis, content, "tags.json").added == 2
    (street,) = list_concepts(workspace, analysis.dataset_id)
    assert street.name == "Straße"
    assert tag_states(workspace, analysis, street)[:2].tolist() == [1, 0]


def test_formats_follow_from_names() -> None:
    named = {
        "a.csv": "csv",
        "A.JSON": "json",
        "b.parquet": "parquet",
        "x/labels.json": "fiftyone",
        "folder": "fiftyone",
    }
    assert {name: format_of(name) for name in named} == named
    assert format_of("a.csv", "json") == "json"
    for wrong in (("a.xlsx", None), ("a.csv", "coco")):
        with pytest.raises(BadRequest, match="json"):
            format_of(*wrong)


@pytest.mark.parametrize("name", ["tags.csv", "tags.json", "tags.parquet", "labels.json", "fiftyone"])
def test_files_are_written_and_read_by_their_names(
    workspace: Workspace, analysis: Any, another: Any, tmp_path: Path, name: str
) -> None:
    fill(workspace, analysis)
    written = export_tags(workspace, analysis, tmp_path / "out" / name)
    assert written.tags == 6
    assert all(file.is_file() for file in written.files)
    assert import_tags(another(), analysis, tmp_path / "out" / name).added == 6


def test_fiftyone_finds_every_image_by_its_key(workspace: Workspace, analysis: Any, tmp_path: Path) -> None:
    """The importer's own rule: keys without extension, relative to the data, or absolute."""
    analysis.images[:] = ["a/1.png", "a/1.jpg", "a/2.v2.png", "b/1.png", "3", "é 4.png"]
    water = create_concept(workspace, analysis.dataset_id, "water")
    tag(workspace, analysis, water, [0, 1, 2, 3, 4], True)
    tag(workspace, analysis, water, [5], False)
    written = export_tags(workspace, analysis, tmp_path / "out")
    labels, places = (json.loads(file.read_text(encoding="utf-8")) for file in written.files)
    by_stem = {os.path.splitext(name)[0]: place for name, place in places.items()}
    found = {key if os.path.isabs(key) else by_stem[key] for key in labels["labels"]}
    assert found == {os.path.join(analysis.dataset_root, name) for name in analysis.images.tolist()}
    assert labels["classes"] == ["water", "water (absent)"]
    assert labels["labels"]["é 4"][0]["label"] == "water (absent)"
    for entries in labels["labels"].values():
        for entry in entries:
            # names that FiftyOne's labels have already would be refused
            assert not {"label", "confidence", "logits", "id", "tags"} & set(entry["attributes"])


def test_fiftyone_finds_images_in_the_folder_that_a_table_names(
    workspace: Workspace, another: Any, analysis: Any, tmp_path: Path
) -> None:
    elsewhere = dataclasses.replace(analysis, choices=Choices(images="photos"))
    names = ["1.jpg", "1.png", "2.png", "3.png", "4.png", "5.png"]
    elsewhere.__dict__["images"] = np.array(names, dtype=np.dtypes.StringDType())
    water = create_concept(workspace, elsewhere.dataset_id, "water")
    tag(workspace, elsewhere, water, [0, 1, 2], True)
    written = export_tags(workspace, elsewhere, tmp_path / "out")
    labels, places = (json.loads(file.read_text(encoding="utf-8")) for file in written.files)
    folder = os.path.join(elsewhere.dataset_root, "photos")
    assert places == {name: os.path.join(folder, name) for name in names[:3]}
    assert set(labels["labels"]) == {os.path.join(folder, "1.jpg"), os.path.join(folder, "1.png"), "2"}
    assert import_tags(another(), elsewhere, tmp_path / "out").added == 3


@pytest.mark.parametrize("as_written", ["names", "places", "objects", "one"])
def test_what_fiftyone_wrote_is_read(workspace: Workspace, analysis: Any, as_written: str) -> None:
    labels: dict[str, Any] = {
        "images/000000": ["sea"],
        "images/000001": ["sea", "reeds"],
        "images/000002": None,
        "images/000003": ["sea (absent)"],
    }
    classes: Any = ["reeds", "sea", "sea (absent)"]
    if as_written == "places":
        labels = {key: value and [classes.index(one) for one in value] for key, value in labels.items()}
    elif as_written == "objects":
        labels = {key: value and [{"label": one, "confidence": 0.5} for one in value] for key, value in labels.items()}
    elif as_written == "one":
        labels, classes = {"images/000000": "sea", str(analysis.dataset_root / "images/000001.png"): "reeds"}, None
    content = json.dumps({"classes": classes, "labels": labels}).encode()
    # found out from what the file holds, whatever it is called
    assert load_tags(workspace, analysis, content, "export.json").rejected == ()
    found = {
        one.name: tag_states(workspace, analysis, one)[:3].tolist() for one in list_concepts(workspace, "planted-data")
    }
    expected = (
        {"sea": [1, -1, -1], "reeds": [-1, 1, -1]} if as_written == "one" else {"sea": [1, 1, -1], "reeds": [-1, 1, -1]}
    )
    assert found == expected


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, **options)
    return sink.getvalue()


def memory(read: Any) -> tuple[Any, int]:
    """What a call returns, and the bytes that Arrow and Python held for it at most."""
    usual = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(usual)
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        return read(), pool.max_memory() + tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(usual)


@pytest.mark.parametrize("column", ["concept", "image", "present", "author"])
@pytest.mark.parametrize("encoded", ["dictionary", "plain type", "large", "plain pages"])
def test_a_text_that_a_parquet_file_repeats_is_held_once(
    workspace: Workspace, analysis: Any, column: str, encoded: str
) -> None:
    # unpacked row by row: 80 MB and more; the file itself has some kB
    rows, long = 2000, "x" * 40_000
    columns: dict[str, Any] = {"image": ["images/000000.png"] * rows, "concept": ["a"] * rows, "present": ["1"] * rows}
    columns[column] = pa.array([long] * rows, pa.large_string() if encoded == "large" else pa.string())
    if encoded == "dictionary":
        columns[column] = columns[column].dictionary_encode()
    content = parquet(columns, compression="zstd", use_dictionary=encoded != "plain pages")
    del columns
    assert len(content) < 50_000
    raw, held = memory(lambda: parquet_reader.read(content, "bomb.parquet"))
    assert held < 10_000_000
    assert len(raw.tags) == rows
    assert len({id(cells[column]) for _, cells in raw.tags}) == 1
    done = preview_tags(workspace, analysis, content, "bomb.parquet")
    assert done.added == (column == "author")
    if column == "concept":
        assert done.rejected[0].reason == "The concept's name has more than 4,000 characters."
    if column == "author":
        assert done.notes == ("1 statement is read without its author, longer than 4,000 characters.",)


def test_parquet_with_more_text_than_its_sizes_say_is_refused(
    workspace: Workspace, analysis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{number:04d}{'x' * 3000}" for number in range(1000)]
    columns = {"image": names, "concept": names, "present": ["1"] * 1000}
    monkeypatch.setattr(parquet_reader, "_CHARACTERS", 3_100_000)
    # the same texts in two columns count once
    assert len(preview_tags(workspace, analysis, parquet(columns), "a.parquet").rejected) == 1000
    monkeypatch.setattr(parquet_reader, "_CHARACTERS", 2_900_000)
    with pytest.raises(BadRequest, match="million characters of text"):
        preview_tags(workspace, analysis, parquet(columns), "a.parquet")
    with pytest.raises(BadRequest, match=r"image of a\.parquet is encoded as DELTA_BYTE_ARRAY"):
        shared = parquet(columns, use_dictionary=False, column_encoding={"image": "DELTA_BYTE_ARRAY"})
        preview_tags(workspace, analysis, shared, "a.parquet")


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin", "Nowhere/City", "+99:99", "../../etc/passwd"])
def test_times_of_any_zone_are_read_and_impossible_ones_named(
    workspace: Workspace, analysis: Any, zone: str | None
) -> None:
    images = [f"images/00000{number}.png" for number in range(3)]
    times = pa.array([86_400_000_000, -(2**62), None], pa.timestamp("us", tz=zone))
    content = parquet({"image": images, "concept": ["a"] * 3, "present": ["1"] * 3, "time": times})
    done = load_tags(workspace, analysis, content, "tags.parquet")
    assert done.notes == ("1 statement is read without its time, which cannot be understood.",)
    assert json.loads(dump_tags(workspace, analysis, "json"))["tags"][0]["time"] == "1970-01-02T00:00:00Z"


def test_columns_with_one_name_are_not_guessed_between(workspace: Workspace, analysis: Any) -> None:
    cells = [pa.array(["images/000000.png"]), pa.array(["a"]), pa.array(["1"]), pa.array(["x"]), pa.array(["y"])]
    for names, problem in ((["image", "concept", "present", "how", "how"], ""), (["image"] * 5, "no column image")):
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_arrays(cells, names), sink)
        if problem:
            with pytest.raises(BadRequest, match=problem):
                load_tags(workspace, analysis, sink.getvalue(), "tags.parquet")
        else:
            assert load_tags(workspace, analysis, sink.getvalue(), "tags.parquet").added == 1


@pytest.mark.parametrize(
    "present", [pa.array([True, False]), pa.array([1, 0]), pa.array([1.0, 0.0]), pa.array(["yes", "absent"])]
)
def test_parquet_of_other_programs_is_read(workspace: Workspace, analysis: Any, present: pa.Array) -> None:
    columns = {
        "Image": pa.array(["images/000000.png", "images/000001.png"]).dictionary_encode(),
        "concept": ["water", "water"],
        "present": present,
        "boxes": [[1, 2], [3]],
    }
    assert load_tags(workspace, analysis, parquet(columns), "tags.parquet").added == 2
    (water,) = list_concepts(workspace, analysis.dataset_id)
    assert tag_states(workspace, analysis, water)[:2].tolist() == [1, 0]


THREE = {"image": ["a"], "concept": ["b"], "present": [True]}
NESTED = b"[" * 200_000 + b"]" * 200_000


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"", "no column image"),
        ("a.csv", b"picture,concept\na,b\n", "its columns: picture, concept"),
        ("a.csv", b"image,concept,present\n\xff\xfe,\x00,1\n", "not a UTF-8 CSV"),
        ("a.csv", "image,concept,present\na,b,1\n".encode("utf-16"), "not a UTF-8 CSV"),
        ("a.csv", b'image,concept,present\n"' + b"x" * 200_000 + b'",b,1\n', "CSV"),
        ("a.json", b"", "not JSON"),
        ("a.json", b"{", "not JSON"),
        ("a.json", b"\xff\xfe", "not JSON"),
        ("a.json", b'"tags"', "no list of tags"),
        ("a.json", b"{}", "no list of tags"),
        ("a.json", b'{"tags": {}}', "no list of tags"),
        ("a.json", b'{"tags": [], "concepts": 3}', "not a list"),
        ("a.json", b'{"tags": [], "version": 9}', "newer Midband"),
        ("a.json", NESTED, "nests too deeply"),
        ("a.json", b'{"a":' * 100_000, "nests too deeply"),
        ("a.json", b'{"tags": [], "version": ' + b"9" * 10_000 + b"}", "not JSON"),
        ("labels.json", b"[]", "no object of labels"),
        ("labels.json", b'{"labels": [1]}', "no object of labels"),
        ("a.parquet", b"", "not a whole Parquet"),
        ("a.parquet", b"PAR1" * 100, "not a whole Parquet"),
        ("a.parquet", parquet(THREE)[:-20], "not a whole Parquet"),
        ("a.parquet", parquet({"image": ["a"]}), "no column concept or present"),
        ("a.parquet", parquet({**THREE, "image": [["a"]]}), "not one text or number"),
        ("a.parquet", parquet({**THREE, "concept": [{"a": 1}]}), "not one text or number"),
        ("a.xlsx", b"PK", "No format of tags"),
    ],
)
def test_what_is_no_file_of_tags_is_refused(
    workspace: Workspace, analysis: Any, name: str, content: bytes, words: str
) -> None:
    for take in (load_tags, preview_tags):
        with pytest.raises(BadRequest) as caught:
            take(workspace, analysis, content, name)
        assert words in caught.value.detail
        assert caught.value.next_step
    assert list_concepts(workspace, analysis.dataset_id) == ()


def test_far_too_large_files_are_refused_before_they_are_read(
    workspace: Workspace, analysis: Any, tmp_path: Path
) -> None:
    large = tmp_path / "large.json"
    with open(large, "wb") as file:
        file.truncate(200_000_000)
    with pytest.raises(BadRequest, match="200 MB"):
        import_tags(workspace, analysis, large)
    rows = 3_000_000
    same = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, dtype=np.int8)), ["a"])
    bomb = parquet({"image": same, "concept": same, "present": same})
    assert len(bomb) < 100_000
    with pytest.raises(BadRequest, match="3,000,000 rows"):
        load_tags(workspace, analysis, bomb, "bomb.parquet")


def test_unusable_entries_are_rejected_one_by_one(workspace: Workspace, analysis: Any) -> None:
    image = "images/000000.png"
    tags: list[Any] = [
        {"image": image, "concept": "water", "present": True},
        {"image": image, "concept": "WATER ", "present": True},
        {"image": "gone.png", "concept": "water", "present": True},
        {"image": "\ud800", "concept": "water", "present": True},
        {"image": ["a"], "concept": "water", "present": True},
        {"image": image, "concept": 7, "present": True},
        {"image": image, "concept": "  ", "present": True},
        {"image": image, "concept": "x" * 201, "present": True},
        {"image": image, "concept": "snow", "present": 2},
        {"image": image, "concept": "snow", "present": None},
        {"image": image, "concept": "snow", "present": {"deep": ["er"]}},
        {"image": image, "concept": "snow", "present": 10**400},
        "no object",
        None,
        {"image": image, "concept": "reeds", "present": "unsure"},
    ]
    verdicts: list[Any] = [
        {"image": image, "verdict": "wrong", "new_label": "class 1"},
        {"image": image, "verdict": "right"},
        {"image": "images/000001.png", "verdict": "perhaps"},
        {"image": "images/000001.png", "verdict": "wrong", "new_label": "dragon"},
        {"image": "images/000001.png", "label": "class 0", "verdict": "wrong"},
        {"image": "gone.png", "verdict": "wrong"},
        17,
    ]
    concepts: list[Any] = [
        {"concept": "water", "color": "red; x", "role": "king", "note": 3, "shortcut": 99, "attribute": ["a"]},
        {"concept": "Water"},
        {},
        3,
    ]
    content = json.dumps({"tags": tags, "verdicts": verdicts, "concepts": concepts}).encode()
    done = load_tags(workspace, analysis, content, "tags.json")
    assert (done.added, done.verdicts, done.made) == (2, 1, ("water", "reeds"))
    assert [line.row for line in done.rejected] == [*range(2, 15), 2, 3, 4, *range(2, 8)]
    for line in done.rejected:
        line.reason.encode("utf-8")
        assert len(line.reason) < 250
    water = list_concepts(workspace, analysis.dataset_id)[0]
    assert (water.role, water.note, water.attribute) == ("confounder", "", None)
    assert done.notes == (
        "1 concept is read without its attribute, color, note, role, shortcut, which cannot be understood.",
    )


@pytest.mark.parametrize("format", WHOLE)
def test_what_is_too_long_to_be_taken_is_said(workspace: Workspace, analysis: Any, another: Any, format: str) -> None:
    note = f"{'n' * 3999}\u0301"
    water = create_concept(workspace, analysis.dataset_id, "water", note=note)
    tag(workspace, analysis, water, [0], True, how="h" * 4000, direction="d" * 4000)
    other, content = another(), dump_tags(workspace, analysis, format)
    assert load_tags(other, analysis, content, "tags", format=format).notes == ()
    assert dump_tags(other, analysis, format) == content
    # as only another program, or an older Midband, writes it
    with workspace.writing() as session:
        session.execute(update(ConceptRecord).values(note="n" * 4001))
    tag(workspace, analysis, water, [0, 1], True, how="h" * 4001, direction="d" * 4001)
    done = load_tags(another(), analysis, dump_tags(workspace, analysis, format), "tags", format=format)
    assert done.added == 2
    assert done.notes == (
        "2 statements are read without their direction, how, longer than 4,000 characters.",
        "1 concept is read without its note, longer than 4,000 characters.",
    )


def test_a_label_that_is_right_has_no_better_one(workspace: Workspace, analysis: Any) -> None:
    first, second = analysis.classes
    verdicts = [
        {"image": "images/000000.png", "verdict": "right", "new_label": second},
        {"image": "images/000002.png", "verdict": "wrong", "new_label": first},
        {"image": "images/000004.png", "verdict": "wrong", "new_label": second},
    ]
    load_tags(workspace, analysis, json.dumps({"tags": [], "verdicts": verdicts}).encode(), "tags.json")
    said = [(one.image, one.verdict, one.new_label) for one in verdict_list(workspace, analysis)]
    assert said == [
        ("images/000000.png", "right", None),
        ("images/000002.png", "right", None),
        ("images/000004.png", "wrong", second),
    ]


def test_an_origin_that_cannot_be_understood_does_not_cost_the_tag(workspace: Workspace, analysis: Any) -> None:
    tags = [
        {"image": "images/000000.png", "concept": "a", "present": 1, "time": "yesterday", "low": "deep"},
        {"image": "images/000001.png", "concept": "a", "present": 1, "time": 10**30, "high": 10**400, "author": ["x"]},
        {"image": "images/000002.png", "concept": "a", "present": 1, "time": "9999-12-31T23:59:59-23:00"},
        {
            "image": "images/000003.png",
            "concept": "a",
            "present": 1,
            "time": "2026-01-02T03:04:05+02:00",
            "low": "-inf",
        },
    ]
    done = load_tags(workspace, analysis, json.dumps(tags).encode(), "tags.json", author="Ada")
    assert done.added == 4
    assert done.notes == ("3 statements are read without their author, high, low, time, which cannot be understood.",)
    written = json.loads(dump_tags(workspace, analysis, "json"))["tags"]
    assert [one["author"] for one in written] == ["Ada"] * 4
    assert (written[3]["time"], written[3]["low"]) == ("2026-01-02T01:04:05Z", "-inf")


@pytest.mark.parametrize("depth", [100, 500, 800, 900, 950, 990, 2000])
def test_nesting_of_any_depth_ends_in_a_sentence(workspace: Workspace, analysis: Any, depth: int) -> None:
    deep = "[" * depth + "]" * depth
    for name in ("image", "concept", "present", "author", "time", "low"):
        cells = {"image": '"images/000000.png"', "concept": '"a"', "present": "1", name: deep}
        text = "[{" + ", ".join(f'"{key}": {cell}' for key, cell in cells.items()) + "}]"
        # how deep is too deep depends on who calls
        with suppress(BadRequest):
            done = preview_tags(workspace, analysis, text.encode(), "tags.json")
            assert len(done.rejected) + len(done.notes) == 1


def test_columns_that_another_dataset_lacks_are_named(workspace: Workspace, analysis: Any) -> None:
    adopt(workspace, analysis, "place", "land")
    content = json.dumps(
        {
            "tags": [],
            "concepts": [
                {"concept": "sky", "attribute": ["sky", "blue"]},
                {"concept": "ground", "attribute": ["place", "land"]},
                {"concept": "pond", "attribute": ["place", "water"]},
            ],
        }
    ).encode()
    done = load_tags(workspace, analysis, content, "tags.json")
    assert [note.split("”")[0] for note in done.notes] == ["“sky", "“ground"]
    kept = {one.name: one.attribute for one in list_concepts(workspace, analysis.dataset_id)}
    assert kept == {"place: land": ("place", "land"), "sky": None, "ground": None, "pond": ("place", "water")}


def test_a_folder_without_tags_and_a_missing_file_are_said(workspace: Workspace, analysis: Any, tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere.json"):
        with pytest.raises(PathNotFound):
            import_tags(workspace, analysis, place)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(MidbandError):
        export_tags(workspace, analysis, tmp_path / "folder.csv", "csv")


@pytest.mark.parametrize("many", [b"[" + b"[]," * 40 + b"[]]", b"[" + b"0," * 60 + b"0]", b"[" + b"{}," * 40 + b"{}]"])
@pytest.mark.parametrize("name", ["a.json", "labels.json"])
def test_a_file_that_would_fill_the_memory_is_refused_before_it_is_parsed(
    workspace: Workspace, analysis: Any, monkeypatch: pytest.MonkeyPatch, many: bytes, name: str
) -> None:
    monkeypatch.setattr(json_file, "MOST_VALUES", 50)
    monkeypatch.setattr(json_file.json, "loads", lambda text: pytest.fail("parsed"))
    with pytest.raises(BadRequest, match="holds more than 50 values") as caught:
        preview_tags(workspace, analysis, many, name)
    assert "split it" in caught.value.next_step


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ([{"image": "a", "concept": "b", "present": True}] * 100, "a.json"),
        ({"labels": {f"{i}": [{"label": "b"}] for i in range(100)}}, "labels.json"),
    ],
)
def test_a_file_of_as_many_tags_as_are_read_is_not_too_much(
    workspace: Workspace, analysis: Any, monkeypatch: pytest.MonkeyPatch, file: Any, name: str
) -> None:
    monkeypatch.setattr(json_file, "MOST_VALUES", json_file.MOST_VALUES // MOST_TAGS * 100)
    preview_tags(workspace, analysis, json.dumps(file).encode(), name)
