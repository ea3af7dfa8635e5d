"""The one tree of errors that people see: a title, a sentence of detail and a next step.

Pages render them (`pages/parts/problem.py`), the command line prints them and exits with 2. Anything that is not
a `MidbandError` is a bug and stays loud.

    MidbandError
    ├── PathNotFound, EmptyDataset, BadMetadata, OneClass,
    │   BadArchive                                            what was given as data
    ├── UnsafeCheckpoint, BadCheckpoint, ArchitectureMismatch,
    │   ClassMismatch (ClassCountMismatch), HeadNotFound,
    │   BadWeights                                            what was given as a model
    ├── NotFound                                              an id or name that is not there
    ├── BadRequest                                            a setting out of its range
    ├── NotAllowed                                            what a role, or a list of folders, does not allow
    ├── NotEnoughTags, EmptyGroup, LeakedImages               retraining that could not be honest
    ├── DiskFull, OutOfMemory, StorageProblem                 the machine
    ├── JobStopped, UnexpectedProblem                         work in the background that ended without a result
    └── Cancelled                                             somebody asked for it
"""

from __future__ import annotations


class MidbandError(Exception):
    """A problem a person can act on.

    title: a few words. detail: one sentence saying what is wrong, with names and numbers. next_step: one sentence
    saying what to do about it.
    """

    title: str = "Something went wrong"

    def __init__(self, detail: str, *, next_step: str, title: str | None = None) -> None:
        super().__init__(detail)
        self.title = title or type(self).title
        self.detail = detail
        self.next_step = next_step

    def to_dict(self) -> dict[str, str]:
        return {
            "error": type(self).__name__,
            "title": self.title,
            "detail": self.detail,
            "next_step": self.next_step,
        }

    def __str__(self) -> str:
        return f"{self.title}: {self.detail} {self.next_step}"


class PathNotFound(MidbandError):
    title = "Path not found"


class EmptyDataset(MidbandError):
    title = "No images found"


class BadMetadata(MidbandError):
    title = "The metadata table cannot be read"


class OneClass(MidbandError):
    title = "Only one class"


class BadArchive(MidbandError):
    """A file that holds many images (zip, Parquet, arrays ...) and is damaged, or would do harm if it were unpacked."""

    title = "The file cannot be read"


class UnsafeCheckpoint(MidbandError):
    """A checkpoint that only unpickling could load. Never done: unpickling runs whatever code the file holds."""

    title = "This checkpoint is not safe to load"


class BadCheckpoint(MidbandError):
    title = "The model file cannot be read"


class ArchitectureMismatch(MidbandError):
    title = "The weights do not fit the architecture"


class ClassMismatch(MidbandError):
    title = "Model and dataset disagree about the classes"


class ClassCountMismatch(ClassMismatch):
    """A model with more or fewer outputs than there are classes: no order of them mends that."""


class HeadNotFound(MidbandError):
    title = "No last linear layer found"


class BadWeights(MidbandError):
    title = "The weights contain numbers that are not finite"


class NotFound(MidbandError):
    title = "Not found"


class BadRequest(MidbandError):
    title = "That setting does not work"


class NotAllowed(MidbandError):
    """Somebody asked for what their role does not allow, for a place that is not open to them, or did not sign in."""

    title = "You may not do that"


class NotEnoughTags(MidbandError):
    title = "Not enough tags yet"


class EmptyGroup(MidbandError):
    title = "A group has no images"


class LeakedImages(MidbandError):
    """The same images in two of the roles that have to be apart: fitted on, tuned on, reported on."""

    title = "Images are used twice"


class DiskFull(MidbandError):
    title = "Not enough disk space"


class OutOfMemory(MidbandError):
    title = "Not enough memory"


class StorageProblem(MidbandError):
    title = "The workspace cannot be written"


class JobStopped(MidbandError):
    """Its process is gone and left no result: killed, out of memory, or the machine was switched off."""

    title = "The job was interrupted"


class UnexpectedProblem(MidbandError):
    """A mistake of this program inside a job. The traceback is in the job's log, never on screen."""

    title = "An unexpected problem"


class Cancelled(MidbandError):
    title = "Cancelled"

    def __init__(self, detail: str = "The job was cancelled.", *, next_step: str = "Start it again any time.") -> None:
        super().__init__(detail, next_step=next_step)
