"""Models that would take all memory or all time, in ways that nobody can foresee by reading them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import psutil
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from core.classifiers import exported_graph, limits, onnx_session
from core.classifiers.classifier import Classifier, load_classifier
from core.classifiers.exported_kernels import LARGEST_VALUE, check_growth, checked, operations_of
from core.classifiers.exported_operators import ATTENDING, MULTIPLYING, OPERATORS, POOLS, WITHIN
from core.errors import BadCheckpoint, HeadNotFound, MidbandError

Place = Any
Refused = Callable[..., MidbandError]
SIDE = 16


def onnx_graph(place: Place, nodes: list[onnx.NodeProto], numbers: dict[str, Any]) -> Path:
    """Means of the colours plus `more`, which nodes compute from `images`, and a last layer."""
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=(2, 3)), "b": np.zeros(2)}
    given = {name: np.asarray(value, dtype=np.float32) for name, value in weights.items()} | numbers
    after = [
        helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Add", ["flat", "more"], ["features"]),
        helper.make_node("Gemm", ["features", "w", "b"], ["logits"], transB=1),
    ]
    model = helper.make_model(
        helper.make_graph(
            [*nodes, *after],
            "graph",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in given.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    path: Path = place.given / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def made_up(source: str, side: str) -> list[onnx.NodeProto]:
    """`more` = the mean of zeros, `side` of them squared, a size computed from a value: no one knows it beforehand."""
    return [
        helper.make_node("ReduceMax", [source], ["largest"], keepdims=0),
        helper.make_node("Mul", ["largest", "nothing"], ["zero"]),
        helper.make_node("Cast", ["zero"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Add", ["whole", side], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["large"]),
        helper.make_node("ReduceMean", ["large"], ["more"], keepdims=0),
    ]


@pytest.mark.parametrize("source", ["images", "w"], ids=["of the images", "of weights, ahead"])
@pytest.mark.parametrize("side", [15_000, 200_000])
def test_onnx_cannot_take_memory_by_sizes_that_it_computes(
    source: str, side: int, place: Place, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=64 * 2**30))
    numbers = {"nothing": np.float32(0), "side": np.array([side * 2, side * 2])}
    path = onnx_graph(place, made_up(source, "side"), numbers)
    problem = refused(limits.TooLarge, lambda: load_classifier(path))
    assert problem.detail.startswith("What model.onnx computes on the way needs more than 2 GB of memory")
    assert "load it on a larger machine" in problem.next_step


def test_a_problem_of_a_graph_is_told_in_its_own_words(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is another kind of exception besides is not taken for a damaged file."""

    class Both(HeadNotFound, ValueError):
        pass

    def fails(*_: object) -> None:
        raise Both("It ends in nothing.", next_step="Export it again.")

    path = onnx_graph(place, made_up("images", "side"), {"nothing": np.float32(0), "side": np.array([40, 40])})
    monkeypatch.setattr("core.classifiers.onnx_model.part", fails)
    with pytest.raises(Both, match="It ends in nothing"):
        load_classifier(path)


def test_onnx_with_computed_sizes_within_the_limits_is_run(place: Place) -> None:
    path = onnx_graph(place, made_up("images", "side"), {"nothing": np.float32(0), "side": np.array([40, 40])})
    sound(load_classifier(path))


