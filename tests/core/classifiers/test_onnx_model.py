from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from core.classifiers import onnx_model
from core.classifiers.architectures import last_linear
from core.classifiers.checkpoint import kind_of_file
from core.classifiers.classifier import load_classifier, replace_head, write_with_head
from core.classifiers.head import Head
from core.classifiers.preprocessing import Preprocessing, squeezed
from core.errors import BadCheckpoint, BadRequest, BadWeights, HeadNotFound, MidbandError, UnsafeCheckpoint

NetworkMaker = Callable[..., nn.Module]
SIDE, D = 12, 5
# type of the graph's numbers: (onnx's, numpy's)
TYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "uint8": TensorProto.UINT8}


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def filters(channels: int) -> np.ndarray:
    return drawn(D, channels, 3, 3)


def reference(images: np.ndarray, k: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Features and logits of the graph below, computed by torch. images: (b, c, h, w)."""
    convolved = nn.functional.conv2d(torch.from_numpy(images), torch.from_numpy(filters(images.shape[1]))).relu()
    features = convolved.mean((2, 3)).numpy()
    return features, features @ drawn(k, D, seed=1).T + drawn(k, seed=2)


def graph(
    path: Path,
    *,
    head: str = "gemm",
    after: Sequence[str] = (),
    batch: int | str = "n",
    side: int | str = SIDE,
    channels: int = 3,
    last: bool = False,
    kind: str = "float32",
    k: int = 3,
    written_batch: bool = False,
    kept_batch: bool = False,
    metadata: dict[str, str] | None = None,
    change: Callable[[onnx.ModelProto], None] | None = None,
) -> Path:
    """A convolution, a rectifier, the mean over places, a last layer written in one of many ways, and what follows."""
    number = np.float16 if kind == "float16" else np.float32
    weight, bias = drawn(k, D, seed=1), drawn(k, seed=2)
    weights = {"filters": filters(channels)}
    nodes, value = [], "images"
    if kind == "uint8":
        weights["255"] = np.array(255, dtype=np.float32)
        nodes += [helper.make_node("Cast", [value], ["floats"], to=TensorProto.FLOAT)]
        nodes += [helper.make_node("Div", ["floats", "255"], ["unit"])]
        value = "unit"
    if last:
        nodes += [helper.make_node("Transpose", [value], ["turned"], perm=[0, 3, 1, 2])]
        value = "turned"
    nodes += [
        helper.make_node("Conv", [value, "filters"], ["convolved"]),
        helper.make_node("Relu", ["convolved"], ["map"]),
        helper.make_node("GlobalAveragePool", ["map"], ["pooled"]),
    ]
    if written_batch:
        weights["shape"] = np.array([1, D])
        nodes += [helper.make_node("Reshape", ["pooled", "shape"], ["flat"])]
    else:
        nodes += [helper.make_node("Flatten", ["pooled"], ["flat"])]
    if kept_batch:
        weights |= {"row": np.ones((1, 2), np.float32), "zero": np.array([0]), "d": np.array([D]), "one": np.array([1])}
        nodes[-1].output[0] = "narrow"
        nodes += [
            helper.make_node("Concat", ["narrow", "row"], ["wide"], axis=1),
            helper.make_node("Slice", ["wide", "zero", "d", "one"], ["flat"]),
        ]
    if head == "gemm":
        weights |= {"w": weight, "b": bias}
        nodes += [helper.make_node("Gemm", ["flat", "w", "b"], ["out0"], transB=1)]
    elif head == "gemm, scaled":
        weights |= {"w": weight.T / 2, "b": bias * 4}
        nodes += [helper.make_node("Gemm", ["flat", "w", "b"], ["out0"], alpha=2.0, beta=0.25)]
    elif head in ("matmul, add", "add, matmul"):
        weights |= {"w": weight.T, "b": bias}
        order = ["product", "b"] if head == "matmul, add" else ["b", "product"]
        nodes += [helper.make_node("MatMul", ["flat", "w"], ["product"]), helper.make_node("Add", order, ["out0"])]
    elif head == "turned weight":
        weights |= {"w": weight, "b": bias}
        nodes += [
            helper.make_node("Transpose", ["w"], ["wt"], perm=[1, 0]),
            helper.make_node("MatMul", ["flat", "wt"], ["product"]),
            helper.make_node("Add", ["product", "b"], ["out0"]),
        ]
    elif head == "8-bit weight":
        weights |= {"w": np.rint(weight.T * 40).astype(np.int8), "s": np.array(1 / 40, np.float32), "b": bias}
        nodes += [
            helper.make_node("DequantizeLinear", ["w", "s"], ["wf"]),
            helper.make_node("MatMul", ["flat", "wf"], ["product"]),
            helper.make_node("Add", ["product", "b"], ["out0"]),
        ]
    elif head == "no bias":
        weights |= {"w": weight.T}
        nodes += [helper.make_node("MatMul", ["flat", "w"], ["out0"])]
    elif head == "convolution, then pooling":
        weights |= {"w": weight[:, :, None, None], "b": bias}
        nodes += [
            helper.make_node("Conv", ["map", "w", "b"], ["scores"]),
            helper.make_node("GlobalAveragePool", ["scores"], ["mean"]),
            helper.make_node("Flatten", ["mean"], ["out0"]),
        ]
    elif head == "pooling, then convolution":
        weights |= {"w": weight[:, :, None, None], "b": bias}
        nodes += [
            helper.make_node("Conv", ["pooled", "w", "b"], ["scores"]),
            helper.make_node("Flatten", ["scores"], ["out0"]),
        ]
    value = "out0"
    for place, name in enumerate(after, 1):
        options = {"to": TensorProto.FLOAT} if name == "Cast" else {}
        nodes += [helper.make_node(name, [value], [f"out{place}"], **options)]
        value = f"out{place}"
    sizes = [batch, side, side, channels] if last else [batch, channels, side, side]
    ends = TensorProto.FLOAT if "Cast" in after or kind == "uint8" else TYPES[kind]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "graph",
            [helper.make_tensor_value_info("images", TYPES[kind], sizes)],
            [helper.make_tensor_value_info(value, ends, ["rows", "columns"])],
            [numpy_helper.from_array(v.astype(number) if v.dtype == np.float32 else v, n) for n, v in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    if metadata:
        helper.set_model_props(model, metadata)
    if change is not None:
        change(model)
    path.write_bytes(model.SerializeToString())
    return path


def images_for(count: int, side: int = SIDE, channels: int = 3) -> torch.Tensor:
    return torch.from_numpy(drawn(count, channels, side, side, seed=5))


def new_head(k: int = 3, d: int = D) -> Head:
    return Head(drawn(k, d, seed=8), drawn(k, seed=9))


def answers(path: Path, inputs: np.ndarray) -> np.ndarray:
    """By onnxruntime alone."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: inputs})[0])


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("arch", ["small", "resnet18", "mobilenet_v3_small"])
def test_torchs_exports_give_the_features_of_a_plain_forward_pass(
    tmp_path: Path, network: NetworkMaker, arch: str, dynamo: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    original, path = network(arch, 3), tmp_path / "m.onnx"
    # as people do it: one example, whose size is written down
    torch.onnx.export(original, (images_for(1, 64),), str(path), dynamo=dynamo)
    assert kind_of_file(path) == "onnx"
    classifier = load_classifier(path)
    assert (classifier.preprocessing, classifier.runs_on, classifier.network()) == (squeezed(64), ("cpu",), None)
    seen: list[torch.Tensor] = []
    hook = original.get_submodule(str(last_linear(original))).register_forward_hook(
        lambda _module, inputs, _output: seen.append(inputs[0])
    )
    images = images_for(4, 64)
    with torch.inference_mode():
        wanted = original(images)
    hook.remove()
    features, logits = classifier(images)
    torch.testing.assert_close(features, seen[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(logits, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("batch", ["n", 1, 4])
@pytest.mark.parametrize(
    "head",
    [
        *("gemm", "gemm, scaled", "matmul, add", "add, matmul", "turned weight", "convolution, then pooling"),
        "pooling, then convolution",
    ],
)
def test_every_way_to_write_a_last_layer_is_read(tmp_path: Path, head: str, batch: int | str) -> None:
    classifier = load_classifier(graph(tmp_path / "m.onnx", head=head, batch=batch))
    for count in (1, 5):
        images = images_for(count)
        features, logits = reference(images.numpy())
        np.testing.assert_allclose(classifier(images)[0], features, atol=1e-5)
        np.testing.assert_allclose(classifier(images)[1], logits, atol=1e-5)
    assert classifier.notes == ()


def test_weights_of_8_bits_and_no_bias(tmp_path: Path) -> None:
    classifier = load_classifier(graph(tmp_path / "m.onnx", head="8-bit weight"))
    np.testing.assert_allclose(classifier.head.weight, np.rint(drawn(3, D, seed=1) * 40) / 40, atol=1e-6)
    assert not load_classifier(graph(tmp_path / "m.onnx", head="no bias")).head.bias.any()


@pytest.mark.parametrize(
    ("after", "said"),
    [(["Softmax"], "softmax"), (["LogSoftmax"], "log-softmax"), (["Identity", "Sigmoid", "Cast"], "sigmoid")],
)
def test_what_follows_the_logits_is_left_out_and_said(tmp_path: Path, after: list[str], said: str) -> None:
    classifier = load_classifier(graph(tmp_path / "m.onnx", after=after))
    images = images_for(4)
    np.testing.assert_allclose(classifier(images)[1], reference(images.numpy())[1], atol=1e-5)
    (note,) = classifier.notes
    assert f"ends in a {said}" in note


@pytest.mark.parametrize("batch", [1, "n"])
def test_a_batch_that_is_written_into_the_graph_is_opened_or_kept_to(tmp_path: Path, batch: int | str) -> None:
    images = images_for(5)
    wanted = reference(images.numpy())[1]
    opened = load_classifier(graph(tmp_path / "m.onnx", batch=batch, written_batch=True))
    np.testing.assert_allclose(opened(images)[1], wanted, atol=1e-5)
    assert opened.notes == ()
    kept = load_classifier(graph(tmp_path / "m.onnx", batch=batch, kept_batch=True))
    np.testing.assert_allclose(kept(images)[1], wanted, atol=1e-5)
    assert "takes one image at a time" in kept.notes[-1]


@pytest.mark.parametrize("after", [[], ["Sigmoid"]])
def test_one_output_is_two_logits(tmp_path: Path, after: list[str]) -> None:
    classifier = load_classifier(graph(tmp_path / "m.onnx", k=1, after=after))
    assert (classifier.k, classifier.single) == (2, True)
    images = images_for(4)
    chance = torch.softmax(classifier(images)[1], dim=1)[:, 1:]
    torch.testing.assert_close(chance, torch.sigmoid(torch.from_numpy(reference(images.numpy(), 1)[1])))


def test_layout_and_type_of_the_input_are_kept_to(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, size=(4, SIDE, SIDE, 3), dtype=np.uint8)
    unit = np.moveaxis(pixels / np.float32(255), -1, 1)
    wanted = reference(unit)[1]
    for last in (False, True):
        for kind in ("uint8", "float32"):
            path = graph(tmp_path / "m.onnx", last=last, kind=kind, batch=1)
            # pixels are given as they are, whatever the preprocessing normalises by
            chosen = squeezed(SIDE) if kind == "uint8" else Preprocessing(None, SIDE, (0, 0, 0), (1, 1, 1))
            classifier = load_classifier(path, preprocessing=chosen)
            batch = torch.from_numpy(chosen.normalise(pixels)).permute(0, 3, 1, 2)
            np.testing.assert_allclose(classifier(batch)[1], wanted, atol=1e-4, err_msg=f"{last} {kind}")


def test_half_precision(tmp_path: Path) -> None:
    classifier = load_classifier(graph(tmp_path / "m.onnx", kind="float16"))
    images = images_for(4)
    np.testing.assert_allclose(classifier(images)[1], reference(images.numpy())[1], atol=3e-2)
    write_with_head(classifier, new_head(), tmp_path / "new.onnx")
    again = load_classifier(tmp_path / "new.onnx")
    np.testing.assert_allclose(again.head.weight, new_head().weight, atol=5e-3)
    assert answers(tmp_path / "new.onnx", images.numpy().astype(np.float16)).dtype == np.float16


def test_grey_images_and_sizes(tmp_path: Path) -> None:
    classifier = load_classifier(graph(tmp_path / "m.onnx", channels=1))
    assert classifier.preprocessing.colour == "grey"
    images = images_for(3, channels=1)
    np.testing.assert_allclose(classifier(images)[1], reference(images.numpy())[1], atol=1e-5)
    with pytest.raises(BadRequest, match="12 x 12 pixels only"):
        load_classifier(graph(tmp_path / "m.onnx"), preprocessing=squeezed(16))
    # open sizes take what is asked for
    assert load_classifier(graph(tmp_path / "m.onnx", side="s")).preprocessing.crop == 224
    chosen = squeezed(20)
    images = images_for(2, 20)
    open_size = load_classifier(graph(tmp_path / "m.onnx", side="s"), preprocessing=chosen)
    np.testing.assert_allclose(open_size(images)[1], reference(images.numpy())[1], atol=1e-5)


@pytest.mark.parametrize(
    "names",
    [{"classes": '["a", "b", "c"]'}, {"names": "{0: 'a', 1: 'b', 2: 'c'}"}, {"names": '{"1":"b","0":"a","2":"c"}'}],
)
def test_classes_are_read_from_the_metadata(tmp_path: Path, names: dict[str, str]) -> None:
    assert load_classifier(graph(tmp_path / "m.onnx", metadata=names)).classes == ("a", "b", "c")


@pytest.mark.parametrize(
    "text", ["[", "['a', 'b']", "[" * 5000, "{0: 'a'}", "__import__('os')", "[1, 2, 3]", '{"a": "b"}']
)
def test_nonsense_in_the_metadata_is_no_matter(tmp_path: Path, text: str) -> None:
    told = {"names": text, "preprocessing": text}
    classifier = load_classifier(graph(tmp_path / "m.onnx", metadata=told))
    assert (classifier.classes, classifier.preprocessing) == (None, squeezed(SIDE))


def test_own_preprocessing_comes_back(tmp_path: Path) -> None:
    own = Preprocessing(14, SIDE, (0.1, 0.2, 0.3), (0.3, 0.2, 0.1), "bicubic")
    path = graph(tmp_path / "m.onnx", metadata={"preprocessing": json.dumps(own.to_dict())})
    assert load_classifier(path).preprocessing == own


@pytest.mark.parametrize(
    ("after", "said"),
    [(["Relu"], "operator Relu"), (["Exp"], "operator Exp"), (["Softmax", "ArgMax"], "operator ArgMax")],
)
def test_what_is_no_linear_layer_is_said(tmp_path: Path, after: list[str], said: str) -> None:
    with pytest.raises(HeadNotFound, match=said):
        load_classifier(graph(tmp_path / "m.onnx", after=after))


@pytest.mark.parametrize("after", [[], ["Softmax"]])
@pytest.mark.parametrize(
    "head",
    ["gemm", "gemm, scaled", "matmul, add", "no bias", "turned weight", "convolution, then pooling", "8-bit weight"],
)
def test_repaired_graph_keeps_everything_else(tmp_path: Path, head: str, after: list[str]) -> None:
    path = graph(
        tmp_path / "m.onnx", head=head, after=after, metadata={"author": "somebody", "classes": '["a","b","c"]'}
    )
    classifier = load_classifier(path)
    notes = write_with_head(classifier, new_head(), tmp_path / "new.onnx")
    images = images_for(4)
    wanted = new_head().logits(reference(images.numpy())[0])
    again = load_classifier(tmp_path / "new.onnx")
    np.testing.assert_allclose(again(images)[1], wanted, atol=1e-5)
    assert (again.classes, again.preprocessing) == (("a", "b", "c"), classifier.preprocessing)
    found = answers(tmp_path / "new.onnx", images.numpy())
    np.testing.assert_allclose(found, torch.from_numpy(wanted).softmax(1) if after else wanted, atol=1e-5)
    assert bool(notes) == bool(after)
    model = onnx.load(tmp_path / "new.onnx")
    onnx.checker.check_model(model)
    assert {one.key for one in model.metadata_props} == {"author", "classes", "preprocessing"}
    # the old numbers are gone
    assert "w" not in {tensor.name for tensor in model.graph.initializer}


def test_one_output_comes_back_as_one(tmp_path: Path) -> None:
    classifier = load_classifier(graph(tmp_path / "m.onnx", k=1))
    write_with_head(classifier, new_head(2), tmp_path / "new.onnx")
    images = images_for(4)
    wanted = new_head(2).logits(reference(images.numpy())[0])
    np.testing.assert_allclose(
        answers(tmp_path / "new.onnx", images.numpy())[:, 0], wanted[:, 1] - wanted[:, 0], atol=1e-5
    )


def test_graph_has_no_network_in_memory(tmp_path: Path) -> None:
    classifier = load_classifier(graph(tmp_path / "m.onnx"))
    with pytest.raises(BadRequest, match="graph"):
        replace_head(classifier, new_head())


def beside(path: Path, location: str = "m.data", **told: int) -> Path:
    """Move the weights of a graph into a file beside it, as exporters of large models do."""
    model = onnx.load(path)
    data, start = bytearray(), 0
    for tensor in model.graph.initializer:
        content = numpy_helper.to_array(tensor).tobytes()
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        entries = {"location": location, "offset": start, "length": len(content)} | told
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=str(value))
        data += content
        start += len(content)
    (path.parent / "m.data").write_bytes(bytes(data))
    path.write_bytes(model.SerializeToString())
    return path


def test_weights_beside_the_file_are_read_and_written_back(tmp_path: Path) -> None:
    path = beside(graph(tmp_path / "m.onnx"))
    classifier = load_classifier(path)
    images = images_for(4)
    np.testing.assert_allclose(classifier(images)[1], reference(images.numpy())[1], atol=1e-5)
    write_with_head(classifier, new_head(), tmp_path / "new.onnx")
    wanted = new_head().logits(reference(images.numpy())[0])
    np.testing.assert_allclose(load_classifier(tmp_path / "new.onnx")(images)[1], wanted, atol=1e-5)
    # they are part of what the model is
    data = bytearray((tmp_path / "m.data").read_bytes())
    data[3] ^= 1
    (tmp_path / "m.data").write_bytes(bytes(data))
    assert load_classifier(path).digest != classifier.digest


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "link", "deeper/../../secret"])
def test_weights_outside_of_the_folder_are_not_read(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"0" * 100_000)
    (folder / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(UnsafeCheckpoint, match="outside of its folder"):
        load_classifier(beside(graph(folder / "m.onnx"), location))


@pytest.mark.parametrize("told", [{"length": 8}, {"offset": 10**9}, {"offset": -4}])
def test_weights_that_are_not_there_are_named(tmp_path: Path, told: dict[str, int]) -> None:
    with pytest.raises(BadCheckpoint, match="cannot be read from"):
        load_classifier(beside(graph(tmp_path / "m.onnx"), **told))
    path = beside(graph(tmp_path / "m.onnx"))
    (tmp_path / "m.data").unlink()
    with pytest.raises(BadCheckpoint, match="not there"):
        load_classifier(path)


def test_operators_of_other_libraries_are_not_loaded(tmp_path: Path) -> None:
    def foreign(model: onnx.ModelProto) -> None:
        model.graph.node[1].domain = "my.library"
        model.opset_import.append(helper.make_opsetid("my.library", 1))

    with pytest.raises(UnsafeCheckpoint, match=r"my\.library:Relu"):
        load_classifier(graph(tmp_path / "m.onnx", change=foreign))

    def compiled(model: onnx.ModelProto) -> None:
        model.graph.node[1].op_type, model.graph.node[1].domain = "EPContext", "com.microsoft"

    with pytest.raises(UnsafeCheckpoint, match="EPContext"):
        load_classifier(graph(tmp_path / "m.onnx", change=compiled))


def test_operators_inside_branches_are_looked_at_too(tmp_path: Path) -> None:
    def hidden(model: onnx.ModelProto) -> None:
        inner = helper.make_graph(
            [helper.make_node("Anything", [], ["x"], domain="my.library")],
            "inner",
            [],
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)],
        )
        model.graph.node.append(helper.make_node("If", ["out0"], ["y"], then_branch=inner, else_branch=inner))

    with pytest.raises(UnsafeCheckpoint, match=r"my\.library"):
        load_classifier(graph(tmp_path / "m.onnx", change=hidden))


def test_values_that_would_take_all_memory_are_refused(tmp_path: Path) -> None:
    def bomb(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.array([200_000, 200_000]), "shape"))
        model.graph.node.insert(0, helper.make_node("ConstantOfShape", ["shape"], ["large"]))
        model.graph.node.insert(1, helper.make_node("ReduceSum", ["large"], ["sum"], keepdims=0))
        model.graph.node.append(helper.make_node("Add", ["out0", "sum"], ["bombed"]))
        model.graph.output[0].name = "bombed"

    with pytest.raises(BadCheckpoint, match="more than any classifier needs"):
        load_classifier(graph(tmp_path / "m.onnx", change=bomb))

    def lying(model: onnx.ModelProto) -> None:
        model.graph.initializer[0].dims[0] = 10**12

    with pytest.raises(BadCheckpoint, match="has fewer"):
        load_classifier(graph(tmp_path / "m.onnx", change=lying))


