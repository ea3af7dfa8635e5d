"""Which method, with which settings: one line for who leaves it as it is, everything one press away."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from core.retraining.methods import METHODS, checked_settings, needs
from core.retraining.result import NETWORK
from pages.parts.words import count, duration, plain

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.retraining.finetune_time import TrainingPace
    from core.retraining.interface import Knob, Method

METHOD, KNOBS, SEED = "retrain_method_kept", "retrain_knobs_kept", "retrain_seed_kept"
DEFAULT = "mid"
MOST_SEED = 2**31 - 1
# seconds that a page waits for how fast a network trains, before it says that this is being measured
AT_ONCE = 0.5
# measurements under way, one at a time: two would slow each other down
_MEASURED: dict[tuple[Any, ...], Future[Any]] = {}
_POOL = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pace")
HELP = {
    "seed": "Fixes everything that is drawn at random: the same tags, settings and seed give the same last layer.",
    "needs": "What somebody has to say about images before the method can work.",
    "reset": "Every setting of this method as it usually is.",
}


@dataclass(frozen=True)
class Setup:
    """settings: only knobs that differ from their defaults."""

    method: str = DEFAULT
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    @property
    def needs(self) -> str:
        """ "tags", "attributes" or "", with these settings."""
        return needs(self.method, self.settings)

    @property
    def network(self) -> bool:
        return METHODS[self.method].kind == NETWORK


def adopt(asked: Mapping[str, str]) -> None:
    """Take over what a new address says of method and seed."""
    if asked.get("method") in METHODS:
        st.session_state[METHOD] = asked["method"]
    seed = asked.get("seed", "")
    if seed.isascii() and seed.isdigit() and len(seed) <= len(str(MOST_SEED)) and int(seed) <= MOST_SEED:
        st.session_state[SEED] = int(seed)


def choose() -> Setup:
    """The row that says which method it is, and what opens from it."""
    before = current()
    changed = f" · {count(len(before.settings), 'setting')} changed" if before.settings else ""
    with st.expander(
        f"Method: {plain(METHODS[before.method].title)}{changed}", icon=":material/tune:", key="retrain-methods"
    ):
        # Streamlit forgets a widget's value while it is not shown
        st.session_state["retrain_method"] = before.method
        left, right = st.columns((3, 2), gap="large")
        with left:
            st.radio(
                "Method",
                list(METHODS),
                key="retrain_method",
                format_func=lambda name: (
                    plain(METHODS[name].title) + (" (the usual choice)" if name == DEFAULT else "")
                ),
                captions=[plain(method.description) for method in METHODS.values()],
                label_visibility="collapsed",
                on_change=_keep_method,
            )
        with right:
            _settings(METHODS[before.method], before)
    return before


def current() -> Setup:
    """What is chosen now."""
    method = st.session_state.get(METHOD, DEFAULT)
    method = method if method in METHODS else DEFAULT
    kept = st.session_state.get(KNOBS, {}).get(method, {})
    usual = checked_settings(method)
    return Setup(
        method,
        {name: value for name, value in kept.items() if name in usual and value != usual[name]},
        int(st.session_state.get(SEED, 0)),
    )


def _settings(method: Method, setup: Setup) -> None:
    st.markdown(f"**{plain(method.title)}**")
    st.markdown(f"Needs: {plain(method.labels)}", help=HELP["needs"])
    st.caption(f"Source: {plain(method.source)}")
    for knob in method.knobs:
        _knob(method, knob, setup.settings.get(knob.name, knob.default))
    st.session_state["retrain_seed"] = setup.seed
    st.number_input(
        "Seed",
        min_value=0,
        max_value=MOST_SEED,
        key="retrain_seed",
        help=HELP["seed"],
        on_change=lambda: st.session_state.update({SEED: int(st.session_state["retrain_seed"])}),
    )
    if method.knobs:
        st.button(
            "Usual settings",
            icon=":material/restart_alt:",
            type="tertiary",
            disabled=not setup.settings,
            help=HELP["reset"],
            key="retrain-reset",
            on_click=partial(_reset, method.name),
        )


def _knob(method: Method, knob: Knob, value: Any) -> None:
    key = f"retrain-knob-{method.name}-{knob.name}"
    label = plain(knob.title) + (f" ({plain(knob.unit)})" if knob.unit else "")
    told: dict[str, Any] = {"key": key, "help": plain(knob.help), "on_change": partial(_keep, method.name, knob, key)}
    st.session_state[key] = value
    if isinstance(knob.default, bool):
        st.toggle(label, **told)
    elif isinstance(knob.default, str):
        st.segmented_control(label, knob.choices, required=True, **told)
    elif isinstance(knob.default, int):
        st.number_input(label, min_value=math.ceil(knob.low or 0), max_value=int(knob.high or 0), step=1, **told)
    else:
        low, high = float(knob.low or 0), float(knob.high or 0)
        st.number_input(label, min_value=low, max_value=high, step=_step(knob.default), format="%g", **told)


def _step(default: float) -> float:
    """What one press changes: a unit in the default's first digit."""
    return 10.0 ** math.floor(math.log10(default)) if default > 0 else 0.1


