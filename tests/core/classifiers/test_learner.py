from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from core.classifiers.blocks import last_block
from core.classifiers.learner import Learner, augment, own_randomness, warm_cosine
from core.classifiers.preprocessing import Preprocessing
from core.errors import BadRequest

NetworkMaker = Callable[..., nn.Module]

PREPROCESSING = Preprocessing(resize=None, crop=16, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))


def batch(seed: int, count: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Dark and light pictures (count, 16, 16, 3) and which they are (count,)."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    pixels = rng.normal(70 + 110 * labels[:, None, None, None], 30, (count, 16, 16, 3))
    return pixels.clip(0, 255).astype(np.uint8), labels


def learner(network: nn.Module, **options: object) -> Learner:
    return Learner(network, PREPROCESSING, **{"learning_rate": 1e-2, "steps": 12, **options})  # type: ignore[arg-type]


def test_steps_teach_what_is_there_to_learn(network: NetworkMaker) -> None:
    learning = learner(network())
    losses = [learning.step(*batch(step))[0] for step in range(12)]
    assert losses[-1] < 0.5 * losses[0]
    pixels, labels = batch(99, 60)
    assert (learning.logits(pixels).argmax(axis=1) == labels).mean() > 0.9


def test_logits_are_those_of_the_network_on_normalised_pixels(network: NetworkMaker) -> None:
    made = network()
    pixels = batch(0)[0]
    with torch.inference_mode():
        wanted = made(torch.from_numpy(PREPROCESSING.normalise(pixels)).permute(0, 3, 1, 2)).numpy()
    assert np.array_equal(learner(made).logits(pixels), wanted)


def test_large_batches_are_taken_apart(network: NetworkMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    learning, pixels = learner(network()), batch(0, 30)[0]
    whole = learning.logits(pixels)
    monkeypatch.setattr("core.classifiers.learner.PIXELS_AT_ONCE", 7 * 16 * 16)
    assert np.allclose(learning.logits(pixels), whole, atol=1e-5)


@pytest.mark.parametrize("arch", ["small", "mobilenet_v3_small"])
def test_learning_goes_on_from_a_state_as_if_it_had_never_stopped(network: NetworkMaker, arch: str) -> None:
    def go(learning: Learner, steps: range) -> None:
        for step in steps:
            with own_randomness(step):
                learning.step(*batch(step))

    through = learner(network(arch))
    go(through, range(7))

    first = learner(network(arch))
    go(first, range(4))
    kept = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in first.state().items()}
    second = learner(network(arch, seed=1))
    second.load(kept, 4)
    go(second, range(4, 7))
    assert second.done == 7
    assert {**through.state()}.keys() == {**second.state()}.keys()
    assert all(torch.equal(tensor, second.state()[name]) for name, tensor in through.state().items())


def test_the_state_of_another_network_is_refused(network: NetworkMaker) -> None:
    learning = learner(network())
    learning.step(*batch(0))
    with pytest.raises((RuntimeError, KeyError, ValueError)):
        learner(network("mobilenet_v3_small")).load(learning.state(), 1)


def test_parameters_that_are_not_trained_stay_and_so_do_their_statistics(network: NetworkMaker) -> None:
    made = network()
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    learning = learner(made, trained=last_block(made, "head"))
    learning.step(*batch(0))
    learning.step(*batch(1))
    changed = {name for name, tensor in made.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.startswith(("features.4.", "head.")) for name in changed)
    assert {"head.weight", "features.4.0.weight", "features.4.1.running_mean"} <= changed


def test_statistics_can_be_kept_while_everything_else_learns(network: NetworkMaker) -> None:
    made = network()
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    learning = learner(made, statistics=False)
    learning.step(*batch(0))
    same = {name for name, tensor in made.state_dict().items() if torch.equal(tensor, before[name])}
    assert same == {name for name in before if "running" in name or "num_batches" in name}


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_mixed_precision_learns_and_keeps_weights_and_logits_in_full(
    network: NetworkMaker, precision: torch.dtype
) -> None:
    learning = learner(network(), precision=precision)
    # the first scale of float16 is too large: its steps are left out until it fits
    losses = [learning.step(*batch(step % 12))[0] for step in range(12)]
    assert np.isfinite(losses).all()
    assert all(p.dtype == torch.float32 for p in learning.network.parameters())
    assert learning.logits(batch(0)[0]).dtype == np.float32
    if precision is torch.float16:
        again = learner(network(seed=1), precision=precision)
        again.load(learning.state(), learning.done)
        assert torch.equal(again.state()["scaler.scale"], learning.state()["scaler.scale"])


def test_a_loss_that_is_no_number_ends_the_training_in_words(network: NetworkMaker) -> None:
    made = network()
    nn.init.constant_(dict(made.named_parameters())["head.weight"], float("nan"))
    with pytest.raises(BadRequest, match="diverged"):
        learner(made).step(*batch(0))


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    factors = [warm_cosine(step, 100) for step in range(101)]
    assert factors[:15] == sorted(factors[:15])
    assert max(factors) == 1
    assert factors[15:] == sorted(factors[15:], reverse=True)
    assert factors[100] == pytest.approx(0)
    assert warm_cosine(0, 1) == 1


def test_randomness_follows_the_seed_and_leaves_the_callers_alone() -> None:
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    drawn = []
    for _ in range(2):
        with own_randomness(8):
            drawn.append(torch.rand(4))
    assert torch.equal(*drawn)
    assert torch.equal(torch.rand(2), wanted)


def test_augmented_images_are_the_originals_shifted_and_mirrored() -> None:
    pixels = np.zeros((200, 32, 32, 3), np.uint8)
    pixels[:, 16, 10] = 255
    made = augment(pixels, np.random.default_rng(0))
    assert made.shape == pixels.shape
    assert made.dtype == np.uint8
    down, right = np.argwhere(made[..., 0] == 255)[:, 1:].T
    assert len(down) == 200
    assert set(down) == set(range(14, 19))
    assert set(right) == set(range(8, 13)) | {31 - place for place in range(8, 13)}


def test_what_shifting_uncovers_repeats_the_border() -> None:
    pixels = np.full((50, 16, 16, 3), 77, np.uint8)
    assert (augment(pixels, np.random.default_rng(1)) == 77).all()
