"""A dataset for the tests of concepts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


@pytest.fixture
def dataset(make_analysis: Any) -> str:
    return make_analysis(np.zeros((2, 1)), np.array([0, 1])).dataset_id
