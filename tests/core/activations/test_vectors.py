"""Directions that somebody brings: read from several kinds of files, refused with a next step, kept by name."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.activations.directions import parse_direction, scores
from core.activations.vectors import (
    delete_vector,
    list_vectors,
    load_vector,
    parse_vector,
    read_vector,
    save_vector,
)
from core.errors import BadRequest, NotFound

EXPECTED = [0.5, -1.0, 2e-3]


def npy(array: Any, **options: Any) -> bytes:
    target = io.BytesIO()
    np.save(target, np.asarray(array), **options)
    return target.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("v.npy", npy(EXPECTED)),
        ("v.NPY", npy(np.array([EXPECTED], dtype=np.float32))),
        ("v.npy", npy(np.array(EXPECTED, dtype=">f8")[:, None])),
        ("v.npy", npy(np.asfortranarray(np.array([EXPECTED])))),
        ("v.json", b"[0.5, -1, 0.002]"),
        ("v.json", b"\xef\xbb\xbf[[0.5], [-1], [0.002]]"),
        ("v.csv", b"0.5,-1,0.002\r\n"),
        ("v.csv", b"0.5;-1;2e-3"),
        ("v.txt", b"0.5\n-1\n\n.002\n"),
    ],
)
def test_every_kind_of_file_gives_the_same_numbers(name: str, content: bytes) -> None:
    vector = read_vector(content, name)
    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector, EXPECTED, rtol=1e-6)


@pytest.mark.parametrize("text", ["0.5, -1, .002", "[0.5 -1 0.002]", " 0.5\t-1;2e-3\n"])
def test_a_typed_vector_is_read(text: str) -> None:
    np.testing.assert_allclose(parse_vector(text), EXPECTED, rtol=1e-6)


def header(text: str, data: bytes = bytes(24)) -> bytes:
    """A .npy file of version 1 with any header."""
    line = text.encode("latin1").ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(line).to_bytes(2, "little") + line + data


ODD_HEADERS = [
    "{'descr': (",
    "(" * 110,
    "{'descr': (), 'fortran_order': False, 'shape': (3,), }",
    "{'descr': ('<f8',), 'fortran_order': False, 'shape': (3,), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (True, 2), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -3), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (3L,), ",
    "{{}: 1}",
    "{[]: 1}",
    "'\\ud800",
    "[" * 110,
    "1 +",
]


@pytest.mark.parametrize("text", ODD_HEADERS)
def test_odd_headers_end_in_a_sentence(text: str) -> None:
    with pytest.raises(BadRequest, match=r"v\.npy") as caught:
        read_vector(header(text), "v.npy")
    assert caught.value.next_step


@settings(deadline=None)
@given(st.text(alphabet="{}()[]<>'descrfotan_hp:,.8TrueL-10 ", max_size=110))
def test_no_header_escapes_as_another_error(text: str) -> None:
    with contextlib.suppress(BadRequest):
        assert read_vector(header(text), "v.npy").ndim == 1


def test_content_far_larger_than_a_vector_is_not_read() -> None:
    numbers = " ".join(["1"] * 1_000)
    assert len(parse_vector(numbers)) == len(parse_vector(numbers, d=1_000)) == 1_000
    assert len(read_vector(numbers.encode(), "v.txt", d=100)) == 1_000
    for name in ("v.txt", "v.json", "v.npy", "v.csv"):
        with pytest.raises(BadRequest, match="more than 3 numbers take"):
            read_vector(numbers.encode(), name, d=3)
    with pytest.raises(BadRequest, match="more than 3 numbers take"):
        parse_vector(numbers, d=3)
    with pytest.raises(BadRequest, match=r"49\.0 MB"):
        read_vector(b"1 " * 24_500_000, "v.txt")
    # numbers written out in full are read
    assert parse_vector(" ".join(["-0.12345678901234567890123456789012345678901234567890e-10"] * 3), d=3).shape == (3,)


HUGE = npy(np.zeros(3)).replace(b"(3,)", b"(9999999999999,)")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("v.npy", npy(np.array([{"a": 1}], dtype=object), allow_pickle=True), "numbers"),
        ("v.npy", b"\x80\x04K\x01.", "npy"),
        ("v.npy", b"", "npy"),
        ("v.npy", npy(EXPECTED)[:-4], "promises"),
        ("v.npy", HUGE, "npy"),
        ("v.npy", npy(np.zeros((2, 3))), "2 × 3"),
        ("v.npy", npy(np.float32(3)), "single"),
        ("v.npy", npy(np.zeros(0)), "0 numbers"),
        ("v.npy", npy(["a", "b"]), "real numbers"),
        ("v.npy", npy(np.zeros(3, complex)), "real numbers"),
        ("v.npy", npy([1, np.nan, 2]), "number 2 of 3 is nan"),
        ("v.npy", npy([1e300]), "1e+300"),
        ("v.npz", npy(EXPECTED), "kind of file"),
        ("v.pt", b"PK", "kind of file"),
        ("v.json", b'{"a": 1}', "not a list"),
        ("v.json", b"[1, [2, 3]]", "JSON list"),
        ("v.json", b"[1, null]", "nan"),
        ("v.json", b'["a"]', "JSON list"),
        ("v.json", b"[1" + b"0" * 400 + b",2]", "JSON list"),
        ("v.json", b"[" + b"1" * 5000 + b"]", "JSON list"),
        ("v.json", b"[" * 100_000, "JSON list"),
        ("v.csv", b"1,2,x", "“x”, number 3 of 3"),
        ("v.csv", "1,½".encode(), "½"),
        ("v.csv", b"\xff\xfe1", "UTF-8"),
        ("v.txt", b" ", "0 numbers"),
        ("v.txt", b"1 inf", "number 2"),
    ],
)
def test_an_unusable_file_says_why_and_what_to_do(name: str, content: bytes, said: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_vector(content, name)
    assert said in caught.value.detail
    assert caught.value.next_step.endswith(".")


@settings(deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["v.npy", "v.json", "v.csv"]))
def test_no_content_escapes_as_another_error(content: bytes, name: str) -> None:
    for given_ in (content, npy(EXPECTED)[:60] + content):
        with contextlib.suppress(BadRequest):
            assert read_vector(given_, name).ndim == 1


@pytest.fixture
def analysis(make_analysis) -> Any:  # type: ignore[no-untyped-def]
    return make_analysis(np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2)


def test_a_saved_vector_is_a_direction(analysis: Any) -> None:
    assert save_vector(analysis, "  my \n vector ", np.array(EXPECTED)) == "my vector"
    save_vector(analysis, "Ä/../b", np.array([1, 0, 0]))
    assert list_vectors(analysis) == ("my vector", "Ä/../b")
    direction = parse_direction("vector:my vector", analysis)
    np.testing.assert_allclose(scores(analysis, direction), analysis.features @ np.float32(EXPECTED), atol=1e-5)
    assert load_vector(analysis, "Ä/../b").tolist() == [1, 0, 0]
    assert {file.parent for file in analysis.folder.rglob("*") if file.is_file()} == {analysis.folder / "vectors"}


def test_a_vector_saved_again_replaces_the_first_and_its_order(analysis: Any) -> None:
    keys = []
    for vector in ([1, 0, 0], [0, 1, 0]):
        save_vector(analysis, "v", np.array(vector))
        keys.append(parse_direction("vector:v", analysis).key)
    assert list_vectors(analysis) == ("v",)
    assert load_vector(analysis, "v").tolist() == [0, 1, 0]
    assert keys[0] != keys[1]


@pytest.mark.parametrize(
    ("name", "vector", "said"),
    [
        ("v", [1, 2], "2 numbers, but the model has 3"),
        ("v", [0, 0, 0], "points nowhere"),
        ("v", [1e-60, -1e-50, 0], "largest number is 1e-50, which float32 rounds to 0"),
        ("v", [1, 2, np.nan], "number 3"),
        ("", [1, 2, 3], "empty"),
        ("x" * 101, [1, 2, 3], "101 characters"),
    ],
)
def test_a_vector_that_is_no_direction_is_refused(analysis: Any, name: str, vector: list[float], said: str) -> None:
    with pytest.raises(BadRequest) as caught:
        save_vector(analysis, name, np.array(vector))
    assert said in caught.value.detail
    assert list_vectors(analysis) == ()


def test_a_vector_that_is_gone_is_not_found(analysis: Any) -> None:
    save_vector(analysis, "one", np.array([1, 2, 3]))
    save_vector(analysis, "two", np.array([1, 2, 3]))
    delete_vector(analysis, "one")
    for attempt in (load_vector, delete_vector):
        with pytest.raises(NotFound) as caught:
            attempt(analysis, "one")
        assert "two" in caught.value.next_step
    delete_vector(analysis, "two")
    with pytest.raises(NotFound, match="no vector"):
        parse_direction("vector:two", analysis)


def test_files_that_are_not_ours_are_passed_over(analysis: Any) -> None:
    save_vector(analysis, "one", np.array([1, 2, 3]))
    (analysis.folder / "vectors" / "other.json").write_text(json.dumps([1]))
    (analysis.folder / "vectors" / "broken.json").write_text("{")
    assert list_vectors(analysis) == ("one",)


def test_files_being_written_or_removed_are_not_listed(analysis: Any) -> None:
    save_vector(analysis, "one", np.array([1, 2, 3]))
    folder = analysis.folder / "vectors"
    (folder / ".two-abc.json.x1y2.json").write_text(json.dumps({"name": "two"}))
    (folder / ".two-abc.json.x1y2.npy").write_bytes(npy(EXPECTED))
    (folder / "three-abc.json").write_text(json.dumps({"name": "three"}))
    assert list_vectors(analysis) == ("one",)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", npy([1.0, 2.0]), npy([{}], allow_pickle=True)])
def test_a_damaged_vector_can_be_removed(analysis: Any, content: bytes) -> None:
    save_vector(analysis, "one", np.array([1, 2, 3]))
    next((analysis.folder / "vectors").glob("*.npy")).write_bytes(content)
    assert list_vectors(analysis) == ("one",)
    with pytest.raises(NotFound, match="damaged") as caught:
        load_vector(analysis, "one")
    assert "Remove" in caught.value.next_step
    delete_vector(analysis, "one")
    assert list_vectors(analysis) == ()
    assert not list((analysis.folder / "vectors").iterdir())
