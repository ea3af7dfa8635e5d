"""Which operators of torch are run for a program of torch.export, and what those are called that matter here."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any


def _named(names: str) -> frozenset[str]:
    return frozenset(names.split())


# Operators of `torch.ops.aten` that image classifiers are made of, by name; their versions that work in place too.
OPERATORS = _named(
    # linear maps
    "conv1d conv2d conv3d conv_transpose2d convolution _convolution linear addmm mm bmm matmul baddbmm einsum dot mv "
    # normalisation
    "batch_norm _native_batch_norm_legit_no_training _native_batch_norm_legit _native_batch_norm_legit_functional "
    "native_batch_norm cudnn_batch_norm "
    "layer_norm native_layer_norm group_norm native_group_norm instance_norm rms_norm _fused_rms_norm "
    # one number at a time
    "relu relu6 hardtanh hardswish hardsigmoid silu gelu elu celu selu leaky_relu prelu _prelu_kernel mish softplus "
    "sigmoid log_sigmoid log_sigmoid_forward tanh threshold glu erf exp exp2 expm1 log log2 log10 log1p sqrt rsqrt "
    "reciprocal abs neg sign sgn sin cos tan asin acos atan atan2 sinh cosh floor ceil round trunc frac pow square "
    "clamp clamp_min clamp_max clip minimum maximum add sub subtract rsub mul multiply div divide true_divide "
    "floor_divide remainder fmod addcmul addcdiv lerp where eq ne lt le gt ge logical_and logical_or logical_not "
    "logical_xor bitwise_and bitwise_or bitwise_not isnan isinf isfinite nan_to_num masked_fill "
    "dropout native_dropout alpha_dropout feature_dropout "
    # over axes
    "softmax _softmax log_softmax _log_softmax logsumexp sum mean amax amin max min argmax argmin var var_mean std "
    "std_mean prod norm linalg_vector_norm any all cumsum topk sort argsort count_nonzero "
    # attention
    "scaled_dot_product_attention _scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_attention_math "
    # shapes
    "view _unsafe_view reshape _reshape_alias flatten unflatten squeeze unsqueeze permute transpose t numpy_T mT "
    "adjoint swapaxes swapdims movedim moveaxis contiguous clone alias detach lift_fresh lift_fresh_copy expand "
    "expand_as view_as reshape_as repeat repeat_interleave tile cat concat concatenate stack hstack vstack split "
    "split_with_sizes chunk unbind unsafe_split unsafe_chunk tensor_split select slice narrow index index_select "
    "gather take_along_dim select_scatter slice_scatter index_put scatter roll flip rot90 unfold im2col col2im "
    "pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle constant_pad_nd pad reflection_pad2d "
    "replication_pad2d _pad_circular embedding diagonal as_strided tril triu meshgrid broadcast_to broadcast_tensors "
    # pooling and sizes
    "max_pool1d max_pool2d max_pool2d_with_indices avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d "
    "adaptive_avg_pool2d _adaptive_avg_pool2d adaptive_max_pool2d upsample_nearest2d _upsample_nearest_exact2d "
    "upsample_bilinear2d upsample_bicubic2d _upsample_bilinear2d_aa _upsample_bicubic2d_aa grid_sampler "
    "grid_sampler_2d affine_grid_generator "
    # numbers out of nothing
    "zeros ones full empty zeros_like ones_like full_like empty_like new_zeros new_ones new_full new_empty arange "
    "linspace scalar_tensor eye fill copy zero "
    # types and sizes
    "to _to_copy type_as sym_size sym_numel sym_stride item _local_scalar_dense"
)
# what only checks: this program is tried as it is
CHECKS = _named(
    "_assert_tensor_metadata _assert_scalar _assert_async sym_constrain_range sym_constrain_range_for_size "
    "_functional_assert_async _functional_assert_scalar"
)
# on sizes
NUMBERS: dict[str, Callable[..., Any]] = {
    **{f"_operator.{name}": getattr(operator, name) for name in (
        "add", "sub", "mul", "floordiv", "truediv", "mod", "pow", "neg", "pos", "eq", "ne", "lt", "le", "gt", "ge",
        "and_", "or_", "lshift", "rshift",
    )},
    **{f"math.{name}": getattr(math, name) for name in ("ceil", "floor", "trunc")},
    "torch.sym_int": int,
    "torch.sym_float": float,
    "torch.sym_not": operator.not_,
    "torch.sym_max": max,
    "torch.sym_min": min,
    "torch.sym_sqrt": math.sqrt,
    "torch.sym_ite": lambda condition, yes, no: yes if condition else no,
    "torch._sym_sqrt": math.sqrt,
}  # fmt: skip
# text that operators take: kinds of padding, rounding, approximation
WORDS = _named("none tanh floor trunc constant reflect replicate circular mean sum right left ij xy valid same")
# run another graph inside, with or without gradients, which are not computed here anyway
WITHIN = "torch.ops.higher_order.wrap_with_set_grad_enabled"

# what may follow the logits without changing which class wins, and what it is called
SQUASHING = {
    **dict.fromkeys(("softmax", "_softmax"), "softmax"),
    **dict.fromkeys(("log_softmax", "_log_softmax"), "log-softmax"),
    "sigmoid": "sigmoid",
}
# what leaves the numbers as they are
PASSING = _named(
    "alias detach clone contiguous to _to_copy dropout native_dropout squeeze view _unsafe_view reshape flatten "
    "lift_fresh"
)
POOLING = _named("mean adaptive_avg_pool2d _adaptive_avg_pool2d avg_pool2d")
POOLS = frozenset(name for name in OPERATORS if "_pool" in name)
# give numbers, which sizes may be computed from
NUMBERS_OUT = _named("item _local_scalar_dense")
SIZED = _named("view _unsafe_view reshape expand")
TRANSPOSING = _named("t numpy_T transpose permute mT")
CONVOLVING = _named("conv2d convolution _convolution")
# take far longer than their results are large
MULTIPLYING = _named(
    "conv1d conv2d conv3d conv_transpose2d convolution _convolution linear addmm mm bmm matmul baddbmm einsum"
)
ATTENDING = _named(
    "scaled_dot_product_attention _scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_attention_math"
)
DROPPING = _named("dropout native_dropout alpha_dropout feature_dropout")
NORMALISING = _named(
    "batch_norm _native_batch_norm_legit _native_batch_norm_legit_functional native_batch_norm cudnn_batch_norm"
)
