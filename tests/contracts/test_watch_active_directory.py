"""Listening to a real Active Directory domain (Samba): who changed, who is gone, whom a group concerns, and nothing lost while we were away."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.active_directory.directory import ActiveDirectory
from connectors.base import SourceUnreachable, State, Watcher
from idp.clock import SystemClock
from tests.support.ears import Ears, listening
from tests.support.ldap_server import IMPATIENT
from tests.support.samba import Samba
from tests.support.samba_cast import ELSEWHERE, GROUPS, PEOPLE, RESET_SERVICE

Open = Callable[..., ActiveDirectory]
pytestmark = pytest.mark.slow


@pytest.fixture
def opened(samba: Samba) -> Iterator[Open]:
    made: list[ActiveDirectory] = []

    def make(**override: Any) -> ActiveDirectory:
        made.append(samba.directory(SystemClock(), **{"watch": {"heartbeat": "1s"}, **override}))
        return made[-1]

    yield make
    for directory in made:
        directory.close()


@pytest.fixture
def directory(opened: Open) -> ActiveDirectory:
    return opened()


@pytest.fixture
def ears(directory: ActiveDirectory) -> Iterator[Ears]:
    """Somebody who has heard the first word, "lost"."""
    with listening(directory) as ears:
        assert ears.next().kind == "lost"
        yield ears


def test_disabled_person_is_heard_of_at_once(samba: Samba, directory: ActiveDirectory, ears: Ears) -> None:
    subject = samba.subject("a.claire")
    for act, state in ((samba.disable, State.DISABLED), (samba.enable, State.USABLE)):
        act("a.claire")
        heard = ears.word()
        assert (heard.kind, heard.subject) == ("person", subject)
        assert heard.written_at is not None
        identity = directory.find(subject)
        assert identity is not None
        assert identity.state is state


def test_locked_person_is_asked_for_and_has_not_left(samba: Samba, directory: ActiveDirectory, ears: Ears) -> None:
    subject = samba.subject("a.hugo")
    samba.lock("a.hugo")
    heard = ears.word()
    assert (heard.kind, heard.subject) == ("person", subject)
    identity = directory.find(subject)
    assert identity is not None
    assert identity.state is State.LOCKED
    samba.unlock("a.hugo")
    assert ears.word().subject == subject


def test_account_that_ends_by_itself_is_told_though_nobody_writes_anything(samba: Samba, directory: ActiveDirectory, ears: Ears) -> None:
    subject = samba.subject("a.hugo")
    samba.expire_account("a.zoe", datetime.now(UTC) + timedelta(days=1))
    assert ears.word().subject == samba.subject("a.zoe")
    ends_at = (datetime.now(UTC) + timedelta(seconds=10)).replace(microsecond=0)
    samba.expire_account("a.hugo", ends_at)
    assert ears.word().subject == subject
    heard = ears.word()
    assert (heard.kind, heard.subject, heard.written_at) == ("person", subject, ends_at)
    assert heard.heard_at >= ends_at
    identity = directory.find(subject)
    assert identity is not None
    assert (identity.state, identity.ends_at) == (State.EXPIRED, ends_at)


def test_account_that_ended_by_itself_while_we_were_away_is_told(samba: Samba, opened: Open) -> None:
    samba.expire_account("a.hugo")
    with listening(opened()) as ears:
        assert ears.next().kind == "lost"
    assert ears.cursor is not None
    earlier = json.loads(ears.cursor) | {"at": (datetime.now(UTC) - timedelta(days=2)).isoformat()}
    with listening(opened(), json.dumps(earlier).encode()) as again:
        assert [(heard.kind, heard.subject) for heard in again.words()] == [("person", samba.subject("a.hugo"))]


def test_deleted_person_is_said_to_be_gone(samba: Samba, ears: Ears) -> None:
    subject = samba.subject("a.paul")
    samba.delete(samba.dn("a.paul"))
    heard = ears.word()
    assert (heard.kind, heard.subject) == ("gone", subject)


def test_person_moved_out_of_the_base_is_heard_of(samba: Samba, directory: ActiveDirectory, ears: Ears) -> None:
    subject = samba.subject("a.claire")
    samba.rename(samba.dn("a.claire"), "CN=a.claire", under=ELSEWHERE)
    heard = ears.word()
    assert (heard.kind, heard.subject) == ("person", subject)
    assert directory.find(subject) is None


def test_whoever_leaves_a_group_is_named_even_after_a_new_name(samba: Samba, ears: Ears) -> None:
    subject = samba.subject("a.claire")
    dn = samba.rename(samba.dn("a.claire"), "CN=a.claire.dupont", under=PEOPLE)
    assert ears.word().subject == subject
    samba.leave("tilleuls-infirmiers", dn)
    heard = ears.word()
    assert (heard.kind, heard.subjects) == ("members", frozenset({subject}))
    assert "tilleuls-infirmiers" in heard.groups
    samba.join("tilleuls-infirmiers", dn)
    assert ears.word().subjects == frozenset({subject})


def test_people_of_an_inner_group_are_named_when_it_leaves_the_outer_one(samba: Samba, ears: Ears) -> None:
    subject = samba.subject("a.hugo")
    samba.leave("glycines-aides", samba.dn("glycines-equipe"))
    heard = ears.word()
    assert heard.kind == "members"
    assert heard.subjects == frozenset({subject})
    assert "glycines-aides" in heard.groups


def test_people_of_a_deleted_group_are_named(samba: Samba, ears: Ears) -> None:
    subject = samba.subject("a.hugo")
    samba.delete(samba.dn("glycines-nuit"))
    heard = ears.word()
    assert (heard.kind, heard.subjects) == ("members", frozenset({subject}))
    assert "glycines-aides" in heard.groups


def test_what_happened_while_we_were_away_is_told(samba: Samba, opened: Open) -> None:
    with listening(opened()) as ears:
        assert ears.next().kind == "lost"
    assert ears.cursor is not None
    disabled, deleted = samba.subject("a.zoe"), samba.subject("a.paul")
    samba.disable("a.zoe")
    samba.delete(samba.dn("a.paul"))
    samba.leave("tilleuls-infirmiers", samba.dn("a.claire"))
    everybody = [*(identity.subject for identity in opened().people()), deleted]
    with listening(opened(), ears.cursor, everybody) as again:
        words = again.words()
        assert {(heard.kind, heard.subject) for heard in words if heard.kind != "members"} == {("person", disabled), ("gone", deleted)}
        [group] = [heard for heard in words if heard.kind == "members"]
        assert group.subjects is None
        assert "tilleuls-infirmiers" in group.groups
        assert again.cursor != ears.cursor
    with listening(opened(), again.cursor, everybody) as later:
        assert later.words() == []


def test_a_restarted_controller_loses_nothing(samba: Samba, opened: Open) -> None:
    directory, subject = opened(), samba.subject("a.claire")
    with listening(directory) as ears:
        assert ears.next().kind == "lost"
        samba.stop()
        with pytest.raises(SourceUnreachable):
            ears.word()
    samba.tool("user", "disable", "a.claire")  # in the database itself, while nobody serves it
    samba.start()
    with listening(directory, ears.cursor) as again:
        assert [(heard.kind, heard.subject) for heard in again.words()] == [("person", subject)]


def test_a_controller_that_hangs_is_noticed(samba: Samba, opened: Open) -> None:
    with listening(opened(**IMPATIENT)) as ears:
        assert ears.next().kind == "lost"
        samba.hang()
        with pytest.raises(SourceUnreachable):
            ears.word()
    samba.resume()


def test_a_burst_of_a_thousand_changes_is_heard_whole_and_one_of_many_members_is_named_alone(
    samba: Samba, directory: ActiveDirectory
) -> None:
    watcher = directory.watcher()
    assert watcher is not None
    words = watcher.listen(None, lambda: iter(()))
    assert next(words).kind == "lost"
    logins = [f"f.{number:04}" for number in range(1_010)]  # members come in ranges of a thousand
    samba.add_people(logins, "foule")  # not over LDAP: the controller's own process is not asked
    for number in range(30):
        samba.modify(samba.dn("a.claire"), {"title": f"n{number}"})
    wanted = {identity.subject for identity in directory.people() if (identity.username or "").startswith("f.")}
    assert len(wanted) == len(logins)
    wanted.add(samba.subject("a.claire"))
    has_group = False
    while wanted or not has_group:
        heard = next(words)
        wanted.discard(heard.subject)
        has_group |= heard.kind == "members" and "foule" in heard.groups
    last = samba.subject(logins[-1])
    samba.leave("foule", samba.dn(logins[-1]))
    while (heard := next(words)).kind != "members":
        pass
    assert (heard.subjects, "foule" in heard.groups) == (frozenset({last}), True)
    watcher.close()
    assert {heard.kind for heard in words} <= {"quiet"}


def test_service_account_that_does_not_see_who_was_deleted_finds_who_is_missing(samba: Samba, opened: Open) -> None:
    directory = opened(bind_dn=RESET_SERVICE)
    assert [step.outcome for step in directory.check() if step.title == "Listening"] == ["ok", "warning"]
    known = [identity.subject for identity in directory.people()]
    subject = samba.subject("a.paul")
    with listening(directory) as ears:
        assert ears.next().kind == "lost"
    samba.delete(samba.dn("a.paul"))
    with listening(directory, ears.cursor, known) as again:
        assert [(heard.kind, heard.subject) for heard in again.words()] == [("gone", subject)]


def kinds(watcher: Watcher) -> set[str]:
    return {heard.kind for heard in watcher.listen(None, lambda: iter(()))}


def test_watcher_that_is_closed_at_any_moment_leaves_nothing_open(samba: Samba, directory: ActiveDirectory) -> None:
    directory.find(samba.subject("a.claire"))
    before, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    for number in range(8):
        watcher = directory.watcher()
        assert watcher is not None
        with ThreadPoolExecutor(1) as pool:
            ends = pool.submit(kinds, watcher)
            threading.Event().wait(number / 50)  # some milliseconds: sooner, during and after the first words
            watcher.close()
            assert ends.result(60) <= {"lost", "quiet"}
    assert len(os.listdir("/proc/self/fd")) <= before  # fewer: what an earlier test had left was over meanwhile
    assert threading.active_count() <= threads


def test_a_unit_that_is_renamed_makes_everybody_be_read_again(samba: Samba, ears: Ears) -> None:
    unit = f"OU=Ailleurs,{PEOPLE}"
    samba.add_unit(unit)
    samba.rename(unit, "OU=Autrement", under=PEOPLE)
    heard = ears.word()
    assert heard.kind == "lost"
    assert heard.cursor is not None


@pytest.mark.parametrize("change", ["made", "renamed"])
def test_a_group_that_came_or_changed_its_name_while_we_were_away_makes_everybody_be_read_again(
    samba: Samba, opened: Open, change: str
) -> None:
    with listening(opened()) as ears:
        assert ears.next().kind == "lost"
    if change == "made":
        samba.add_group("nouveau", samba.dn("a.claire"))
    else:
        samba.rename(samba.dn("glycines-nuit"), "CN=glycines-soir", under=GROUPS)
    with listening(opened(), ears.cursor) as again:
        assert again.next().kind == "lost"


@pytest.mark.parametrize("cursor", [b"{}", b"garbage", b'{"database": "other", "number": 1, "fingerprint": "0"}'])
def test_a_cursor_of_something_else_makes_everybody_be_read_again(opened: Open, cursor: bytes) -> None:
    with listening(opened(), cursor) as ears:
        assert ears.next().kind == "lost"


def test_another_controller_makes_everybody_be_read_again(samba: Samba, second_samba: Samba, opened: Open) -> None:
    directory = opened(servers=[samba.ldaps, second_samba.ldaps])
    with listening(directory) as ears:
        assert ears.next().kind == "lost"
        samba.stop()
        with pytest.raises(SourceUnreachable):
            ears.word()
    with listening(directory, ears.cursor) as again:
        assert again.next().kind == "lost"


def test_operator_reads_that_the_controller_tells_what_changes(opened: Open) -> None:
    steps = [step for step in opened().check() if step.title == "Listening"]
    assert steps[0].outcome == "ok"
    off = [step for step in opened(watch={"enabled": False}).check() if step.title == "Listening"]
    assert [step.outcome for step in off] == ["warning"]
    assert opened(watch={"enabled": False}).watcher() is None
