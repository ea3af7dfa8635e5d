"""How names, numbers and terms of art are written on screen."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

# ASCII punctuation that Markdown, or Streamlit's additions to it, may read as an instruction
_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:^=&])")
_SHORTCODE = re.compile(r":(?=[A-Za-z0-9_+/-]+:)")

TERMS = {
    "logit": "The number the model gives a class before turning it into a probability. Higher means more certain.",
    "band": "A range of the activation. Images are drawn evenly from those that lie in it.",
    "mid band": (
        "The range between “clearly not this class” and “clearly this class”. Images the model mixes up gather here, "
        "so this is where a wrong habit shows."
    ),
    "top": "From the median logit of the class's own images upwards: what the model likes best.",
    "bottom": "Up to the median logit of the other classes' images: clearly not this class.",
    "concept": "Something you can see in an image, such as “water background”. You name it and tag images with it.",
    "confounder": "Something that usually comes with a class without being part of it, so that a model may rely on it.",
    "group": "A class together with a concept being there or not, such as waterbirds without water.",
    "worst group": "The accuracy in the group where the model does worst. Averages hide it.",
    "average": "Share of all test images named rightly, each counting once.",
    "weighted average": (
        "The same, with each group weighing as much as in training. Where the usual combinations are nearly all of "
        "training, it mostly measures the shortcut's home ground: a model that stops using the shortcut may lose a "
        "little there while it gains everywhere else. Published averages on Waterbirds are made so."
    ),
    "interval": "Where the true value lies with 95% confidence, given how many images there are.",
    "split": "Datasets come in parts: one to train on, one (val) to look at and tag, one (test) to judge the result.",
    "order": (
        "**Sample** and **random**: images drawn evenly from the band; *surprising first* puts first, on each page, "
        "those that the activation gets wrong. **Strongest, weakest, least sure** (the two best classes nearly level), "
        "**typical** (nearest to the band's mean features) and **diverse** (each as different as possible from those "
        "before) sort the whole band."
    ),
    "direction": (
        "Anything that gives each image one number: a class's logit, a neuron of the last hidden layer, the difference "
        "of two classes, a principal component, a concept, or a vector of your own."
    ),
    "measure": (
        "**Logit**: the raw number. **Minus the runner-up**: how far the class lies ahead of the best other one; the "
        "model decides at 0. **Probability**: after the softmax."
    ),
    "axis": (
        "**Value**: the activation itself. **Share of images**: how many percent lie below, so that every part of the "
        "range gets as much room as it has images. **Z-score**: standard deviations from the mean."
    ),
    "mid rule": (
        "Where “the middle” is. **Halfway**: the middle half of the way from the other classes' mean to the class's "
        "own. **Own lowest**: the weakest tenth of the class's own images. **Boundary**: around the value where the "
        "prediction turns. **Middle half**: by number of images. **As it is now** keeps "
        "a band of your own."
    ),
    "suspicion": (
        "Compares the weakest tenth of a class's images with its upper half: do attributes or concepts differ, is "
        "the model more often wrong with them, do the images have something else in common? 0 is what chance gives. A "
        "hint where to look, not a verdict."
    ),
    "vector": (
        "One weight per feature of the last hidden layer, from a probe or a script of yours. An image's activation is "
        "the weighted sum of its features."
    ),
    "run": "A retraining gives the model a new last layer; the images and their features stay the same.",
    "linked": (
        "**The same images**: those of the left band, wherever they lie on the right. **Share**: the band that holds "
        "the same percent of images. **Values**: the same numbers."
    ),
    "seed": "The number that fixes which images are drawn: the same seed shows the same images again.",
    "live preview": (
        "While you tag, the last layer is refitted in the background: what would the worst group be if you repaired "
        "now? Both figures are estimates from a few held-out images: what a repair measures on test, before and after, "
        "may lie some way off. Images that it would name otherwise say so. Off costs nothing."
    ),
    "last layer": "The final linear layer turns what the network sees (its features) into one logit per class.",
    "curation": "Choosing which images the new last layer learns from, and how much each counts.",
    "features": "What the network computes just before its last layer: one list of numbers per image.",
    "estimated": (
        "Of these images nobody said which group they are in: a probe that learnt from your tags guessed it, and the "
        "figures are corrected for how often it errs. A guide, not a measurement; tags on test images make it better."
    ),
    "macro average": "The mean of the groups' accuracies, each group counting the same.",
    "confusion": "What the image is (rows) and what the model says (columns). On the diagonal it is right.",
    "calibration": (
        "A model is calibrated when it is right as often as it is sure: of the images it gives 80%, eight in ten. "
        "Numbers made from its probabilities, such as a threshold, rely on that."
    ),
    "ece": (
        "Expected calibration error: images are put into bins by how sure the model is; how far its mean confidence "
        "in a bin lies from the share it gets right there, on average. 0 is best. Never quite 0 with few images."
    ),
    "brier": "Squared distance of the probabilities from the truth, from 0 to 2. Lower is better.",
    "nll": "Negative log-likelihood: the surprise at the true class. Being wrong and sure costs most. Lower is better.",
    "emptied": (
        "Images are placed by how far the class lies ahead of the others, on a scale where −1 is the mean of the other "
        "classes' images and 1 that of the class's own, so that a model that only grew louder gains nothing. The "
        "middle is from −0.5 to 0.5. A shortcut that is gone leaves it emptier."
    ),
    "fixed": "Test images that were named wrongly before and rightly now, and the reverse.",
    "paired test": (
        "Both models answered the same images, so only the images they disagree on tell which is better. p is how "
        "often chance alone would make such a difference; below 0.05 it is called beyond chance."
    ),
    "tags hash": "Equal for two runs that learnt from the very same tags.",
    "data hash": "Equal for two runs on the same images, features, labels and splits.",
    "activation": (
        "How strongly an image shows what is asked about: for a class, how strongly the model speaks for it. One "
        "number for each image, no unit."
    ),
    "neuron": "One of the numbers the network computes just before its last layer, by its place in that list.",
    "shortcut": (
        "Something easy that usually comes with a class and is not part of it, such as water behind waterbirds. A "
        "model that relies on it is right for the wrong reason, and wrong where the shortcut is missing."
    ),
    "probability": "How likely the model holds a class to be, from 0% to 100%; over all classes it is 100%.",
    "tag": "One statement: this image shows, or does not show, this concept; with who said it, when and where.",
    "probe": (
        "A small model that learns from your tags to see a concept in the features of an image, and then guesses it "
        "for all others. Its guesses are no tags until you accept them."
    ),
    "held-out": "Kept aside while something was learnt, so that it can be judged by what it has not seen.",
    "investigation": "One model applied to one set of images, with all that was tagged and repaired.",
    "principal components": (
        "The directions in which the features differ most. Two of them make a map at once; what lies along them can "
        "be measured."
    ),
    "umap": (
        "A map that keeps alike images together. Its axes, and the distances between its groups, mean nothing. "
        "(McInnes et al. 2018, arXiv:1802.03426)"
    ),
    "cluster": "Images whose features lie close together, found without labels or tags: they may share something.",
    "lift": "The share of a concept here over its share in all images: 1 means no association.",
    "odds ratio": (
        "How much likelier a concept is here than elsewhere, as a ratio of odds: 1 means no association. Unlike the "
        "share it does not depend on how many images were tagged where."
    ),
    "kappa": (
        "Agreement of two people beyond chance: 1 is full agreement, 0 what two would reach who answer at random, each "
        "as often present as they do. Above 0.8 is usually called strong."
    ),
    "erm": "Empirical risk minimisation: ordinary training, every image counting the same. The model as it is.",
    "mid-range curation": (
        "Our repair: tags of the middle of the range teach a probe to see the concept, and the last layer is fitted "
        "anew with every class and concept combination weighing the same. (After O'Mahony et al. 2025, "
        "arXiv:2411.10019; the rule for the middle is our own.)"
    ),
    "class-balanced": "The last layer fitted again with every class weighing the same. (LaBonte et al. 2023, "
    "arXiv:2309.08534)",
    "dfr": (
        "Deep feature reweighting: the last layer fitted anew with known groups balanced. Where a dataset knows the "
        "groups it is what tags can be compared with. (Kirichenko et al. 2022, arXiv:2204.02937)"
    ),
    "afr": "Automatic feature reweighting: images the model finds unlikely for their class weigh more; needs no tags.",
    "self": "The last layer fitted again, classes balanced, on images the model gets wrong or nearly; needs no tags.",
    "jtt": "Just train twice: images the model gets wrong weigh more the second time; needs no tags.",
    "group dro": "Makes the loss of the worst group as small as it can be, instead of the mean over all images.",
    "finetuning": "Trains the whole network again, not the last layer alone: slower, and the features change as well.",
    "replay": "One file holds all a run was made from; this command computes it again and compares every digit.",
}

# terms whose key is not what they are called on screen
_TITLES = {
    "top": "Top band",
    "bottom": "Bottom band",
    "order": "Order of the images",
    "mid rule": "Middle, how it is found",
    "linked": "Linked bands",
    "axis": "Axis",
    "vector": "Direction of your own",
    "run": "Run, or repair",
    "emptied": "Emptier middle",
    "estimated": "Estimated groups",
    "fixed": "Fixed and broken",
    "ece": "ECE",
    "brier": "Brier score",
    "nll": "NLL",
    "interval": "Interval (95%)",
    "umap": "UMAP",
    "kappa": "Cohen's kappa",
    "erm": "ERM",
    "dfr": "DFR",
    "afr": "AFR",
    "self": "SELF",
    "jtt": "JTT",
    "group dro": "Group DRO",
    "finetuning": "Finetuning",
    "macro average": "Macro average",
}
# terms that explain each other
_SEE = (
    ("logit", "probability", "measure", "activation", "direction"),
    ("band", "mid band", "top", "bottom", "mid rule"),
    ("concept", "tag", "probe", "confounder", "shortcut"),
    ("group", "worst group", "average", "weighted average", "macro average"),
    ("interval", "paired test", "held-out", "split"),
    ("direction", "neuron", "vector", "principal components", "suspicion"),
    ("features", "last layer", "run", "curation", "mid-range curation"),
    ("mid-range curation", "class-balanced", "dfr", "afr", "self", "jtt", "group dro", "finetuning", "erm"),
    ("calibration", "ece", "brier", "nll"),
    ("lift", "odds ratio"),
    ("umap", "principal components", "cluster", "features"),
    ("tags hash", "data hash", "replay", "seed"),
)


def term_title(term: str) -> str:
    """How the glossary heads a key of `TERMS`."""
    return _TITLES.get(term, term[:1].upper() + term[1:])


def anchor(term: str) -> str:
    """Where the glossary holds a key of `TERMS`: the part of the address after #."""
    return term.replace(" ", "-")


