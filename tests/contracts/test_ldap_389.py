"""The connector on a real 389 Directory Server: the same promises as on OpenLDAP, by its own attributes and words."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from connectors.base import ChangeRefused, ChangeRequired, CredentialsRefused, Exposure, PersonNotUsable, SourceUnreachable, State
from connectors.ldap.directory import LdapDirectory
from tests.support.dirsrv import Dirsrv, dirsrv
from tests.support.fixed_clock import FixedClock
from tests.support.slapd import GROUPS, PASSWORD, PEOPLE

NEW = "Nouveau-Sentier-73-Bruyere"
NEWER = "Encore-Verger-19-Mesange"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def server() -> Iterator[Dirsrv]:
    with dirsrv() as made:
        made.add(f"cn=depart,{GROUPS}", ["groupOfNames"], {"cn": "depart", "member": f"uid=ds.left,{PEOPLE}"})
        yield made


@pytest.fixture
def directory(server: Dirsrv) -> Iterator[LdapDirectory]:
    directory = server.directory()
    yield directory
    directory.close()


def settled(server: Dirsrv, uid: str, **attributes: str) -> str:
    """A person who has chosen a password, NEW."""
    dn = server.add_person(uid, **attributes)
    server.choose_password(dn, PASSWORD, NEW)
    return dn


def state(directory: LdapDirectory, identifier: str) -> State:
    identity = directory.look_up(identifier)
    assert identity is not None
    found = directory.find(identity.subject)
    assert found is not None
    assert found.state is identity.state
    return found.state


def test_person_signs_in_with_groups_and_is_followed_when_renamed(server: Dirsrv, directory: LdapDirectory) -> None:
    dn = settled(server, "ds.claire", mail="ds.claire@annuaire.example", employeeNumber="80001", givenName="Claire")
    server.add(f"cn=nuit,{GROUPS}", ["groupOfNames"], {"cn": "nuit", "member": dn})
    server.add(
        f"cn=tilleuls-infirmiers,{GROUPS}", ["groupOfUniqueNames"], {"cn": "tilleuls-infirmiers", "uniqueMember": f"cn=nuit, {GROUPS}"}
    )
    subjects = set()
    for url in (server.ldaps, server.ldap):
        over = server.directory(servers=[url])
        for identifier in ("ds.claire", "ds.claire@annuaire.example", "80001"):
            identity = over.authenticate(identifier, NEW)
            assert {"nuit", "tilleuls-infirmiers", f"cn=nuit,{GROUPS}"} <= identity.groups
            subjects.add(identity.subject)
        over.close()
    (everybody,) = [identity for identity in directory.people() if identity.username == "ds.claire"]
    assert {"nuit", "tilleuls-infirmiers"} <= everybody.groups
    server.rename(dn, "uid=ds.martin")
    assert {directory.authenticate("ds.martin", NEW).subject} == subjects
    for identifier, password in (("ds.martin", "wrong"), ("ds.martin", ""), ("nobody", NEW), ("*", NEW), ("ds.martin)(uid=*", NEW)):
        with pytest.raises(CredentialsRefused):
            directory.authenticate(identifier, password)
    server.delete(f"uid=ds.martin,{PEOPLE}")
    settled(server, "ds.other")
    assert directory.find(subjects.pop()) is None


def test_disabled_person_is_told_apart(server: Dirsrv, directory: LdapDirectory) -> None:
    dn = settled(server, "ds.disabled")
    server.modify(dn, nsAccountLock="true")
    for password in (NEW, "wrong-Password-1"):
        with pytest.raises(PersonNotUsable) as caught:
            directory.authenticate("ds.disabled", password)
        assert (caught.value.state, caught.value.is_proven) == (State.DISABLED, False)
    assert state(directory, "ds.disabled") is State.DISABLED
    server.modify(dn, nsAccountLock=None)
    assert directory.authenticate("ds.disabled", NEW).state is State.USABLE


def test_locked_person_is_told_apart(server: Dirsrv, directory: LdapDirectory) -> None:
    settled(server, "ds.locked")
    for _ in range(3):
        with pytest.raises((CredentialsRefused, PersonNotUsable)):
            directory.authenticate("ds.locked", "wrong-Password-1")
    with pytest.raises(PersonNotUsable) as caught:
        directory.authenticate("ds.locked", NEW)
    assert (caught.value.state, caught.value.is_proven) == (State.LOCKED, False)
    assert state(directory, "ds.locked") is State.LOCKED


def test_person_must_change_a_password_that_was_set_for_them_and_does(server: Dirsrv, directory: LdapDirectory) -> None:
    server.add_person("ds.new")
    with pytest.raises(ChangeRequired) as caught:
        directory.authenticate("ds.new", PASSWORD)
    subject = caught.value.identity.subject
    assert state(directory, "ds.new") is State.MUST_CHANGE
    with pytest.raises(CredentialsRefused):
        directory.authenticate("ds.new", "wrong-Password-1")
    for new, problem in (("short", "too_short"), (PASSWORD, "reused")):
        with pytest.raises(ChangeRefused) as refused:
            directory.change_password(subject, PASSWORD, new=new)
        assert refused.value.problem == problem, refused.value.detail
    with pytest.raises(ChangeRefused) as refused:
        directory.change_password(subject, "wrong-Password-1", new=NEWER)
    assert refused.value.problem == "wrong_current"
    assert directory.change_password(subject, PASSWORD, new=NEWER).state is State.USABLE
    assert directory.authenticate("ds.new", NEWER).state is State.USABLE


def test_person_whose_password_has_expired_must_change_it(server: Dirsrv, directory: LdapDirectory) -> None:
    dn = settled(server, "ds.expired")
    server.configure(passwordExp="on", passwordWarning="0", passwordGraceLimit="3")
    try:
        server.modify(dn, passwordExpirationTime="20200101000000Z")
        with pytest.raises(ChangeRequired) as caught:
            directory.authenticate("ds.expired", NEW)
        with pytest.raises(CredentialsRefused):
            directory.authenticate("ds.expired", "wrong-Password-1")
        assert state(directory, "ds.expired") is State.MUST_CHANGE
        directory.change_password(caught.value.identity.subject, NEW, new=NEWER)
        assert directory.authenticate("ds.expired", NEWER).state is State.USABLE
    finally:
        server.configure(passwordExp="off")


def test_directory_is_checked_and_comes_back_after_a_stop(server: Dirsrv) -> None:
    settled(server, "ds.checked", mail="ds.checked@annuaire.example", employeeNumber="80009")
    clock = FixedClock(datetime.now(UTC))
    directory = server.directory(clock)
    failed = [step for step in directory.check() if step.outcome == "failed"]
    assert failed == []
    assert directory.count() == len(list(directory.people()))
    assert directory.authenticate("ds.checked", NEW)
    server.stop()
    with pytest.raises(SourceUnreachable):
        directory.authenticate("ds.checked", NEW)
    server.start()
    clock.advance(timedelta(minutes=1))
    assert directory.authenticate("ds.checked", NEW)
    directory.close()


def test_what_stands_between_a_person_and_the_lock_is_read_where_it_may_be(server: Dirsrv, directory: LdapDirectory) -> None:
    settled(server, "ds.counted")
    told: list[Exposure] = []

    class Watching:
        @contextmanager
        def passage(self, source: str, subject: str | None, *, seen: Exposure, look: Callable[[], Exposure]) -> Iterator[bool]:
            told.append(look())
            yield True

    for _ in range(2):
        with pytest.raises(CredentialsRefused):
            directory.authenticate("ds.counted", "wrong-Password-1", gate=Watching())
    assert directory.authenticate("ds.counted", NEW, gate=Watching())
    assert [one.failures for one in told[1:]] == [1, 2]
    assert {one.threshold for one in told} == {None}, "a service account may not read the server's configuration"
    assert len({one.mark for one in told}) == 1
