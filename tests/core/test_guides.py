"""What the guides say to type is typed here, on small sets; what they point at is there."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import nn

import core.synthetic.birds as synthetic
from core.activations.store import open_analysis
from core.commands.parser import make_parser
from core.concepts.suggestions import suggest_next
from core.demo import MODEL, make_demo
from core.retraining.runs import list_runs, retrain
from core.workspace import Workspace, open_workspace

from .guide_commands import ROOT, Block, blocks, guides, printed

BIRDS = 480
GUIDES = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in guides()}
# guides whose blocks other tests carry out, or check as a whole
ELSEWHERE = {"docs/formats.md", "docs/command-line.md", "docs/reproduce.md", "docs/team.md"}


# --- worlds: what has to be there before somebody follows a guide -----------------------------------------------------


@pytest.fixture(scope="module")
def few_birds() -> Iterator[None]:
    """The demo with a twelfth of its birds."""
    if not MODEL.is_file():
        pytest.skip("the demo's classifier is not in assets/ (make demo-model)")
    real = synthetic.make_birds
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "make_birds", lambda out, **more: real(out, **{**more, "n": BIRDS}))
        yield


@pytest.fixture(scope="module")
def drawn(few_birds: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the demo's workspace and the answers to sixty questions, `tags.csv`."""
    folder = tmp_path_factory.mktemp("guides")
    workspace = open_workspace(folder / "workspace")
    analysis = make_demo(workspace)
    place = next(attribute for attribute in analysis.attributes if attribute.name == "place")
    rows = [item.row for item in suggest_next(workspace, analysis, None, budget=60)]
    answers(
        folder / "tags.csv", [(analysis.images[row], place.codes[row] == place.values.index("water")) for row in rows]
    )
    return folder


@pytest.fixture(scope="module")
def investigated(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with the tags read in and two repairs."""
    folder = tmp_path_factory.mktemp("guides") / "investigated"
    shutil.copytree(drawn, folder)
    workspace = open_workspace(folder / "workspace")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        printed(["tag", "--workspace", "workspace", "--csv", "tags.csv"])
    analysis = open_analysis(workspace)
    retrain(workspace, analysis, method="class-balanced")
    retrain(workspace, analysis)
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Birds that are round and cats that are not, in class folders, as somebody has them; and answers about them."""
    rng = np.random.default_rng(0)
    told = []
    for split, count in (("train", 20), ("val", 40), ("test", 20)):
        for name in ("bird", "cat"):
            for index in range(count):
                water = rng.random() < (0.9 if (name == "bird") == (split != "test") else 0.1)
                image = Image.new("RGB", (32, 32), (70, 130, 210) if water else (90, 150, 80))
                corner, ink = rng.integers(2, 12, 2), tuple(int(value) for value in rng.integers(150, 255, 3))
                draw = ImageDraw.Draw(image)
                shape = draw.ellipse if name == "bird" else draw.rectangle
                shape([*corner.tolist(), *(corner + 16).tolist()], fill=ink)
                path = tmp_path / "photos" / split / name / f"{index:04d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                image.save(path)
                if split == "val":
                    told.append((f"val/{name}/{index:04d}.png", water))
    answers(tmp_path / "tags.csv", told[::2])
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)]
    torch.jit.script(nn.Sequential(*layers).eval()).save(tmp_path / "model.pt")
    return tmp_path


def answers(path: Path, told: list[tuple[str, bool]]) -> None:
    lines = [f"{image},water background,{str(bool(present)).lower()}" for image, present in told]
    path.write_text("\n".join(["image,concept,present", *lines]) + "\n", encoding="utf-8")


# guide: the world it begins in
WORLDS = {
    "README.md": "drawn",
    "docs/first-investigation.md": "drawn",
    "docs/bands.md": "drawn",
    "docs/concepts.md": "drawn",
    "docs/method.md": "drawn",
    "docs/architecture.md": "drawn",
    "docs/troubleshooting.md": "investigated",
    "docs/retraining.md": "drawn",
    "docs/runs.md": "investigated",
    "docs/bring-your-own-model.md": "photos",
    "CONTRIBUTING.md": "drawn",
}


