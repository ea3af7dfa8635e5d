"""`look`, `train`, `check`, `analyse`: from images and weights to an analysis."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.activations.store import Analysis
from core.classifiers.preprocessing import Preprocessing, squeezed
from core.commands.output import Answer, duration, percent, table
from core.datasets import Choices, Dataset, Problem, choices_from_dict, describe_dataset, open_dataset
from core.datasets.dataset import gathered
from core.errors import BadRequest
from core.progress import Progress
from core.workspace import open_workspace

if TYPE_CHECKING:
    from core.classifiers.classifier import Classifier
    from core.classifiers.sanity import Offer

# Skipped images listed for a person; `--json` lists them all.
LISTED = 10
# Classes in the table of `look`.
LISTED_CLASSES = 40
# Names that fit on a command line.
MOST_TYPED = 40


def look(options: argparse.Namespace, progress: Progress) -> Answer:
    dataset = _dataset(options, progress)
    described = describe_dataset(dataset)
    counts = dataset.counts()
    splits = [split for split, classes in counts.items() if any(classes.values())]
    rows = [
        [name, *(f"{counts[split][name]:,}" for split in splits), f"{sum(counts[split][name] for split in splits):,}"]
        for name in next(iter(counts.values()))
    ]
    hidden = max(0, len(rows) - LISTED_CLASSES)
    lines = [
        *_read(dataset),
        f"Read as: {described['title']}.",
        "",
        table(rows[:LISTED_CLASSES], ["class", *splits, "in all"], indent="  "),
        *([f"  … and {hidden:,} more classes (--json lists them all)"] if hidden else []),
        "",
        *(f"Attribute {one['name']}: {_listed(_counted(one))}." for one in described["attributes"]),
        *_skipped(dataset.problems),
    ]
    return Answer(described, "\n".join(lines).rstrip())


def train(options: argparse.Namespace, progress: Progress) -> Answer:
    dataset = _dataset(options, progress)
    # torch takes seconds to import: a wrong path is told before
    from core.classifiers.training import train_erm

    trained = train_erm(
        dataset,
        arch=options.arch,
        epochs=options.epochs,
        seed=options.seed,
        out=options.out,
        image_size=options.image_size,
        progress=progress,
    )
    rows = [
        [group.class_name, group.concept or "", f"{group.count:,}", percent(group.accuracy)] for group in trained.groups
    ]
    grouped_by = dataset.attributes[0].name if dataset.attributes else ""
    epochs = f"{trained.epochs} epoch{'s' if trained.epochs != 1 else ''}"
    lines = [
        *_read(dataset),
        f"Trained {trained.arch} for {epochs} in {duration(trained.seconds)} "
        f"({trained.images_per_second:,.0f} images/s).",
        f"Accuracy on {trained.split}: {percent(trained.accuracy)}.",
        "",
        table(rows, ["class", grouped_by, "images", "accuracy"], left=2, indent="  "),
        "",
        *_skipped(trained.skipped),
        f"Written: {trained.model}",
        f"Next: python -m core analyse --data {options.data} --model {trained.model}",
    ]
    return Answer({**trained.to_dict(), "notes": list(dataset.notes)}, "\n".join(lines))


def check(options: argparse.Namespace, progress: Progress) -> Answer:
    dataset, classifier = _matched(options, progress)
    from core.classifiers.sanity import IMAGES, facts_of, sanity_check

    found = sanity_check(dataset, classifier, images=options.count or IMAGES, seed=options.seed, progress=progress)
    lines = [
        *_read(dataset),
        *classifier.notes,
        found.sentence,
        *(f"  {offer.title} (accuracy {percent(offer.accuracy)}): {_as_options(offer)}" for offer in found.offers),
    ]
    return Answer({**found.to_dict(), **facts_of(dataset, classifier)}, "\n".join(lines))


def analyse(options: argparse.Namespace, progress: Progress) -> Answer:
    dataset, classifier = _matched(options, progress)
    workspace = open_workspace(options.workspace)
    from core.activations.extraction import analyse as extract

    chosen = {"precision": options.precision} if options.precision else {}
    analysis = extract(workspace, dataset, classifier, progress=progress, **chosen)
    lines = [
        *_read(dataset),
        *about(analysis),
        *_skipped(analysis.skipped),
        "",
        f"Next: python -m core bands --workspace {workspace.root} --direction logit:{analysis.classes[0]}",
    ]
    return Answer(analysis.to_dict(), "\n".join(lines))


def _dataset(options: argparse.Namespace, progress: Progress) -> Dataset:
    progress(0, 0, "Opening the dataset")
    dataset = open_dataset(
        options.data,
        seed=options.seed,
        choices=_choices(options),
        # looking at a dataset makes no workspace, unless something has to be unpacked into one
        store=Path(options.workspace).expanduser().absolute() / "datasets",
        progress=progress,
    )
    return dataset.sample(options.sample, options.seed) if options.sample else dataset


def _choices(options: argparse.Namespace) -> Choices:
    images = options.images
    if images is not None and (here := Path(images).expanduser()).is_dir():
        # as it stands in the shell; otherwise as the dataset understands it
        images = str(here.absolute())
    return choices_from_dict(
        {
            "format": options.format,
            "columns": dict(options.columns),
            "attributes": options.attributes,
            "target": options.target,
            "group": options.group,
            "images": images,
            "classes": options.classes,
        }
    )


def _matched(options: argparse.Namespace, progress: Progress) -> tuple[Dataset, Classifier]:
    """The dataset and the model, their classes in one order."""
    dataset = _dataset(options, progress)
    progress(0, 0, "Opening the model")
    # torch takes seconds to import: a wrong path to the data is told before
    from core.classifiers.class_order import matched
    from core.classifiers.classifier import load_classifier

    changes = _changes(options)
    if options.image_size is None:
        classifier = load_classifier(options.model, arch=options.arch)
        if changes:
            classifier = replace(classifier, preprocessing=_changed(classifier.preprocessing, changes))
    else:
        given = _changed(squeezed(options.image_size), changes)
        classifier = load_classifier(options.model, arch=options.arch, preprocessing=given)
    return matched(dataset, classifier)


def _changed(own: Preprocessing, changes: dict[str, Any]) -> Preprocessing:
    """What the model says, but for what was typed: its means follow the order of the channels."""
    if changes.get("colour", own.colour) != own.colour:
        own = replace(own, mean=own.mean[::-1], std=own.std[::-1])
    return replace(own, **changes)


def _changes(options: argparse.Namespace) -> dict[str, Any]:
    """What the options say of the preprocessing, besides the side of the input."""
    channels = 1 if options.colour == "grey" else 3
    if channels == 1 and options.image_size is None:
        raise BadRequest(
            "A grey input needs its size as well.", next_step="Give --image-size, such as 28 for digits of MNIST."
        )
    given = {"resize": options.resize, "interpolation": options.interpolation, "colour": options.colour}
    for name in ("mean", "std"):
        values = getattr(options, name)
        given[name] = values * channels if values is not None and len(values) == 1 else values
    return {name: value for name, value in given.items() if value is not None}


def _as_options(offer: Offer) -> str:
    """The offer as it is typed: some need both another preprocessing and another order."""
    chosen = [] if offer.preprocessing is None else [_typed(offer.preprocessing)]
    return " ".join([*chosen, *([] if offer.classes is None else [_ordered(offer.classes)])])


def _ordered(names: tuple[str, ...]) -> str:
    if len(names) > MOST_TYPED or any("," in name for name in names):
        return "--classes FILE with a class on each line, in the order that --json prints"
    return f"--classes {shlex.quote(','.join(names))}"


def _typed(chosen: Preprocessing) -> str:
    numbers = [f"--{name} {','.join(f'{value:g}' for value in getattr(chosen, name))}" for name in ("mean", "std")]
    resize = [] if chosen.resize is None else [f"--resize {chosen.resize}"]
    interpolation = [] if chosen.interpolation == "bilinear" else [f"--interpolation {chosen.interpolation}"]
    return " ".join([f"--image-size {chosen.crop}", *resize, *interpolation, f"--colour {chosen.colour}", *numbers])


def _counted(attribute: dict[str, Any]) -> tuple[str, ...]:
    """Each value with its number of images."""
    unknown = ("not known", attribute["unknown"])
    counts = [*attribute["values"].items(), *([unknown] if unknown[1] else [])]
    return tuple(f"{value} ({count:,})" for value, count in counts)


def _listed(values: tuple[str, ...]) -> str:
    return ", ".join(values[:LISTED]) + (f" and {len(values) - LISTED:,} more" if len(values) > LISTED else "")


def _read(dataset: Dataset) -> list[str]:
    counts = {split: sum(classes.values()) for split, classes in dataset.counts().items()}
    splits = ", ".join(f"{count:,} {split}" for split, count in counts.items() if count)
    classes = f"of {len(dataset.classes):,} classes" if dataset.labelled else "without labels"
    return [f"{dataset.name}: {len(dataset):,} images {classes} ({splits}).", *dataset.notes]


def about(analysis: Analysis) -> list[str]:
    return [
        f"Analysis {analysis.id}: {analysis.model_name} ({analysis.arch}) on {analysis.n:,} images of "
        f"{analysis.dataset_name}, {analysis.d} features.",
        f"Classes: {', '.join(analysis.classes)}. Accuracy: {percent(analysis.accuracy)}.",
        # what goes without saying is not said
        *([str(analysis.computed)] if analysis.computed.measured or analysis.precision != "fp32" else []),
    ]


def _skipped(problems: tuple[Problem, ...]) -> list[str]:
    if not problems:
        return []
    told = gathered(problems)
    listed = [f"  {problem.image}: {problem.reason}" for problem in told[:LISTED]]
    more = [f"  … and {len(told) - LISTED:,} more lines"] if len(told) > LISTED else []
    more += ["  (--json lists them all)"] if len(problems) > len(listed) else []
    return [f"Left out: {sum(problem.count for problem in problems):,}", *listed, *more]