def test_sizes_that_follow_from_the_batch_are_known(tmp_path: Path) -> None:
    def bomb(model: onnx.ModelProto) -> None:
        for name, value in (("zero", [0]), ("many", [2**28])):
            model.graph.initializer.append(numpy_helper.from_array(np.array(value), name))
        first = [
            helper.make_node("Shape", [model.graph.input[0].name], ["sizes"]),
            helper.make_node("Gather", ["sizes", "zero"], ["count"]),
            helper.make_node("Mul", ["count", "many"], ["length"]),
            helper.make_node("ConstantOfShape", ["length"], ["large"]),
            helper.make_node("ReduceSum", ["large"], ["sum"], keepdims=0),
        ]
        for place, node in enumerate(first):
            model.graph.node.insert(place, node)
        model.graph.node.append(helper.make_node("Add", ["out0", "sum"], ["bombed"]))
        model.graph.output[0].name = "bombed"

    with pytest.raises(BadCheckpoint, match="more than any classifier needs"):
        load_classifier(graph(tmp_path / "m.onnx", change=bomb))


def test_loops_are_not_run(tmp_path: Path) -> None:
    def loop(model: onnx.ModelProto) -> None:
        for name, value in (("trips", np.array(2**62)), ("always", np.array(True))):
            model.graph.initializer.append(numpy_helper.from_array(value, name))
        body = helper.make_graph(
            [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["state"], ["next"])],
            "body",
            [
                helper.make_tensor_value_info("trip", TensorProto.INT64, []),
                helper.make_tensor_value_info("go", TensorProto.BOOL, []),
                helper.make_tensor_value_info("state", TensorProto.FLOAT, None),
            ],
            [
                helper.make_tensor_value_info("on", TensorProto.BOOL, []),
                helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
            ],
        )
        model.graph.node.append(helper.make_node("Loop", ["trips", "always", "out0"], ["looped"], body=body))
        model.graph.output[0].name = "looped"

    with pytest.raises(BadCheckpoint, match=r"repeats some of its nodes \(Loop\)"):
        load_classifier(graph(tmp_path / "m.onnx", change=loop))


