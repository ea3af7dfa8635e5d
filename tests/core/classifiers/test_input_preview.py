from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from core.classifiers.classifier import load_classifier
from core.classifiers.input_preview import preview_input
from core.classifiers.preprocessing import Preprocessing, squeezed
from core.datasets import Dataset

ROOT = Path(__file__).parents[3]


def test_what_the_network_sees_of_each_row(dark_and_light: Dataset, own_file: Path) -> None:
    rows = [5, 0, 40]
    broken = dark_and_light.root / str(dark_and_light.images[0])
    broken.write_bytes(b"")
    chosen = Preprocessing(14, 12, colour="bgr")
    shown = preview_input(dark_and_light, chosen, np.array(rows))
    assert shown[1] is None
    for row, pixels in ((5, shown[0]), (40, shown[2])):
        image = Image.open(dark_and_light.root / str(dark_and_light.images[row])).convert("RGB")
        assert pixels is not None
        np.testing.assert_array_equal(pixels, Preprocessing(14, 12).pixels(image))
    by_classifier, by_its_preprocessing = (
        preview_input(dark_and_light, seen_by, [7])[0] for seen_by in (load_classifier(own_file), squeezed(32))
    )
    assert by_classifier is not None
    np.testing.assert_array_equal(by_classifier, by_its_preprocessing)


def test_pages_need_no_torch_for_it() -> None:
    script = (
        "import sys, core.classifiers.input_preview, core.classifiers.sanity, core.classifiers.class_order; "
        "print([m for m in ('torch', 'scipy', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
