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
    ROLE_HELD,
    ROLE_NOT_HELD,
    MappingRule,
    Placement,
    Placer,
    place,
)
from policies.mapping_text import Home

HOMES = (
    Home("tilleuls", "690012345", "12345678200010"),
    Home("glycines", "2A0054321", "98765432100021"),
    Home("saint-jean"),
    Home("saint-jean-sud"),
)
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
    with pytest.raises(ValueError, match="asks for a group, a role or attributes"):
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
    with pytest.raises(ValueError, match="do not say"):
        rule(group, establishment="{establishment}", title="ide")


NUMBERED = MappingRule(group="GG-{finess}-IDE", attributes={}, establishment="{finess}", profile="nurse", sector=None)
TILLEULS, GLYCINES = Placement("tilleuls", "nurse", None), Placement("glycines", "nurse", None)


@pytest.mark.parametrize(
    ("asking", "groups", "attributes", "wanted"),
    [
        (NUMBERED, ("gg-690012345-ide", "gg-2a0054321-ide"), {}, (GLYCINES, TILLEULS)),
        (NUMBERED, ("gg-690012346-ide",), {}, ()),
        (replace(NUMBERED, group="cn={siret},ou=ide,ou={finess}"), ("CN=12345678200010, OU=ide,ou=690012345",), {}, (TILLEULS,)),
        # The same home everywhere: the SIRET of one and the FINESS of another name none.
        (replace(NUMBERED, group="cn={siret},ou=ide,ou={finess}"), ("cn=12345678200010,ou=ide,ou=2a0054321",), {}, ()),
        (rule("ide", establishment="{siret}", profile="nurse", office="{siret}"), ("ide",), {"Office": ("12345678200010",)}, (TILLEULS,)),
        (rule("ide", establishment="{siret}", profile="nurse", office="{siret}"), (), {"office": ("12345678200010",)}, ()),
        (rule(None, establishment="{finess}", profile="nurse", office="{finess}"), (), {"office": ("690012345", "2a0054321")}, (GLYCINES, TILLEULS)),
        (rule(None, establishment="{finess}", profile="nurse", office="{finess} *"), (), {"office": ("690012345  Les Tilleuls",)}, (TILLEULS,)),
        (rule(None, establishment="{finess}", profile="nurse", office="{finess} *"), (), {"office": ("6900123456 Autre", "690012345")}, ()),
        (rule(None, establishment="{establishment}", profile="nurse", l="EHPAD {establishment}"), (), {"l": ("ehpad Tilleuls",)}, (TILLEULS,)),
        (rule(None, profile="nurse", l="{establishment}"), (), {"l": ("glycines",)}, (TILLEULS,)),
    ],
)  # fmt: skip
def test_a_home_is_known_by_its_numbers_in_groups_and_attributes(
    asking: MappingRule, groups: tuple[str, ...], attributes: dict[str, tuple[str, ...]], wanted: tuple[Placement, ...]
) -> None:
    assert place(frozenset(groups), attributes, (asking,), HOMES).placements == wanted


def role_rule(role: str, establishment: str = "{establishment}", **asked: str) -> MappingRule:
    return MappingRule(group=None, role=role, attributes=asked, establishment=establishment, profile="nurse", sector=None)


@pytest.mark.parametrize(
    ("asking", "roles", "wanted", "because"),
    [
        (role_rule("{establishment}.IDE"), ("Tilleuls.ide",), (TILLEULS,), ROLE_HELD),
        (role_rule("{finess}.ide", "{finess}"), ("690012345.ide", "2a0054321.IDE"), (GLYCINES, TILLEULS), ROLE_HELD),
        (role_rule("soins", "tilleuls"), ("Soins",), (TILLEULS,), ROLE_HELD),
        (role_rule("soins", "tilleuls"), ("soin",), (), ROLE_NOT_HELD),
        (role_rule("soins", "tilleuls"), (), (), ROLE_NOT_HELD),
        (role_rule("soins*", "tilleuls"), ("soins-nuit",), (), ROLE_NOT_HELD),
        (role_rule("{establishment}.ide"), ("hortensias.ide",), (), ESTABLISHMENT_UNKNOWN),
        (role_rule("{establishment}.ide", title="ide"), ("tilleuls.ide",), (), ATTRIBUTE_ABSENT),
    ],
)
def test_an_application_role_places_and_says_the_home(
    asking: MappingRule, roles: tuple[str, ...], wanted: tuple[Placement, ...], because: str
) -> None:
    found = place(frozenset(), {"roles": roles}, (asking,), HOMES)
    assert (found.placements, found.trace[0].because) == (wanted, because)


def test_a_group_of_the_same_name_is_no_role_and_a_role_no_group() -> None:
    assert place(frozenset({"tilleuls.ide"}), {}, (role_rule("{establishment}.ide"),), HOMES).placements == ()
    assert place(frozenset(), {"roles": ("tilleuls-ide",)}, (NURSES,), HOMES).placements == ()


def test_a_rule_asks_for_its_group_and_its_role_and_its_attributes() -> None:
    asking = replace(role_rule("{finess}.ide", "{finess}", office="{siret}"), group="soins")
    held = {"roles": ("690012345.ide",), "office": ("12345678200010",)}
    assert place(frozenset({"soins"}), held, (asking,), HOMES).placements == (TILLEULS,)
    assert place(frozenset({"soins"}), held, (asking,), HOMES).trace[0].data == ("soins",)
    for groups, attributes, because in (
        (frozenset({"autre"}), held, GROUP_NOT_HELD),
        (frozenset({"soins"}), {**held, "roles": ("2a0054321.ide",)}, ATTRIBUTE_DIFFERS),
        (frozenset({"soins"}), {**held, "roles": ()}, ROLE_NOT_HELD),
        (frozenset({"soins"}), {"roles": held["roles"]}, ATTRIBUTE_ABSENT),
    ):
        found = place(groups, attributes, (asking,), HOMES)
        assert (found.placements, found.trace[0].because) == ((), because)


