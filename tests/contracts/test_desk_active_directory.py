"""The acts of the reset desk on a real Active Directory domain (Samba), at the controller's default settings; and the people whom nobody touches."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from connectors.active_directory.desk import BORN, BUILTIN_GROUPS, DOMAIN_GROUPS
from connectors.active_directory.directory import ActiveDirectory
from connectors.base import (
    ChangeRefused,
    ChangeRequired,
    CheckStep,
    CredentialsRefused,
    NotDelegated,
    PersonNotUsable,
    PersonProtected,
    SourceMisbehaved,
    State,
)
from connectors.ldap.wire import ldap3
from tests.support.samba import Samba
from tests.support.samba_cast import ELSEWHERE, NIGHTS, PASSWORD, PEOPLE, SERVICES, SUFFIX

INTERIM = "Interim-Fougere-35-Belette"
OWN = "Hamac-Cerfeuil-83-Tournesol"
WATCHED = ("lockoutTime", "pwdLastSet", "userAccountControl", "badPwdCount")
TOKEN_GROUPS = "b7c69e6d-2cc7-11d2-854e-00a0c983f608"
pytestmark = pytest.mark.slow
Open = Callable[..., ActiveDirectory]


@pytest.fixture
def directory(opened: Open) -> ActiveDirectory:
    return opened()


@pytest.fixture
def opened(samba: Samba) -> Iterator[Open]:
    made: list[ActiveDirectory] = []

    def open_one(desk: dict[str, Any] | None = None, **override: Any) -> ActiveDirectory:
        made.append(samba.directory(**{"desk": samba.desk(**(desk or {})), **override}))
        return made[-1]

    yield open_one
    for one in made:
        one.close()


def present(samba: Samba, login: str) -> tuple[list[str], ...]:
    return tuple(samba.values(login, name) for name in WATCHED)


def refused(directory: ActiveDirectory, subject: str, error: type[Exception]) -> list[Exception]:
    found: list[Exception] = []
    for act in (lambda: directory.unlock(subject), lambda: directory.reset_password(subject, INTERIM)):
        with pytest.raises(error) as caught:
            act()
        found.append(caught.value)
    return found


def desk_step(directory: ActiveDirectory) -> CheckStep:
    (step,) = [step for step in directory.check() if step.title == "Reset desk"]
    return step


def test_person_signs_in_again_when_the_desk_lifts_the_lock_of_the_domain(samba: Samba, directory: ActiveDirectory) -> None:
    subject = samba.subject("a.claire")
    assert directory.unlock(subject) is False
    samba.lock("a.claire")
    found = directory.find(subject)
    assert found is not None
    assert found.state is State.LOCKED
    assert directory.unlock(subject) is True
    assert samba.values("a.claire", "lockoutTime") == ["0"]
    assert samba.values("a.claire", "badPwdCount") == ["0"]
    assert directory.authenticate("a.claire", PASSWORD).state is State.USABLE


def test_former_password_is_refused_right_after_a_reset_and_the_person_chooses_their_own(samba: Samba, directory: ActiveDirectory) -> None:
    """A controller takes the former password over LDAP for an hour more, by default."""
    subject, dn = samba.subject("a.claire"), samba.dn("a.claire")
    samba.lock("a.claire")
    directory.reset_password(subject, INTERIM)
    assert samba.values("a.claire", "pwdLastSet") == ["0"]
    assert samba.values("a.claire", "lockoutTime") == ["0"]
    with pytest.raises(CredentialsRefused):
        directory.authenticate("a.claire", PASSWORD)
    with pytest.raises(ChangeRequired):
        directory.authenticate("a.claire", INTERIM)
    directory.change_password(subject, INTERIM, new=OWN)
    assert directory.authenticate("a.claire", OWN).state is State.USABLE
    for former in (PASSWORD, INTERIM):
        with pytest.raises(CredentialsRefused):
            directory.authenticate("a.claire", former)
    assert samba.can_bind(dn, OWN)


@pytest.mark.parametrize(("bar", "state"), [("disable", State.DISABLED), ("expire_account", State.EXPIRED)])
def test_person_barred_in_the_domain_stays_so(samba: Samba, directory: ActiveDirectory, bar: str, state: State) -> None:
    samba.lock("a.claire")
    getattr(samba, bar)("a.claire")
    before = present(samba, "a.claire")
    for error in refused(directory, samba.subject("a.claire"), PersonNotUsable):
        assert isinstance(error, PersonNotUsable)
        assert error.state is state
    assert present(samba, "a.claire") == before


@pytest.mark.parametrize(
    "group", ["Domain Admins", "Enterprise Admins", "Schema Admins", "Account Operators", "Backup Operators", "Administrators"]
)
def test_privileged_person_is_never_touched_even_before_the_domain_has_marked_them(
    samba: Samba, directory: ActiveDirectory, group: str
) -> None:
    """adminCount is written by the domain once an hour: who joined a moment ago has none, and is in the group through another one."""
    dn = samba.add_person("a.chef")
    samba.add_group("cercle", dn)
    with samba.administering() as administrator:
        nested = [samba.dn("cercle")] if group not in {"Enterprise Admins", "Schema Admins"} else [dn]
        assert administrator.modify(samba.dn(group), {"member": [(ldap3.MODIFY_ADD, nested)]})[0]
    assert samba.values("a.chef", "adminCount") == []
    before = present(samba, "a.chef")
    assert directory.is_protected(samba.subject("a.chef"))
    refused(directory, samba.subject("a.chef"), PersonProtected)
    assert present(samba, "a.chef") == before


@pytest.mark.parametrize(
    "mark", [{"adminCount": "1"}, {"userAccountControl": str(0x200 | 0x80000)}, {"userAccountControl": str(0x200 | 0x1000000)}]
)
def test_marked_person_is_never_touched(samba: Samba, directory: ActiveDirectory, mark: dict[str, str]) -> None:
    samba.modify(samba.dn("a.claire"), mark)
    before = present(samba, "a.claire")
    assert directory.is_protected(samba.subject("a.claire"))
    refused(directory, samba.subject("a.claire"), PersonProtected)
    assert present(samba, "a.claire") == before


@pytest.mark.parametrize("login", ["Administrator", "krbtgt", "Guest"])
def test_account_that_the_domain_is_born_with_is_never_touched(samba: Samba, opened: Open, login: str) -> None:
    whole = opened(base=SUFFIX)
    assert whole.is_protected(samba.subject(login))


def test_tables_of_the_privileged_are_those_of_the_domain(samba: Samba) -> None:
    """The numbers, against the names that a real domain gives them."""
    for table in (DOMAIN_GROUPS, BUILTIN_GROUPS, BORN):
        for number, name in table.items():
            if number not in {526, 527}:  # since Windows Server 2016: this domain is older
                assert samba.sid(name).endswith(f"-{number}"), name


def test_nobody_outside_what_was_delegated_is_touched(samba: Samba, opened: Open) -> None:
    narrow = opened({"bases": [NIGHTS.replace("OU=", "ou = ")]})
    whole = opened(base=SUFFIX, desk={"bases": [PEOPLE]})
    samba.add_person("a.nuit", under=NIGHTS)
    assert narrow.is_protected(samba.subject("a.claire"))
    refused(narrow, samba.subject("a.claire"), PersonProtected)
    assert not narrow.is_protected(samba.subject("a.nuit"))
    assert not narrow.unlock(samba.subject("a.nuit"))
    assert whole.is_protected(samba.subject("a.remi"))
    assert ELSEWHERE in samba.dn("a.remi")


@pytest.mark.parametrize(
    "narrowed", [{"protected": "(title=direction)"}, {"protected_groups": ["direction"]}, {"protected_groups": ["Annuaire-DNS"]}]
)
def test_nobody_whom_the_settings_protect_is_touched(samba: Samba, opened: Open, narrowed: dict[str, Any]) -> None:
    samba.modify(samba.dn("a.claire"), {"title": "direction"})
    samba.add_group("direction", samba.add_group("conseil", samba.dn("a.claire")))
    samba.add_group("annuaire-dns", samba.dn("a.claire"), under=SERVICES)  # not where groups.base is
    directory = opened(narrowed)
    assert directory.is_protected(samba.subject("a.claire"))
    refused(directory, samba.subject("a.claire"), PersonProtected)
    assert not directory.is_protected(samba.subject("a.hugo"))


def test_nothing_is_done_when_the_domain_did_not_delegate_it(samba: Samba, opened: Open) -> None:
    samba.lock("a.claire")
    before = present(samba, "a.claire")
    subject = samba.subject("a.claire")
    nothing, reads = samba.directory(), samba.directory(desk={})
    try:
        assert not nothing.is_delegated
        assert not nothing.is_protected(subject)
        for directory in (nothing, reads):
            refused(directory, subject, NotDelegated)
        assert desk_step(reads).outcome == "failed"
        for lacking in ("Reset Password", "lockoutTime", "pwdLastSet"):
            assert lacking in desk_step(reads).explanation
    finally:
        nothing.close()
        reads.close()
    assert present(samba, "a.claire") == before


def test_account_of_the_desk_reaches_nobody_whom_the_guide_did_not_give_it(samba: Samba, opened: Open) -> None:
    """The rights of the domain are the last word: settings that say too much do not help."""
    whole = opened(base=SUFFIX)
    samba.lock("a.remi")
    before = present(samba, "a.remi")
    refused(whole, samba.subject("a.remi"), NotDelegated)
    assert present(samba, "a.remi") == before
    for ours in ("vestibule", "vestibule-resets"):
        assert whole.is_protected(samba.subject(ours))


def test_check_tries_the_rights_and_changes_nothing(samba: Samba, directory: ActiveDirectory) -> None:
    before = {login: present(samba, login) for login in ("a.amina", "a.claire", "a.hugo")}
    assert desk_step(directory).outcome == "ok"
    assert {login: present(samba, login) for login in before} == before


def test_whether_somebody_is_privileged_must_be_known(samba: Samba, opened: Open) -> None:
    """Of somebody whose groups are hidden nobody can say that they are no Domain Admin."""
    subject = samba.subject("a.claire")
    sid = samba.sid("vestibule")
    samba.tool("dsacl", "set", f"--objectdn={samba.dn('a.claire')}", f"--sddl=(OD;;RP;{TOKEN_GROUPS};;{sid})")
    directory = opened(groups={"base": None})
    with pytest.raises(SourceMisbehaved):
        directory.reset_password(subject, INTERIM)


def test_reset_goes_by_the_rules_of_the_domain(samba: Samba, directory: ActiveDirectory) -> None:
    before = present(samba, "a.claire")
    for password in ("court", "", "sansmajusculenichiffre"):
        with pytest.raises(ChangeRefused) as caught:
            directory.reset_password(samba.subject("a.claire"), password)
        assert not password or password not in str(caught.value)
    assert present(samba, "a.claire") == before


def test_people_out_of_scope_and_people_gone_are_refused(samba: Samba, opened: Open) -> None:
    directory = opened(scope="(&(objectCategory=person)(!(title=parti)))")
    samba.modify(samba.dn("a.claire"), {"title": "parti"})
    gone = samba.subject("a.paul")
    samba.delete(samba.dn("a.paul"))
    for subject in (samba.subject("a.claire"), gone):
        for error in refused(directory, subject, PersonNotUsable):
            assert isinstance(error, PersonNotUsable)
            assert error.state is State.OUT_OF_SCOPE
    assert not directory.is_protected(gone)
