"""The options of every verb."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from core.access.person import ROLES
from core.activations.proposals import MID_RULES
from core.activations.sampling import ORDERS
from core.commands.arguments import names, natural, numbers, positive
from core.commands.data_options import add_data_verbs
from core.commands.run_options import add_run_verbs
from core.datasets.dataset import SPLITS
from core.errors import BadRequest
from core.settings import DEFAULTS

DIRECTIONS = (
    "logit:CLASS, margin:CLASS, probability:CLASS, difference:A-B, neuron:INDEX, pc:INDEX, concept:NAME or vector:NAME"
)
FILTER = "only images for which this holds, such as 'class=A,B;correctness=wrong'"
# `core.concepts.exchange.FORMATS`, which would be imported for every command
TAG_FORMATS = ("csv", "json", "parquet", "fiftyone")
MID_RULE = "how the mid band is proposed: %(choices)s (%(default)s)"


class Parser(argparse.ArgumentParser):
    """Raises `BadRequest` in place of ending the program, after printing the usage on stderr."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        raise BadRequest(
            f"{message[:1].upper()}{message[1:]}.",
            next_step=f"`{self.prog} -h` explains the options.",
            title="The command is not complete" if "required" in message else "The command cannot be read",
        )


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read a command line. Raises `BadRequest`."""
    parser = make_parser()
    options = parser.parse_args(_joined(list(arguments)))
    options.json = getattr(options, "json", False)
    options.quiet = getattr(options, "quiet", False)
    options.workspace = getattr(options, "workspace", os.environ.get("MIDBAND_WORKSPACE") or "workspace")
    return options


def make_parser() -> Parser:
    # the same options before and after the verb; SUPPRESS, or the verb's defaults would erase what came before it
    common = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    group = common.add_argument_group("for every command")
    group.add_argument("--workspace", metavar="DIR", help="workspace folder (MIDBAND_WORKSPACE, else ./workspace)")
    group.add_argument("--json", action="store_true", help="print one JSON object and nothing else on stdout")
    group.add_argument("--quiet", action="store_true", help="no progress line")
    chosen = Parser(add_help=False)
    chosen.add_argument("--analysis", metavar="ID", help="which analysis (the one used last)")

    parser = Parser(
        prog="python -m core",
        description="Midband without a browser: see what an image classifier confuses in the middle of its "
        "activation range, name it, retrain the last layer, compare, export.",
        epilog="The loop: look, train, check, analyse, bands, sample, suggest, tag, concepts, explain, retrain, "
        "compare, export. `demo` makes a workspace to try it on.",
        parents=[common],
        allow_abbrev=False,
    )
    verbs = parser.add_subparsers(dest="verb", metavar="COMMAND", required=True)

    def verb(name: str, summary: str, *, analysis: bool = True) -> Parser:
        parents = [common, chosen] if analysis else [common]
        return verbs.add_parser(name, help=summary, description=f"{summary}.", parents=parents, allow_abbrev=False)

    demo = verb("demo", "Make a demo: pictures and a classifier that cheats", analysis=False)
    demo.add_argument(
        "--which",
        choices=("birds", "digits"),
        default="birds",
        help="birds on water or land (birds), or ink of handwritten digits",
    )
    again = demo.add_mutually_exclusive_group()
    again.add_argument("--reset", action="store_true", help="put its concepts, tags and runs aside, and nothing else")
    again.add_argument(
        "--undo-reset",
        nargs="?",
        type=positive,
        const=1,
        metavar="N",
        help="put back what the last --reset put aside, or the Nth last",
    )

    add_data_verbs(verb)

    bands = verb("bands", "Count images per band of a direction's activation")
    bands.add_argument("--direction", required=True, metavar="D", help=DIRECTIONS)
    edges = bands.add_mutually_exclusive_group()
    edges.add_argument("--count", type=positive, default=DEFAULTS.band_count, metavar="K", help="bands of equal width")
    edges.add_argument("--edges", type=numbers, metavar="A,B,C", help="the edges themselves, such as -2,0,2")
    bands.add_argument("--quantiles", action="store_true", help="bands of equally many images in place of equal width")
    bands.add_argument("--split", choices=SPLITS, help="only images of this split")
    bands.add_argument("--filter", metavar="F", help=FILTER)
    bands.add_argument(
        "--facet",
        metavar="P",
        help="parts to count besides the classes: prediction, correctness, split, attribute:NAME or concept:NAME",
    )
    bands.add_argument("--mid-rule", choices=MID_RULES, default=MID_RULES[0], help=MID_RULE)

    sample = verb("sample", "Draw images from a band")
    sample.add_argument("--direction", required=True, metavar="D", help=DIRECTIONS)
    sample.add_argument("--low", type=float, metavar="A", help="lowest activation (no limit)")
    sample.add_argument("--high", type=float, metavar="B", help="the activation below which images lie (no limit)")
    sample.add_argument(
        "--closed", action="store_true", help="B itself belongs to the band (as it does at the maximum)"
    )
    sample.add_argument("--preset", choices=("mid", "top", "bottom"), help="a proposed band instead")
    sample.add_argument("--mid-rule", choices=MID_RULES, default=MID_RULES[0], help=MID_RULE)
    sample.add_argument("--count", type=positive, default=DEFAULTS.grid_size, metavar="K", help="how many at most")
    sample.add_argument("--class", dest="class_name", metavar="C", help="only images of this class")
    sample.add_argument("--split", choices=SPLITS, help="only images of this split")
    sample.add_argument("--filter", metavar="F", help=FILTER)
    sample.add_argument("--order", choices=ORDERS, help="what comes first: %(choices)s (an even draw, strongest first)")
    sample.add_argument("--page", type=positive, default=1, metavar="N", help="of K images each (1)")
    sample.add_argument("--seed", type=natural, default=0, metavar="S", help="of the draw (0)")

    closer = verb("closer", "Look at one image: logits, neighbours, where it stands, where the network looks")
    closer.add_argument("--image", required=True, metavar="ID_OR_NAME", help="its name in the dataset, or its id")
    closer.add_argument("--direction", metavar="D", help=f"also where it stands here: {DIRECTIONS}")
    closer.add_argument("--neighbours", type=natural, default=12, metavar="K", help="nearest images listed (12)")
    closer.add_argument("--metric", choices=("cosine", "standardised"), default="cosine", help="distance (cosine)")
    closer.add_argument("--heatmap", type=Path, metavar="FILE.png", help="draw where the network looks")
    closer.add_argument("--class", dest="class_name", metavar="C", help="whose heat map (of the class predicted)")

    directions = verb("directions", "Rank directions by how suspicious their middle looks")
    directions.add_argument(
        "--kind",
        type=names,
        default=(),
        metavar="A,B",
        help="logit, margin, probability, difference, neuron, pc, concept, vector (logit,neuron,concept,vector)",
    )
    directions.add_argument("--limit", type=positive, default=20, metavar="K", help="how many are shown (20)")
    directions.add_argument("--split", choices=SPLITS, help="judge by images of this split (val)")
    directions.add_argument("--filter", metavar="F", help=FILTER)

    curve = verb("curve", "Show how common an attribute or concept is along a direction")
    curve.add_argument("--direction", required=True, metavar="D", help=DIRECTIONS)
    curve.add_argument("--concept", metavar="NAME", help="only this concept (everything that is known)")
    curve.add_argument("--attribute", metavar="NAME", help="only the values of this attribute")
    curve.add_argument("--estimate", action="store_true", help="also what a probe of --concept guesses for all images")
    curve.add_argument("--bins", type=positive, default=16, metavar="K", help="at most; each holds 20 images (16)")
    curve.add_argument("--mid-rule", choices=MID_RULES, default=MID_RULES[0], help=MID_RULE)
    curve.add_argument("--split", choices=SPLITS, help="only images of this split")
    curve.add_argument("--filter", metavar="F", help=FILTER)

    sheet = verb("contact-sheet", "Write a picture of a direction's bands: images, counts, what they are made of")
    sheet.add_argument("--direction", required=True, metavar="D", help=DIRECTIONS)
    cuts = sheet.add_mutually_exclusive_group()
    cuts.add_argument("--bands", type=positive, default=6, metavar="K", help="bands of equal width (6)")
    cuts.add_argument("--edges", type=numbers, metavar="A,B,C", help="the edges themselves, such as -2,0,2")
    sheet.add_argument("--quantiles", action="store_true", help="bands of equally many images in place of equal width")
    sheet.add_argument("--per-band", type=natural, default=8, metavar="K", help="images of each band (8)")
    sheet.add_argument("--seed", type=natural, default=0, metavar="S", help="of the draw (0)")
    sheet.add_argument("--mid-rule", choices=MID_RULES, default=MID_RULES[0], help=MID_RULE)
    sheet.add_argument("--split", choices=SPLITS, help="only images of this split")
    sheet.add_argument("--filter", metavar="F", help=FILTER)
    sheet.add_argument("--out", required=True, type=Path, metavar="FILE", help="a .png or a .pdf")

    story = verb("story", "Say what an audience would be shown of a class: scores, the surest, what lies in between")
    story.add_argument("--class", dest="of", metavar="NAME", help="the class (the one whose middle tells most)")
    story.add_argument("--count", type=positive, default=10, metavar="K", help="images of each kind (10)")

    suggest = verb("suggest", "Say which images to tag next")
    suggest.add_argument("--budget", type=positive, default=DEFAULTS.tag_budget, metavar="K", help="how many images")
    suggest.add_argument("--concept", metavar="NAME", help="skip images tagged with it already, and use those tags")

    tag = verb("tag", "Import tags from a file: a table with the columns image, concept, present, or what `tags` wrote")
    source = tag.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--csv", type=Path, metavar="FILE", help="a table; present: 1, 0 or unsure. New concepts are made"
    )
    source.add_argument("--file", type=Path, metavar="FILE", help="of any format: csv, json, parquet, or FiftyOne's")
    tag.add_argument("--format", choices=TAG_FORMATS, help="the format of --file (else by its name and content)")
    tag.add_argument("--author", default="local", metavar="NAME", help="whose action it is (%(default)s)")
    tag.add_argument("--preview", action="store_true", help="say what would be taken, and write nothing")

    tags = verb("tags", "Write the tags, the concepts and what was said of labels to a file")
    tags.add_argument(
        "--out", required=True, type=Path, metavar="FILE", help=".csv (tags only), .json, .parquet, a folder: FiftyOne"
    )
    tags.add_argument("--format", choices=TAG_FORMATS, help="the format, whatever the file is called")

    concepts = verb("concepts", "List concepts and known attributes, tags, and how they go with classes and bands")
    concepts.add_argument("--direction", metavar="D", help=f"also by class and band of one: {DIRECTIONS}")
    concepts.add_argument("--count", type=positive, default=6, metavar="K", help="bands of equal width for it (6)")

    explain = verb("explain", "Say which concept or attribute best explains the model's errors")
    explain.add_argument("--limit", type=positive, default=10, metavar="K", help="how many are shown (10)")

    add_run_verbs(verb)
    users = verb("users", "List who may sign in, add and remove people, change roles and passwords", analysis=False)
    steps = users.add_mutually_exclusive_group()
    steps.add_argument("--add", metavar="NAME", help="let somebody sign in: a name, or an e-mail address for OIDC")
    steps.add_argument("--change", metavar="NAME", help="give somebody the role named by --role")
    steps.add_argument("--password", metavar="NAME", help="set a new password, which is asked for or read from stdin")
    steps.add_argument("--remove", metavar="NAME", help="let somebody sign in no more; what they did stays")
    users.add_argument("--role", choices=ROLES, help="viewer, labeller (for --add, unless named) or owner")
    users.add_argument("--no-password", action="store_true", help="with --add: an identity provider asks for it")

    audit = verb("audit", "Show who loaded, tagged, trained, exported, deleted, signed in", analysis=False)
    audit.add_argument("--actor", metavar="NAME", help="only what this person did")
    audit.add_argument("--action", type=names, default=(), metavar="A,B", help="only these, such as tagged")
    audit.add_argument("--before", type=positive, metavar="ID", help="only entries before this one")
    audit.add_argument("--count", type=positive, default=50, metavar="K", help="at most, the newest first (50)")

    verb("doctor", "Say whether this machine and the workspace are fit for work, and what to do", analysis=False)
    verb("verify", "Check that the database and every stored file are as they were written", analysis=False)
    backup = verb("backup", "Copy the database while it is in use", analysis=False)
    backup.add_argument("--out", metavar="FILE", help="where to (the workspace's backups folder)")
    restore = verb("restore", "Put a backup in the place of the database, keeping what was there", analysis=False)
    restore.add_argument("--file", required=True, metavar="FILE", help="what `backup` wrote")
    verb("repair", "Make again what is damaged and can be made again, and say what cannot", analysis=False)
    return parser


def _joined(arguments: list[str]) -> list[str]:
    """`--edges -2,0,2` as `--edges=-2,0,2`: argparse takes a value that begins with a minus for an option."""
    values, flags = _option_names()
    joined: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        following = next(rest, None) if argument in values else None
        if following is None:
            joined.append(argument)
        elif following.startswith("-") and following.partition("=")[0] not in values | flags:
            joined.append(f"{argument}={following}")
        else:
            # the value may be an option's name after all ("--edges --json"): argparse says what is missing
            joined += [argument, following]
    return joined


def _option_names() -> tuple[set[str], set[str]]:
    """The names of options that take a value, and of those that take none."""
    parser = make_parser()
    verbs = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    actions = [action for one in (parser, *verbs.choices.values()) for action in one._actions]
    values = {name for action in actions if action.nargs is None for name in action.option_strings}
    flags = {name for action in actions if action.nargs is not None for name in action.option_strings}
    return values, flags
