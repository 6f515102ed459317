"""Everybody of a directory, and who is in which groups: one person's groups and everybody's must come out the same."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.base import Identity, SourceMisbehaved, SourceUnreachable, State
from connectors.ldap.directory import LdapDirectory
from connectors.ldap.filters import Inverse, escape, invert, parse_filter, presence
from connectors.ldap.names import normal_name
from tests.support.fixed_clock import FixedClock
from tests.support.relay import relayed
from tests.support.slapd import GROUPS, PASSWORD, PEOPLE, SCOPE, SUFFIX, Slapd
from tests.support.slapd_cast import ZOE, person_ldif

Open = Callable[..., LdapDirectory]


@pytest.fixture
def opened(slapd: Slapd) -> Iterator[Open]:
    made: list[LdapDirectory] = []

    def make(**override: Any) -> LdapDirectory:
        made.append(slapd.directory(**override))
        return made[-1]

    yield make
    for directory in made:
        directory.close()


def by_login(directory: LdapDirectory) -> dict[str | None, Identity]:
    return {identity.username: identity for identity in directory.people()}


def names(identity: Identity | None) -> set[str]:
    assert identity is not None
    return {name for name in identity.groups if "," not in name}


CAST = {
    "d.claire": {"tilleuls-infirmiers"},
    "d.hugo": {"glycines-nuit", "glycines-aides"},
    "d.amina": {"tilleuls-infirmiers", "glycines-infirmiers", "boucle-a", "boucle-b"},
    "d.zoe": {"tilleuls-infirmiers"},
    "d.paul": set(),
    "d.lea": set(),
    "d.noa": set(),
}


@pytest.mark.parametrize("page_size", [10, 500])
def test_everybody_in_scope_is_read_with_groups(opened: Open, page_size: int) -> None:
    directory = opened(page_size=page_size)
    found = by_login(directory)
    assert {login: names(identity) for login, identity in found.items()} == CAST
    assert directory.count() == len(CAST)


def test_everybody_is_read_as_each_person_is_found(opened: Open, slapd: Slapd) -> None:
    slapd.disable("d.hugo")
    slapd.must_change("d.amina")
    directory = opened()
    for identity in directory.people():
        assert directory.find(identity.subject) == identity
    states = {login: identity.state for login, identity in by_login(directory).items()}
    assert (states["d.hugo"], states["d.amina"], states["d.claire"]) == (State.DISABLED, State.MUST_CHANGE, State.USABLE)


def test_hundreds_are_read_page_by_page_past_the_size_limit(opened: Open, slapd: Slapd) -> None:
    people = [f"many{number:04}" for number in range(1200)]
    slapd.load("".join(person_ldif(uid, "Une", "Personne", mail=f"{uid}@annuaire.example") for uid in people))
    slapd.add_group("tout-le-monde", *(f"uid={uid},{PEOPLE}" for uid in people))
    directory = opened(page_size=100)
    found = by_login(directory)
    assert len(found) == directory.count() == 1200 + len(CAST)
    assert all(names(found[uid]) == {"tout-le-monde"} for uid in people)


def test_reading_everybody_asks_for_groups_once(opened: Open, slapd: Slapd) -> None:
    slapd.load("".join(person_ldif(f"many{number:04}", "Une", "Personne") for number in range(200)))
    with relayed(slapd.port) as relay:
        directory = opened(servers=[f"ldap://127.0.0.1:{relay.port}"], start_tls=False)
        assert len(list(directory.people())) == 200 + len(CAST)
        directory.close()
        said = b"".join(map(bytes, relay.sent))
    assert said.count(GROUPS.encode()) == 1
    assert said.count(PEOPLE.encode()) == 1


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_groups_within_groups_are_followed_to_the_depth(opened: Open, slapd: Slapd, depth: int) -> None:
    slapd.add_group("region", f"cn=glycines-aides,{GROUPS}")
    slapd.add_group("france", f"cn=region,{GROUPS}")
    chain = ["glycines-nuit", "glycines-aides", "region", "france"]
    directory = opened(groups={"base": GROUPS, "depth": depth})
    assert names(directory.authenticate("d.hugo", PASSWORD)) == set(chain[:depth])
    assert names(by_login(directory)["d.hugo"]) == set(chain[:depth])


def test_groups_come_by_their_full_names_too(opened: Open) -> None:
    identity = opened().authenticate("d.hugo", PASSWORD)
    assert {name for name in identity.groups if "," in name} == {f"cn=glycines-nuit,{GROUPS}", f"cn=glycines-aides,{GROUPS}"}


def test_group_names_are_in_lower_case(opened: Open, slapd: Slapd) -> None:
    slapd.add_group("Médecins, Étage 2", slapd.dn("d.paul"))
    expected = {"médecins, étage 2", f"cn=médecins\\, étage 2,{GROUPS}"}
    directory = opened()
    assert directory.authenticate("d.paul", PASSWORD).groups == expected
    assert by_login(directory)["d.paul"].groups == expected


def test_posix_groups_name_people_by_login(opened: Open, slapd: Slapd) -> None:
    slapd.add_entry(f"cn=astreinte,{GROUPS}", ["posixGroup"], {"cn": "astreinte", "gidNumber": "5001", "memberUid": ["d.paul", "d.zoe"]})
    for group_filter, hugo in (("(memberUid={username})", set()), ("(|(member={dn})(memberUid={username}))", CAST["d.hugo"])):
        directory = opened(groups={"base": GROUPS, "filter": group_filter})
        assert names(directory.authenticate("d.hugo", PASSWORD)) == hugo
        assert "astreinte" in names(directory.authenticate("d.zoe", PASSWORD))
        everybody = by_login(directory)
        assert "astreinte" in names(everybody["d.paul"])
        assert names(everybody["d.hugo"]) == hugo


def test_filter_that_cannot_be_turned_round_asks_for_each_person(opened: Open) -> None:
    directory = opened(groups={"base": GROUPS, "filter": "(&(member={dn})(!(cn=*nuit))(member={dn}))"})
    assert names(by_login(directory)["d.claire"]) == {"tilleuls-infirmiers"}
    assert names(by_login(directory)["d.hugo"]) == set()


def test_no_groups_are_read_without_a_base(opened: Open) -> None:
    directory = opened(groups={"base": None})
    assert directory.authenticate("d.claire", PASSWORD).groups == frozenset()
    assert by_login(directory)["d.claire"].groups == frozenset()


@pytest.mark.parametrize(
    "group_filter",
    ["(seeAlso={dn})", "(&(objectClass=groupOfNames)(memberUid={username}))", "(&(seeAlso={dn})(seeAlso={dn}))"],
)
def test_nobody_has_lost_every_group_when_no_group_with_members_is_seen(opened: Open, slapd: Slapd, group_filter: str) -> None:
    directory = opened(groups={"base": GROUPS, "filter": group_filter})
    for ask in (
        lambda: directory.find(slapd.subject("d.claire")),
        lambda: directory.authenticate("d.claire", PASSWORD),
        lambda: list(directory.people()),
    ):
        with pytest.raises(SourceMisbehaved, match="no group with members"):
            ask()


def test_groups_that_were_seen_are_believed_for_a_minute(slapd: Slapd) -> None:
    clock = FixedClock(datetime.now(UTC))
    directory = slapd.directory(clock)
    paul = slapd.subject("d.paul")
    assert directory.find(paul) is not None, "somebody who is in no group, where others are"
    for name in ("tilleuls-infirmiers", "glycines-infirmiers", "glycines-nuit", "glycines-aides", "boucle-a", "boucle-b"):
        slapd.delete(f"cn={name},{GROUPS}")
    assert directory.find(paul) is not None
    clock.advance(timedelta(minutes=1))
    with pytest.raises(SourceMisbehaved, match="no group with members"):
        directory.find(paul)
    directory.close()


@pytest.mark.parametrize("base", [GROUPS, None])
def test_listed_people_are_as_old_as_the_question(slapd: Slapd, base: str | None) -> None:
    """Groups are asked for first of all, and so they are the oldest part of every answer."""
    slapd.load("".join(person_ldif(f"many{number:04}", "Une", "Personne") for number in range(30)))
    begun_at = datetime.now(UTC)
    clock = FixedClock(begun_at)
    directory = slapd.directory(clock, page_size=10, groups={"base": base})
    reading = directory.people()
    first = [next(reading).seen_at for _ in range(10)]
    later = clock.advance(timedelta(minutes=1))
    rest = [identity.seen_at for identity in reading]
    assert set(first) == {begun_at}
    assert set(rest) == ({later} if base is None else {begun_at})
    directory.close()


def test_missing_bases_are_no_empty_directory(opened: Open, slapd: Slapd) -> None:
    for wrong in ({"base": f"ou=wrong,{SUFFIX}"}, {"groups": {"base": f"ou=wrong,{SUFFIX}"}}):
        with pytest.raises(SourceMisbehaved, match="ou=wrong"):
            list(opened(**wrong).people())
        with pytest.raises(SourceMisbehaved, match="ou=wrong"):
            opened(**wrong).authenticate("d.claire", PASSWORD)


def test_everybody_is_read_to_the_end_or_not_at_all(opened: Open, slapd: Slapd) -> None:
    slapd.load("".join(person_ldif(f"many{number:04}", "Une", "Personne") for number in range(100)))
    reading = opened(page_size=10).people()
    next(reading)
    slapd.stop()
    with pytest.raises(SourceUnreachable):
        list(reading)


def test_a_reader_that_stops_leaves_nothing_open(opened: Open) -> None:
    reading = opened(page_size=10).people()
    next(reading)
    reading.close()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("uid=A, ou=People,dc=X", "UID=a,ou=people,dc=x"),
        ("cn=Dupont\\, Zoé,ou=p", "cn=dupont\\2c zoé,OU=P"),
        ("cn=Dupont\\, Zo\\c3\\a9,ou=p", "cn=dupont\\2C zoé,ou=p"),
        ("cn=a\\+b,ou=p", "cn=a\\2Bb,ou=p"),
        ("cn=a=b,ou=p", "cn=a\\=b,ou=p"),
        ("cn = a , ou = p", "cn=a,ou=p"),
        ("cn=a  b,ou=p", "cn=a b,ou=p"),
        ("uid=x+cn=y,ou=p", "UID=X + CN=Y,ou=p"),
    ],
)
def test_the_same_name_written_in_two_ways_is_one(one: str, other: str) -> None:
    assert normal_name(one) == normal_name(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("cn=a\\,ou=p", "cn=a,ou=p"), ("cn=a+b=c,ou=p", "cn=a\\+b=c,ou=p"), ("cn=ab,ou=p", "cn=a b,ou=p"), ("cn=a\\", "cn=a")],
)
def test_two_names_stay_two(one: str, other: str) -> None:
    assert normal_name(one) != normal_name(other)


def test_a_normal_name_stays_as_it_is() -> None:
    for name in (ZOE, "cn=a\\2cb, ou=x", 'cn=\\"x\\" \\<y\\>,ou=p', ""):
        assert normal_name(normal_name(name)) == normal_name(name)


@pytest.mark.parametrize(
    ("text", "inverse"),
    [
        ("(member={dn})", Inverse("(member=*)", ("member",), ())),
        ("(|(member={dn})(uniqueMember={dn}))", Inverse("(|(member=*)(uniqueMember=*))", ("member", "uniqueMember"), ())),
        (
            "(&(objectClass=posixGroup)(memberUid={username}))",
            Inverse("(&(objectClass=posixGroup)(memberUid=*))", (), ("memberUid",)),
        ),
        (
            "(&(!(cn=x))(|(member={dn})(memberUid={username})))",
            Inverse("(&(!(cn=x))(|(member=*)(memberUid=*)))", ("member",), ("memberUid",)),
        ),
        ("(!(member={dn}))", None),
        ("(&(member={dn})(uniqueMember={dn}))", None),
        ("(|(member={dn})(cn=all))", None),
        ("(member=x{dn})", None),
        ("(member:1.2.840.113556.1.4.1941:={dn})", None),
        ("(cn=all)", None),
    ],
)
def test_group_filter_is_turned_round_when_it_can_be(text: str, inverse: Inverse | None) -> None:
    assert invert(text) == inverse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(member={dn})", "(member=*)"),
        ("(&(objectClass=posixGroup)(memberUid={username}))", "(&(objectClass=posixGroup)(memberUid=*))"),
        ("(&(member={dn})(!(cn=x))(uniqueMember={dn}))", "(&(member=*)(!(cn=x))(uniqueMember=*))"),
        ("(&(objectClass=x)(!(member={dn})))", "(&(objectClass=x))"),
        ("(member:1.2.840.113556.1.4.1941:={dn})", "(member=*)"),
        ("(member=x{dn})", "(member=*)"),
        ("(:dn:2.4.6.8.10:={dn})", None),
        ("(!(member={dn}))", None),
        ("(cn=all)", None),
    ],
)
def test_group_filter_says_what_any_group_with_members_has(text: str, expected: str | None) -> None:
    assert presence(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        SCOPE,
        "(uid=*)",
        "(cn=a*b*c)",
        "(cn=\\2a\\28)",
        '(cn=é, "x" <y>)',
        "(cn:caseExactMatch:=x)",
        "(ou:dn:=x)",
        "(:dn:2.4.6.8.10:=x)",
        "(age>=3)",
        "(age<=3)",
        "(cn~=x)",
        "(cn=)",
        "(1.2.840.1=x)",
        "(cn;lang-fr=x)",
    ],
)
def test_filters_are_read_and_written_as_they_were(text: str) -> None:
    assert str(parse_filter(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "uid=x",
        "(uid=x",
        "uid=x)",
        "(uid=x))",
        "(uid=x)(cn=y)",
        "()",
        "(&)",
        "(!(a=b)(c=d))",
        "(uid)",
        "(=x)",
        "(u id=x)",
        "(cn=\\2)",
        "(cn=\\zz)",
        "(cn=a\x00b)",
        "(&(a=b)c=d)",
        "(" * 200,
        "(!" * 200 + "(a=b)" + ")" * 200,
    ],
)
def test_filters_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_filter(text)


def test_escaped_values_hold_no_special_character() -> None:
    assert escape("a*b(c)\\d\x00é =") == "a\\2ab\\28c\\29\\5cd\\00\\c3\\a9\\20\\3d"