def test_onnx_is_not_computed_ahead_where_sizes_are_unknown(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folded into weights, each of many values would stay in memory, where none is as large as an arena."""
    opened: list[bool] = []
    ahead = onnx_session._known_ahead

    def noted(model: Any) -> bool:
        opened.append(ahead(model))
        return opened[-1]

    monkeypatch.setattr(onnx_session, "_known_ahead", noted)
    load_classifier(onnx_graph(place, made_up("w", "side"), {"nothing": np.float32(0), "side": np.array([40, 40])}))
    assert not any(opened)
    turned = [helper.make_node("Transpose", ["row"], ["more"], perm=[1, 0])]
    load_classifier(onnx_graph(place, turned, {"row": np.zeros((3, 1), np.float32)}))
    assert all(opened[-2:])
    large = [
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        helper.make_node("ReduceMean", ["zeros"], ["more"], keepdims=0),
    ]
    load_classifier(onnx_graph(place, large, {"size": np.array([onnx_session.AHEAD + 1])}))
    assert not opened[-1]


def test_what_a_file_says_of_its_sizes_is_not_believed(place: Place, refused: Refused) -> None:
    path = onnx_graph(
        place,
        [
            helper.make_node("ConstantOfShape", ["size"], ["large"]),
            helper.make_node("ReduceMean", ["large"], ["more"], keepdims=0),
        ],
        {"size": np.array([200_000, 200_000])},
    )
    model = onnx.load(path)
    model.graph.value_info.append(helper.make_tensor_value_info("large", TensorProto.FLOAT, [1]))
    path.write_bytes(model.SerializeToString())
    problem = refused(BadCheckpoint, lambda: load_classifier(path))
    assert "large in model.onnx would have 40,000,000,000 numbers" in problem.detail


def test_onnx_that_takes_for_ever_is_stopped(place: Place, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SECONDS", 0.5)
    count = 4000
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["start"], axes=[0, 1, 2, 3], keepdims=0),
        helper.make_node("Add", ["square", "start"], ["h0"]),
        *(helper.make_node("MatMul", [f"h{at}", "square"], [f"h{at + 1}"]) for at in range(count)),
        helper.make_node("ReduceMean", [f"h{count}"], ["more"], keepdims=0),
    ]
    path = onnx_graph(place, nodes, {"square": np.zeros((700, 700), np.float32)})
    begun = time.monotonic()
    problem = refused(BadCheckpoint, lambda: load_classifier(path))
    assert "was stopped" in problem.detail
    assert time.monotonic() - begun < 15


def test_all_that_is_tried_of_a_model_has_one_time_together(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[float] = []
    ending = limits.deadline

    def noted() -> float:
        ends.append(ending())
        return ends[-1]

    monkeypatch.setattr(limits, "deadline", noted)
    monkeypatch.setattr(onnx_session, "deadline", noted)
    path = onnx_graph(place, made_up("images", "side"), {"nothing": np.float32(0), "side": np.array([40, 40])})
    for model in (path, program(place, one_after_the_other)):
        ends.clear()
        load_classifier(model)
        assert len(ends) > 2
        # the first begins the time of the whole
        assert len(set(ends)) == 1
    assert ending() > ends[0]


def test_waiting_takes_nothing_off_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """For others on a busy machine, who compute meanwhile in programs of their own."""
    monkeypatch.setattr(limits, "SECONDS", 0.1)
    stopped: list[bool] = []
    budget = limits.trial("model.pt2", torch.zeros(1))
    with onnx_session._limited(Path("model.onnx"), 1, lambda: stopped.append(True)):
        time.sleep(1)
        budget.check(0)
        assert not stopped
        begun = time.process_time()
        while time.process_time() - begun < 0.6:
            pass
        assert stopped
        with pytest.raises(limits.TooSlow, match="was stopped"):
            budget.check(0)


def test_whoever_waits_for_another_graph_to_be_opened_is_not_stopped(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()
    limited = onnx_session._limited

    def noted(*given: Any) -> Any:
        begun.set()
        return limited(*given)

    path = onnx_graph(place, made_up("images", "side"), {"nothing": np.float32(0), "side": np.array([40, 40])})
    monkeypatch.setattr(onnx_session, "_limited", noted)
    other = threading.Thread(target=load_classifier, args=(path,))
    with onnx_session._arenas:
        other.start()
        assert not begun.wait(1)
    other.join()
    assert begun.is_set()


def test_what_runs_on_a_graphics_card_is_held_to_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda where: (3 * 2**30, 8 * 2**30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda where: 4 * 2**30)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda where: 2**30)
    assert limits.bytes_for(None, torch.device("cuda")) == int(limits.SHARE * 6 * 2**30)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))
    assert limits.bytes_for(None, torch.device("cpu")) == limits.bytes_for(None) == int(limits.SHARE * 1000)


class Odd(nn.Module):
    """Means of the colours plus what `more` gives, and a last layer."""

    def __init__(self, more: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.more = more
        self.head = nn.Linear(3, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(images.mean((2, 3)) + self.more(images))


def program(place: Place, more: Callable[[torch.Tensor], torch.Tensor]) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Odd(more).eval()
    path: Path = place.given / "model.pt2"
    torch.export.save(torch.export.export(network, (torch.zeros(1, 3, SIDE, SIDE),)), path)
    return path


def many_at_once(images: torch.Tensor) -> torch.Tensor:
    held = [images.mean() + torch.zeros(2000, 2500) for _ in range(8)]
    return torch.stack([one.mean() for one in held]).sum()


def one_after_the_other(images: torch.Tensor) -> torch.Tensor:
    found = images.mean() * 0
    for _ in range(8):
        found = found + (images.mean() + torch.zeros(2000, 2500)).mean()
    return found


def test_a_program_cannot_take_memory_by_many_values_at_once(
    place: Place, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them is large; together they are 160 MB."""
    monkeypatch.setattr(limits, "TRIED_BYTES", 100_000_000)
    path = program(place, many_at_once)
    problem = refused(BadCheckpoint, lambda: load_classifier(path))
    assert "needs more than 0.09" in problem.detail
    sound(load_classifier(program(place, one_after_the_other)))


def test_a_program_is_held_to_its_limits_after_it_was_tried(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = load_classifier(program(place, many_at_once))
    sound(classifier)
    monkeypatch.setattr(limits, "SHARE", 1e-6)
    with pytest.raises(limits.TooLarge):
        classifier(torch.zeros(1, 3, SIDE, SIDE))


def test_sizes_that_a_program_takes_from_the_images_are_looked_at_before_each_operator(place: Place) -> None:
    def more(images: torch.Tensor) -> torch.Tensor:
        count = (images.max() * 0).to(torch.int64).item() + 3
        torch._check(count >= 3)
        torch._check(count < 10_000)
        return torch.ones(count, 2).sum() * torch.zeros(())  # type: ignore[arg-type]  # a whole number

    classifier = load_classifier(program(place, more))
    sound(classifier)
    assert classifier.backbone._sizes_from_numbers  # type: ignore[attr-defined]


def test_one_operator_that_would_take_days_is_not_run(place: Place, refused: Refused) -> None:
    def more(images: torch.Tensor) -> torch.Tensor:
        square, filters = torch.zeros(1, 1, 6000, 6000), torch.zeros(1, 1, 3000, 3000)
        return nn.functional.conv2d(square, filters).mean() + images.mean()

    path = program(place, more)
    begun = time.monotonic()
    problem = refused(BadCheckpoint, lambda: load_classifier(path))
    assert "was stopped" in problem.detail
    assert time.monotonic() - begun < 15


def test_pooling_over_windows_of_millions_is_not_run(place: Place, refused: Refused) -> None:
    def more(images: torch.Tensor) -> torch.Tensor:
        square = torch.zeros(1, 1, 6000, 6000)
        return nn.functional.max_pool2d(square, 3000, stride=1).mean() + images.mean()

    path = program(place, more)
    assert "was stopped" in refused(BadCheckpoint, lambda: load_classifier(path)).detail


def shapes(*sizes: int) -> torch.Tensor:
    return torch.empty(sizes, device="meta")


ROW, MAP, CUBE = shapes(1, 3, 8), shapes(1, 3, 8, 8), shapes(1, 3, 8, 8, 8)
SQUARE, BATCHED, HEADS = shapes(10, 10), shapes(2, 10, 10), shapes(1, 2, 10, 8)
# by operator: its overload, its arguments, the multiplications and additions (of pooling: the numbers looked at)
COUNTED: dict[str, tuple[str, list[Any], float]] = {
    "linear": ("default", [SQUARE, SQUARE], 2e3),
    "addmm": ("default", [SQUARE, SQUARE, SQUARE], 2e3),
    "mm": ("default", [SQUARE, SQUARE], 2e3),
    "matmul": ("default", [BATCHED, SQUARE], 4e3),
    "bmm": ("default", [BATCHED, BATCHED], 4e3),
    "baddbmm": ("default", [BATCHED, BATCHED, BATCHED], 4e3),
    "einsum": ("default", ["ij,jk->ik", [SQUARE, SQUARE]], 2e3),
    "conv1d": ("default", [ROW, shapes(4, 3, 3)], 2 * 6 * 4 * 9),
    "conv2d": ("default", [MAP, shapes(4, 3, 3, 3)], 2 * 36 * 4 * 27),
    "conv3d": ("default", [CUBE, shapes(4, 3, 3, 3, 3)], 2 * 216 * 4 * 81),
    "conv_transpose2d": ("input", [MAP, shapes(3, 4, 3, 3)], 2 * 64 * 4 * 27),
    **dict.fromkeys(
        ("convolution", "_convolution"),
        (
            "default",
            [MAP, shapes(4, 3, 3, 3), None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, *[False] * 4],
            2 * 36 * 4 * 27,
        ),
    ),
    **dict.fromkeys(ATTENDING, ("default", [HEADS, HEADS, HEADS], 2 * 2 * 10 * 10 * 16)),
    "avg_pool1d": ("default", [ROW, [4], [1]], 3 * 5 * 4),
    "max_pool1d": ("default", [ROW, [4], [1]], 3 * 5 * 4),
    "avg_pool2d": ("default", [MAP, [4], [1]], 3 * 25 * 16),
    "max_pool2d": ("default", [MAP, [4, 2], [1]], 3 * 35 * 8),
    "max_pool2d_with_indices": ("default", [MAP, [4], [1]], 3 * 25 * 16),
    "avg_pool3d": ("default", [CUBE, [4], [1]], 3 * 125 * 64),
    "adaptive_avg_pool1d": ("default", [ROW, [2]], 3 * (8 + 2)),
    **dict.fromkeys(
        ("adaptive_avg_pool2d", "_adaptive_avg_pool2d", "adaptive_max_pool2d"), ("default", [MAP, [2, 2]], 3 * (64 + 4))
    ),
}


def test_every_operator_that_takes_long_is_counted() -> None:
    assert {name for name in OPERATORS if "pool" in name} == set(POOLS)
    assert {name for name in OPERATORS if "attention" in name} == set(ATTENDING)
    assert set(COUNTED) == POOLS | ATTENDING | MULTIPLYING
    for name, (overload, given, expected) in COUNTED.items():
        call = checked(name, getattr(getattr(torch.ops.aten, name), overload))
        if name == "convolution":
            given = given[:9]
        _, operations = operations_of(name, call, given, {})
        assert operations == (30 * expected if name in POOLS else expected), name


QUERIES = shapes(1, 1, 2**22, 16)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("avg_pool1d", [shapes(1, 1, 2**25), [2**24], [1]]),
        ("max_pool1d", [shapes(1, 1, 2**25), [2**24], [1]]),
        ("avg_pool3d", [shapes(1, 1, 320, 320, 320), [160, 160, 160], [1, 1, 1]]),
        ("avg_pool2d", [shapes(1, 1, 6000, 6000), [3000], [1]]),
        *((name, [QUERIES] * 3) for name in sorted(ATTENDING)),
    ],
)
def test_no_operator_is_begun_that_would_take_days(name: str, given: list[Any]) -> None:
    call = checked(name, getattr(torch.ops.aten, name).default)
    budget = limits.Budget("model.pt2", 2**40, until=time.process_time() + 300)
    with pytest.raises(limits.TooSlow):
        check_growth(name, call, given, {}, LARGEST_VALUE, budget)


