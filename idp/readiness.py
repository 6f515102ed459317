"""Whether a server may answer: the store migrated, the configuration applied to it, signing keys there; and, before a reload, a whole trial.

Called by idp/serve.py at the start. `python -m idp.readiness <file> <operator>` is what a running server does with a configuration that it is asked
to read again: in a process of its own, so that whatever is wrong with it breaks that one.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from idp.audit import Author, Event, EventType, Origin
from idp.clock import SystemClock
from idp.config import Config, check
from idp.errors import VestibuleError

if TYPE_CHECKING:
    from idp.registry import Applied


class CannotServe(VestibuleError):
    """The server refuses to start; `detail` says why, in English, for an operator."""


def prepare(config: Config, author: Author, event: EventType) -> "Applied":
    """Bring the store to where a server may answer from it, and say so by `event`; raises CannotServe when it holds what must not be offered."""
    from idp.composition.stores import open_stores
    from idp.oauth.keys import ensure
    from idp.registry import apply
    from idp.store.migrations import upgrade

    stores = open_stores(config, SystemClock())
    try:
        _, revision = upgrade(stores.database)
        with stores.database.read() as tx:
            demo = tx.people.count_demo()
            has_keys = any(key.state == "current" for key in tx.keys.all())
        if demo and not config.is_loopback:
            raise CannotServe(
                "demo_account",
                f"the store holds {demo} demonstration account(s), and {config.issuer} is not on this machine: end them first",
            )
        applied = apply(stores.database, config, author, clock=stores.clock)
        with stores.database.write() as tx:
            if not has_keys:
                ensure(tx, stores.keyring, stores.clock)
            tx.events.append(
                Event(
                    type=event,
                    at=stores.clock.now(),
                    actor=author.actor,
                    origin=author.origin,
                    details={"revision": revision, "workers": config.server.workers, "threads": config.server.threads},
                )
            )
    finally:
        stores.database.close()
    return applied


def main() -> int:
    """Judge, try and apply a configuration; says each stage on standard output. 1 when it cannot be used; nothing is changed then."""
    path, operator = Path(sys.argv[1]), sys.argv[2]
    config, findings = check(path)
    for finding in findings:
        print(finding)
    if config is None or any(finding.severity == "error" for finding in findings):
        return 1
    author = Author(f"operator:{operator}", Origin(SystemClock().new_code(10), "local"))
    try:
        _rehearse(config)
        applied = prepare(config, author, EventType.CONFIGURATION_RELOADED)
    except VestibuleError as error:
        print(error.detail or error.reason)
        return 1
    changed = len(applied.changed)
    print(f"the configuration is applied: {changed} of its establishments and applications changed, {len(applied.withdrawn)} withdrawn")
    return 0


def _rehearse(config: Config) -> None:
    """Build what a server process builds, and throw it away: a process that cannot be built would end the server."""
    from idp.app import build, wsgi

    application = build(config)
    try:
        wsgi(application)
    finally:
        application.close()


if __name__ == "__main__":
    sys.exit(main())
