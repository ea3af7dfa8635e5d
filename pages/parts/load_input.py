"""How images are prepared for the network: what the model says, what a person sets, and what the network then sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from core.classifiers.preprocessing import IMAGENET_MEAN, IMAGENET_STD, preprocessing_from_dict
from core.errors import MidbandError
from pages.parts import problem
from pages.parts.load_look import Looked
from pages.parts.strips import strip
from pages.parts.words import plain

OWN = "load_own_input"
MIDDLE, WHOLE = "The middle", "All of it, squeezed"
IMAGENET, CENTRED, UNIT, RAW, TYPED = "ImageNet's", "−1 to 1", "0 to 1", "0 to 255", "My own"
COLOURS = {"rgb": "Red, green, blue", "bgr": "Blue, green, red", "grey": "Grey"}
CHANNELS = {"rgb": ("red", "green", "blue"), "bgr": ("blue", "green", "red"), "grey": ("grey",)}
# what values in 0..1 are brought to: mean and deviation of red, green and blue
NUMBERS = {
    IMAGENET: (IMAGENET_MEAN, IMAGENET_STD),
    CENTRED: ((0.5,) * 3, (0.5,) * 3),
    UNIT: ((0.0,) * 3, (1.0,) * 3),
    RAW: ((0.0,) * 3, (1 / 255,) * 3),
}
USUAL: dict[str, Any] = {"resize": 256, "crop": 224, "mean": IMAGENET_MEAN, "std": IMAGENET_STD}
SHOWN = 6

_HELP = {
    "frame": "Networks take squares. Most were trained on the middle of each image; some on the whole image, squeezed.",
    "crop": "Pixels of both sides of the square that the network gets.",
    "resize": "Pixels: the image is shrunk until its shorter side has this length, then the middle is cut out.",
    "numbers": "Which numbers the brightness of a pixel becomes. Most networks expect ImageNet's mean taken off and "
    "divided by its deviation. Wrong numbers make a good network look bad.",
    "colour": "The order of the colour channels. Networks from OpenCV or Caffe often expect blue first.",
}


def ask(looked: Looked, known: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What a person sets in place of what the model says; None leaves it to the model.

    known: what the model's own preparation is, once something has opened it.
    """
    title = "How images are prepared"
    with st.expander(title, icon=":material/tune:", key="load-input"):
        own = st.toggle(
            "Set it myself",
            key=OWN,
            persist_state="session",
            on_change=_begin_with,
            args=(known,),
            help="Otherwise: what the model's file or folder says, or what the public weights of this network expect.",
        )
        if not own:
            if known is None:
                st.caption("As the model says, or as the public weights of its network expect.")
                return None
            st.caption(f"Now: {plain(sentence(known))}")
            _seen(looked, known)
            return None
        chosen = _fields()
        _seen(looked, chosen)
        return chosen


def use(values: Mapping[str, Any]) -> None:
    """Set it to these values, as a person would; for callbacks."""
    st.session_state[OWN] = True
    _fill(values)


def reset() -> None:
    """Leave it to the model again; for callbacks."""
    st.session_state[OWN] = False


def sentence(values: Mapping[str, Any]) -> str:
    """In words: 224 × 224 pixels (the middle, after a resize to 256), ImageNet's numbers."""
    crop, resize = values["crop"], values.get("resize")
    frame = "all of the image, squeezed" if resize is None else f"the middle, after a resize to {resize}"
    colour = values.get("colour", "rgb")
    numbers = _numbers(values).replace(TYPED, "its own")
    told = f"{crop} × {crop} pixels ({frame}), {numbers} numbers"
    return told + (f", colours {COLOURS[colour].lower()}." if colour != "rgb" and colour in COLOURS else ".")


def _begin_with(known: Mapping[str, Any] | None) -> None:
    if st.session_state[OWN]:
        _fill(known or USUAL)


