"""Who is who in a real Active Directory domain (Samba): each form of a name, lasting ids, groups, everybody. Cast: tests/support/samba_cast.py."""

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.active_directory.directory import ActiveDirectory
from connectors.active_directory.groups import Groups
from connectors.active_directory.people import ActiveDirectoryPeople
from connectors.active_directory.settings import ActiveDirectorySettings
from connectors.active_directory.values import raw_security_id, security_id
from connectors.base import CredentialsRefused, Identity, SourceMisbehaved, State, Ticket, TicketRefused
from connectors.ldap.settings import EntryGroups
from connectors.ldap.wire import Entry
from tests.support.samba import Samba
from tests.support.samba_cast import ELSEWHERE, GROUPS, NIGHTS, OTHER_SUFFIX, PASSWORD, PEOPLE, REALM, SUFFIX

Open = Callable[..., ActiveDirectory]
PASSWORD_LAST_SET = "bf967a0a-0de6-11d0-a285-00aa003049e2"  # its schemaIDGUID
pytestmark = pytest.mark.slow


@pytest.fixture
def open_directory(samba: Samba) -> Iterator[Open]:
    made: list[ActiveDirectory] = []

    def make(**override: Any) -> ActiveDirectory:
        made.append(samba.directory(**override))
        return made[-1]

    yield make
    for directory in made:
        directory.close()


@pytest.fixture
def directory(open_directory: Open) -> ActiveDirectory:
    return open_directory()


def names(identity: Identity) -> set[str]:
    """Groups by their short names."""
    return {group for group in identity.groups if "=" not in group}


@pytest.mark.parametrize(
    "typed",
    [
        "a.claire",
        "A.CLAIRE",
        f"claire.dumas@{OTHER_SUFFIX}",
        "a.claire@ehpad.test",
        "A.Claire@EHPAD.TEST",
        "EHPAD\\a.claire",
        "ehpad\\A.Claire",
        "ehpad.test\\a.claire",
        f"a.claire@{OTHER_SUFFIX}",
        "80001",
    ],
)
def test_nurse_is_known_by_every_form_of_her_name(directory: ActiveDirectory, typed: str) -> None:
    identity = directory.authenticate(typed, PASSWORD)
    assert (identity.username, identity.number, identity.family_name) == ("a.claire", "80001", "Dumas")
    assert (identity.state, identity.amr) == (State.USABLE, ("pwd",))
    assert str(uuid.UUID(identity.subject)) == identity.subject


@pytest.mark.parametrize(
    "typed",
    [
        "AUTRE\\a.claire",
        "autre.test\\a.claire",
        "\\a.claire",
        ".\\a.claire",
        "EHPAD\\",
        "EHPAD\\claire.dumas@residences.example",
        "EHPAD\\80001",
        "EHPAD/a.claire",
        "@ehpad.test",
        "a.claire@EHPAD",
        "a.claire@autre.test",
        "a.remi",  # outside the base
        f"accueil@{OTHER_SUFFIX}",  # two people
        "vestibule",
        "tilleuls-infirmiers",
        "a.*",
        "*",
        "EHPAD\\*",
        "*@ehpad.test",
        "a.claire)(objectClass=*",
        "*)(|(cn=*",
        "a.claire\\29",
        "EHPAD\\a.claire)(cn=*",
        "a.claire\x00",
        "CN=a.claire,OU=Personnel,DC=ehpad,DC=test",
        "S-1-5-21-1-2-3-1104",
        "",
        " ",
    ],
)
def test_other_names_are_nobodys(directory: ActiveDirectory, typed: str) -> None:
    with pytest.raises(CredentialsRefused) as caught:
        directory.authenticate(typed, PASSWORD)
    assert caught.value.subject is None
    if typed.strip():
        assert typed not in caught.value.detail


