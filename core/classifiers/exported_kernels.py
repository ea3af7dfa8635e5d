"""What runs in place of operators of torch that trust their arguments, and how large results may become.

Some operators are only meant to be called by others, which have looked at the sizes: called by a graph, they would
read beyond the memory of a tensor. They run here through those others. What leaves memory unset gives zeros.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from core.classifiers.exported_operators import ATTENDING, MULTIPLYING, POOLS
from core.classifiers.limits import Budget, tensors_in

# entries of any value on the way per image, or this many times those of the images where these are large: beyond it a
# graph is broken, or made to take all memory
LARGEST_VALUE = 2**26
TIMES_THE_IMAGES = 256
# factors by which maps grow or shrink; places are computed from them in whole numbers, which run over
SCALES = (1e-3, 1e3)

# multiplications in the time that pooling takes to look at a number
LOOKING = 30

# give more than they are given, as large as arguments say
GROWING = frozenset(
    (
        *("zeros", "ones", "full", "empty", "zeros_like", "ones_like", "full_like", "empty_like", "new_zeros"),
        *("new_ones", "new_full", "new_empty", "arange", "linspace", "eye", "repeat", "repeat_interleave", "tile"),
        *("constant_pad_nd", "pad", "reflection_pad2d", "replication_pad2d", "_pad_circular", "upsample_nearest2d"),
        *("_upsample_nearest_exact2d", "upsample_bilinear2d", "upsample_bicubic2d", "_upsample_bilinear2d_aa"),
        *("_upsample_bicubic2d_aa", "im2col", "affine_grid_generator", "adaptive_avg_pool1d", "adaptive_avg_pool2d"),
        *("_adaptive_avg_pool2d", "adaptive_max_pool2d"),
    )
)
# of these, what takes no tensor, and so has to be told where to be
_OUT_OF_NOTHING = frozenset(("zeros", "ones", "full", "empty", "arange", "linspace", "eye"))


def largest_value(images: Tensor) -> int:
    """Entries that a value may have. images: (b, c, h, w). 0 for any number: while the graph is written down."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return 0
    return max(len(images) * LARGEST_VALUE, images.numel() * TIMES_THE_IMAGES)


def check_growth(
    kind: str, call: Callable[..., Any], arguments: list[Any], named: Mapping[str, Any], largest: int, budget: Budget
) -> None:
    """Raise `ValueError` where a result would be too large, `TooLarge` or `TooSlow` where the budget does not suffice,
    before memory is taken for it.

    The operator is run on tensors without numbers. What cannot be foreseen so (it depends on the numbers) passes.
    """
    foreseen = {name: _without_numbers(one) for name, one in named.items()}
    if kind in _OUT_OF_NOTHING:
        foreseen["device"] = torch.device("meta")
    try:
        given = _without_numbers(arguments)
        found, operations = (
            operations_of(kind, call, given, foreseen) if budget.trying else (call(*given, **foreseen), 0.0)
        )
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError, NotImplementedError):
        # where it is wrong, running it says so
        return
    coming = _scores(given, foreseen, found) if kind in ATTENDING else 0
    if kind == "einsum" and len(given[1]) > 2:
        # two at a time: what the first two give may be larger than the result, with a product for each of its numbers
        coming += int(operations / 2) * 4
    shared = {one.untyped_storage()._cdata for one in tensors_in(given)}
    for tensor in tensors_in(found):
        if tensor.numel() > largest:
            raise ValueError(f"a value on the way would have {tensor.numel():,} numbers")
        if tensor.untyped_storage()._cdata not in shared:
            coming += tensor.numel() * tensor.element_size()
    budget.check(coming, operations)


def operations_of(kind: str, call: Callable[..., Any], given: list[Any], named: Mapping[str, Any]) -> tuple[Any, float]:
    """What an operator gives, and how many multiplications and additions it takes; 0 where that is of no account.

    given, named: its arguments, tensors without numbers among them. Raises what the operator raises.
    """
    if kind in MULTIPLYING:
        with FlopCounterMode(display=False) as counter:
            found = call(*given, **named)
        return found, float(counter.get_total_flops())
    found = call(*given, **named)
    if kind in ATTENDING:
        # in two products: of queries and keys, then with the values
        return found, 2.0 * _pairs(given, found) * (given[0].shape[-1] + given[2].shape[-1])
    return found, LOOKING * _looked_at(kind, given, found) if kind in POOLS else 0.0


