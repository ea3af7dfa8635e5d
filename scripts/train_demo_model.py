"""Train the demo's classifier again: draw the birds of seed 0, train `small` on them by ERM, write assets/.

Equal to `python -m core train --data BIRDS --arch small --out assets/demo.safetensors` on the demo's own birds. It is
meant to cheat; the groups printed at the end show that it does.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from core.classifiers.training import train_erm  # noqa: E402
from core.datasets import open_dataset  # noqa: E402
from core.demo import MODEL, SEED  # noqa: E402
from core.synthetic.birds import make_birds  # noqa: E402


def report(done: int, total: int, message: str = "") -> None:
    print(f"\r{done}/{total} {message:<60}", end="", file=sys.stderr, flush=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        birds = make_birds(Path(folder) / "birds", seed=SEED, progress=report)
        trained = train_erm(open_dataset(birds), arch="small", seed=0, out=MODEL, progress=report)
    print(f"\n{MODEL.relative_to(ROOT)}: test accuracy {trained.accuracy:.1%} after {trained.epochs} epochs")
    for group in trained.groups:
        print(f"  {group.class_name:<10} on {group.concept or '-':<6} {group.accuracy:6.1%}  ({group.count} images)")


if __name__ == "__main__":
    main()
