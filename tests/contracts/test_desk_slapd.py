"""The acts of the reset desk on a real OpenLDAP: unlocks and resets as the guide delegates them, and whom nobody touches."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.base import (
    ChangeRefused,
    ChangeRequired,
    CheckStep,
    CredentialsRefused,
    NotDelegated,
    PersonNotUsable,
    PersonProtected,
    SourceUnreachable,
    State,
)
from connectors.ldap.desk import LdapDesk
from connectors.ldap.directory import LdapDirectory
from connectors.ldap.wire import Change, Entry, ldap3
from tests.support.slapd import (
    DISABLED_FOREVER,
    GROUPS,
    PASSWORD,
    PASSWORD_SERVICE,
    PEOPLE,
    SCOPE,
    SERVICE_PASSWORD,
    SUFFIX,
    Slapd,
)

INTERIM = "Interim-Fougere-35-Belette"
OWN = "Nouveau-Sentier-73-Bruyere"
DESK = "desk"
GUIDE = Path(__file__).parents[2] / "docs" / "connect-a-directory.md"


@pytest.fixture
def directory(slapd: Slapd) -> Iterator[LdapDirectory]:
    directory = slapd.directory(desk=slapd.desk())
    yield directory
    directory.close()


@pytest.fixture
def opened(slapd: Slapd) -> Iterator[Callable[..., LdapDirectory]]:
    made: list[LdapDirectory] = []

    def open_one(**override: Any) -> LdapDirectory:
        made.append(slapd.directory(**override))
        return made[-1]

    yield open_one
    for one in made:
        one.close()


def acts(directory: LdapDirectory, subject: str) -> tuple[Callable[[], object], Callable[[], object]]:
    return lambda: directory.unlock(subject), lambda: directory.reset_password(subject, INTERIM)


def present(slapd: Slapd, uid: str) -> tuple[list[str], ...]:
    return tuple(
        slapd.values(uid, name) for name in ("userPassword", "pwdAccountLockedTime", "pwdReset", "pwdFailureTime", "pwdChangedTime")
    )


def desk_steps(directory: LdapDirectory) -> list[CheckStep]:
    return [step for step in directory.check() if step.title == "Reset desk"]


def test_person_signs_in_again_when_the_desk_lifts_the_lock_of_the_directory(slapd: Slapd, directory: LdapDirectory) -> None:
    subject = slapd.subject("d.claire")
    slapd.lock("d.claire")
    found = directory.find(subject)
    assert found is not None
    assert found.state is State.LOCKED
    assert directory.unlock(subject) is True
    assert slapd.values("d.claire", "pwdAccountLockedTime") == []
    assert slapd.values("d.claire", "pwdFailureTime") == []  # one more wrong password does not lock at once
    assert directory.authenticate("d.claire", PASSWORD).state is State.USABLE


def test_desk_is_told_that_there_was_no_lock(slapd: Slapd, directory: LdapDirectory) -> None:
    before = present(slapd, "d.claire")
    assert directory.unlock(slapd.subject("d.claire")) is False
    assert present(slapd, "d.claire") == before


@pytest.mark.parametrize("written", [DISABLED_FOREVER, "20300101000000Z"])
def test_lock_that_was_written_after_it_was_read_stays(slapd: Slapd, directory: LdapDirectory, written: str) -> None:
    """Whoever disables somebody while the desk unlocks them is not undone: only the value that was read is taken away."""
    subject = slapd.subject("d.claire")
    slapd.lock("d.claire")
    real = directory._acts._unlocking
    hits: list[Entry] = []

    class Racing(LdapDesk):
        def _unlocking(self, entry: Entry) -> Any:
            if not hits:
                slapd.modify(entry.dn, {"pwdAccountLockedTime": written})
            hits.append(entry)
            return real(entry)

    racing = Racing("annuaire", directory._kind, directory._pool, lookup=directory._lookup())
    if written == DISABLED_FOREVER:
        with pytest.raises(PersonNotUsable) as caught:
            racing.unlock(subject)
        assert caught.value.state is State.DISABLED
        assert slapd.values("d.claire", "pwdAccountLockedTime") == [written]
    else:  # locked anew: read again, and that is lifted
        assert racing.unlock(subject) is True
        assert len(hits) == 2
        assert slapd.values("d.claire", "pwdAccountLockedTime") == []


def test_disabled_person_stays_disabled_when_the_desk_unlocks_or_resets(slapd: Slapd, directory: LdapDirectory) -> None:
    subject = slapd.subject("d.claire")
    slapd.disable("d.claire")
    before = present(slapd, "d.claire")
    for act in acts(directory, subject):
        with pytest.raises(PersonNotUsable) as caught:
            act()
        assert caught.value.state is State.DISABLED
    assert present(slapd, "d.claire") == before
    assert not slapd.can_bind(slapd.dn("d.claire"), PASSWORD)


def test_person_disabled_at_the_very_moment_of_a_reset_stays_disabled(slapd: Slapd, directory: LdapDirectory) -> None:
    """OpenLDAP takes pwdAccountLockedTime away with a new password, whatever it says: the assertion forbids it."""
    subject, dn = slapd.subject("d.claire"), slapd.dn("d.claire")

    class Racing(LdapDesk):
        def _resetting(self, entry: Entry, new: bytes) -> Any:
            slapd.disable("d.claire")
            return super()._resetting(entry, new)

    racing = Racing("annuaire", directory._kind, directory._pool, lookup=directory._lookup())
    with pytest.raises(PersonNotUsable) as caught:
        racing.reset_password(subject, INTERIM)
    assert caught.value.state is State.DISABLED
    assert slapd.values("d.claire", "pwdAccountLockedTime") == [DISABLED_FOREVER]
    slapd.enable("d.claire")
    assert slapd.can_bind(dn, PASSWORD)  # the password is as it was
    # Without the assertion it would have been enabled: this is why it is there.
    slapd.disable("d.claire")
    with slapd.administering() as root:
        assert root.modify(dn, {"userPassword": [(ldap3.MODIFY_REPLACE, [INTERIM])]})[0]
    assert slapd.values("d.claire", "pwdAccountLockedTime") == []


def test_reset_is_refused_when_the_desk_cannot_see_whether_somebody_is_disabled(slapd: Slapd, directory: LdapDirectory) -> None:
    wire = directory._pool.open_service()  # it may not even write; what it may not see fails before
    try:
        answer = wire.alter(slapd.dn("d.claire"), (Change("replace", "sn", (b"x",)),), unless=("pwdHistory", "x"))
    finally:
        wire.close()
    assert answer.code == 122


def test_account_past_its_end_is_refused(slapd: Slapd, directory: LdapDirectory) -> None:
    subject = slapd.subject("d.claire")
    slapd.modify(slapd.dn("d.claire"), {"shadowExpire": "1"})
    for act in acts(directory, subject):
        with pytest.raises(PersonNotUsable) as caught:
            act()
        assert caught.value.state is State.EXPIRED


def test_person_chooses_their_own_password_when_theirs_was_reset(slapd: Slapd, directory: LdapDirectory) -> None:
    subject = slapd.subject("d.claire")
    slapd.lock("d.claire")
    directory.reset_password(subject, INTERIM)
    assert slapd.values("d.claire", "pwdReset") == ["TRUE"]
    assert slapd.values("d.claire", "pwdAccountLockedTime") == []
    with pytest.raises(CredentialsRefused):
        directory.authenticate("d.claire", PASSWORD)
    with pytest.raises(ChangeRequired):
        directory.authenticate("d.claire", INTERIM)
    directory.change_password(subject, INTERIM, new=OWN)
    assert directory.authenticate("d.claire", OWN).state is State.USABLE
    assert slapd.values("d.claire", "pwdReset") == []


@pytest.mark.parametrize(("quality", "is_hashed"), [("0", True), ("1", True), ("2", False)])
def test_password_of_a_reset_is_kept_hashed_where_the_policy_lets_it(
    slapd: Slapd, directory: LdapDirectory, quality: str, is_hashed: bool
) -> None:
    slapd.set_policy(pwdCheckQuality=quality)
    directory.reset_password(slapd.subject("d.claire"), INTERIM)
    (kept,) = slapd.values("d.claire", "userPassword")
    assert (INTERIM not in kept) is is_hashed
    with pytest.raises(ChangeRequired):
        directory.authenticate("d.claire", INTERIM)
    directory.change_password(slapd.subject("d.claire"), INTERIM, new=OWN)
    (kept,) = slapd.values("d.claire", "userPassword")
    assert OWN not in kept


def test_reset_goes_by_the_rules_of_the_directory(slapd: Slapd, directory: LdapDirectory) -> None:
    subject = slapd.subject("d.claire")
    slapd.set_policy(pwdCheckQuality="2")  # with 1 it takes hashes, and cannot look at them
    before = present(slapd, "d.claire")
    for refused in ("court", "", "a\x00b"):
        with pytest.raises(ChangeRefused) as caught:
            directory.reset_password(subject, refused)
        assert not refused or refused not in str(caught.value)
    assert present(slapd, "d.claire") == before


def test_nobody_outside_what_was_delegated_is_touched(slapd: Slapd, opened: Callable[..., LdapDirectory]) -> None:
    narrow = opened(desk=slapd.desk(bases=[f"OU=Nights, {PEOPLE}"]))
    subject, night = slapd.subject("d.claire"), slapd.add_person("d.nuit", under=f"ou=nights,{PEOPLE}")
    slapd.lock("d.claire")
    before = present(slapd, "d.claire")
    assert narrow.is_protected(subject)
    for act in acts(narrow, subject):
        with pytest.raises(PersonProtected):
            act()
    assert present(slapd, "d.claire") == before
    assert not narrow.is_protected(slapd.subject("d.nuit"))
    narrow.reset_password(slapd.subject("d.nuit"), INTERIM)
    assert slapd.can_bind(night, INTERIM)


@pytest.mark.parametrize(
    "narrowed",
    [
        {"protected": "(employeeType=direction)"},
        {"protected_groups": ["Direction"]},
        {"protected_groups": [f"cn=direction, {GROUPS}"]},
        {"protected_groups": ["conseil"]},
    ],
)
def test_nobody_whom_the_settings_protect_is_touched(slapd: Slapd, opened: Callable[..., LdapDirectory], narrowed: dict[str, Any]) -> None:
    directory = opened(desk=slapd.desk(**narrowed))
    dn = slapd.dn("d.claire")
    slapd.modify(dn, {"employeeType": "direction"})
    slapd.add_group("conseil", slapd.add_group("direction", dn))
    before = present(slapd, "d.claire")
    assert directory.is_protected(slapd.subject("d.claire"))
    for act in acts(directory, slapd.subject("d.claire")):
        with pytest.raises(PersonProtected):
            act()
    assert present(slapd, "d.claire") == before
    assert not directory.is_protected(slapd.subject("d.amina"))


def test_people_out_of_scope_and_people_gone_are_refused(slapd: Slapd, directory: LdapDirectory) -> None:
    gone = slapd.subject("d.paul")
    slapd.delete(slapd.dn("d.paul"))
    assert not directory.is_protected(gone)
    for subject in (slapd.subject("d.remi"), gone):
        for act in acts(directory, subject):
            with pytest.raises(PersonNotUsable) as caught:
                act()
            assert caught.value.state is State.OUT_OF_SCOPE


def test_our_own_service_account_is_never_touched(slapd: Slapd, opened: Callable[..., LdapDirectory]) -> None:
    whole = opened(desk=slapd.desk(bind_dn=f"UID=d.amina, {PEOPLE}"), scope=SCOPE)
    assert whole.is_protected(slapd.subject("d.amina"))
    assert not whole.is_protected(slapd.subject("d.claire"))


def test_nothing_is_done_when_nothing_was_delegated(slapd: Slapd, opened: Callable[..., LdapDirectory]) -> None:
    subject = slapd.subject("d.claire")
    slapd.lock("d.claire")
    before = present(slapd, "d.claire")
    silent = opened()
    assert not silent.is_delegated
    assert not silent.is_protected(subject)
    assert desk_steps(silent) == []
    only_reads, only_passwords = opened(desk={}), opened(desk=slapd.desk(bind_dn=PASSWORD_SERVICE))
    for directory in (silent, only_reads, only_passwords):
        for act in acts(directory, subject):
            with pytest.raises(NotDelegated):
                act()
    assert present(slapd, "d.claire") == before


def test_sign_ins_go_on_when_the_account_of_the_desk_is_refused(slapd: Slapd, opened: Callable[..., LdapDirectory], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not-its-password")
    directory = opened(desk=slapd.desk(bind_password=f"file:{wrong}"))
    slapd.lock("d.hugo")
    for _ in range(4):
        with pytest.raises(NotDelegated) as caught:
            directory.unlock(slapd.subject("d.hugo"))
        assert "not-its-password" not in str(caught.value)
    assert directory.authenticate("d.claire", PASSWORD).state is State.USABLE
    (step,) = desk_steps(directory)
    assert step.outcome == "failed"
    assert "desk.bind_password" in step.explanation


def test_check_says_what_the_account_of_the_desk_lacks_and_changes_nothing(slapd: Slapd, opened: Callable[..., LdapDirectory]) -> None:
    before = {uid: present(slapd, uid) for uid in ("d.claire", "d.amina", "d.hugo")}
    (good,) = desk_steps(opened(desk=slapd.desk()))
    assert good.outcome == "ok"
    (reads,) = desk_steps(opened(desk={}))
    assert (reads.outcome, "userPassword" in reads.explanation, "pwdReset" in reads.explanation) == ("failed", True, True)
    (passwords,) = desk_steps(opened(desk=slapd.desk(bind_dn=PASSWORD_SERVICE)))
    assert passwords.outcome == "failed"
    assert "may not write pwdAccountLockedTime, pwdReset of" in passwords.explanation
    (nobody,) = desk_steps(opened(desk=slapd.desk(protected="(objectClass=*)")))
    assert nobody.outcome == "failed"
    assert "desk.bases" in nobody.explanation
    unknown, reset = desk_steps(opened(desk=slapd.desk(protected_groups=["tilleuls-infirmiers", "nobodys", f"cn=glycines-nuit,{GROUPS}"])))
    assert (unknown.outcome, reset.outcome) == ("failed", "ok")
    assert unknown.explanation.startswith("no group nobodys of `desk.protected_groups` is seen under")
    assert {uid: present(slapd, uid) for uid in before} == before


def test_directory_that_does_not_answer_is_said_to_be_silent(slapd: Slapd, directory: LdapDirectory) -> None:
    subject = slapd.subject("d.claire")
    slapd.stop()
    for act in (lambda: directory.is_protected(subject), *acts(directory, subject)):
        with pytest.raises(SourceUnreachable):
            act()


def test_account_of_the_desk_needs_what_the_guide_grants_and_no_more(slapd: Slapd) -> None:
    text = GUIDE.read_text(encoding="utf-8").partition("vestibule-desk")[2]
    assert re.search(r'by dn\.exact="cn=vestibule-desk[^"]*" manage', text)
    assert re.search(r'by dn\.exact="cn=vestibule-desk[^"]*" write', text)
    desk = slapd._connection(f"cn=vestibule-desk,ou=services,{SUFFIX}", SERVICE_PASSWORD)
    assert desk.bind()[0]
    try:
        for attribute, value in (("sn", "x"), ("mail", "x@y.example"), ("shadowExpire", "9"), ("uid", "z")):
            assert desk.modify(slapd.dn("d.claire"), {attribute: [(ldap3.MODIFY_REPLACE, [value])]})[1]["result"] == 50
        assert desk.delete(slapd.dn("d.claire"))[1]["result"] == 50
    finally:
        desk.unbind()
