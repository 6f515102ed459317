"""A World whose worker runs with all its threads, and listens to a directory; and what there is to see of it from outside."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

from idp.store.base import Cut, Notice, SyncRun, Watched
from idp.work import Worker
from tests.support.cast import LANS
from tests.support.processes import wait_until
from tests.support.samba import Samba
from tests.support.slapd import Slapd
from tests.support.slapd_cast import PASSWORD
from tests.support.world import SignedIn, World

PATIENCE_SECONDS = 60.0


def settings(server: Slapd | Samba, **override: Any) -> dict[str, Any]:
    """Of a world that listens to a directory and never reads at night."""
    directory = server.settings(name="annuaire", watch={"heartbeat": "1s"}, receive_timeout="10s")
    return {"directories": [directory], "work": {"reconcile_at": None}, "logout": {"retries": ["500ms"] * 5}, **override}


@contextmanager
def working(world: World, states: Collection[str] = ("live", "held")) -> Iterator[Worker]:
    """The worker, all its threads, for the length of the block, which begins in one of the states."""
    worker = Worker(world.application)
    thread = Thread(target=worker.run, daemon=True)
    thread.start()
    try:
        wait_until(lambda: state(world) in states, seconds=PATIENCE_SECONDS)
        yield worker
    finally:
        worker.stopping.set()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive(), "the worker does not stop"


def watched(world: World) -> Watched | None:
    with world.database.read() as tx:
        return tx.watches.get("annuaire")


def state(world: World) -> str | None:
    found = watched(world)
    return found.state if found else None


def word_of(world: World, subject: str) -> str | None:
    """The directory's last word on a person, as far as it was heard."""
    with world.database.read() as tx:
        link = tx.links.get("annuaire", subject)
    return link.word if link else None


def sign_in(world: World, uid: str = "d.claire", client: str = "carnet", **parameters: str) -> SignedIn:
    at_work = LANS[parameters.get("establishment", "tilleuls")]
    browser, party = world.browser(address=at_work), world.relying_party(client)
    page = browser.sign_in(uid, PASSWORD, page=browser.get(party.begin(scope="openid profile email establishment", **parameters)))
    assert page.callback is not None, page
    return SignedIn(browser, party, party.exchange(page.callback))


def cuts(world: World) -> tuple[Cut, ...]:
    """Everybody's, the earliest first."""
    with world.database.read() as tx:
        return tx.cuts.newest()[::-1]


def cut(world: World, count: int = 1) -> Cut:
    """The newest one, when there are so many; waited for."""
    wait_until(lambda: len(cuts(world)) >= count, seconds=PATIENCE_SECONDS)
    found = cuts(world)
    assert len(found) == count
    return found[-1]


def held_run(world: World) -> SyncRun | None:
    with world.database.read() as tx:
        return next(iter(tx.links.runs("annuaire", state="held")), None)


def metric(world: World, name: str) -> float:
    """The sum of the samples of a metric."""
    lines = world.application.metrics.render().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def notices(world: World, of: Cut) -> tuple[Notice, ...]:
    with world.database.read() as tx:
        return tx.cuts.notices(of.id)
