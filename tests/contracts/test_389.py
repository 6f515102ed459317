"""The connector on a real 389 Directory Server: the same promises as on OpenLDAP, by its own attributes and words. One instance for all of them.

Signing in, standing and passwords; the acts of the reset desk; listening; the canary's hand.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.base import (
    CanaryDirectory,
    ChangeRefused,
    ChangeRequired,
    CredentialsRefused,
    Exposure,
    NotDelegated,
    PersonNotUsable,
    PersonProtected,
    SourceUnreachable,
    State,
)
from connectors.ldap.directory import LdapDirectory
from idp.clock import SystemClock
from tests.support.dirsrv import DESK_ATTRIBUTES, Dirsrv, dirsrv
from tests.support.ears import listening
from tests.support.fixed_clock import FixedClock
from tests.support.slapd import GROUPS, PASSWORD, PEOPLE
from tests.support.slapd_cast import DESK_SERVICE

NEW = "Nouveau-Sentier-73-Bruyere"
NEWER = "Encore-Verger-19-Mesange"
INTERIM = "Interim-Fougere-35-Belette"
GUIDE = Path(__file__).parents[2] / "docs" / "connect-a-directory.md"
STATE = ("accountUnlockTime", "passwordRetryCount", "retryCountResetTime", "passwordExpirationTime", "nsAccountLock")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def server() -> Iterator[Dirsrv]:
    with dirsrv() as made:
        made.add(f"cn=depart,{GROUPS}", ["groupOfNames"], {"cn": "depart", "member": f"uid=ds.left,{PEOPLE}"})
        made.add_desk()
        yield made


@pytest.fixture
def directory(server: Dirsrv) -> Iterator[LdapDirectory]:
    directory = server.directory()
    yield directory
    directory.close()


@pytest.fixture
def desk(server: Dirsrv) -> Iterator[LdapDirectory]:
    """The connector with the reset desk's own account."""
    directory = server.directory(desk=server.desk(), groups={"base": None})
    yield directory
    directory.close()


def settled(server: Dirsrv, uid: str, **attributes: str) -> str:
    """A person who has chosen a password, NEW."""
    dn = server.add_person(uid, **attributes)
    server.choose_password(dn, PASSWORD, NEW)
    return dn


def subject_of(directory: LdapDirectory, identifier: str) -> str:
    identity = directory.look_up(identifier)
    assert identity is not None
    return identity.subject


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


def lock(directory: LdapDirectory, uid: str) -> None:
    for _ in range(3):
        with pytest.raises(CredentialsRefused):
            directory.authenticate(uid, "Sans-Doute-47-Faux")
    with pytest.raises(PersonNotUsable):
        directory.authenticate(uid, NEW)


def present(server: Dirsrv, uid: str) -> dict[str, list[bytes]]:
    with server.administering() as root:
        found = root.search(f"uid={uid},{PEOPLE}", "(objectClass=*)", search_scope="BASE", attributes=list(STATE))[2]
    return {name: list(values) for name, values in found[0]["raw_attributes"].items() if values}


def test_person_signs_in_again_when_the_desk_lifts_the_lock(server: Dirsrv, desk: LdapDirectory) -> None:
    settled(server, "gk.claire")
    subject = subject_of(desk, "gk.claire")
    assert desk.unlock(subject) is False
    lock(desk, "gk.claire")
    assert present(server, "gk.claire")["accountUnlockTime"] == [b"19700101000000Z"]  # until an administrator unlocks
    assert desk.unlock(subject) is True
    assert not {"accountUnlockTime", "passwordRetryCount"} & set(present(server, "gk.claire"))
    with pytest.raises(CredentialsRefused):
        desk.authenticate("gk.claire", "Sans-Doute-47-Faux")  # one more does not lock at once
    assert desk.authenticate("gk.claire", NEW).state is State.USABLE


def test_disabled_person_stays_disabled_when_the_desk_unlocks_or_resets(server: Dirsrv, desk: LdapDirectory) -> None:
    settled(server, "gk.hugo")
    subject = subject_of(desk, "gk.hugo")
    lock(desk, "gk.hugo")
    server.modify(f"uid=gk.hugo,{PEOPLE}", nsAccountLock="true")
    before = present(server, "gk.hugo")
    for act in (lambda: desk.unlock(subject), lambda: desk.reset_password(subject, INTERIM)):
        with pytest.raises(PersonNotUsable) as caught:
            act()
        assert caught.value.state is State.DISABLED
    assert present(server, "gk.hugo") == before


def test_person_chooses_their_own_password_when_theirs_was_reset(server: Dirsrv, desk: LdapDirectory) -> None:
    settled(server, "gk.amina")
    subject = subject_of(desk, "gk.amina")
    lock(desk, "gk.amina")
    desk.reset_password(subject, INTERIM)
    found = desk.find(subject)
    assert found is not None
    assert found.state is State.MUST_CHANGE
    with pytest.raises(CredentialsRefused):
        desk.authenticate("gk.amina", NEW)
    with pytest.raises(ChangeRequired):
        desk.authenticate("gk.amina", INTERIM)
    desk.change_password(subject, INTERIM, new=NEWER)
    assert desk.authenticate("gk.amina", NEWER).state is State.USABLE
    with pytest.raises(ChangeRefused) as caught:
        desk.reset_password(subject, "court")
    assert caught.value.problem == "too_short"


