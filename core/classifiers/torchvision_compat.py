"""torchvision beside a torch that cannot load its compiled operators.

torchvision's compiled library needs CUDA libraries. Beside a CPU build of torch it does not load, and then
`import torchvision` fails with "operator torchvision::nms does not exist", because it registers shape functions for
operators that were never defined. Declaring the two operators is enough: architectures, weight descriptions and
transforms are plain Python. The operators themselves (detection only) stay unusable, which nothing here needs.

Get torchvision from `load()` and nowhere else; where the operators load by themselves that is a plain import. It is a
function because importing torchvision costs 1.5 seconds and 80 MB, which the small network does without.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
from pathlib import Path
from types import ModuleType

import torch

# name -> schema, as torchvision's C++ sources define them
OPERATORS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def declare_missing_operators() -> tuple[str, ...]:
    """Declare torchvision's operators that its compiled library failed to define. Returns the names declared.

    Does nothing with a CUDA build of torch: a failure to load there is a broken installation and must stay loud.
    """
    if torch.version.cuda is not None or _library_loads():
        return ()
    declared = []
    for name, schema in OPERATORS.items():
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f"torchvision::{name}", schema)
            declared.append(name)
    return tuple(declared)


def _library_loads() -> bool:
    """Whether torchvision's compiled library can be loaded into this torch (loading it twice is harmless)."""
    package = importlib.util.find_spec("torchvision")
    if package is None or not package.submodule_search_locations:
        return False
    folder = Path(package.submodule_search_locations[0])
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        library = folder / f"_C{suffix}"
        if library.is_file():
            try:
                torch.ops.load_library(str(library))
            except OSError:
                return False
            return True
    return False


def load() -> ModuleType:
    """The torchvision module, imported when first asked for."""
    declare_missing_operators()
    import torchvision

    return torchvision
