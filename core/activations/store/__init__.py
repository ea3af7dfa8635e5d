"""Analyses on disk: one classifier applied to one dataset.

    <workspace>/analyses/<id>/
      analysis.json          names, places, sizes, classes, preprocessing, notes (keys: see `_describe`)
      features.npy           (n, d) float32, penultimate features
      logits.npy             (n, k) float32
      predicted.npy          (n,) int64, the largest logit
      ids.npy                (n,) int64, strictly increasing: position of each row in the dataset
      images.parquet         column `image`: the dataset's name of each row
      names.npy              (bytes,) uint8, the same names in UTF-8 one after another: a few are read without the rest
      name_offsets.npy       (n + 1,) int64: name i is bytes offsets[i] to offsets[i + 1]
      labels.npy splits.npy  (n,) int64 and int8, codes of `classes` and of `SPLITS`; without labels, the predictions
      attributes/<slug>.npy  (n,) int16, codes of the attribute's values, -1 unknown
      head.safetensors       the classifier's last layer
      computed.json          in which precision the network computed, and why: see computed.py
      marks.npy              (n,) int64, `Dataset.marks` of each row: see reuse.py
      thumbnails.bin .npy    see thumbnails.py
      skipped.json           [{image, reason}] of images that could not be decoded
      left_out.json          [{image, reason}] of what the dataset's reader left out before
      sorted/                activations in order, made when first asked for (index.py)
      vectors/               directions that somebody brought (vectors.py)
      heads/<digest>/        logits.npy, predicted.npy and sorted/ of another last layer (`with_head`)

What the network computed never changes once written. What the dataset says of the images (labels, splits, attributes,
what it left out) does, and is written again by `refresh` without another forward pass. A folder appears under its name
only when whole.
"""

from __future__ import annotations

from core.activations.store.analysis import Analysis
from core.activations.store.files import DESCRIPTION
from core.activations.store.last_layers import with_head
from core.activations.store.opening import has_analysis, open_analysis, touch
from core.activations.store.writing import ModelFacts, publish, refresh, write_analysis

__all__ = [
    "DESCRIPTION",
    "Analysis",
    "ModelFacts",
    "has_analysis",
    "open_analysis",
    "publish",
    "refresh",
    "touch",
    "with_head",
    "write_analysis",
]