def related(term: str) -> list[str]:
    """Keys of `TERMS` that explain this one further."""
    return list(dict.fromkeys(other for group in _SEE if term in group for other in group if other != term))


def helped(term: str) -> str:
    """Help of a control: what a key of `TERMS` means, and the way to the words around it. Markdown."""
    return f"{TERMS[term]}\n\n[More in the glossary](glossary#{anchor(term)})"


def plain(text: str) -> str:
    """Text that shows exactly as it is: no Markdown, no emoji or icon shortcodes, no line breaks."""
    one_line = " ".join(str(text).split())
    # shortcodes are replaced after Markdown is parsed, so a backslash does not stop them: a word joiner does
    broken = _SHORTCODE.sub(":\u2060", one_line)
    return _SPECIAL.sub(r"\\\1", broken)


def short(name: str, most: int = 40) -> str:
    """A name where there is no room for a long one, still to be escaped by `plain`."""
    return name if len(name) <= most else f"{name[: most - 1].rstrip()}…"


def distinct(labels: Sequence[str], hints: Sequence[str] = (), *, most: int = 0) -> list[str]:
    """The same labels, no two alike, still to be escaped by `plain`: lists that are chosen from go by what is shown.

    hints: per label, what tells it from one of the same name; without one, or where it does not help, they are
    numbered from the second on. most: characters a label may have; those that begin alike keep both their ends.
    """
    told = [" ".join(str(label).split()) for label in labels]
    shown = [short(label, most) for label in told] if most else list(told)
    if most:
        often = Counter(shown)
        shown = [_both_ends(whole, most) if often[cut] > 1 else cut for whole, cut in zip(told, shown, strict=True)]
    if hints:
        often = Counter(shown)
        shown = [f"{one} · {hint}" if often[one] > 1 else one for one, hint in zip(shown, hints, strict=True)]
    taken: set[str] = set()
    for place, one in enumerate(shown):
        number = 1
        while shown[place] in taken or (number > 1 and shown[place] in shown[place + 1 :]):
            number += 1
            shown[place] = f"{one} ({number})"
        taken.add(shown[place])
    return shown


