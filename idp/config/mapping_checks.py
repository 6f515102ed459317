"""Mapping rules: those that would place everybody, lead nowhere, or ask what their directory or provider never says.

Pure functions on the models, called by connector_checks.py; what a rule means is policies/mapping.py's.
"""

from collections.abc import Collection, Iterable, Iterator

from idp.config.directories import AnyDirectory, AnyProvider, MappingRule
from idp.config.findings import Finding
from idp.config.models import EstablishmentSettings
from policies.mapping_text import ESTABLISHMENT, FINESS, PLACEHOLDERS, SIRET, attributes_of, may_end_open, names_home

# What is read of everybody in Entra, beside `attributes` (connectors/entra/graph.py).
ENTRA_ALWAYS = (
    *("tid", "oid", "roles", "userprincipalname", "usertype"),
    *("onpremisesimmutableid", "onpremisessecurityidentifier", "onpremisessyncenabled"),
)


def check_rule(
    rule: MappingRule, profiles: Iterable[str], establishments: Collection[EstablishmentSettings], *, at: str
) -> Iterable[Finding]:
    """What is wrong with a rule whatever it is asked of; `establishments` are those of the file."""
    if not rule.group and not rule.role and not rule.attributes:
        yield Finding("error", at, "names neither a group nor a role nor attributes: it would match everybody")
    if rule.profile not in profiles:
        yield Finding("error", f"{at}.profile", f"{rule.profile} is not one of `profiles`")
    for name, value in rule.attributes.items():
        if not may_end_open(value):
            yield Finding(
                "error",
                f"{at}.attributes.{name}",
                "what follows a home and is not known begins with a separator, such as a space: `{finess} *`",
            )
    yield from _check_numbers(rule, establishments, at)
    if not names_home(rule.establishment):
        if establishments and rule.establishment not in {place.slug for place in establishments}:
            yield Finding("warning", f"{at}.establishment", f"{rule.establishment} is not in this file: right only if added by command")
        return
    if rule.establishment not in PLACEHOLDERS:
        yield Finding("error", f"{at}.establishment", f"is a slug or one of {', '.join(PLACEHOLDERS)}, not both")
    if not any(map(names_home, _asked(rule))):
        yield Finding(
            "error",
            f"{at}.establishment",
            f"{rule.establishment} is said by the group, the role or an attribute, and none of them holds {ESTABLISHMENT}, {FINESS} or {SIRET}",
        )


def _asked(rule: MappingRule) -> Iterator[str]:
    yield from filter(None, (rule.group, rule.role, *rule.attributes.values()))


def _check_numbers(rule: MappingRule, establishments: Collection[EstablishmentSettings], at: str) -> Iterable[Finding]:
    """Homes that a rule never finds, because the number it goes by is missing or is another's too."""
    for placeholder in (FINESS, SIRET):
        if not any(placeholder in text for text in _asked(rule)):
            continue
        name = placeholder.strip("{}")
        numbers = {place.slug: getattr(place, name) for place in establishments}
        without = [slug for slug, number in numbers.items() if number is None]
        if without:
            more = f" and {len(without) - 3} more" if len(without) > 3 else ""
            yield Finding(
                "warning", at, f"goes by {name}, which {', '.join(without[:3])}{more} do not have: the rule never places anybody there"
            )
        carriers: dict[str, list[str]] = {}
        for slug, number in numbers.items():
            carriers.setdefault(number or slug, []).append(slug)
        for number, slugs in carriers.items():
            if len(slugs) > 1:
                yield Finding("error", at, f"goes by {name}, and {number} is that of {' and '.join(slugs)}: it would name neither")


def check_reading(rule: MappingRule, directory: AnyDirectory, at: str) -> Iterable[Finding]:
    """A rule on what the directory is not asked for never matches."""
    if rule.group and directory.groups.base is None:
        yield Finding("error", f"{at}.group", "groups are not read (groups.base is null): the rule never matches")
    if rule.role:
        yield Finding("error", f"{at}.role", "a directory has no application roles, only groups: roles are for providers (Entra ID)")
    named = directory.attributes
    asked = {named.username, named.email, named.number, named.given_name, named.family_name, named.phone_number, *named.others}
    known = {name.lower() for name in asked if name}
    for path, name in _attributes_read(rule):
        if name.lower() not in known:
            yield Finding("error", f"{at}.{path}", f"{name} is not read: add it to attributes.others")


def check_word(rule: MappingRule, provider: AnyProvider, at: str) -> Iterable[Finding]:
    """A rule on what the provider does not say never matches."""
    if provider.type == "entra":
        known = {*ENTRA_ALWAYS, *(name.lower() for name in provider.attributes)}
        cure = "add it to attributes"
    else:
        known = {name.lower() for name in provider.claims.attributes} | ({"rpps"} if provider.preset else set())
        cure = "add it to claims.attributes"
        known |= {"roles"} if provider.claims.roles else set()
        if rule.role and "roles" not in known:
            yield Finding("error", f"{at}.role", "claims.roles is empty: the rule never matches")
    for path, name in _attributes_read(rule):
        if name.lower() not in known:
            yield Finding("error", f"{at}.{path}", f"{name} is not read: {cure}")


def _attributes_read(rule: MappingRule) -> Iterator[tuple[str, str]]:
    yield from ((f"attributes.{name}", name) for name in rule.attributes)
    yield from (("sector", name) for name in attributes_of(rule.sector))