# --- carrying it out --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WORLDS)
def test_what_a_guide_says_to_type_works(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few_birds: None
) -> None:
    world: Path = request.getfixturevalue(WORLDS[name])
    if world != tmp_path:
        shutil.copytree(world, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIDBAND_WORKSPACE", str(tmp_path / "workspace"))
    for block in blocks(GUIDES[name]):
        if block.why_not:
            continue
        if block.language == "python":
            carry_out_python(block)
        elif block.language == "sh":
            for words in block.lines:
                carry_out(words)


def carry_out(words: list[str]) -> None:
    """A command of Midband is run; what installs, serves or measures is looked at."""
    settings = [word for word in words if re.match(r"[A-Z_]+=", word)]
    words = [word for word in words[len(settings) :] if word != "--help"]
    program = words[0].removeprefix(".venv/bin/")
    if program in ("python", "python3") and words[1:3] == ["-m", "core"]:
        if words[3:]:
            printed(with_runs(words[3:]))
    elif program in ("python", "python3"):
        assert is_there(words[1:]), words
    elif program == "make":
        assert set(words[1:]) <= targets(), words
    elif program == "pip" and "-r" in words:
        assert (ROOT / words[words.index("-r") + 1]).is_file(), words
    elif program in ("streamlit", "pre-commit", "git", "cd"):
        assert program != "streamlit" or (ROOT / words[2]).is_file(), words
    else:
        pytest.fail(f"nobody knows how to try {shlex.join(words)}")


def with_runs(words: list[str]) -> list[str]:
    """RUN is the newest run, ANOTHER the one before."""
    place = words[words.index("--workspace") + 1] if "--workspace" in words else "workspace"
    if not any("RUN" in word or "ANOTHER" in word for word in words):
        return words
    found = [run.run for run in list_runs(open_workspace(Path(place).resolve()))]
    names = {"RUN": found[0], "ANOTHER": found[-1]}
    return [re.sub(r"\b(RUN|ANOTHER)\b", lambda hit: names[hit[1]], word) for word in words]


def carry_out_python(block: Block) -> None:
    """The one kind of Python in the guides: a checkpoint of one's own, made safe."""
    torch.save(nn.Linear(4, 2), "model.pt")
    subprocess.run([sys.executable, "-c", block.text], check=True)


def is_there(words: list[str]) -> bool:
    if words[0] == "-m":
        return words[1] in ("venv", "pytest") or importlib.util.find_spec(words[1]) is not None
    return (ROOT / words[0]).is_file()


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):(?!=)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_make_help_explains_every_target() -> None:
    lines = (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
    explained = {found[1] for line in lines if (found := re.match(r"([a-z-]+):.*## \w", line))}
    assert targets() == explained


def test_no_guide_is_forgotten() -> None:
    with_something_to_type = {
        name for name, text in GUIDES.items() if any(block.language in ("sh", "python") for block in blocks(text))
    }
    assert with_something_to_type <= set(WORLDS) | ELSEWHERE


# --- what is mentioned in a sentence ----------------------------------------------------------------------------------


def mentioned(text: str) -> list[list[str]]:
    """Commands between backticks, that begin with a program."""
    found = [
        " ".join(code.split()) for code in re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    ]
    return [
        shlex.split(code) for code in found if re.match(r"(make [a-z]|(\.venv/bin/)?python[3]? (-m|scripts/))", code)
    ]


@pytest.mark.parametrize("name", GUIDES)
def test_commands_in_sentences_exist(name: str) -> None:
    for words in mentioned(GUIDES[name]):
        if words[0] == "make":
            assert set(words[1:]) - {word for word in words if "=" in word} <= targets(), words
        elif words[1:3] != ["-m", "core"]:
            assert is_there(words[1:]), words
        elif len(words) > 3 and re.match("[a-z]", words[3]):
            assert words[3] in verbs(), words


def verbs() -> set[str]:
    return set(next(action.choices for action in make_parser()._actions if action.dest == "verb"))


def anchors(text: str) -> set[str]:
    """What GitHub makes of headings."""
    heads = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", head).lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("name", GUIDES)
def test_links_and_pictures_lead_somewhere(name: str) -> None:
    place = (ROOT / name).parent
    for target in re.findall(r"\]\(([^)\s]+)\)", GUIDES[name]):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        found = (place / path).resolve() if path else ROOT / name
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found.read_text(encoding="utf-8")), target
    for words in re.findall(r"!\[([^\]]*)\]", GUIDES[name]):
        assert len(words.split()) > 1, "a picture has a text for those who do not see it"