def test_nobody_is_touched_whom_the_settings_or_the_rights_leave_out(server: Dirsrv, desk: LdapDirectory) -> None:
    settled(server, "gk.zoe")
    subject = subject_of(desk, "gk.zoe")
    lock(desk, "gk.zoe")
    before = present(server, "gk.zoe")
    narrow = server.directory(desk=server.desk(protected="(uid=gk.zoe)"), groups={"base": None})
    reads = server.directory(desk={}, groups={"base": None})
    try:
        assert narrow.is_protected(subject)
        for one, error in ((narrow, PersonProtected), (reads, NotDelegated)):
            for act in (lambda one=one: one.unlock(subject), lambda one=one: one.reset_password(subject, INTERIM)):
                with pytest.raises(error):
                    act()
        assert present(server, "gk.zoe") == before
        steps = {one: [step for step in one.check() if step.title == "Reset desk"] for one in (desk, reads)}
        assert [step.outcome for step in steps[desk]] == ["ok"]
        assert [step.outcome for step in steps[reads]] == ["failed"]
        assert "accountUnlockTime" in steps[reads][0].explanation
        assert present(server, "gk.zoe") == before
    finally:
        narrow.close()
        reads.close()


def test_guide_grants_the_desk_what_was_tried() -> None:
    assert DESK_ATTRIBUTES in GUIDE.read_text(encoding="utf-8")


def test_whatever_happens_to_people_and_groups_is_heard_from_now_on(server: Dirsrv) -> None:
    server.add_person("eq.claire")
    directory = server.directory(SystemClock(), watch={"heartbeat": "2s"})
    try:
        assert [step.outcome for step in directory.check() if step.title == "Listening"] == ["ok"]
        with listening(directory, b"whatever") as ears:
            assert (first := ears.next()).kind == "lost"
            assert first.cursor is None
            dn = server.add_person("eq.hugo", employeeType="interne")
            heard = ears.word()
            assert heard.kind == "person"
            subject = heard.subject
            server.modify(dn, nsAccountLock="true")
            heard = ears.word()
            assert (heard.kind, heard.subject) == ("person", subject)
            found = directory.find(subject)
            assert found is not None
            assert found.state is State.DISABLED
            server.rename(dn, "uid=eq.victor")
            dn = f"uid=eq.victor,{PEOPLE}"
            assert ears.word().subject == subject
            server.modify(dn, nsAccountLock=None)
            assert ears.word().subject == subject
            server.add(f"cn=veille,{GROUPS}", ["groupOfNames"], {"cn": "veille", "member": dn})
            heard = ears.word()
            assert (heard.kind, heard.subjects) == ("members", {subject})
            assert heard.groups == {"veille", f"cn=veille,{GROUPS}"}
            server.modify(f"cn=veille,{GROUPS}", member=None)
            assert ears.word().subjects == {subject}, "also the last one who leaves"
            server.modify(f"cn=depart,{GROUPS}", member=f"uid=eq.claire,{PEOPLE}")
            heard = ears.word()
            assert (heard.subjects is not None and len(heard.subjects), "depart" in heard.groups) == (1, True)
            server.delete(dn)
            heard = ears.word()
            assert (heard.kind, heard.subject) == ("gone", subject)
            assert ears.words() == []
            server.stop()
            with pytest.raises(SourceUnreachable):
                ears.word()
        server.start()
        with listening(directory) as ears:
            assert ears.next().kind == "lost"
    finally:
        directory.close()


def test_canary_is_disabled_and_enabled_again(server: Dirsrv) -> None:
    """With the access that the guide grants: its own account writes the lock of one person, and of nobody else."""
    dn = settled(server, "canari")
    server.add_person("voisine")
    aci = f'(targetattr = "nsAccountLock")(version 3.0; acl "vestibule canary"; allow (write) userdn = "ldap:///{DESK_SERVICE}";)'
    directory = server.directory(canary={"login": "canari", **server.desk()}, groups={"base": None})
    try:
        subject, other = subject_of(directory, "canari"), subject_of(directory, "voisine")
        assert isinstance(directory, CanaryDirectory)
        hand = directory.canary()
        assert hand is not None
        with pytest.raises(NotDelegated):
            hand.disable(subject)
        server.modify(dn, aci=aci)
        with pytest.raises(NotDelegated):
            hand.disable(other)
        for _ in range(2):
            hand.disable(subject)
            assert state(directory, "canari") is State.DISABLED
        for _ in range(2):
            hand.enable(subject)
            assert state(directory, "canari") is State.USABLE
    finally:
        directory.close()
