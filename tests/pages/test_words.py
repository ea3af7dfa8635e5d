"""Names show as they are; numbers claim no more than they know."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest

from pages.parts import words

from .conftest import Visit, texts


@pytest.mark.parametrize("name", ["**bold**", "<b>x</b>", "$x^2$", "[a](http://b)", ":red[x]", "# a", "a_b_c", "`c`"])
def test_markdown_in_a_name_is_escaped(name: str) -> None:
    shown = words.plain(name)
    specials = [i for i, character in enumerate(shown) if character in "*<>$[]():#_`"]
    assert all(shown[i - 1] == "\\" for i in specials)


def test_a_shortcode_in_a_name_stays_text() -> None:
    assert ":smile:" not in words.plain("a :smile: b").replace("\\", "")


def test_a_name_stays_on_one_line() -> None:
    assert words.plain("a\n\n# b").count("\n") == 0


def test_nearly_all_is_not_written_as_all() -> None:
    assert words.percent(0.996) == "99.6%"
    assert words.percent(0.99996) == "99.9%"
    assert words.percent(1.0) == "100%"
    assert words.percent(0.00001) == "0.1%"
    assert words.percent(0.0) == "0%"
    assert words.percent(0.714) == "71%"
    assert words.percent(0.004) == "0.4%"
    assert words.percent(None) == "–"
    assert words.percent(float("nan")) == "–"


def test_a_long_list_says_how_many_more() -> None:
    assert words.listed(["a"]) == "a"
    assert words.listed(["a", "b", "c"]) == "a, b and c"
    assert words.listed([str(i) for i in range(8)]) == "0, 1, 2, 3, 4, 5 and 2 more"
    assert words.listed([]) == "none"


def test_one_is_singular() -> None:
    assert words.count(1, "image") == "1 image"
    assert words.count(1200, "image") == "1,200 images"
    assert words.count(2, "class", "classes") == "2 classes"


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "just now"), (61, "1 minute ago"), (7300, "2 hours ago"), (200_000, "2 days ago")]
)
def test_how_long_ago(seconds: int, text: str) -> None:
    now = datetime(2026, 1, 10)
    assert words.ago(now - timedelta(seconds=seconds), now) == text


@pytest.mark.parametrize(
    ("concept", "source", "title"),
    [
        (None, "classes", "waterbird"),
        ("land", "attribute place", "waterbird (place: land)"),
        ("no water", "concept water, estimated by a probe", "waterbird without water"),
        ("water, no reeds", "concepts water, reeds", "waterbird with water, without reeds"),
    ],
)
def test_a_group_is_named_as_a_person_would(concept: str | None, source: str, title: str) -> None:
    assert words.group_title("waterbird", concept, source) == title


def test_a_long_name_is_cut_where_room_is_short() -> None:
    assert words.short("water") == "water"
    assert len(words.short("w" * 200)) == 40
    assert words.short("w" * 200).endswith("w…")


def test_labels_are_told_apart_by_hint_then_by_number() -> None:
    assert words.distinct(["a", "b"], ["x", "y"]) == ["a", "b"]
    assert words.distinct(["a", "b", "a"], ["x", "y", "z"]) == ["a · x", "b", "a · z"]
    assert words.distinct(["a", "a", "a"], ["x", "x", "y"]) == ["a · x", "a · x (2)", "a · y"]
    assert words.distinct(["a", "a", "a (2)"]) == ["a", "a (3)", "a (2)"]
    # spaces that do not show tell nothing apart
    assert words.distinct(["a  b", "a b"]) == ["a b", "a b (2)"]


def test_long_names_that_begin_alike_keep_their_ends() -> None:
    beginning = "a very long name indeed " * 5
    shown = words.distinct([f"{beginning}sea", f"{beginning}lake", "pond"], most=30)
    assert [one[-4:] for one in shown] == [" sea", "lake", "pond"]
    assert all(len(one) <= 30 for one in shown)
    assert len(set(words.distinct([f"{beginning}{k}{beginning}" for k in range(9)], most=30))) == 9


def test_every_term_has_a_title_and_a_place_of_its_own() -> None:
    titles = [words.term_title(term) for term in words.TERMS]
    anchors = [words.anchor(term) for term in words.TERMS]
    assert len(set(titles)) == len(titles)
    assert len(set(anchors)) == len(anchors)
    assert all(re.fullmatch(r"[a-z-]+", anchor) for anchor in anchors)
    assert all(text.rstrip("*)")[-1] in ".!?1234567890" for text in words.TERMS.values())


def test_terms_lead_to_others_that_are_there() -> None:
    for term in words.TERMS:
        assert term not in words.related(term)
        assert set(words.related(term)) <= set(words.TERMS)
    assert "logit" in words.related("probability")


def test_help_leads_to_the_glossary() -> None:
    assert words.helped("mid band").startswith(words.TERMS["mid band"])
    assert words.helped("mid band").endswith("(glossary#mid-band)")


def test_the_glossary_holds_every_term_in_order(visit: Visit) -> None:
    app = visit("glossary")
    assert not app.exception
    shown = [heading.value for heading in app.header]
    assert shown == sorted(map(words.term_title, words.TERMS), key=str.casefold)
    assert all(heading.anchor for heading in app.header)


def test_every_letter_of_the_glossary_leads_to_its_first_term(visit: Visit) -> None:
    app = visit("glossary")
    [row] = [text.value for text in app.main.markdown if text.value.startswith("[A]")]
    links = re.findall(r"\[(.)\]\(#([^)]+)\)", row)
    titles = [heading.value for heading in app.header]
    anchors = {heading.value: heading.anchor for heading in app.header}
    assert [letter for letter, _ in links] == sorted({title[0].upper() for title in titles})
    for letter, target in links:
        assert target == anchors[next(title for title in titles if title[0].upper() == letter)]
    # with few terms left there is nothing to jump over
    app.text_input[0].set_value("group").run()
    assert not [text for text in app.main.markdown if text.value.startswith("[A]")]


def test_the_glossary_is_searched_by_title_first(visit: Visit) -> None:
    app = visit("glossary")
    app.text_input[0].set_value("worst GROUP").run()
    shown = [heading.value for heading in app.header]
    assert shown[0] == "Worst group"
    assert 1 < len(shown) < len(words.TERMS)
    app.text_input[0].set_value("zebra <b>").run()
    assert not app.header
    assert "No term has" in texts(app)