def _keep_method() -> None:
    st.session_state[METHOD] = st.session_state["retrain_method"]


def _keep(method: str, knob: Knob, key: str) -> None:
    st.session_state.setdefault(KNOBS, {}).setdefault(method, {})[knob.name] = knob.check(st.session_state[key])


def _reset(method: str) -> None:
    st.session_state.get(KNOBS, {}).pop(method, None)


def show_time(analysis: Analysis, setup: Setup, images: int, *, about: str = "") -> None:
    """How long training the network takes, or that it is being measured. images: that were chosen. about: words before
    the sentence. Raises what measuring raises."""
    chosen = checked_settings(setup.method, setup.settings)
    key = (analysis, str(chosen["layers"]), int(chosen["batch"]))
    under_way = _MEASURED.get(key) or _MEASURED.setdefault(key, _POOL.submit(_pace, *key))
    try:
        pace = under_way.result(timeout=AT_ONCE)
    except TimeoutError:
        st.fragment(_awaited, run_every=1.0)(under_way)
        return
    finally:
        if under_way.done():
            # `_pace` remembers it; what failed is tried again when somebody asks again
            _MEASURED.pop(key, None)
    st.caption(f":material/schedule: {about}{plain(training_time(analysis, setup, images, pace))}")


def _awaited(under_way: Future[Any]) -> None:
    if under_way.done():
        st.rerun()
    st.caption(":material/hourglass_empty: Measuring how fast this network trains here …")


def training_time(analysis: Analysis, setup: Setup, images: int, pace: TrainingPace) -> str:
    """How long training the network takes, as a sentence."""
    chosen = checked_settings(setup.method, setup.settings)
    seconds = pace.seconds(images=images, epochs=int(chosen["epochs"]), total=analysis.n)
    rate = f"{pace.rate:,.0f}" if pace.rate >= 10 else f"{pace.rate:.1f}"
    more = " and the training images" if chosen.get("train_images") else ""
    longer = "longer than " if more else ""
    where = "on this machine's GPU" if pace.gpu else "on this machine, which has no GPU: one would be many times faster"
    return (
        f"About {longer}{duration(seconds)} at most: {count(images, 'image')}{more}, {chosen['epochs']} epochs, {rate} "
        f"images a second {where}. It goes on in the background, and resumes where it was if it is stopped."
    )


@lru_cache(maxsize=8)
def _pace(analysis: Analysis, layers: str, batch: int) -> TrainingPace:
    # torch is needed for nothing else here
    from core.retraining.finetune_time import training_pace

    return training_pace(analysis, layers=layers, batch=batch)
