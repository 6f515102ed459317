"""Whether anybody may act on a person from here at all, as their directories see them at this moment.

Owns one question, asked of every directory of an Account before anything is done: they answer, they know the person, the person is neither disabled
nor expired there, and is not one of those whom nobody touches from here (connectors.base.PersonProtected: adminCount, protected groups, outside
what was delegated). Fails closed: a directory that does not answer lets nothing be done. Shared by unlocks and resets; no SQL transaction is open.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from connectors.base import Directory, Identity, SourceMisbehaved, SourceUnreachable, State
from idp.audit import Reason
from idp.desk.authority import ActRefused
from idp.signin.directories import REASON_OF_STATE, Directories
from idp.store.base import Link
from policies.acts import Act

BARRED = frozenset({State.DISABLED, State.EXPIRED, State.OUT_OF_SCOPE})
log = structlog.get_logger(__name__)


class OutOfReach(ActRefused):
    """Nothing is done to this person from here; `reason` says why, `connector` at which directory (None: here)."""

    def __init__(self, reason: Reason, act: Act, *, account_id: str, connector: str | None = None, detail: str = "") -> None:
        super().__init__(reason, act, detail=detail or reason.description, account_id=account_id)
        self.connector = connector


@dataclass(frozen=True, slots=True)
class Reached:
    """A directory that knows the person and lets them be acted on."""

    link: Link
    directory: Directory
    identity: Identity


class Reach:
    """Asks the directories. Safe between threads."""

    def __init__(self, directories: Directories) -> None:
        self._directories = directories

    def demand(self, account_id: str, links: Iterable[Link], act: Act) -> tuple[Reached, ...]:
        """Each directory of the links, with the person as it has them now. Raises OutOfReach, without having changed anything.

        Links to providers, and to directories that the configuration does not name any more, are passed over: nobody signs in by the latter.
        """
        found: list[Reached] = []
        for link in links:
            directory = self._directories.get(link.connector) if link.kind == "directory" and link.ended_at is None else None
            if directory is not None:
                found.append(self._ask(directory, link, account_id, act))
        return tuple(found)

    def _ask(self, directory: Directory, link: Link, account_id: str, act: Act) -> Reached:
        try:
            identity = directory.find(link.subject)
            is_protected = directory.is_protected(link.subject) if identity is not None else False
        except SourceUnreachable as away:
            log.warning("directory_unreachable", connector=link.connector, trouble=away.trouble, detail=away.detail)
            raise OutOfReach(Reason.DIRECTORY_UNREACHABLE, act, account_id=account_id, connector=link.connector) from away
        except SourceMisbehaved as wrong:
            log.error("directory_misbehaved", connector=link.connector, detail=wrong.detail)
            raise OutOfReach(Reason.DIRECTORY_MISBEHAVED, act, account_id=account_id, connector=link.connector) from wrong
        if is_protected:
            raise OutOfReach(Reason.ACT_ON_PROTECTED, act, account_id=account_id, connector=link.connector)
        if identity is None:
            raise OutOfReach(Reason.DIRECTORY_GONE, act, account_id=account_id, connector=link.connector)
        if identity.state in BARRED:
            raise OutOfReach(REASON_OF_STATE[identity.state], act, account_id=account_id, connector=link.connector)
        return Reached(link, directory, identity)