def _looked_at(kind: str, given: list[Any], found: Any) -> float:
    """How many numbers a pooling operator looks at."""
    results = next(tensors_in(found)).numel()
    if "adaptive" in kind:
        # windows that follow from the sizes hardly overlap
        return float(results + given[0].numel())
    axes = int(kind[kind.index("_pool") + len("_pool")])
    window = given[1] if isinstance(given[1], list) else [given[1]]
    return float(results) * math.prod(window * axes if len(window) == 1 else window)


def _pairs(given: list[Any], found: Any) -> int:
    """Of queries and keys that attention compares."""
    return math.prod(next(tensors_in(found)).shape[:-1]) * int(given[1].shape[-2])


def _scores(given: list[Any], named: Mapping[str, Any], found: Any) -> int:
    """Bytes that attention takes on the way: for all pairs at once, twice, where its fast kernel is not for these."""
    query, key, value = given[:3]
    masks = [one for one in (*given[3:], *named.values()) if isinstance(one, Tensor)]
    fast = (
        all(one.ndim == 4 and one.shape[:2] == query.shape[:2] and one.stride(-1) == 1 for one in (query, key, value))
        and query.shape[-1] == value.shape[-1]
        and all(mask.ndim in (2, 4) for mask in masks)
    )
    return 0 if fast else 2 * _pairs(given, found) * int(query.element_size())


def _without_numbers(argument: Any) -> Any:
    if isinstance(argument, Tensor):
        return torch.empty_strided(argument.shape, argument.stride(), dtype=argument.dtype, device="meta")
    if isinstance(argument, torch.device):
        return torch.device("meta")
    return [_without_numbers(one) for one in argument] if isinstance(argument, list) else argument


def _batch_norm(
    images: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor | None, variance: Tensor | None, eps: float
) -> Tensor:
    if images.ndim < 2 or mean is None or variance is None:
        raise ValueError("batch normalisation without channels or statistics")
    given = (one for one in (weight, bias, mean, variance) if one is not None)
    if any(one.numel() != images.shape[1] or one.ndim != 1 for one in given):
        raise ValueError(f"batch normalisation of {images.shape[1]} channels has other sizes")
    return functional.batch_norm(images, mean, variance, weight, bias, False, 0.0, eps)


def _normalised(*arguments: Any) -> tuple[Tensor, None, None, None, None]:
    """Of any operator that takes (images, weight, bias, mean, variance, ..., epsilon)."""
    images, weight, bias, mean, variance = arguments[:5]
    return _batch_norm(images, weight, bias, mean, variance, arguments[-1]), None, None, None, None


def _group_norm(
    images: Tensor, weight: Tensor | None, bias: Tensor | None, n: int, c: int, places: int, groups: int, eps: float
) -> tuple[Tensor, None, None]:
    if images.shape[:2] != (n, c) or images.numel() != n * c * places:
        raise ValueError(f"group normalisation of {n} x {c} x {places} numbers has other sizes")
    return functional.group_norm(images, groups, weight, bias, eps), None, None


def _rms_norm(images: Tensor, shape: list[int], weight: Tensor | None = None, eps: Any = None) -> tuple[Tensor, None]:
    return functional.rms_norm(images, shape, weight, eps), None


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    sizes = [one.shape for one in (query, key, value)]
    if min(map(len, sizes)) < 2 or key.shape[-2] != value.shape[-2] or query.shape[-1] != key.shape[-1]:
        raise ValueError(f"attention between tensors of sizes {[tuple(size) for size in sizes]}")
    if not enable_gqa:
        # raises where they do not fit
        ahead = torch.broadcast_shapes(*(size[:-2] for size in sizes))
        if attn_mask is not None:
            wanted = (*ahead, query.shape[-2], key.shape[-2])
            if torch.broadcast_shapes(attn_mask.shape, wanted) != wanted:
                raise ValueError(f"attention with a mask of {tuple(attn_mask.shape)} instead of {wanted}")
    elif attn_mask is not None or key.shape[:-2] != value.shape[:-2] or query.shape[:-3] != key.shape[:-3]:
        raise ValueError("attention of heads in groups with a mask, or of other sizes")
    return functional.scaled_dot_product_attention(
        query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
    )