@pytest.mark.parametrize("password", ["", "\x00", f"{PASSWORD}\x00", "*", "*)(objectClass=*", f'{PASSWORD}"', "\udcff"])
def test_no_special_password_opens(directory: ActiveDirectory, samba: Samba, password: str) -> None:
    with pytest.raises(CredentialsRefused) as caught:
        directory.authenticate("a.claire", password)
    assert caught.value.subject == samba.subject("a.claire")


def test_somebody_elses_principal_name_is_not_taken_by_writing_it_as_an_address(directory: ActiveDirectory, samba: Samba) -> None:
    samba.modify(samba.dn("a.hugo"), {"mail": "a.claire@ehpad.test"})
    assert directory.authenticate("a.hugo", PASSWORD).username == "a.hugo"
    found = directory.look_up("EHPAD\\a.claire")
    assert found is not None
    assert found.username == "a.claire"


def test_principal_name_that_is_written_comes_before_the_one_that_is_implied(samba: Samba) -> None:
    """Samba lets nobody have both; a Windows domain may."""
    people = ActiveDirectoryPeople("domaine", settings_of(samba))

    def entry(login: str, principal: str) -> Entry:
        return Entry(f"CN={login},{PEOPLE}", {"samaccountname": (login.encode(),), "userprincipalname": (principal.encode(),)})

    zoe, hugo, other = entry("a.zoe", "a.hugo@ehpad.test"), entry("a.hugo", "autre@ehpad.test"), entry("a.lea", "A.Hugo@ehpad.test")
    assert people.meant("a.hugo@ehpad.test", [hugo, zoe]) is zoe
    assert people.meant("a.hugo@ehpad.test", [hugo, zoe, other]) is None
    assert people.meant("a.hugo@ehpad.test", [hugo]) is hugo
    assert people.meant("a.hugo@ehpad.test", [entry("a.noa", "x@y.test"), hugo]) is hugo


def test_subject_stays_across_a_rename_and_a_move(directory: ActiveDirectory, samba: Samba) -> None:
    before = directory.authenticate("a.claire", PASSWORD)
    moved = samba.rename(samba.dn("a.claire"), "CN=Claire Durand", under=NIGHTS)
    samba.modify(moved, {"sAMAccountName": "a.durand", "userPrincipalName": "a.durand@ehpad.test", "sn": "Durand"})
    after = directory.authenticate("a.durand", PASSWORD)
    assert after.subject == before.subject == samba.subject("a.durand")
    assert "tilleuls-infirmiers" in names(after)
    found = directory.find(before.subject)
    assert found is not None
    assert (found.username, found.family_name) == ("a.durand", "Durand")
    with pytest.raises(CredentialsRefused):
        directory.authenticate("a.claire", PASSWORD)


def test_recreated_person_with_the_same_name_is_somebody_else(directory: ActiveDirectory, samba: Samba) -> None:
    before = directory.authenticate("a.paul", PASSWORD)
    samba.delete(samba.dn("a.paul"))
    assert directory.find(before.subject) is None
    samba.add_person("a.paul")
    after = directory.authenticate("a.paul", PASSWORD)
    assert after.subject != before.subject
    assert directory.find(before.subject) is None


@pytest.mark.parametrize("subject", ["", "*", "nobody", "7269a1a2-f35b-475b-9853-c50b63b94a38", "00000000-0000-0000-0000-000000000000"])
def test_an_id_that_nobody_has_is_nobodys(directory: ActiveDirectory, subject: str) -> None:
    assert directory.find(subject) is None


def test_person_who_leaves_the_scope_is_out_of_scope(open_directory: Open, samba: Samba) -> None:
    directory = open_directory(scope="(&(objectCategory=person)(objectClass=user)(!(description=externe)))")
    subject = samba.subject("a.hugo")
    samba.modify(samba.dn("a.hugo"), {"description": "externe"})
    found = directory.find(subject)
    assert found is not None
    assert found.state is State.OUT_OF_SCOPE
    with pytest.raises(CredentialsRefused):
        directory.authenticate("a.hugo", PASSWORD)


