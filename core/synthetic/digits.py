"""Real handwritten digits with a planted confounder: the colour of the ink.

The digits are those of scikit-learn's `load_digits` (Alpaydin & Kaynak 1998, UCI "Optical Recognition of Handwritten
Digits"): 1,797 of 8 x 8 grey values, written by 43 people. The colouring follows Coloured MNIST (Arjovsky et al. 2019,
arXiv:1907.02893). In train and val nearly every second class is written in the second ink and the others in the first;
in test any digit has either. Every original belongs to one split only and is shown several times, turned, shifted
and sized anew.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from core.errors import BadRequest
from core.progress import Progress, silent
from core.synthetic.canvas import Color, darker, varied
from core.synthetic.planting import (
    TEST,
    TRAIN,
    VAL,
    Plan,
    appearing,
    check,
    image_name,
    make_folders,
    plan_groups,
    write_table,
)

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
INKS = ("orange", "teal")
# on grey; what is looked at in the app has no colour that could be taken for that of a class or a concept
PLAIN_INKS = ("white", "black")
# the digits most often taken for each other
ALIKE = (3, 5, 8, 9)
# two classes of all ten digits: hard enough that the ink pays
PARITY = {"even": (0, 2, 4, 6, 8), "odd": (1, 3, 5, 7, 9)}
COLUMNS = ("img_id", "img_filename", "y", "y_name", "split", "ink", "ink_name", "original")

_PAINTS: dict[str, Color] = {
    "orange": (226, 140, 64),
    "teal": (64, 172, 178),
    "white": (240, 240, 240),
    "black": (14, 14, 14),
}
# grey values of the paper: a bright ink shows on the dark one, either plain ink on the middle one
_DARK, _MIDDLE = (20, 70), (105, 135)
# of the originals of each digit; test gets the rest
_SHARES = {TRAIN: 0.5, VAL: 0.25}
# standard deviation of the noise, of 255: with less the digits are so clear that colour hardly pays
NOISE = 30
_EVERY = 100


def make_digits(
    out: Path,
    *,
    n: int = 6000,
    size: int = 32,
    seed: int = 0,
    agreement: float = 0.95,
    digits: Sequence[int] = ALIKE,
    kinds: Mapping[str, Sequence[int]] | None = None,
    noise: float = NOISE,
    inks: tuple[str, str] = INKS,
    progress: Progress = silent,
) -> Path:
    """Write `out/metadata.csv` (see `COLUMNS`) and `out/images`, and return `out`.

    n: images, half of them for train, a quarter each for val and test. size: pixels, width and height. agreement:
    share of each digit that has its usual ink, in train and val. digits: those used as classes; each second one usually
    has the second ink. kinds: classes by name in place of that, each of several digits. noise: standard deviation, of
    255. inks: `INKS` or `PLAIN_INKS`. The column `original` says which image of `load_digits` is shown. The same
    arguments give the same bytes. The folder appears when it is complete. Raises `BadRequest`, `DiskFull`,
    `StorageProblem`, and what `progress` raises.
    """
    from sklearn.datasets import load_digits

    check(out, size, agreement)
    classes = dict(kinds) if kinds is not None else {WORDS[digit]: (digit,) for digit in digits if 0 <= digit < 10}
    chosen = [digit for own in classes.values() for digit in own] if kinds is not None else list(digits)
    if len(set(chosen)) != len(chosen) or len(classes) < 2 or not set(chosen) <= set(range(10)):
        raise BadRequest(
            f"{tuple(chosen)} are no digits to tell apart.", next_step="Choose two or more different ones of 0-9."
        )
    names = tuple(classes)
    plan = plan_groups(n, len(names), len(inks), agreement, np.random.default_rng([seed, 0]))
    source = load_digits()
    members = [np.flatnonzero(np.isin(source.target, classes[name])) for name in names]
    originals = assign_originals(plan, members, seed)
    truth = list(zip(plan.labels.tolist(), plan.values.tolist(), plan.splits.tolist(), originals.tolist(), strict=True))
    with appearing(out) as beside:
        make_folders(beside, n)
        for index, (_, ink, _, original) in enumerate(truth):
            if index % _EVERY == 0:
                progress(index, n, "Drawing digits")
            drawn = draw_digit(source.images[original], inks[ink], np.random.default_rng([seed, 2, index]), size, noise)
            drawn.save(beside / image_name(index, ".png"))
        write_table(
            beside / "metadata.csv",
            COLUMNS,
            (
                (index, image_name(index, ".png"), y, names[y], split, ink, inks[ink], original)
                for index, (y, ink, split, original) in enumerate(truth)
            ),
        )
        progress(n, n, "Drawing digits")
    return out


def assign_originals(plan: Plan, members: Sequence[np.ndarray], seed: int) -> np.ndarray:
    """Which original each planned image shows: (n,) int64.

    members: the originals of each class. Each class's are parted among the splits, half, a quarter, a quarter; within
    a class, split and value they take turns, so none is shown twice as long as another has not been shown.
    """
    rng = np.random.default_rng([seed, 1])
    result = np.full(len(plan.labels), -1, dtype=np.int64)
    for c, own in enumerate(members):
        mixed = rng.permutation(own)
        cuts = [round(len(own) * _SHARES[TRAIN]), round(len(own) * (_SHARES[TRAIN] + _SHARES[VAL]))]
        for split, part in zip((TRAIN, VAL, TEST), np.split(mixed, cuts), strict=True):
            for value in np.unique(plan.values):
                rows = np.flatnonzero((plan.labels == c) & (plan.splits == split) & (plan.values == value))
                # test shows the same originals in every ink; elsewhere the few exceptions are drawn at random
                turn = part if split == TEST else rng.permutation(part)
                result[rows] = np.resize(turn, len(rows))
    return result


def draw_digit(
    grey: np.ndarray, ink: str, rng: np.random.Generator, size: int = 32, noise: float = NOISE
) -> Image.Image:
    """grey: (8, 8) of 0..16. ink: one of `INKS` or `PLAIN_INKS`. size: pixels. noise: see `make_digits`. Returns an
    RGB image, size x size."""
    turn, sizing = math.radians(rng.normal(0, 8)), rng.uniform(0.85, 1.1)
    shift = rng.uniform(-0.06, 0.06, 2) * size
    # from a pixel of the picture to one of the original, which fills four fifths of it
    step = 8 / (size * 0.8 * sizing)
    cos, sin = math.cos(turn) * step, math.sin(turn) * step
    centre = size / 2 + shift
    original = Image.fromarray(np.pad(grey.astype(np.float32) / 16, 4))
    mask = original.transform(
        (size, size),
        Image.Transform.AFFINE,
        (cos, sin, 8 - cos * centre[0] - sin * centre[1], -sin, cos, 8 + sin * centre[0] - cos * centre[1]),
        Image.Resampling.BICUBIC,
    )
    cover = np.clip(np.asarray(mask, dtype=np.float64), 0, 1)[..., None]
    fresh, faded = varied(_PAINTS[ink], rng, by=12), rng.uniform(0, 0.3)
    if ink in PLAIN_INKS:
        ground = np.full(3, rng.uniform(*_MIDDLE))
        # without a tint; and black cannot become darker: either fades into the paper
        paint = np.mean(fresh) + faded * (ground - np.mean(fresh))
    else:
        ground = np.full(3, rng.uniform(*_DARK))
        paint = np.array(darker(fresh, faded), dtype=np.float64)
    pixels = ground + cover * (paint - ground) + rng.normal(0, noise, (size, size, 3))
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