@pytest.mark.parametrize("text", ["[" + "'a'," * 400_000 + "]", "1" + "+1" * 400_000, "-" * 900_000 + "1"])
def test_long_nonsense_for_names_takes_no_time_or_memory(tmp_path: Path, text: str) -> None:
    path = graph(tmp_path / "m.onnx", metadata={"names": text})
    tracemalloc.start()
    classifier = load_classifier(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert classifier.classes is None
    assert most < 50_000_000


def test_failed_writing_beside_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = load_classifier(graph(tmp_path / "m.onnx"))
    monkeypatch.setattr(onnx_model, "LARGEST_INSIDE", 10)
    write_with_head(classifier, new_head(), tmp_path / "new.onnx")
    before = {one.name: one.read_bytes() for one in tmp_path.iterdir()}
    plain = onnx.save_model

    def failing(*arguments: object, **named: object) -> None:
        plain(*arguments, **named)
        raise OSError("No space left on device")

    monkeypatch.setattr(onnx, "save_model", failing)
    with pytest.raises(OSError, match="No space"):
        write_with_head(classifier, new_head(), tmp_path / "new.onnx")
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == before


def test_several_inputs_or_none_for_images_are_said(tmp_path: Path) -> None:
    def second(model: onnx.ModelProto) -> None:
        model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))

    with pytest.raises(BadRequest, match="takes 2 inputs"):
        load_classifier(graph(tmp_path / "m.onnx", change=second))

    def numbers(model: onnx.ModelProto) -> None:
        model.graph.input[0].CopyFrom(helper.make_tensor_value_info("images", TensorProto.INT64, ["n", 3, SIDE, SIDE]))

    with pytest.raises((BadRequest, BadCheckpoint)):
        load_classifier(graph(tmp_path / "m.onnx", change=numbers))
    with pytest.raises(BadRequest, match="4 channels"):
        load_classifier(graph(tmp_path / "m.onnx", channels=4))