# Groups


@pytest.mark.parametrize(
    ("login", "expected"),
    [
        ("a.claire", {"tilleuls-infirmiers"}),
        ("a.hugo", {"glycines-nuit", "glycines-equipe", "glycines-aides"}),
        ("a.amina", {"glycines-infirmiers", "tilleuls-infirmiers"}),  # the second is her primary group
        ("a.zoe", {"tilleuls-infirmiers"}),
        ("a.paul", set()),
    ],
)
def test_groups_count_with_groups_in_groups_and_the_primary_one(directory: ActiveDirectory, login: str, expected: set[str]) -> None:
    alone = directory.authenticate(login, PASSWORD)
    assert names(alone) == expected
    assert f"cn={min(expected)},{GROUPS.lower()}" in alone.groups if expected else not alone.groups
    (listed,) = (one for one in directory.people() if one.username == login)
    assert listed.groups == alone.groups


def test_groups_that_hold_each_other_and_groups_elsewhere_are_followed(directory: ActiveDirectory, samba: Samba) -> None:
    samba.add_group("boucle-a", samba.dn("a.paul"))
    between = samba.add_group("boucle-b", samba.dn("boucle-a"), under=ELSEWHERE)
    samba.join("boucle-a", between)
    samba.add_group("apres", between)
    alone = directory.authenticate("a.paul", PASSWORD)
    assert names(alone) == {"boucle-a", "apres"}
    (listed,) = (one for one in directory.people() if one.username == "a.paul")
    assert listed.groups == alone.groups


def test_distribution_groups_do_not_count(directory: ActiveDirectory, samba: Samba) -> None:
    dn = samba.add_group("liste-de-diffusion", samba.dn("a.paul"))
    samba.modify(dn, {"groupType": "2"})
    assert not directory.authenticate("a.paul", PASSWORD).groups
    assert not next(one for one in directory.people() if one.username == "a.paul").groups


def test_nobody_has_lost_every_group_because_groups_are_hidden(directory: ActiveDirectory, samba: Samba) -> None:
    samba.tool("dsacl", "set", f"--objectdn={GROUPS}", f"--sddl=(D;;LC;;;{samba.sid('vestibule')})")
    with pytest.raises(SourceMisbehaved, match="no group with members"):
        directory.authenticate("a.claire", PASSWORD)
    with pytest.raises(SourceMisbehaved, match="no group with members"):
        list(directory.people())


# Everybody


def test_everybody_is_read_past_the_controllers_limit(directory: ActiveDirectory, samba: Samba) -> None:
    logins = [f"p{number:04}" for number in range(1_200)]
    samba.add_people(logins, "tout-le-monde")
    assert directory.count() == 1_207
    people = list(directory.people())
    assert len({one.subject for one in people}) == 1_207
    assert sum("tout-le-monde" in one.groups for one in people) == 1_200
    assert {one.username for one in people} >= set(logins)


def test_members_of_a_large_group_are_read_range_by_range() -> None:
    """A Windows controller gives 1,500 at once; Samba cuts only when asked to, which it is."""
    members = [f"CN=p{number},{PEOPLE}" for number in range(2_300)]
    asked: list[str] = []

    def read(base: str, wanted: str, attributes: tuple[str, ...]) -> Iterator[Entry]:
        ranged = next(name for name in attributes if name.startswith("member"))
        asked.append(ranged)
        first, last = map(int, ranged.partition("=")[2].split("-"))
        end = "*" if last + 1 >= len(members) else str(last)
        values = tuple(member.encode() for member in members[first : last + 1])
        found = {f"member;range={first}-{end}": values, "cn": (b"tous",), "objectsid": (raw_security_id("S-1-5-21-1-2-3-1105"),)}
        yield Entry(f"CN=tous,{GROUPS}", found)

    membership = Groups(EntryGroups(base=GROUPS), SUFFIX).everybody(read)  # type: ignore[arg-type]  # a tuple is a Sequence
    assert asked == ["member;range=0-999", "member;range=1000-1999", "member;range=2000-2999"]
    assert all("tous" in membership.of(Entry(member, {}), None) for member in members)


