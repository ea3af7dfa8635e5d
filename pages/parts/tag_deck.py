"""The deck of Tag next's cards: which image is asked about next, what was done last, and the way back.

The browser runs ahead of this: it counts every key press as done and shows the next image at once. Both follow the
same rules, here and in assets/tag_card/deck.js: an answer takes the image off, "decide later" puts it at the end, and
an undo brings it back to the front.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from core.concepts.suggestions import Suggestion

if TYPE_CHECKING:
    from core.concepts.log import Said

# images asked for at once; the browser is never further ahead than it takes to compute the next ones
ROUND = 20
# images left at which the next ones are computed
LOW = 12
# images at the front that somebody may be looking at: they stay, whatever others answer meanwhile
IN_HAND = 3
# images after the first whose pictures the browser gets ahead of time
AHEAD = 5
# steps back that the browser can take before it is told where they lead
STEPS = 40


@dataclass(frozen=True)
class Step:
    """Something a person did. image: its id. before: what was said until then. next: it was an answer to the question,
    so that the next image came. action: of the tag, in the workspace."""

    kind: Literal["tag", "skip"]
    image: int
    concept: int | None = None
    before: Said = None
    present: Said = None
    next: bool = False
    action: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """As the browser writes the same."""
        return {
            "kind": self.kind,
            "id": self.image,
            "concept": self.concept,
            "before": self.before,
            "present": self.present,
            "next": self.next,
        }


@dataclass
class Deck:
    """images: ids in the order asked. why: of each that was ever in it. later: those put off."""

    images: list[int] = field(default_factory=list)
    why: dict[int, str] = field(default_factory=dict)
    later: set[int] = field(default_factory=set)
    trail: list[Step] = field(default_factory=list)
    # which image each of the messages with a picture carries, and what it says
    slots: list[int | None] = field(default_factory=lambda: [None] * (1 + AHEAD))
    pictures: dict[int, dict[str, Any]] = field(default_factory=dict)

    def note(self, step: Step) -> None:
        """Something was done."""
        self.trail = [*self.trail, step][-STEPS:]
        if step.kind == "skip":
            self.images = [*(i for i in self.images if i != step.image), step.image]
            self.later.add(step.image)
        elif step.next:
            self.images = [i for i in self.images if i != step.image]

    def took_back(self) -> Step:
        """The last step was undone."""
        step = self.trail.pop()
        if step.kind == "skip" or step.next:
            self.to_front([step.image])
        return step

    def to_front(self, images: Sequence[int]) -> None:
        known = set(images)
        self.images = [*images, *(i for i in self.images if i not in known)]

    def drop(self, answered: Iterable[int], *, keep: int = 0) -> None:
        """Take out what is answered by now, but for the first `keep` images."""
        gone = set(answered)
        self.images = [i for place, i in enumerate(self.images) if place < keep or i not in gone]

    def fill(self, propose: Callable[[int], Iterable[tuple[int, Suggestion]]]) -> None:
        """Add images when few are left but those put off, before which they come.

        propose(count): (id, suggestion) of at least `count` images, the best first.
        """
        known = set(self.images)
        # from the end on: what was put off and has come to the front since is in somebody's hand
        tail = len(self.images)
        while tail and self.images[tail - 1] in self.later:
            tail -= 1
        if tail >= LOW:
            return
        fresh = [(image, item) for image, item in propose(ROUND + len(known)) if image not in known][:ROUND]
        kept = max(tail, min(IN_HAND, len(self.images)))
        self.images[kept:kept] = [image for image, _ in fresh]
        self.why.update((image, item.why) for image, item in fresh)

    def assign(self) -> list[int]:
        """Give each image that is asked next a slot, and keep it there: what does not change is not sent again.

        Returns the slots in the order in which their images are asked.
        """
        wanted = self.images[: len(self.slots)]
        self.slots = [image if image in wanted else None for image in self.slots]
        free = [slot for slot, image in enumerate(self.slots) if image is None]
        for image in wanted:
            if image not in self.slots:
                self.slots[free.pop(0)] = image
        self.pictures = {image: told for image, told in self.pictures.items() if image in wanted}
        asked = [self.slots.index(image) for image in wanted]
        return [*asked, *free]
