"""policies.mapping: which rules place a person where, and why the others do not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.mapping import (
    ATTRIBUTE_ABSENT,
    ATTRIBUTE_DIFFERS,
    ATTRIBUTES_HELD,
    ESTABLISHMENT_UNKNOWN,
    GROUP_HELD,
    GROUP_NOT_HELD,
    MappingRule,
    Placement,
    Placer,
    place,
)

HOMES = frozenset({"tilleuls", "glycines", "saint-jean", "saint-jean-sud"})
NURSES = MappingRule(group="{establishment}-ide", attributes={}, establishment="{establishment}", profile="nurse", sector=None)


def rule(
    group: str | None = None, *, establishment: str = "tilleuls", profile: str = "aide", sector: str | None = None, **attributes: str
) -> MappingRule:
    return MappingRule(group=group, attributes=attributes, establishment=establishment, profile=profile, sector=sector)


@pytest.mark.parametrize(
    ("group", "held"),
    [
        ("Tilleuls-AS", "tilleuls-as"),
        ("equipe  soins", "Equipe Soins"),
        ("cn=AS,ou=Groups,dc=ehpad,dc=example", "cn=as,ou=groups,dc=ehpad,dc=example"),
        ("cn=as, ou=groups , dc = ehpad", "CN=AS,OU=Groups,DC=ehpad"),
        (r"cn=Soins\, nuit,ou=groups", r"cn=soins\2c nuit,ou=groups"),
        (r"cn=Équipe,ou=groups", r"cn=\c3\89quipe,ou=groups"),
        ("cn=as+l=nord,ou=groups", "cn=AS+l=Nord, ou=groups"),
    ],
)
def test_a_group_is_recognised_however_its_name_is_written(group: str, held: str) -> None:
    assert place(frozenset({held}), {}, (rule(group),), HOMES).placements == (Placement("tilleuls", "aide", None),)


@pytest.mark.parametrize(
    ("group", "held"),
    [
        ("tilleuls-as", "tilleuls-as2"),
        ("as", "cn=as,ou=groups,dc=ehpad,dc=example"),
        ("cn=as,ou=groups", "cn=as,ou=other"),
        ("cn=as,ou=groups", r"cn=as\,ou=groups"),
        (r"cn=a\,b,ou=groups", "cn=a,b,ou=groups"),
        ("{establishment}-ide", "-ide"),
        ("{establishment}-ide", "tilleuls-ide-2"),
        ("{establishment}-ide", "{establishment}-ide"),
        ("{establishment}.ide", "tilleulsxide"),
    ],
)
def test_a_group_that_only_resembles_places_nobody(group: str, held: str) -> None:
    found = place(frozenset({held}), {}, (rule(group),), HOMES)
    assert found.placements == ()
    assert not found.trace[0].matched


def test_one_rule_serves_every_home_and_a_slug_within_a_slug_is_not_mistaken() -> None:
    found = place(frozenset({"saint-jean-sud-ide", "glycines-ide", "everybody"}), {}, (NURSES,), HOMES)
    assert found.placements == (Placement("glycines", "nurse", None), Placement("saint-jean-sud", "nurse", None))
    assert (found.trace[0].because, found.trace[0].data) == (GROUP_HELD, ("glycines-ide", "saint-jean-sud-ide"))


def test_a_slug_is_read_out_of_a_distinguished_name_and_must_be_the_same_everywhere_in_it() -> None:
    twice = replace(NURSES, group="cn={establishment}-ide,ou={establishment},dc=ehpad")
    assert place(frozenset({"cn=tilleuls-ide,ou=tilleuls,dc=ehpad"}), {}, (twice,), HOMES).placements == (
        Placement("tilleuls", "nurse", None),
    )
    assert place(frozenset({"cn=tilleuls-ide,ou=glycines,dc=ehpad"}), {}, (twice,), HOMES).placements == ()


def test_a_home_that_is_not_known_is_not_placed_and_is_named() -> None:
    groups = frozenset({"hortensias-ide", "hortensias-as"})
    fixed = rule("hortensias-as", establishment="hortensias")
    found = place(groups, {}, (NURSES, fixed), HOMES)
    assert found.placements == ()
    assert [(line.matched, line.because, line.unknown) for line in found.trace] == [(False, ESTABLISHMENT_UNKNOWN, ("hortensias",))] * 2
    both = place(frozenset({"hortensias-ide", "glycines-ide"}), {}, (NURSES,), HOMES)
    assert both.placements == (Placement("glycines", "nurse", None),)
    assert both.trace[0].unknown == ("hortensias",)


@pytest.mark.parametrize(
    ("wanted", "values", "because"),
    [
        ("IDE", ("ide",), ATTRIBUTES_HELD),
        ("ide", ("aide", "IDE "), ATTRIBUTES_HELD),
        ("soins*", ("Soins palliatifs",), ATTRIBUTES_HELD),
        ("soins *", ("soinspalliatifs",), ATTRIBUTE_DIFFERS),
        ("*", ("x",), ATTRIBUTES_HELD),
        ("*", (), ATTRIBUTE_ABSENT),
        ("*", ("  ",), ATTRIBUTE_ABSENT),
        ("ide", ("aide",), ATTRIBUTE_DIFFERS),
        ("i*e", ("ide",), ATTRIBUTE_DIFFERS),
        ("i*e", ("i*e",), ATTRIBUTES_HELD),
    ],
)
def test_an_attribute_must_have_the_value(wanted: str, values: tuple[str, ...], because: str) -> None:
    found = place(frozenset(), {"title": values}, (rule(None, Title=wanted),), HOMES)
    assert found.trace[0].because == because
    assert found.trace[0].matched == (because == ATTRIBUTES_HELD) == bool(found.placements)


def test_a_rule_asks_for_its_group_and_for_every_attribute() -> None:
    asking = rule("soins", title="ide", departmentnumber="7*")
    held = {"title": ("IDE",), "departmentnumber": ("75",)}
    assert place(frozenset({"soins"}), held, (asking,), HOMES).placements
    assert place(frozenset(), held, (asking,), HOMES).trace[0].because == GROUP_NOT_HELD
    missing = place(frozenset({"soins"}), {"title": ("ide",)}, (asking,), HOMES).trace[0]
    assert (missing.because, missing.data) == (ATTRIBUTE_ABSENT, ("departmentnumber", "7*"))
    other = place(frozenset({"soins"}), {**held, "title": ("as", "ash")}, (asking,), HOMES).trace[0]
    assert (other.because, other.data) == (ATTRIBUTE_DIFFERS, ("title", "ide", "as", "ash"))


def test_a_rule_that_asks_for_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="asks for a group or for attributes"):
        rule(None)


def test_placements_come_once_in_the_order_of_the_rules() -> None:
    rules = (rule("b", profile="nurse"), NURSES, rule("a"), rule("c", sector="nuit"))
    found = place(frozenset({"a", "b", "c", "tilleuls-ide"}), {}, rules, HOMES)
    assert found.placements == (
        Placement("tilleuls", "nurse", None),
        Placement("tilleuls", "aide", None),
        Placement("tilleuls", "aide", "nuit"),
    )
    assert [line.index for line in found.trace] == [0, 1, 2, 3]


def test_no_rule_places_nobody() -> None:
    assert place(frozenset({"a"}), {"title": ("ide",)}, (), HOMES).placements == ()


@pytest.mark.parametrize("group", [None, "soins"])
def test_a_rule_cannot_take_the_establishment_from_a_group_that_does_not_say_it(group: str | None) -> None:
    with pytest.raises(ValueError, match="the group does not say"):
        rule(group, establishment="{establishment}", title="ide")


_slugs = st.from_regex(r"[a-z][a-z-]{0,4}[a-z]", fullmatch=True)
_text = st.text("ab-{}=,\\ *É", max_size=8)
_groups = st.frozensets(st.one_of(_text, _slugs.map(lambda slug: f"{slug}-ide")), max_size=6)
_attributes = st.dictionaries(st.sampled_from(["title", "Title", "l"]), st.tuples(_text) | st.just(()), max_size=2)
_wanted = _attributes.map(lambda found: {name: value[0] for name, value in found.items() if value})
_by_attributes = st.builds(
    MappingRule,
    group=st.none(),
    attributes=_wanted.filter(bool),
    establishment=_slugs,
    profile=st.sampled_from(["nurse", "aide"]),
    sector=st.none(),
)
_rules = (
    st.builds(
        MappingRule,
        group=_text | _slugs.map(lambda slug: f"{slug}-ide"),
        attributes=_wanted,
        establishment=_slugs,
        profile=st.sampled_from(["nurse", "aide"]),
        sector=st.none() | _text,
    )
    | _by_attributes
    | st.just(NURSES)
)


@given(_groups, _attributes, st.lists(_rules, max_size=5), st.frozensets(_slugs, max_size=5))
def test_the_quick_answer_and_the_explained_one_are_the_same_and_only_name_known_homes(
    groups: frozenset[str], attributes: dict[str, tuple[str, ...]], rules: list[MappingRule], known: frozenset[str]
) -> None:
    placer = Placer(tuple(rules), known)
    found = placer.place(groups, attributes)
    assert placer.placements(groups, attributes) == found.placements
    assert {placement.establishment for placement in found.placements} <= known
    assert len(set(found.placements)) == len(found.placements)
    assert all(line.matched == bool(line.placements) for line in found.trace)


@given(_groups, _groups, st.lists(_rules, max_size=5), st.frozensets(_slugs, max_size=5))
def test_one_more_group_never_takes_a_placement_away(
    groups: frozenset[str], more: frozenset[str], rules: list[MappingRule], known: frozenset[str]
) -> None:
    placer = Placer(tuple(rules), known)
    assert set(placer.placements(groups, {})) <= set(placer.placements(groups | more, {}))
