"""The options of the verbs around retraining."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Protocol

from core.commands.arguments import names, natural, numbers, positive, setting

RUN = "id of the run, as `retrain` printed it (the latest)"


class AddVerb(Protocol):
    """Adds a verb, with --analysis unless told otherwise."""

    def __call__(self, name: str, summary: str, *, analysis: bool = True) -> ArgumentParser: ...


def add_run_verbs(verb: AddVerb) -> None:
    retrain = verb("retrain", "Fit a new last layer, or train the network anew, as a job in the background")
    retrain.add_argument("--method", default="mid", metavar="M", help="one of those that `methods` lists (mid)")
    retrain.add_argument("--concepts", type=names, default=(), metavar="A,B", help="groups are class x these together")
    retrain.add_argument("--seed", type=natural, default=0, metavar="S", help="of whatever is drawn (0)")
    retrain.add_argument(
        "--set",
        type=setting,
        action="append",
        default=[],
        dest="settings",
        metavar="KNOB=VALUE",
        help="a knob of the method (`methods` lists them); may be given several times",
    )
    retrain.add_argument(
        "--edits", type=Path, metavar="FILE", help="a .json of images to leave out and to put in (mid, mid-tags)"
    )
    retrain.add_argument("--wait", action="store_true", help="wait for the result and print it")

    compare = verb("compare", "Show a run before and after, and the images it fixed and broke", analysis=False)
    compare.add_argument("--run", metavar="R", help=RUN)
    compare.add_argument("--with", metavar="R", dest="other", help="another run: which of the two is better")

    export = verb("export", "Write the repaired model, the tags and a report", analysis=False)
    export.add_argument("--run", metavar="R", help=RUN)
    export.add_argument("--out", type=Path, metavar="DIR", help="where to (exports/R in the workspace)")
    export.add_argument(
        "--formats", type=names, metavar="A,B", help="besides weights: torchscript, torch.export, onnx (all of them)"
    )

    runs = verb("runs", "List the runs: what each was told, and what came out")
    change = runs.add_mutually_exclusive_group()
    change.add_argument("--delete", metavar="R", help="put this run aside")
    change.add_argument("--restore", metavar="R", help="bring a deleted run back")
    change.add_argument("--deleted", action="store_true", help="list those that were deleted")

    note = verb("note", "Give a run a name, or write something down about it", analysis=False)
    note.add_argument("--run", metavar="R", help=RUN)
    note.add_argument("--name", metavar="TEXT", help="one line; an empty one takes the name away")
    note.add_argument("--note", metavar="TEXT", help="what you want to remember; an empty one takes it away")

    replay = verb("replay", "Have a run again from its file, and say whether every figure is the same")
    replay.add_argument("file", type=Path, metavar="FILE", help="replay.json of a run or of an export, or its folder")

    verb("methods", "List the methods, what they need, and their knobs", analysis=False)

    bake_off = verb("bake-off", "Compare methods on the same images, several seeds each, as a job in the background")
    bake_off.add_argument("--methods", type=names, default=(), metavar="A,B", help="which (all that fit a head)")
    bake_off.add_argument("--seeds", type=positive, default=5, metavar="N", help="how many: 0 to N - 1 (5)")
    bake_off.add_argument("--concepts", type=names, default=(), metavar="A,B", help="groups are class x these together")
    bake_off.add_argument("--wait", action="store_true", help="wait for the table and print it")

    jobs = verb("jobs", "List the work in the background, or do something about one of it", analysis=False)
    what = jobs.add_mutually_exclusive_group()
    what.add_argument("--log", metavar="ID", help="print the end of its log")
    what.add_argument("--cancel", metavar="ID", help="end it, its processes included")
    what.add_argument("--pause", metavar="ID", help="let it rest; others take their turns")
    what.add_argument("--resume", metavar="ID", help="let a paused one go on when its turn comes")
    what.add_argument("--retry", metavar="ID", help="start one that failed or was cancelled once more")
    what.add_argument("--up", metavar="ID", help="before the one that waits before it")
    what.add_argument("--first", metavar="ID", help="before all that wait")
    what.add_argument("--prioritise", metavar="ID", help="give it the priority of --priority")
    jobs.add_argument("--priority", type=int, default=1, metavar="N", help="higher comes first (%(default)s)")
    jobs.add_argument("--active", action="store_true", help="only what runs, waits or is paused")
    jobs.add_argument("--count", type=positive, default=50, metavar="N", help="at most so many (%(default)s)")
    jobs.add_argument("--lines", type=positive, default=200, metavar="N", help="of the log (%(default)s)")

    reproduce = verb("reproduce", "Train the paper's synthetic experiment again, where it is not done", analysis=False)
    reproduce.add_argument("what", choices=("shapes",), help="shapes: their place tells their kind, more and more")
    reproduce.add_argument(
        "--preset", default="quick", metavar="P", help="quick: about an hour; full: as large as the paper's"
    )
    reproduce.add_argument("--out", type=Path, metavar="DIR", help="where (./reproduction/ and the preset's name)")
    reproduce.add_argument("--levels", type=numbers, metavar="A,B", help="of bias (0,0.1 ... 1)")
    reproduce.add_argument("--seeds", type=positive, metavar="N", help="how many: 0 to N - 1 (3; full: 5)")
    further = reproduce.add_mutually_exclusive_group()
    further.add_argument(
        "--look", type=float, metavar="A", help="then analyse the network of this bias, to be explored in the app"
    )
    further.add_argument("--dataset-only", action="store_true", help="train nothing: only write the pictures")