def test_attention_that_compares_all_at_once_needs_memory_for_it() -> None:
    """What torch has no fast kernel for is computed pair by pair, in memory."""
    name = "scaled_dot_product_attention"
    call = checked(name, getattr(torch.ops.aten, name).default)
    budget = limits.Budget("model.pt2", 2**30, until=time.process_time() + 300)
    fast, slow = shapes(1, 1, 2**15, 16), shapes(1, 2**15, 16)
    check_growth(name, call, [fast] * 3, {}, LARGEST_VALUE, budget)
    with pytest.raises(limits.TooLarge):
        check_growth(name, call, [slow] * 3, {}, LARGEST_VALUE, budget)
    with pytest.raises(limits.TooLarge):
        check_growth(name, call, [fast, fast, fast[..., :8]], {}, LARGEST_VALUE, budget)


def test_sums_of_many_products_need_memory_on_the_way() -> None:
    """The first two of these give 16 GB, the three together one number."""
    call = torch.ops.aten.einsum.default
    budget = limits.Budget("model.pt2", 2**30, until=time.process_time() + 300)
    row, square = shapes(2**16), shapes(2**16, 2**16)
    with pytest.raises(limits.TooLarge):
        check_growth("einsum", call, ["i,j,ij->", [row, row, square]], {}, LARGEST_VALUE, budget)
    small = shapes(3, 4, 50, 16)
    check_growth("einsum", call, ["bhid,bhjd,bhjv->bhiv", [small] * 3], {}, LARGEST_VALUE, budget)


