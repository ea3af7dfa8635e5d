"""The Bands page: what is shown first, what a link restores, what the controls change."""

from __future__ import annotations

import pytest

from core.activations.bands import mid_band
from core.activations.store import Analysis

from .conftest import Visit, texts


def test_an_empty_workspace_invites_to_begin(visit: Visit) -> None:
    app = visit("bands")
    assert "Nothing to look at yet" in texts(app)
    assert not app.exception


def test_the_mid_band_of_val_is_shown_first(visit: Visit, planted: Analysis) -> None:
    app = visit("bands")
    assert not app.exception
    assert app.session_state["band_preset"] == "Mid band"
    assert app.session_state["band_split"] == "val"
    shown = app.number_input(key="band_low").value
    assert shown == pytest.approx(mid_band(planted, 0, split="val").low, abs=0.01)