def test_model_that_is_still_training_is_refused(tmp_path: Path) -> None:
    def dropping(model: onnx.ModelProto) -> None:
        model.graph.initializer.extend(
            [
                numpy_helper.from_array(np.array(0.5, np.float32), "share"),
                numpy_helper.from_array(np.array(True), "training"),
            ]
        )
        for place, node in enumerate(model.graph.node):
            if node.op_type == "Gemm":
                node.input[0] = "dropped"
                model.graph.node.insert(place, helper.make_node("Dropout", ["flat", "share", "training"], ["dropped"]))
                break

    with pytest.raises(BadRequest, match="exported while training"):
        load_classifier(graph(tmp_path / "m.onnx", change=dropping))


def test_weights_that_are_not_finite_are_named(tmp_path: Path) -> None:
    def broken(model: onnx.ModelProto) -> None:
        values = numpy_helper.to_array(model.graph.initializer[0]).copy()
        values[0, 0, 0, 0] = np.nan
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(values, "filters"))

    with pytest.raises(BadWeights, match="filters"):
        load_classifier(graph(tmp_path / "m.onnx", change=broken))


@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_file_cut_short_is_damaged_not_a_traceback(tmp_path: Path, share: float) -> None:
    path = graph(tmp_path / "m.onnx")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(BadCheckpoint):
        load_classifier(path)