def test_a_program_that_takes_for_ever_is_stopped(
    place: Place, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    def more(images: torch.Tensor) -> torch.Tensor:
        square = torch.zeros(600, 600) + images.mean()
        found = square
        for _ in range(300):
            found = found @ square
        return found.mean()

    path = program(place, more)
    monkeypatch.setattr(limits, "SECONDS", 0.1)
    assert "was stopped" in refused(BadCheckpoint, lambda: load_classifier(path)).detail


def test_a_program_of_too_many_operators_is_not_read(
    place: Place, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = program(place, one_after_the_other)
    monkeypatch.setattr(exported_graph, "MOST_STEPS", 20)
    assert "more than any classifier known" in refused(BadCheckpoint, lambda: load_classifier(path)).detail


def test_operators_of_graphs_within_a_graph_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def relu(name: str, of: str) -> dict[str, Any]:
        return {
            "target": "torch.ops.aten.relu.default",
            "inputs": [{"name": "self", "arg": {"as_tensor": {"name": of}}}],
            "outputs": [{"as_tensor": {"name": name}}],
        }

    def within(name: str, *inner: dict[str, Any]) -> dict[str, Any]:
        graph = {
            "nodes": list(inner),
            "inputs": [{"as_tensor": {"name": "x"}}],
            "outputs": [{"as_tensor": {"name": "b"}}],
        }
        given = [{"as_bool": False}, {"as_graph": {"name": "g", "graph": graph}}, {"as_tensor": {"name": "x"}}]
        return {
            "target": WITHIN,
            "inputs": [{"name": "", "arg": one} for one in given],
            "outputs": [{"as_tensor": {"name": name}}],
        }

    steps = [within(name, relu("a", "x"), relu("b", "a")) for name in ("c", "d", "e")]
    tensor = [{"as_tensor": {"name": "x"}}]
    whole = {"nodes": steps, "inputs": tensor, "outputs": [{"as_tensor": {"name": "e"}}]}
    monkeypatch.setattr(exported_graph, "MOST_STEPS", 9)
    assert len(exported_graph.parse_graph(whole, Path("model.pt2")).steps) == 3
    monkeypatch.setattr(exported_graph, "MOST_STEPS", 8)
    with pytest.raises(BadCheckpoint, match="has 9 operators"):
        exported_graph.parse_graph(whole, Path("model.pt2"))


def sound(classifier: Classifier) -> None:
    features, logits = classifier(torch.zeros(2, 3, SIDE, SIDE))
    np.testing.assert_allclose(classifier.head.logits(features.numpy()), logits.numpy(), atol=1e-5)