def _flash_attention(
    query: Tensor, key: Tensor, value: Tensor, dropout_p: float = 0.0, is_causal: bool = False, **named: Any
) -> tuple[Tensor, None]:
    return _attention(query, key, value, named.pop("attn_mask", None), dropout_p, is_causal, **named), None


def _plain_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    dropout_mask: Tensor | None = None,
    **named: Any,
) -> tuple[Tensor, None]:
    if dropout_mask is not None:
        raise ValueError("attention with a mask of what is dropped")
    return _attention(query, key, value, attn_mask, dropout_p, is_causal, **named), None


def _zeros(*arguments: Any, memory_format: Any = None, pin_memory: Any = None, **named: Any) -> Tensor:
    return torch.zeros(*arguments, **_without_none(named))


def _zeros_like(images: Tensor, *, memory_format: Any = None, pin_memory: Any = None, **named: Any) -> Tensor:
    return torch.zeros_like(images, **_without_none(named))


def _new_zeros(images: Tensor, size: list[int], *, pin_memory: Any = None, **named: Any) -> Tensor:
    return images.new_zeros(size, **_without_none(named))


def _without_none(named: Mapping[str, Any]) -> dict[str, Any]:
    return {name: one for name, one in named.items() if one is not None}


# by name, with the arguments of the operator
INSTEAD: dict[str, Callable[..., Any]] = {
    # the same, and no error where the memory is laid out otherwise than it was while exporting
    "view": torch.reshape,
    "_unsafe_view": torch.reshape,
    "_reshape_alias": lambda tensor, size, stride: torch.reshape(tensor, size),
    # followed by tracing, so that the batch stays open
    "sym_size": torch.Tensor.size,
    "_native_batch_norm_legit_no_training": _normalised,
    "_native_batch_norm_legit": _normalised,
    "_native_batch_norm_legit_functional": _normalised,
    "native_batch_norm": _normalised,
    "cudnn_batch_norm": _normalised,
    "native_group_norm": _group_norm,
    "_fused_rms_norm": _rms_norm,
    "_prelu_kernel": lambda tensor, weight: torch.where(tensor > 0, tensor, weight * tensor),
    "_convolution": lambda *arguments: torch.convolution(*arguments[:9]),
    "_softmax": lambda tensor, dim, half_to_float: torch.softmax(tensor, dim),
    "_log_softmax": lambda tensor, dim, half_to_float: torch.log_softmax(tensor, dim),
    "scaled_dot_product_attention": _attention,
    "_scaled_dot_product_flash_attention_for_cpu": _flash_attention,
    "_scaled_dot_product_attention_math": _plain_attention,
    "_adaptive_avg_pool2d": functional.adaptive_avg_pool2d,
    "native_channel_shuffle": torch.channel_shuffle,
    "empty": _zeros,
    "empty_like": _zeros_like,
    "new_empty": _new_zeros,
}


def checked(kind: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """`call`, or what runs instead. kind: the operator's name."""
    found = INSTEAD.get(kind, call)
    if "upsample" in kind:
        return _with_scales(found)
    return _with_count(found) if kind == "repeat_interleave" else found


def _with_scales(call: Callable[..., Any]) -> Callable[..., Any]:
    def scaled(*arguments: Any, **named: Any) -> Any:
        for one in (*arguments[1:], *named.values()):
            for scale in one if isinstance(one, list) else [one]:
                if isinstance(scale, float) and not SCALES[0] <= scale <= SCALES[1]:
                    raise ValueError(f"a map cannot be made {scale} times as large")
        return call(*arguments, **named)

    return scaled


def _with_count(call: Callable[..., Any]) -> Callable[..., Any]:
    def repeated(*arguments: Any, **named: Any) -> Any:
        # how much that gives would depend on the numbers in a tensor
        if len(arguments) < 2 or isinstance(arguments[1], Tensor):
            raise ValueError("rows are repeated as often as a tensor says")
        return call(*arguments, **named)

    return repeated
