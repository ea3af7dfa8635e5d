"""`demo`, `train`, `analyse`: from images and weights to an analysis."""

from __future__ import annotations

import argparse

from core.activations.store import Analysis
from core.classifiers.preprocessing import Preprocessing, squeezed
from core.commands.output import Answer, duration, percent, table
from core.datasets import Dataset, Problem, open_dataset
from core.progress import Progress
from core.workspace import open_workspace

# Skipped images listed for a person; `--json` lists them all.
LISTED = 10


def demo(options: argparse.Namespace, progress: Progress) -> Answer:
    from core.demo import make_demo

    workspace = open_workspace(options.workspace)
    analysis = make_demo(workspace, progress=progress)
    lines = [
        f"The demo is in {workspace.root}.",
        *_about(analysis),
        "",
        f"Next: python -m core bands --workspace {workspace.root} --direction logit:{analysis.classes[0]}",
    ]
    return Answer({"workspace": str(workspace.root), **analysis.to_dict()}, "\n".join(lines))


def train(options: argparse.Namespace, progress: Progress) -> Answer:
    progress(0, 0, "Opening the dataset")
    dataset = open_dataset(options.data, seed=options.seed)
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


def analyse(options: argparse.Namespace, progress: Progress) -> Answer:
    progress(0, 0, "Opening the dataset")
    dataset = open_dataset(options.data, seed=options.seed)
    workspace = open_workspace(options.workspace)
    progress(0, 0, "Opening the model")
    from core.activations.extraction import analyse as extract
    from core.classifiers.classifier import load_classifier

    classifier = load_classifier(options.model, arch=options.arch, preprocessing=_preprocessing(options))
    analysis = extract(workspace, dataset, classifier, progress=progress)
    lines = [
        *_read(dataset),
        *_about(analysis),
        *_skipped(analysis.skipped),
        "",
        f"Next: python -m core bands --workspace {workspace.root} --direction logit:{analysis.classes[0]}",
    ]
    return Answer(analysis.to_dict(), "\n".join(lines))


def _preprocessing(options: argparse.Namespace) -> Preprocessing | None:
    if options.image_size is None:
        return None
    if options.resize is None:
        return squeezed(options.image_size)
    return Preprocessing(resize=options.resize, crop=options.image_size)


def _read(dataset: Dataset) -> list[str]:
    counts = {split: sum(classes.values()) for split, classes in dataset.counts().items()}
    splits = ", ".join(f"{count:,} {split}" for split, count in counts.items() if count)
    return [f"{dataset.name}: {len(dataset):,} images of {len(dataset.classes)} classes ({splits}).", *dataset.notes]


def _about(analysis: Analysis) -> list[str]:
    return [
        f"Analysis {analysis.id}: {analysis.model_name} ({analysis.arch}) on {analysis.n:,} images of "
        f"{analysis.dataset_name}, {analysis.d} features.",
        f"Classes: {', '.join(analysis.classes)}. Accuracy: {percent(analysis.accuracy)}.",
    ]


def _skipped(problems: tuple[Problem, ...]) -> list[str]:
    if not problems:
        return []
    listed = [f"  {problem.image}: {problem.reason}" for problem in problems[:LISTED]]
    more = [f"  … and {len(problems) - LISTED:,} more (--json lists them all)"] if len(problems) > LISTED else []
    return [f"Left out: {len(problems):,}", *listed, *more]
