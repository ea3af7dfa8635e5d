"""How fast images pass through a network, beside what the machine could do and the loop that people write.

    python -m benchmarks.bench_extraction                      all three, about ten minutes on two cores
    python -m benchmarks.bench_extraction --only resnet50      photographs of about 500 x 375 pixels at 224
    python -m benchmarks.bench_extraction --only resnet18      pictures of about 100 x 75 pixels at 64
    python -m benchmarks.bench_extraction --only memory        peak memory with 1,000 and with 50,000 images

Pictures are made for the purpose (noise with the spectrum of photographs, edges, JPEG of the usual size); weights are
random, which costs the same. Every measurement is a process of its own, on the same images, `--rounds` times in turns;
the best of each counts.

- the pass: `analyse`, from its call to the stored analysis, thumbnails included.
- the limit: decoding (with resizing and cropping) alone by a process per core, and the network alone on all cores,
  by a batch per core or one batch for all, whichever is faster. Both need the same cores, so their times add up:
  limit = 1 / (1 / decoding + 1 / network). Thumbnails, writing and coordination are not in it.
- the usual loop: ImageFolder with torchvision's transforms, a DataLoader with a worker per core, a forward hook.

Demanded: 85% of the limit; 3 times the usual loop in bfloat16 (where the processor has it), 1.5 times in float32. Where
the limit itself is less than that many times the loop, no pass can be: it is said, and only the first is demanded.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CLASSES = ("one", "other")
LIMIT, BF16_GAIN, FP32_GAIN = 0.85, 3.0, 1.5
MOST_MORE_MB = 100


@dataclass(frozen=True)
class Case:
    """width: of the pictures, in pixels, on average. quality: of their JPEG. batches: how many the network alone is
    timed on."""

    arch: str
    width: int
    quality: int
    resize: int
    crop: int
    images: int
    batch: int
    batches: int


CASES = {
    "resnet50": Case("resnet50", 500, 88, 256, 224, images=600, batch=16, batches=8),
    "resnet18": Case("resnet18", 100, 88, 72, 64, images=6000, batch=64, batches=24),
}


def make_pictures(folder: Path, case: Case, seed: int = 0) -> None:
    """A folder per class. Noise that falls with frequency as in photographs, and a few shapes with sharp edges."""
    rng = np.random.default_rng(seed)
    grounds = [_ground(rng, case.width) for _ in range(24)]
    for index in range(case.images):
        width = int(case.width * rng.uniform(0.8, 1.2))
        height = int(width * rng.choice([0.75, 0.75, 0.667, 1.33]))
        ground = grounds[rng.integers(len(grounds))]
        top, left = (int(rng.integers(0, ground.shape[axis] - side)) for axis, side in enumerate((height, width)))
        pixels = ground[top : top + height, left : left + width, rng.permutation(3)].copy()
        for _ in range(4):
            y, x, h, w = (rng.uniform(0, 1, 4) * [height, width, height / 2, width / 2]).astype(int)
            pixels[y : y + h, x : x + w] = (pixels[y : y + h, x : x + w] * 0.4 + rng.uniform(0, 150, 3)).astype(
                np.uint8
            )
        place = folder / CLASSES[index % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{index:05d}.jpg", quality=case.quality)


def _ground(rng: np.random.Generator, width: int) -> np.ndarray:
    side = int(width * 1.7)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    fall = 1 / np.maximum(frequency, 1 / side)
    channels = [np.fft.irfft2(np.fft.rfft2(rng.normal(size=(side, side))) * fall, s=(side, side)) for _ in range(3)]
    shared = channels[0]
    mixed = np.stack([shared + 0.4 * channel for channel in channels], axis=-1)
    mixed += rng.normal(scale=0.04 * mixed.std(), size=mixed.shape)
    return np.clip((mixed - mixed.mean()) / mixed.std() * 55 + 120, 0, 255).astype(np.uint8)


def write_model(file: Path, case: Case) -> None:
    import torch

    from core.classifiers.architectures import build
    from core.classifiers.checkpoint import ModelDescription, write_checkpoint
    from core.classifiers.preprocessing import Preprocessing

    torch.manual_seed(0)
    description = ModelDescription(case.arch, CLASSES, Preprocessing(resize=case.resize, crop=case.crop))
    write_checkpoint(file, build(case.arch, len(CLASSES)).state_dict(), description)


# what is measured, each in a process of its own -----------------------------------------------------------------------


def measure_pass(folder: Path, case: Case, precision: str) -> dict[str, Any]:
    from core.activations.extraction import analyse
    from core.classifiers.classifier import load_classifier
    from core.datasets import open_dataset
    from core.workspace import open_workspace

    dataset, classifier = open_dataset(folder / "data"), load_classifier(folder / "model.safetensors")
    workspace = open_workspace(Path(tempfile.mkdtemp(dir=folder)) / "workspace")
    started = time.perf_counter()
    analysis = analyse(workspace, dataset, classifier, precision=precision)
    seconds = time.perf_counter() - started
    shutil.rmtree(workspace.root)
    return {"rate": analysis.n / seconds, "peak MB": peak_mb()}


def measure_decoding(folder: Path, case: Case, _precision: str) -> dict[str, Any]:
    files = [str(path) for path in sorted((folder / "data").rglob("*.jpg"))]
    cores = _cores()
    # a part first, unmeasured: processes start, files come into the cache
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        list(pool.map(_decode, [files[part::cores] for part in range(cores)], [case] * cores))
        seconds = list(pool.map(_decode, [files[part::cores] for part in range(cores)], [case] * cores))
    return {"rate": len(files) / max(seconds)}


def _decode(files: list[str], case: Case) -> float:
    from core.classifiers.preprocessing import Preprocessing
    from core.datasets.images import decode

    preprocessing = Preprocessing(resize=case.resize, crop=case.crop)
    started = time.perf_counter()
    for file in files:
        preprocessing.pixels(decode(Path(file), 10**8))
    return time.perf_counter() - started


def measure_thumbnails(folder: Path, case: Case, _precision: str) -> dict[str, Any]:
    """A thumbnail of each picture that is decoded already: not in the limit, told for comparison."""
    from core.activations.thumbnails import thumbnail_of
    from core.datasets.images import decode
    from core.settings import DEFAULTS

    files = sorted((folder / "data").rglob("*.jpg"))[:300]
    pictures = [decode(file, 10**8) for file in files]
    started = time.perf_counter()
    for file, picture in zip(files, pictures, strict=True):
        thumbnail_of(file, picture, DEFAULTS.thumbnail_size, DEFAULTS.thumbnail_quality)
    return {"rate": _cores() * len(files) / (time.perf_counter() - started)}


def measure_network(folder: Path, case: Case, precision: str) -> dict[str, Any]:
    import torch

    from core.classifiers.classifier import load_classifier
    from core.classifiers.lookahead import in_threads
    from core.classifiers.network_precision import runner

    run = runner(load_classifier(folder / "model.safetensors"), precision)
    batch = torch.randn(case.batch, case.crop, case.crop, 3).permute(0, 3, 1, 2)
    batches = [batch] * case.batches
    rates = []
    for threads, begin in ((1, None), (run.streams, run.limit_threads)):
        list(in_threads(run.classifier, batches[: 2 * threads], threads=threads, begin=begin))
        started = time.perf_counter()
        list(in_threads(run.classifier, batches, threads=threads, begin=begin))
        rates.append(case.batch * case.batches / (time.perf_counter() - started))
    return {"rate": max(rates), "one batch at a time": rates[0], "a batch per core": rates[1]}


def measure_loop(folder: Path, case: Case, _precision: str) -> dict[str, Any]:
    """The loop as people write it. torch is imported before anything of ours, which would set how its threads wait."""
    import torch

    from core.classifiers.torchvision_compat import load

    torchvision = load()
    from torchvision import transforms

    prepared = transforms.Compose(
        [
            transforms.Resize(case.resize),
            transforms.CenterCrop(case.crop),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    from safetensors.torch import load_file

    dataset = torchvision.datasets.ImageFolder(str(folder / "data"), prepared)
    network = torchvision.models.get_model(case.arch, weights=None, num_classes=len(CLASSES))
    network.load_state_dict(load_file(folder / "model.safetensors"))
    network.eval()
    features, logits = [], []
    network.fc.register_forward_hook(lambda module, inputs, output: features.append(inputs[0]))
    loader = torch.utils.data.DataLoader(dataset, batch_size=64, num_workers=_cores())
    started = time.perf_counter()
    with torch.no_grad():
        for images, _labels in loader:
            logits.append(network(images))
    found = torch.cat(features), torch.cat(logits)
    seconds = time.perf_counter() - started
    np.savez(folder / "loop.npz", features=found[0].numpy(), logits=found[1].numpy())
    return {"rate": len(dataset) / seconds}


def measure_memory(folder: Path, case: Case, _precision: str) -> dict[str, Any]:
    from core.activations.extraction import analyse
    from core.classifiers.classifier import load_classifier
    from core.datasets import open_dataset
    from core.workspace import open_workspace

    classifier = load_classifier(folder / "model.safetensors")
    started = time.perf_counter()
    analysis = analyse(open_workspace(folder / "workspace"), open_dataset(folder / "data"), classifier)
    return {"peak MB": peak_mb(), "rate": analysis.n / (time.perf_counter() - started)}


MEASURES: dict[str, Callable[[Path, Case, str], dict[str, Any]]] = {
    "pass": measure_pass,
    "decoding": measure_decoding,
    "thumbnails": measure_thumbnails,
    "network": measure_network,
    "loop": measure_loop,
    "memory": measure_memory,
}


def apart(name: str, folder: Path, case: Case, precision: str = "fp32") -> dict[str, Any]:
    request = json.dumps({"name": name, "folder": str(folder), "case": asdict(case), "precision": precision})
    command = [sys.executable, "-m", "benchmarks.bench_extraction", "--child", request]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def speed(name: str, case: Case, rounds: int) -> bool:
    """Prints the table of one case. Returns whether every demand is met."""
    import torch

    from core.classifiers.network_precision import has_native_bf16

    precisions = ("fp32", "bf16") if has_native_bf16(torch.device("cpu")) else ("fp32",)
    steps = [("decoding", ""), ("thumbnails", ""), ("loop", "")]
    steps += [(step, precision) for precision in precisions for step in ("network", "pass")]
    best: dict[tuple[str, str], dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="midband-bench-") as text:
        folder = Path(text)
        make_pictures(folder / "data", case)
        write_model(folder / "model.safetensors", case)
        sizes = [path.stat().st_size for path in (folder / "data").rglob("*.jpg")]
        print(f"\n{name} at {case.crop} pixels, {len(sizes):,} JPEGs of {np.mean(sizes) / 1000:.0f} kB on average")
        for _ in range(rounds):
            for step, precision in steps:
                found = apart(step, folder, case, precision or "fp32")
                if found["rate"] > best.get((step, precision), {"rate": 0})["rate"]:
                    best[step, precision] = found
    rates = {key: found["rate"] for key, found in best.items()}
    loop, decoding = rates["loop", ""], rates["decoding", ""]
    print(f"  decoding alone     {decoding:8,.1f} images/s      thumbnails alone {rates['thumbnails', '']:,.0f}")
    print(f"  the usual loop     {loop:8,.1f} images/s")
    met = True
    for precision in precisions:
        ours, network = rates["pass", precision], rates["network", precision]
        limit = 1 / (1 / decoding + 1 / network)
        gain = BF16_GAIN if precision == "bf16" else FP32_GAIN
        possible = limit >= gain * loop
        enough = ours >= LIMIT * limit and (ours >= gain * loop or not possible)
        demand = f"demanded {gain}" if possible else f"{gain} lies beyond the limit, which is {limit / loop:.2f}"
        met &= enough
        print(
            f"  {precision}: network alone {network:8,.1f}   limit {limit:8,.1f}   the pass {ours:8,.1f} images/s: "
            f"{ours / limit:.0%} of the limit (demanded {LIMIT:.0%}), {ours / loop:.2f} times the loop ("
            f"{demand}), {best['pass', precision]['peak MB']} MB{'' if enough else '   NOT MET'}"
        )
    print(json.dumps({name: {" ".join(key).strip(): round(rate, 1) for key, rate in rates.items()}}))
    return met


def memory() -> bool:
    """Peak memory of a process that analyses a thousand and fifty thousand small pictures."""
    case = Case("small", 32, 88, 32, 32, images=200, batch=64, batches=1)
    peaks = {}
    for images in (1_000, 50_000):
        with tempfile.TemporaryDirectory(prefix="midband-bench-") as text:
            folder = Path(text)
            make_pictures(folder / "few", case)
            few = sorted((folder / "few").rglob("*.jpg"))
            for index in range(images):
                file = few[index % len(few)]
                place = folder / "data" / file.parent.name / f"{index:06d}.jpg"
                place.parent.mkdir(parents=True, exist_ok=True)
                os.link(file, place)
            write_model(folder / "model.safetensors", case)
            found = apart("memory", folder, case)
            peaks[images] = found["peak MB"]
            print(f"  {images:7,} images: peak {found['peak MB']} MB, {found['rate']:,.0f} images/s", flush=True)
    more = peaks[50_000] - peaks[1_000]
    print(f"  {more} MB more (demanded less than {MOST_MORE_MB}){'' if more < MOST_MORE_MB else '   NOT MET'}")
    return more < MOST_MORE_MB


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=(*CASES, "memory"), help="one of the three")
    parser.add_argument("--rounds", type=int, default=2, help="how often each is measured; the best counts")
    parser.add_argument("--images", type=int, help="other numbers of images")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        request = json.loads(options.child)
        measured = MEASURES[request["name"]](Path(request["folder"]), Case(**request["case"]), request["precision"])
        print(json.dumps(measured))
        return
    print(f"{_cores()} cores, load {os.getloadavg()[0]:.1f}")
    met = True
    for name, case in CASES.items():
        if options.only in (None, name):
            chosen = case if options.images is None else Case(**{**asdict(case), "images": options.images})
            met &= speed(name, chosen, options.rounds)
    if options.only in (None, "memory"):
        print("\npeak memory, the small network at 32 pixels")
        met &= memory()
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
