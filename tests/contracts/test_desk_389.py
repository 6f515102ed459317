"""The acts of the reset desk on a real 389 Directory Server: its own attributes, the same promises as on OpenLDAP."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.base import ChangeRefused, ChangeRequired, CredentialsRefused, NotDelegated, PersonNotUsable, PersonProtected, State
from connectors.ldap.directory import LdapDirectory
from tests.support.dirsrv import DESK_ATTRIBUTES, Dirsrv, dirsrv
from tests.support.slapd import PASSWORD, PEOPLE

INTERIM = "Interim-Fougere-35-Belette"
OWN = "Nouveau-Sentier-73-Bruyere"
GUIDE = Path(__file__).parents[2] / "docs" / "connect-a-directory.md"
STATE = ("accountUnlockTime", "passwordRetryCount", "retryCountResetTime", "passwordExpirationTime", "nsAccountLock")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def server() -> Iterator[Dirsrv]:
    with dirsrv() as made:
        made.add_desk()
        yield made


@pytest.fixture
def directory(server: Dirsrv) -> Iterator[LdapDirectory]:
    directory = server.directory(desk=server.desk(), groups={"base": None})
    yield directory
    directory.close()


def settled(server: Dirsrv, directory: LdapDirectory, uid: str) -> str:
    """Somebody who has chosen a password, OWN; the lasting id."""
    server.choose_password(server.add_person(uid), PASSWORD, OWN)
    identity = directory.look_up(uid)
    assert identity is not None
    return identity.subject


def lock(directory: LdapDirectory, uid: str) -> None:
    for _ in range(3):
        with pytest.raises(CredentialsRefused):
            directory.authenticate(uid, "Sans-Doute-47-Faux")
    with pytest.raises(PersonNotUsable):
        directory.authenticate(uid, OWN)


def present(server: Dirsrv, uid: str) -> dict[str, list[bytes]]:
    with server.administering() as root:
        found = root.search(f"uid={uid},{PEOPLE}", "(objectClass=*)", search_scope="BASE", attributes=list(STATE))[2]
    return {name: list(values) for name, values in found[0]["raw_attributes"].items() if values}


def test_person_signs_in_again_when_the_desk_lifts_the_lock(server: Dirsrv, directory: LdapDirectory) -> None:
    subject = settled(server, directory, "gk.claire")
    assert directory.unlock(subject) is False
    lock(directory, "gk.claire")
    assert present(server, "gk.claire")["accountUnlockTime"] == [b"19700101000000Z"]  # until an administrator unlocks
    assert directory.unlock(subject) is True
    assert not {"accountUnlockTime", "passwordRetryCount"} & set(present(server, "gk.claire"))
    with pytest.raises(CredentialsRefused):
        directory.authenticate("gk.claire", "Sans-Doute-47-Faux")  # one more does not lock at once
    assert directory.authenticate("gk.claire", OWN).state is State.USABLE


def test_disabled_person_stays_disabled_when_the_desk_unlocks_or_resets(server: Dirsrv, directory: LdapDirectory) -> None:
    subject = settled(server, directory, "gk.hugo")
    lock(directory, "gk.hugo")
    server.modify(f"uid=gk.hugo,{PEOPLE}", nsAccountLock="true")
    before = present(server, "gk.hugo")
    for act in (lambda: directory.unlock(subject), lambda: directory.reset_password(subject, INTERIM)):
        with pytest.raises(PersonNotUsable) as caught:
            act()
        assert caught.value.state is State.DISABLED
    assert present(server, "gk.hugo") == before


def test_person_chooses_their_own_password_when_theirs_was_reset(server: Dirsrv, directory: LdapDirectory) -> None:
    subject = settled(server, directory, "gk.amina")
    lock(directory, "gk.amina")
    directory.reset_password(subject, INTERIM)
    found = directory.find(subject)
    assert found is not None
    assert found.state is State.MUST_CHANGE
    with pytest.raises(CredentialsRefused):
        directory.authenticate("gk.amina", OWN)
    with pytest.raises(ChangeRequired):
        directory.authenticate("gk.amina", INTERIM)
    directory.change_password(subject, INTERIM, new="Encore-Verger-19-Mesange")
    assert directory.authenticate("gk.amina", "Encore-Verger-19-Mesange").state is State.USABLE
    with pytest.raises(ChangeRefused) as caught:
        directory.reset_password(subject, "court")
    assert caught.value.problem == "too_short"


def test_nobody_is_touched_whom_the_settings_or_the_rights_leave_out(server: Dirsrv, directory: LdapDirectory) -> None:
    subject = settled(server, directory, "gk.zoe")
    lock(directory, "gk.zoe")
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
        steps = {one: [step for step in one.check() if step.title == "Reset desk"] for one in (directory, reads)}
        assert [step.outcome for step in steps[directory]] == ["ok"]
        assert [step.outcome for step in steps[reads]] == ["failed"]
        assert "accountUnlockTime" in steps[reads][0].explanation
        assert present(server, "gk.zoe") == before
    finally:
        narrow.close()
        reads.close()


def test_guide_grants_what_was_tried() -> None:
    assert DESK_ATTRIBUTES in GUIDE.read_text(encoding="utf-8")
