"""What training and analysing cost: images per second, peak memory, bytes on disk. On generated birds of 96 pixels.

    python -m benchmarks.bench_activations               6,000 images with `small`, 300 with resnet18 at 224 pixels
    python -m benchmarks.bench_activations --images N    other numbers, to see that memory does not grow with them

Each measurement runs in a process of its own, because peak memory is a property of a process.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.synthetic.birds import make_birds


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def measure_training(data: Path, folder: Path, _arch: str) -> dict[str, Any]:
    from core.classifiers.training import train_erm
    from core.datasets import open_dataset

    trained = train_erm(open_dataset(data), epochs=4, out=folder / "small.safetensors")
    return {"images per second, forward and backward": round(trained.images_per_second), "peak MB": peak_mb()}


def measure_analysis(data: Path, folder: Path, arch: str) -> dict[str, Any]:
    import torch

    from core.activations.extraction import analyse
    from core.classifiers.architectures import build, default_preprocessing
    from core.classifiers.checkpoint import ModelDescription, write_checkpoint
    from core.classifiers.classifier import load_classifier
    from core.datasets import open_dataset
    from core.workspace import open_workspace

    dataset = open_dataset(data)
    model = folder / f"{arch}-untrained.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = build(arch, len(dataset.classes)).state_dict()
    write_checkpoint(model, state, ModelDescription(arch, dataset.classes, default_preprocessing(arch)))
    classifier = load_classifier(model)
    before, started = peak_mb(), time.perf_counter()
    analysis = analyse(open_workspace(folder / "workspace"), dataset, classifier)
    seconds = time.perf_counter() - started
    again = time.perf_counter()
    analyse(open_workspace(folder / "workspace"), dataset, classifier)
    size = sum(file.stat().st_size for file in analysis.folder.rglob("*") if file.is_file())
    return {
        "images per second": round(len(dataset) / seconds),
        "peak MB": peak_mb(),
        "of which before the first image": before,
        "kB on disk per image": round(size / len(dataset) / 1000, 1),
        "seconds when it is there already": round(time.perf_counter() - again, 3),
    }


MEASUREMENTS: dict[str, Callable[[Path, Path, str], dict[str, Any]]] = {
    "training": measure_training,
    "analysis": measure_analysis,
}


def in_own_process(name: str, data: Path, folder: Path, arch: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.bench_activations", "--child", name, str(data), str(folder), arch]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--child", nargs=4, metavar=("NAME", "DATA", "FOLDER", "ARCH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, data, folder, arch = options.child
        print(json.dumps(MEASUREMENTS[name](Path(data), Path(folder), arch)))
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="midband-bench-") as text:
        folder = Path(text)
        started = time.perf_counter()
        data = make_birds(folder / "birds", n=options.images)
        print(f"making {options.images:,} birds: {time.perf_counter() - started:.1f} s")
        few = make_birds(folder / "few", n=300)
        for title, name, images, arch in (
            ("training, small", "training", data, "small"),
            (f"analysis of {options.images:,} images, small", "analysis", data, "small"),
            ("analysis of 300 images, resnet18 at 224 pixels", "analysis", few, "resnet18"),
        ):
            print(f"{title}: {in_own_process(name, images, folder, arch)}")


if __name__ == "__main__":
    main()