def test_the_index_names_every_guide() -> None:
    named = set(re.findall(r"\]\(([\w-]+\.md)\)", GUIDES["docs/README.md"]))
    assert named == {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}


def test_every_picture_is_shown_somewhere() -> None:
    shown = {Path(target).name for text in GUIDES.values() for target in re.findall(r"images/([\w.-]+)", text)}
    assert {path.name for path in (ROOT / "docs" / "images").iterdir()} <= shown


# --- what is on screen ------------------------------------------------------------------------------------------------


def strings() -> str:
    """Every text in the code and in what the browser runs, to find in it what a person reads."""
    files = [*ROOT.glob("pages/**/*.py"), *ROOT.glob("core/**/*.py"), *ROOT.glob("assets/**/*.js")]
    found = []
    for path in files:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".py":
            nodes = ast.walk(ast.parse(text))
            found += [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        else:
            found.append(text)
    return "\n".join(found)


@pytest.fixture(scope="module")
def said() -> str:
    return strings()


@pytest.mark.parametrize("name", ["docs/first-investigation.md", "docs/troubleshooting.md"])
def test_what_a_guide_quotes_from_the_screen_is_said_there(name: str, said: str) -> None:
    """In these two, what stands in italics is on a button, in a heading or in a message, word by word."""
    quoted = re.findall(r"(?<![\w*])\*([^*\n]+)\*(?![\w*])", GUIDES[name])
    assert len(quoted) > 5
    missing = [text for text in quoted if not all(part.strip() in said for part in text.split("…") if part.strip())]
    assert missing == []


def test_troubleshooting_knows_every_title_of_a_problem() -> None:
    from core import errors

    kinds = {
        name: value
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.MidbandError) and value is not errors.MidbandError
    }
    titles = {value.title for value in kinds.values()}
    for path in [*ROOT.glob("core/**/*.py"), *ROOT.glob("pages/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in kinds:
                titles |= {title for word in node.keywords if word.arg == "title" for title in _titles(word.value)}
    assert {title for title in titles if f"*{title}*" not in GUIDES["docs/troubleshooting.md"]} == set()


def _titles(value: ast.AST) -> set[str]:
    """What it can be, with … for what the moment fills in."""
    if isinstance(value, ast.Constant):
        return {value.value}
    if isinstance(value, ast.IfExp):
        return _titles(value.body) | _titles(value.orelse)
    if isinstance(value, ast.JoinedStr):
        return {"".join(part.value if isinstance(part, ast.Constant) else "…" for part in value.values)}
    return set()


# --- the map of the code ----------------------------------------------------------------------------------------------


def test_the_map_of_the_code_names_every_room_in_its_order() -> None:
    from .test_architecture import ROOMS

    rows = re.findall(r"^\| `core/([\w]+)(?:\.py|/)` \|", GUIDES["docs/architecture.md"], re.MULTILINE)
    assert rows == [room for room in ROOMS if room != "__main__"]


def test_the_map_of_the_code_names_every_page() -> None:
    rows = set(re.findall(r"^\| `pages/(\w+)\.py` \|", GUIDES["docs/architecture.md"], re.MULTILINE))
    assert rows == {path.stem for path in (ROOT / "pages").glob("*.py")}


def test_the_map_of_the_code_knows_where_data_lies() -> None:
    text = GUIDES["docs/architecture.md"]
    folders = {name for name, value in vars(Workspace).items() if isinstance(value, property)} - {"root"}
    assert {name for name in folders if f"{name}/" not in text} == set()
