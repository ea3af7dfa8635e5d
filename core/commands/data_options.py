"""The options of the verbs that read images and models."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from core.classifiers.preprocessing import COLOURS, INTERPOLATIONS
from core.commands.arguments import class_names, column, names, natural, per_channel, positive
from core.commands.run_options import AddVerb

DATA = "a folder per class, a table of images, or any other format: `look` says what it is taken for"
MODEL = "a model file, its folder, or its name on a hub (hf-hub:owner/name, timm:name)"
PRECISIONS = ("auto", "fp32", "bf16")


def add_data_verbs(verb: AddVerb) -> None:
    look = verb("look", "Say what a dataset is taken for, what is in it and what is wrong with it", analysis=False)
    _add_data(look)

    train = verb("train", "Train a classifier on a dataset, the ordinary way (ERM)", analysis=False)
    _add_data(train)
    train.add_argument("--arch", default="small", metavar="NAME", help="small, or a torchvision architecture (small)")
    train.add_argument("--epochs", type=positive, metavar="E", help="passes over the train split (by its size)")
    train.add_argument("--out", required=True, type=Path, metavar="FILE", help="where the .safetensors goes")
    train.add_argument("--image-size", type=positive, metavar="PIXELS", help="side of the network's input")

    check = verb("check", "Try a model on a few hundred images: are classes and preprocessing right?", analysis=False)
    _add_data(check)
    _add_model(check)
    check.add_argument("--count", type=positive, metavar="N", help="how many images are looked at (300)")

    analyse = verb("analyse", "Run a classifier over a dataset and keep what it computes", analysis=False)
    _add_data(analyse)
    _add_model(analyse)
    analyse.add_argument(
        "--precision", choices=PRECISIONS, help="auto: bf16 where it is fast and the answers stay the same (auto)"
    )


def _add_data(parser: ArgumentParser) -> None:
    parser.add_argument("--data", required=True, metavar="PATH", help=DATA)
    parser.add_argument("--seed", type=natural, default=0, metavar="S", help="of whatever is drawn (0)")
    parser.add_argument("--sample", type=positive, metavar="N", help="only so many images, each class with its share")
    group = parser.add_argument_group("where a format leaves a choice")
    group.add_argument("--format", metavar="NAME", help="what the dataset is (recognised)")
    group.add_argument(
        "--column",
        type=column,
        action="append",
        default=[],
        dest="columns",
        metavar="ROLE=NAME",
        help="the column that is the image, label or split; may be given several times",
    )
    group.add_argument(
        "--attributes", type=names, metavar="A,B", help="columns kept as attributes (those of few values)"
    )
    group.add_argument("--target", metavar="NAME", help="the attribute that is the class (CelebA: Blond_Hair)")
    group.add_argument("--group", metavar="NAME", help="the attribute that evaluation groups by (CelebA: Male)")
    group.add_argument("--images", metavar="DIR", help="what the paths of a table are relative to (found)")
    group.add_argument(
        "--classes", type=class_names, metavar="A,B,C", help="class names in the model's order, or a file of one a line"
    )


def _add_model(parser: ArgumentParser) -> None:
    parser.add_argument("--model", required=True, metavar="FILE", help=MODEL)
    parser.add_argument("--arch", metavar="NAME", help="architecture of a plain state dict, such as resnet50")
    group = parser.add_argument_group("what the network is given, where its file does not say or says it wrong")
    group.add_argument("--image-size", type=positive, metavar="PIXELS", help="side of the input")
    group.add_argument(
        "--resize", type=positive, metavar="PIXELS", help="shorter side before the crop of that size (the whole image)"
    )
    group.add_argument("--interpolation", choices=tuple(INTERPOLATIONS), help="how images are made smaller")
    group.add_argument("--colour", choices=COLOURS, help="the channels and their order")
    group.add_argument("--mean", type=per_channel, metavar="A,B,C", help="taken off each channel, for values in 0..1")
    group.add_argument("--std", type=per_channel, metavar="A,B,C", help="what each channel is divided by then")
