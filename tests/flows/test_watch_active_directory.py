"""A person is disabled in a real domain (Samba) that we listen to: their Session is over, and the application told.

The threads are those of the worker; the time is real, because the domain's is. What the words mean is tests/flows/test_watch.py's.
"""

import pytest

from tests.conftest import MakeWorld
from tests.support.fixed_clock import FixedClock
from tests.support.processes import wait_until
from tests.support.running_clock import RunningClock
from tests.support.samba import Samba
from tests.support.watched_world import PATIENCE_SECONDS, cut, cuts, notices, settings, sign_in, working
from tests.support.world import World


@pytest.fixture
def clock() -> FixedClock:
    """The worlds of this file live in real time."""
    return RunningClock()


def test_people_who_are_disabled_expire_or_leave_a_group_in_the_domain_are_out_of_the_application(
    make_world: MakeWorld, samba: Samba
) -> None:
    homes = make_world(**settings(samba))
    with working(homes):
        here = sign_in(homes, "a.claire")
        samba.disable("a.claire")
        (received,) = homes.listener.wait(1)
        assert here.party.read_logout_token(received.logout_token)["sid"] == here.tokens.claims["sid"]
        found = cut(homes)
        assert (found.kind, found.cause, found.connector) == ("suspended", "directory_disabled", "annuaire")
        assert (found.subject, found.sessions, found.grants, found.notices) == (samba.subject("a.claire"), 1, 1, 1)
        assert found.written_at is not None
        assert found.heard_at is not None
        assert found.heard_at <= found.decided_at
        wait_until(lambda: notices(homes, found)[0].delivered_at is not None, seconds=PATIENCE_SECONDS)
        (notice,) = notices(homes, found)
        assert notice.receipt == "HTTP 200"
        assert here.party.refresh(here.tokens.refresh).status_code == 400
        assert here.party.introspect(here.tokens.access).json() == {"active": False}

        sign_in(homes, "a.zoe")
        samba.expire_account("a.zoe")
        homes.listener.wait(2)
        assert cut(homes, 2).cause == "directory_expired"

        there = sign_in(homes, "a.hugo", establishment="glycines")
        samba.leave("glycines-equipe", samba.dn("glycines-nuit"))
        homes.listener.wait(3)
        assert cut(homes, 3).cause == "attachment_lost"
        assert there.party.refresh(there.tokens.refresh).status_code == 400

        samba.delete(samba.dn("a.paul"))
        assert cut(homes, 4).cause == "directory_gone"

        still = sign_in(homes, "a.amina", establishment="tilleuls")
        samba.lock("a.amina")
        wait_until(lambda: word(homes, samba, "a.amina") == "locked", seconds=PATIENCE_SECONDS)
        assert still.party.refresh(still.tokens.refresh).status_code == 200
    assert len(cuts(homes)) == 4


def word(homes: World, samba: Samba, login: str) -> str:
    with homes.database.read() as tx:
        link = tx.links.get("annuaire", samba.subject(login))
    assert link is not None
    return link.word