# Tickets


def got(sid: str | None, *, principal: str = f"a.claire@{REALM}", at: datetime | None = None) -> Ticket:
    """A ticket of just now, or of another instant."""
    return Ticket(principal=principal, sid=sid, authenticated_at=at or datetime.now(UTC))


def test_holder_of_a_ticket_is_known_by_security_id(directory: ActiveDirectory, samba: Samba) -> None:
    sid = samba.sid("a.claire")
    holder = directory.holder_of(got(sid, principal=f"whoever@{REALM}"))
    assert holder is not None
    assert (holder.username, holder.subject, holder.amr) == ("a.claire", samba.subject("a.claire"), ())
    assert holder.logins == ("a.claire", "claire.dumas")
    assert "tilleuls-infirmiers" in holder.groups
    samba.disable("a.claire")
    barred = directory.holder_of(got(sid))
    assert barred is not None
    assert barred.state is State.DISABLED


@pytest.mark.parametrize("sid", [None, "S-1-5-21-1-2-3-4", "S-1-5-32-544", "not-a-sid", "S-1-5-x", "S-1-5-21-1-2-3-99999999999"])
def test_ticket_of_no_or_another_security_id_is_nobodys_whatever_its_name(directory: ActiveDirectory, sid: str | None) -> None:
    assert directory.holder_of(got(sid)) is None


def test_ticket_of_a_former_password_is_refused(directory: ActiveDirectory, samba: Samba) -> None:
    sid, now = samba.sid("a.claire"), datetime.now(UTC)
    for ticket in (got(sid, at=now - timedelta(days=8)), Ticket(principal=f"a.claire@{REALM}", sid=sid)):
        with pytest.raises(TicketRefused) as caught:
            directory.holder_of(ticket)
        assert caught.value.problem == "too_old"
    assert directory.holder_of(got(sid, at=now - timedelta(days=6))) is not None, "the password is a week old"
    samba.set_password("a.claire", PASSWORD)
    with pytest.raises(TicketRefused):
        directory.holder_of(got(sid, at=now - timedelta(seconds=2)))
    assert directory.holder_of(got(sid, at=datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1))) is not None
    samba.disable("a.claire")
    barred = directory.holder_of(got(sid, at=now - timedelta(days=8)))
    assert barred is not None, "that they are disabled is told of any ticket of theirs"
    assert barred.state is State.DISABLED


def test_ticket_is_not_believed_where_the_age_of_the_password_is_hidden(directory: ActiveDirectory, samba: Samba) -> None:
    entries = f"(OD;;RP;{PASSWORD_LAST_SET};;{samba.sid('vestibule')})"
    samba.tool("dsacl", "set", f"--objectdn={samba.dn('a.claire')}", f"--sddl={entries}")
    with pytest.raises(SourceMisbehaved, match="pwdLastSet"):
        directory.holder_of(got(samba.sid("a.claire")))


# Values


@pytest.mark.parametrize("text", ["S-1-5-21-397955417-626881126-188441444-1104", "S-1-5-32-544", "S-1-1-0"])
def test_security_id_is_written_and_read(text: str) -> None:
    assert security_id(raw_security_id(text)) == text


def test_scope_that_is_no_filter_is_refused(samba: Samba) -> None:
    with pytest.raises(ValueError, match="parenthesis"):
        ActiveDirectoryPeople("domaine", settings_of(samba).model_copy(update={"scope": "(&(cn=*)"}))


def settings_of(samba: Samba) -> ActiveDirectorySettings:
    return ActiveDirectorySettings.model_validate(
        {key: value for key, value in samba.settings().items() if key not in {"name", "type", "mapping"}}
    )