@pytest.mark.parametrize(
    ("asking", "groups", "attributes", "unknown"),
    [
        (NUMBERED, ("gg-690099999-ide", "gg-12-ide"), {}, ("finess 690099999",)),
        (rule(None, establishment="{siret}", office="{siret}"), (), {"office": ("99999999900010",)}, ("siret 99999999900010",)),
        (rule(None, establishment="{finess}", office="{finess} *"), (), {"office": ("690099999 Les Lilas",)}, ("finess 690099999",)),
        (role_rule("{establishment}.ide"), (), {"roles": ("lilas.ide",)}, ("lilas",)),
    ],
)
def test_a_home_that_is_not_known_by_its_number_is_named_with_it(
    asking: MappingRule, groups: tuple[str, ...], attributes: dict[str, tuple[str, ...]], unknown: tuple[str, ...]
) -> None:
    line = place(frozenset(groups), attributes, (asking,), HOMES).trace[0]
    assert (line.matched, line.because, line.unknown) == (False, ESTABLISHMENT_UNKNOWN, unknown)


def test_a_number_that_two_homes_carry_names_neither() -> None:
    twins = (*HOMES, Home("tilleuls-annexe", "690012345"))
    assert place(frozenset({"gg-690012345-ide"}), {}, (NUMBERED,), twins).placements == ()
    assert place(frozenset({"tilleuls-annexe-ide"}), {}, (NURSES,), twins).placements == (Placement("tilleuls-annexe", "nurse", None),)


@pytest.mark.parametrize("value", ["{finess}*", "{establishment}-*", "{siret}0*", "x {establishment}a b*"])
def test_a_rule_is_refused_that_leaves_the_home_uncertain(value: str) -> None:
    with pytest.raises(ValueError, match="needs a separator"):
        rule(None, establishment="tilleuls", office=value)


@pytest.mark.parametrize(
    ("sector", "values", "wanted", "without"),
    [
        ("{attribute:departmentNumber}", ("Unité  Alzheimer",), "Unité Alzheimer", ()),
        ("{attribute:departmentNumber}", ("B", "A", " "), "A", ()),
        ("{attribute:departmentNumber}", (), None, ("departmentNumber",)),
        ("{attribute:departmentNumber}", ("  ",), None, ("departmentNumber",)),
        ("Unité {attribute:DEPARTMENTNUMBER}", ("12",), "Unité 12", ()),
        ("{attribute:departmentNumber}/{attribute:floor}", ("12",), None, ("floor",)),
        ("{attribute:departmentNumber}", ("x" * 300,), "x" * 120, ()),
        ("{attribute:departmentNumber}", ("a\nb\x1bc",), "a b c", ()),
        ("{attribute:departmentNumber}", ("{attribute:floor}",), "{attribute:floor}", ()),
        ("fixed", (), "fixed", ()),
    ],
)
def test_a_sector_is_what_the_directory_says(sector: str, values: tuple[str, ...], wanted: str | None, without: tuple[str, ...]) -> None:
    found = place(frozenset({"tilleuls-ide"}), {"departmentNumber": values}, (replace(NURSES, sector=sector),), HOMES)
    assert found.placements == (Placement("tilleuls", "nurse", wanted),)
    assert found.trace[0].without == without


_slugs = st.from_regex(r"[a-z][a-z-]{0,4}[a-z]", fullmatch=True)
_text = st.text("ab-{}=,\\ *É", max_size=8)
_groups = st.frozensets(st.one_of(_text, _slugs.map(lambda slug: f"{slug}-ide")), max_size=6)
_attributes = st.dictionaries(
    st.sampled_from(["title", "l", "roles"]),
    st.tuples(_text | _slugs.map(lambda slug: f"{slug}-ide") | st.sampled_from(["690012345", "2a0054321 x"])) | st.just(()),
    max_size=3,
)
_wanted = _attributes.map(lambda found: {name: value[0] for name, value in found.items() if value})
_homes = st.lists(
    st.builds(Home, _slugs, st.none() | st.sampled_from(["690012345", "2A0054321"])), max_size=5, unique_by=lambda home: home.slug
)
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
    | st.sampled_from(
        [
            NURSES,
            NUMBERED,
            role_rule("{establishment}-ide"),
            role_rule("{finess}", "{finess}", title="*"),
            replace(NURSES, group="a", attributes={"title": "{finess} *"}, sector="{attribute:l}"),
            replace(NURSES, attributes={"l": "{establishment}"}),
        ]
    )
)


@given(_groups, _attributes, st.lists(_rules, max_size=5), _homes)
def test_the_quick_answer_and_the_explained_one_are_the_same_and_only_name_known_homes(
    groups: frozenset[str], attributes: dict[str, tuple[str, ...]], rules: list[MappingRule], known: list[Home]
) -> None:
    placer = Placer(tuple(rules), known)
    found = placer.place(groups, attributes)
    assert placer.placements(groups, attributes) == found.placements
    assert {placement.establishment for placement in found.placements} <= {home.slug for home in known}
    assert len(set(found.placements)) == len(found.placements)
    assert all(line.matched == bool(line.placements) for line in found.trace)


@given(_groups, _groups, st.lists(_rules, max_size=5), _homes)
def test_one_more_group_never_takes_a_placement_away(
    groups: frozenset[str], more: frozenset[str], rules: list[MappingRule], known: list[Home]
) -> None:
    placer = Placer(tuple(rules), known)
    assert set(placer.placements(groups, {})) <= set(placer.placements(groups | more, {}))