def _fill(values: Mapping[str, Any]) -> None:
    whole = values.get("resize") is None
    numbers = _numbers(values)
    mean, std = _three(values.get("mean", IMAGENET_MEAN)), _three(values.get("std", IMAGENET_STD))
    st.session_state["load_frame"] = WHOLE if whole else MIDDLE
    st.session_state["load_crop"] = int(values["crop"])
    st.session_state["load_resize"] = int(values["crop"] if whole else values["resize"])
    st.session_state["load_numbers"] = numbers
    st.session_state["load_colour"] = values.get("colour", "rgb")
    st.session_state["load_interpolation"] = values.get("interpolation", "bilinear")
    for index in range(3):
        st.session_state[f"load_mean_{index}"] = float(mean[index])
        st.session_state[f"load_std_{index}"] = float(std[index])


def _fields() -> dict[str, Any]:
    if "load_crop" not in st.session_state:
        _fill(USUAL)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        frame = st.segmented_control(
            "Part of the image",
            (MIDDLE, WHOLE),
            required=True,
            key="load_frame",
            persist_state="session",
            help=_HELP["frame"],
        )
        crop = st.number_input(
            "Network input", 8, 2048, key="load_crop", persist_state="session", help=_HELP["crop"], width=150
        )
        if frame == MIDDLE:
            resize = st.number_input(
                "Shorter side to", 8, 4096, key="load_resize", persist_state="session", help=_HELP["resize"], width=150
            )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        numbers = st.selectbox(
            "Numbers", (*NUMBERS, TYPED), key="load_numbers", persist_state="session", help=_HELP["numbers"], width=190
        )
        colour = st.selectbox(
            "Colours",
            tuple(COLOURS),
            format_func=COLOURS.__getitem__,
            key="load_colour",
            persist_state="session",
            help=_HELP["colour"],
            width=190,
        )
    mean, std = _usual(numbers, colour) if numbers in NUMBERS else _typed(CHANNELS[colour])
    chosen: dict[str, Any] = {
        "resize": int(resize) if frame == MIDDLE else None,
        "crop": int(crop),
        "mean": list(mean),
        "std": list(std),
        "interpolation": st.session_state.get("load_interpolation", "bilinear"),
    }
    return chosen if colour == "rgb" else {**chosen, "colour": colour}


def _usual(numbers: str, colour: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation in the order of the network's channels."""
    mean, std = NUMBERS[numbers]
    return (mean[::-1], std[::-1]) if colour == "bgr" else (mean, std)


def _typed(channels: tuple[str, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """channels: in the network's order."""
    rows: list[tuple[float, ...]] = []
    for key, title, least in (("mean", "Mean", -300.0), ("std", "Deviation", 0.001)):
        with st.container(horizontal=True):
            rows.append(
                tuple(
                    st.number_input(
                        f"{title}, {name}",
                        least,
                        300.0,
                        key=f"load_{key}_{index}",
                        persist_state="session",
                        format="%.4f",
                        step=0.01,
                        width=150,
                    )
                    for index, name in enumerate(channels)
                )
            )
    return rows[0], rows[1]


def _seen(looked: Looked, values: Mapping[str, Any]) -> None:
    """A few images as the network gets them: what is cut off, squeezed or swapped is seen at once."""
    try:
        squares = looked.as_input(preprocessing_from_dict(values), SHOWN)
    except MidbandError as error:
        problem.show(error)
        return
    if squares:
        st.caption("What the network sees")
        st.image(strip(squares, SHOWN), width="stretch", alt="A few images as the network gets them")


def _numbers(values: Mapping[str, Any]) -> str:
    """The name of the numbers that these are, whatever the order of the channels."""
    colour = values.get("colour", "rgb")
    given = _three(values.get("mean", IMAGENET_MEAN)), _three(values.get("std", IMAGENET_STD))
    for name in NUMBERS:
        usual = _usual(name, colour)
        if colour == "grey":
            # of one channel the mean of three is taken
            usual = (sum(usual[0]) / 3,) * 3, (sum(usual[1]) / 3,) * 3
        if all(abs(a - b) < 1e-4 for i in (0, 1) for a, b in zip(given[i], usual[i], strict=True)):
            return name
    return TYPED


def _three(values: Any) -> tuple[float, ...]:
    """One number per channel; that of a grey network stands for all."""
    given = tuple(float(value) for value in values)
    return given * 3 if len(given) == 1 else given[:3]
