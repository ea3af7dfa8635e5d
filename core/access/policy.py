"""What each role may do. Asked in `core`, by the functions that change something or give it away."""

from __future__ import annotations

from enum import Enum

from core.access.person import Person, Role, acting
from core.errors import NotAllowed


class Permission(Enum):
    """value: what it is in the words of a sentence, "may not …"."""

    LOOK = "look at this workspace"
    TAG = "tag images, or change concepts and labels"
    NOTE = "write notes about runs"
    LOAD = "load data or models"
    TRAIN = "start training or change its jobs"
    EXPORT = "export or download"
    DELETE = "delete or put back"
    MANAGE = "manage people and the workspace"


# the least role that may
_LEAST = {
    Permission.LOOK: Role.VIEWER,
    Permission.TAG: Role.LABELLER,
    Permission.NOTE: Role.LABELLER,
    Permission.LOAD: Role.OWNER,
    Permission.TRAIN: Role.OWNER,
    Permission.EXPORT: Role.OWNER,
    Permission.DELETE: Role.OWNER,
    Permission.MANAGE: Role.OWNER,
}


def least_role(permission: Permission) -> Role:
    return _LEAST[permission]


def allowed(role: str, permission: Permission) -> bool:
    """Whether people of a role may do that. Raises `KeyError` for a role that does not exist."""
    return Role[role.upper()] >= _LEAST[permission]


def may(permission: Permission) -> bool:
    """Whether whoever is acting now may do that."""
    return allowed(acting().role, permission)


def require(permission: Permission, subject: str = "") -> Person:
    """The acting person, who may do that. subject: what it is about, for the sentence. Raises `NotAllowed`."""
    person = acting()
    if not allowed(person.role, permission):
        raise NotAllowed(
            f"{refusal(person, permission)}{f' ({subject})' if subject else ''}.", next_step=advice(permission)
        )
    return person


def refusal(person: Person, permission: Permission) -> str:
    """Why not, without a full stop: for beside a control that stays away."""
    article = "an" if person.role[0] in "aeiou" else "a"
    return f"As {article} {person.role} you may not {permission.value}"


def advice(permission: Permission) -> str:
    return f"Ask an owner of this workspace to do it, or to make you {_with_article(least_role(permission).word)}."


def _with_article(role: str) -> str:
    return f"{'an' if role[0] in 'aeiou' else 'a'} {role}"
