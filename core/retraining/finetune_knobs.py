"""The settings of the method `finetune`; apart from it, so that listing methods needs nothing heavy."""

from __future__ import annotations

from core.retraining.interface import Knob

ALL_LAYERS, LAST_BLOCK = "all", "last-block"

# tuned on birds, shapes and digits with seeds from 100 on: with steps of 1e-4, birds lose up to ten points in the first
# epochs, and the images set aside have to undo it
KNOBS = (
    Knob(
        "epochs",
        "Epochs",
        8,
        1,
        500,
        help="How often all images are gone through at most; the learning rate falls to zero over all of them.",
    ),
    Knob(
        "learning_rate",
        "Learning rate",
        4e-5,
        1e-7,
        1.0,
        help="How far one step goes: higher learns faster and forgets faster what the network knew.",
    ),
    Knob("batch", "Images per step", 64, 2, 1024, unit="images", help="Fewer need less memory; groups share them."),
    Knob(
        "patience",
        "Patience",
        4,
        1,
        500,
        unit="epochs",
        help="Training ends after so many epochs without a better worst group among the images set aside for that.",
    ),
    Knob(
        "layers",
        "Layers trained",
        ALL_LAYERS,
        choices=(ALL_LAYERS, LAST_BLOCK),
        help="The whole network, or its last block and last layer only, which is faster and changes less.",
    ),
    Knob(
        "augment",
        "Augmentation",
        True,
        help="Mirrors and shifts the images at random; turn it off where left and right mean something.",
    ),
    Knob(
        "train_images",
        "Use training images",
        False,
        help="Whether training images join, grouped by the probe: more to learn from where it sees the concept well, "
        "and slower.",
    ),
)
