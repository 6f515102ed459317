"""The directories that people sign in with, in their order, and one question to all of them: who has typed this?

Owns the order of asking and the translation of the connectors' errors into reasons. A try that fails has asked every directory once, whoever it
named, so that its work tells nothing. Opens nothing (idp/composition/sources.py does), writes nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from connectors.base import (
    ChangeRequired,
    CredentialsRefused,
    Directory,
    Gate,
    Identity,
    PersonNotUsable,
    SourceMisbehaved,
    SourceUnreachable,
    State,
    TryWithheld,
)
from idp.audit import Origin, Reason

REASON_OF_STATE = {
    State.DISABLED: Reason.DIRECTORY_DISABLED,
    State.EXPIRED: Reason.DIRECTORY_EXPIRED,
    State.OUT_OF_SCOPE: Reason.DIRECTORY_OUT_OF_SCOPE,
    State.LOCKED: Reason.DIRECTORY_LOCKED,
    State.NOT_NOW: Reason.DIRECTORY_NOT_NOW,
}
AskStanding = Callable[[str, Origin], None]
"""Asks the directories about an account on behalf of a request; what they say is kept when it returns (idp/lifecycle/standing.py)."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognition:
    """What the directories say of an identifier and a password.

    `identity` is set when a password was right and the person may go on, perhaps to change it (`must_change`). Else `refusal` says why not:
    of the directory that knew the person, or that one did not answer. `trouble` names how any of them failed to answer, whatever the others said:
    then the public must read the same of everybody. `is_proven`: the password was right all the same.
    """

    identity: Identity | None = None
    must_change: bool = False
    refusal: Reason = Reason.UNKNOWN_IDENTIFIER
    connector: str | None = None
    subject: str | None = None
    state: State | None = None
    is_proven: bool = False
    is_withheld: bool = False  # the gate did not let the password be tried
    trouble: str | None = None


NOBODY = Recognition()


class Directories:
    """Opened directories by name, in the order of the configuration."""

    def __init__(self, opened: Mapping[str, Directory]) -> None:
        self._opened = dict(opened)

    def __iter__(self) -> Iterator[Directory]:
        return iter(self._opened.values())

    def __len__(self) -> int:
        return len(self._opened)

    def get(self, name: str) -> Directory | None:
        """By name; None when the configuration has none of that name (any more)."""
        return self._opened.get(name)

    def recognise(self, identifier: str, password: str, first: str | None, *, gate: Gate) -> Recognition:
        """Ask until one knows the person and the password is right. `first` is the directory that the identifier is known from; `gate` says at each
        whether the password may be tried."""
        answers: list[Recognition] = []
        for directory in sorted(self, key=lambda directory: directory.name != first):
            answer = _ask(directory, identifier, password, gate)
            if answer.identity is not None or answer.is_proven:
                return answer
            answers.append(answer)
        best = max(answers, key=lambda answer: _weight(answer, first), default=NOBODY)
        trouble = next((answer.trouble for answer in answers if answer.trouble is not None), None)
        return replace(best, trouble=trouble)

    def close(self) -> None:
        """Let go of their connections."""
        for directory in self:
            directory.close()


def password_set_at(directory: Directory, subject: str) -> datetime | None:
    """When a directory says that the password was set which it has just taken from us: its next word on the person is then no news.

    None when it does not say, or answers no more: then they will be asked to sign in once more.
    """
    try:
        identity = directory.find(subject)
    except (SourceUnreachable, SourceMisbehaved) as away:
        log.warning("password_instant_unknown", connector=directory.name, detail=away.detail)
        return None
    return identity.password_set_at if identity is not None else None


def _ask(directory: Directory, identifier: str, password: str, gate: Gate) -> Recognition:
    name = directory.name
    try:
        return Recognition(identity=directory.authenticate(identifier, password, gate=gate), connector=name)
    except ChangeRequired as change:
        return Recognition(identity=change.identity, must_change=True, connector=name)
    except CredentialsRefused as refused:
        if refused.subject is None:
            return NOBODY
        return Recognition(refusal=Reason.WRONG_PASSWORD, connector=name, subject=refused.subject)
    except TryWithheld as withheld:
        return Recognition(refusal=Reason.THROTTLED, connector=name, subject=withheld.subject, is_withheld=True)
    except PersonNotUsable as refused:
        reason = REASON_OF_STATE[refused.state]
        return Recognition(refusal=reason, connector=name, subject=refused.subject, state=refused.state, is_proven=refused.is_proven)
    except SourceUnreachable as away:
        log.warning("directory_unreachable", connector=name, trouble=away.trouble, detail=away.detail)
        return Recognition(refusal=Reason.DIRECTORY_UNREACHABLE, connector=name, trouble=away.trouble)
    except SourceMisbehaved as wrong:
        log.error("directory_misbehaved", connector=name, detail=wrong.detail)
        return Recognition(refusal=Reason.DIRECTORY_MISBEHAVED, connector=name, trouble="misbehaved")


def _weight(answer: Recognition, first: str | None) -> int:
    """Which refusal to keep: the person's own directory could not be asked; one knows them; another could not be asked; nobody knows them (and the
    name is one that is not tried any more; or it was tried)."""
    if answer.trouble is not None:
        return 4 if answer.connector == first else 2
    return 3 if answer.subject is not None else int(answer.is_withheld)
