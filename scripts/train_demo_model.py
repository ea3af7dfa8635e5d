"""Train the demos' classifiers again: make the pictures of seed 0, train `small` on them by ERM, write assets/.

That of the birds is equal to `python -m core train --data BIRDS --arch small --out assets/demo.safetensors` on the
demo's own birds. That of the digits takes pictures of 32 pixels and is kept in half precision, which halves the file.
Both are meant to cheat; the groups printed at the end show that they do.

python scripts/train_demo_model.py [birds] [digits]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from core.classifiers.checkpoint import read_checkpoint, write_checkpoint  # noqa: E402
from core.classifiers.training import train_erm  # noqa: E402
from core.datasets import open_dataset  # noqa: E402
from core.demo import DEMOS, draw, shipped_model  # noqa: E402

# name -> side of the input and epochs, None where it is what is usual
OPTIONS: dict[str, tuple[int | None, int | None]] = {"birds": (None, None), "digits": (32, 12)}
HALVED = ("digits",)


def report(done: int, total: int, message: str = "") -> None:
    print(f"\r{done}/{total} {message:<60}", end="", file=sys.stderr, flush=True)


def train(name: str) -> None:
    model, (size, epochs) = shipped_model(name), OPTIONS[name]
    with tempfile.TemporaryDirectory() as folder:
        pictures = open_dataset(draw(name, Path(folder) / name, progress=report))
        trained = train_erm(pictures, arch="small", seed=0, out=model, image_size=size, epochs=epochs, progress=report)
    if name in HALVED:
        stored = read_checkpoint(model)
        assert stored.description is not None
        halved = {key: value.half() if value.is_floating_point() else value for key, value in stored.state.items()}
        write_checkpoint(model, halved, stored.description)
    print(f"\n{model.relative_to(ROOT)}: {model.stat().st_size / 1e6:.2f} MB")
    print(f"  test accuracy {trained.accuracy:.1%} after {trained.epochs} epochs")
    for group in trained.groups:
        print(f"  {group.class_name:<10} on {group.concept or '-':<6} {group.accuracy:6.1%}  ({group.count} images)")


def main() -> None:
    for name in sys.argv[1:] or DEMOS:
        train(name)


if __name__ == "__main__":
    main()