def test_what_only_is_called_onnx_is_damaged(tmp_path: Path) -> None:
    for content in (b"hello", b"\x08", b"\x89PNG\r\n\x1a\n" + b"0" * 64, bytes(range(256))):
        (tmp_path / "m.onnx").write_bytes(content)
        with pytest.raises(BadCheckpoint):
            load_classifier(tmp_path / "m.onnx")


def test_unknown_operator_is_said_in_one_sentence(tmp_path: Path) -> None:
    def unknown(model: onnx.ModelProto) -> None:
        model.graph.node[1].op_type = "Whatever"

    with pytest.raises(BadCheckpoint) as caught:
        load_classifier(graph(tmp_path / "m.onnx", change=unknown))
    assert "Whatever" in caught.value.detail
    assert "\n" not in caught.value.detail


def test_circle_is_damage_and_not_an_endless_search(tmp_path: Path) -> None:
    def circle(model: onnx.ModelProto) -> None:
        model.graph.node.append(helper.make_node("Identity", ["round"], ["about"]))
        model.graph.node.append(helper.make_node("Identity", ["about"], ["round"]))
        model.graph.output[0].name = "round"

    with pytest.raises((BadCheckpoint, HeadNotFound)):
        load_classifier(graph(tmp_path / "m.onnx", change=circle))


def test_damaged_bytes_are_never_a_traceback(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    whole = graph(tmp_path / "m.onnx", after=["Softmax"]).read_bytes()
    outcomes = set()
    for _ in range(150):
        content = bytearray(whole)
        for place in rng.integers(0, len(content), size=3):
            content[place] = int(rng.integers(0, 256))
        (tmp_path / "m.onnx").write_bytes(bytes(content))
        try:
            load_classifier(tmp_path / "m.onnx")
            outcomes.add("loaded")
        except MidbandError as error:
            outcomes.add(type(error).__name__)
    assert {"loaded", "BadCheckpoint"} <= outcomes
    # the last line of the command line's output is JSON, and nothing else may get there
    assert capfd.readouterr().out == ""