def _both_ends(name: str, most: int) -> str:
    if len(name) <= most:
        return name
    end = most // 2
    return f"{name[: most - end - 1].rstrip()}…{name[-end:].lstrip()}"


def percent(fraction: float | None) -> str:
    """0.714 -> 71%. Nearly all is not written as all, nor next to nothing as nothing."""
    if fraction is None or fraction != fraction:
        return "–"
    value = 100 * fraction
    if 0 < value < 1:
        return f"{max(value, 0.1):.1f}%"
    if 99 < value < 100:
        return f"{min(value, 99.9):.1f}%"
    return f"{value:.0f}%"


def group_title(class_name: str, concept: str | None, groups_from: str) -> str:
    """A group as a person would say it: "waterbird (place: land)", "waterbird without water, with reeds".

    groups_from: what parts a class into groups, as an evaluation tells it ("attribute place", "concept water").
    """
    kind, _, name = groups_from.partition(" ")
    if concept is None:
        return class_name
    if kind == "attribute":
        return f"{class_name} ({name}: {concept})"
    parts = (f"without {part[3:]}" if part.startswith("no ") else f"with {part}" for part in concept.split(", "))
    return f"{class_name} {', '.join(parts)}"


def interval(low: float, high: float) -> str:
    return f"{percent(low)} to {percent(high)}"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """1 image, 2 images, 1,200 images."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(names: list[str] | tuple[str, ...], most: int = 6) -> str:
    """a, b and c; or the first few and how many more."""
    shown = list(names[:most])
    rest = len(names) - len(shown)
    if rest > 0:
        return ", ".join(shown) + f" and {rest:,} more"
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + f" and {shown[-1]}" if shown else "none"


def duration(seconds: float | None) -> str:
    """About how long, for a person."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{max(round(seconds), 1)} s"
    if seconds < 3600:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def ago(moment: datetime, now: datetime | None = None) -> str:
    """moment: UTC, naive."""
    seconds = ((now or datetime.now(UTC).replace(tzinfo=None)) - moment).total_seconds()
    if seconds < 60:
        return "just now"
    for size, noun in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return f"{count(int(seconds // size), noun)} ago"
    return "just now"
