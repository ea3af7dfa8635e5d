from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from pages.parts.state import WIDTH, Investigation, _titles


def test_equal_titles_are_told_apart_by_their_images_then_by_their_ids() -> None:
    day = datetime(2026, 1, 1)
    whole = Investigation("aaaa1111", "birds", "net", 6000, 0.83, day, day)
    first_look = replace(whole, id="bbbb2222", images=1000)
    assert _titles([whole]) == {"aaaa1111": "birds · net · 83%"}
    cats = replace(whole, id="dddd4444", dataset_name="cats")
    titles = _titles([whole, first_look, replace(whole, id="cccc3333"), cats])
    assert len(set(titles.values())) == 4
    assert titles["bbbb2222"].endswith("1,000 images")
    assert titles["aaaa1111"].endswith("6,000 images · aaaa")
    assert titles["dddd4444"].startswith("cats")
    assert "images" not in titles["dddd4444"]


def test_a_long_model_name_is_shortened_and_the_accuracy_stays() -> None:
    day = datetime(2026, 1, 1)
    long = Investigation("aaaa1111", "birds", "birds-resnet50-sgd-momentum-long-schedule.pth.tar", 60, 0.83, day, day)
    title = _titles([long])["aaaa1111"]
    assert title.startswith("birds · resnet50-sgd")
    assert title.endswith("… · 83%")
    assert len(title) <= WIDTH + len(" ·  · 83%")
    named_after_its_dataset = replace(long, model_name="demo-birds.safetensors")
    assert _titles([named_after_its_dataset])["aaaa1111"] == "birds · demo · 83%"
    short = replace(long, model_name="net.PTH.tar")
    assert _titles([short])["aaaa1111"] == "birds · net · 83%"
