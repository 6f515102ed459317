"""Somebody new carries the name of somebody who has left: whether the former is really gone is asked of the directory, before the name passes on.

Owns that question. A recreated person of a directory has a new lasting id, so a new Account and `sub`; the old Account keeps everything else, and is
cut as its directory says it is gone. Called after an adoption that found rivals, outside any transaction.
"""

import structlog

from connectors.base import Identity, SourceMisbehaved, SourceUnreachable
from idp.audit import Author
from idp.signin.directories import Directories
from idp.signin.linking import Adopted, Linking
from idp.store.base import Link
from idp.store.database import Database
from policies.lifecycle import GONE

log = structlog.get_logger(__name__)


def succeed(
    adopted: Adopted, identity: Identity, author: Author, *, database: Database, directories: Directories, linking: Linking
) -> Adopted:
    """The adoption once more, when the directory says that somebody who carries the same name is gone; else as it was. Raises StoreUnavailable."""
    if not adopted.rivals and _lacks_a_name(adopted, identity):
        # It was another's when it was last looked at, perhaps by a sync: who holds it now?
        adopted = _adopt_anew(identity, author, database=database, linking=linking)
    if not adopted.rivals:
        return adopted
    with database.read() as tx:
        links = [one for rival in adopted.rivals for one in tx.links.of_account(rival) if one.connector == identity.connector]
    gone = [one for one in links if one.word == GONE or _is_gone(directories, one)]
    if not gone:
        return adopted
    with database.write() as tx:
        for one in gone:
            current = tx.links.get(one.connector, one.subject)
            if current is not None and current.ended_at is None and current.word_at == one.word_at:
                linking.apply_word(tx, current, GONE, author)
    return _adopt_anew(identity, author, database=database, linking=linking)


def _adopt_anew(identity: Identity, author: Author, *, database: Database, linking: Linking) -> Adopted:
    with database.write() as tx:
        tx.links.change(identity.connector, identity.subject, seen_digest="")
        return linking.adopt(tx, identity, author, is_signing_in=True)


def _lacks_a_name(adopted: Adopted, identity: Identity) -> bool:
    account = adopted.account
    return account.is_active and bool((identity.username and not account.username) or (identity.email and not account.email))


def _is_gone(directories: Directories, link: Link) -> bool:
    directory = directories.get(link.connector)
    try:
        return directory is not None and directory.find(link.subject) is None
    except (SourceUnreachable, SourceMisbehaved) as trouble:
        log.warning("rival_not_asked", connector=link.connector, detail=trouble.detail)
        return False
