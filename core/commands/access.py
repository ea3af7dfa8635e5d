"""`users` and `audit`: who may sign in, and who did what."""

from __future__ import annotations

import argparse
import getpass
import sys

from core.access.accounts import Account, accounts, add_account, find_account, remove_account, set_password, set_role
from core.access.audit import entries
from core.access.policy import Permission, require
from core.commands.output import Answer, ProgressLine, table
from core.errors import BadRequest
from core.workspace import open_workspace


def users(options: argparse.Namespace, progress: ProgressLine) -> Answer:
    workspace = open_workspace(options.workspace, create=options.add is not None)
    if options.role is not None and options.add is None and options.change is None:
        raise BadRequest("It is not said whose role that is.", next_step="Name somebody: --change NAME --role ROLE.")
    if options.add is not None:
        password = None if options.no_password else _password()
        return _said(add_account(workspace, options.add, options.role or "labeller", password), "may sign in")
    if options.change is not None:
        if options.role is None:
            raise BadRequest("It is not said which role.", next_step="Add --role viewer, labeller or owner.")
        return _said(set_role(workspace, options.change, options.role), "has another role")
    if options.password is not None:
        # before a password is asked for
        find_account(workspace, options.password)
        return _said(set_password(workspace, options.password, _password()), "has a new password")
    if options.remove is not None:
        return _said(remove_account(workspace, options.remove), "may sign in no more")
    require(Permission.MANAGE, "accounts")
    found = accounts(workspace)
    rows = [[each.name, each.role, "yes" if each.password else "no"] for each in found]
    text = table(rows, ["name", "role", "password"], left=3) or "There is no account: nobody can sign in."
    return Answer({"accounts": [each.to_dict() for each in found]}, text)


def audit(options: argparse.Namespace, progress: ProgressLine) -> Answer:
    require(Permission.MANAGE, "the audit log")
    workspace = open_workspace(options.workspace, create=False)
    found = entries(workspace, actor=options.actor, actions=options.action, before=options.before, limit=options.count)
    rows = [
        [
            str(each.id),
            f"{each.at:%Y-%m-%d %H:%M:%S}",
            each.actor,
            each.action,
            each.subject,
            " ".join(f"{name}={value}" for name, value in each.details.items()),
            each.where,
        ]
        for each in found
    ]
    text = table(rows, ["id", "at (UTC)", "who", "what", "of", "more", "from"], left=7) or "There is nothing."
    return Answer({"entries": [each.to_dict() for each in found]}, text)


def _said(account: Account, what: str) -> Answer:
    return Answer(account.to_dict(), f"{account.name} ({account.role}) {what}.")


def _password() -> str:
    """Asked twice at a terminal, else the first line of the standard input: never an argument, which others can see."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass("Password: ", stream=sys.stderr)
    if getpass.getpass("The same again: ", stream=sys.stderr) != first:
        raise BadRequest("The two passwords differ.", next_step="Run the command again.")
    return first
