"""The people of an upstream provider that are known here, as something to be listened to and read again like a directory.

Only people who are linked: nobody is made of what a provider tells of others, who may be somebody else's to join or have never come. Who they are is
the connector's to say; what becomes of that is watch.py's and reconcile.py's. Calls the store, to read.
"""

from collections.abc import Iterator

from connectors.base import Identity, WatchedProvider, Watcher
from idp.store.database import Database
from policies.lifecycle import GONE


class UpstreamPeople:
    """Of one provider. Safe to share between threads."""

    def __init__(self, provider: WatchedProvider, database: Database) -> None:
        self.name = provider.name
        self._provider = provider
        self._database = database

    def find(self, subject: str) -> Identity | None:
        """See DirectoryConnector; None, unasked, of somebody who is not linked. Raises as the connector does, and StoreUnavailable."""
        with self._database.read() as tx:
            link = tx.links.get(self.name, subject)
        return None if link is None or link.ended_at is not None else self._provider.find(subject)

    def count(self) -> int | None:
        """See DirectoryConnector."""
        return len(self._known())

    def people(self) -> Iterator[Identity]:
        """Those who are linked and still there, each asked for. Raises as the connector does: then nobody may be judged absent."""
        for subject in self._known():
            if (identity := self._provider.find(subject)) is not None:
                yield identity

    def watcher(self) -> Watcher | None:
        """See WatchedDirectory."""
        return self._provider.watcher()

    def close(self) -> None:
        """Let go of the provider's connections."""
        self._provider.close()

    def _known(self) -> list[str]:
        with self._database.read() as tx:
            return [link.subject for link in tx.links.all(self.name) if link.word != GONE]
