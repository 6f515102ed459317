"""`vestibule scim`: what sources wrote and what became of it, told without a token; rules that changed, and the brake, acted on."""

import httpx
import pytest

from idp.app import build, wsgi
from idp.config import load
from tests.support.operator import ACTOR, Operator
from tests.support.scim_source import RULES, TOKEN, ScimSource, scim_settings
from tests.support.world import ISSUER


def write(operator: Operator, people: int = 1, *, group: str = "tilleuls-ide") -> list[str]:
    """A source writes people, in a group, through a server of this configuration; their ids."""
    application = build(load(operator.config_path))
    try:
        client = httpx.Client(transport=httpx.WSGITransport(wsgi(application)), base_url=ISSUER)
        source = ScimSource(client)
        ids = [source.add_user(f"personne.{number}", title="IDE")["id"] for number in range(people)]
        source.add_group(group, *ids)
        return ids
    finally:
        application.close()


def disable(operator: Operator, ids: list[str]) -> None:
    application = build(load(operator.config_path))
    try:
        source = ScimSource(httpx.Client(transport=httpx.WSGITransport(wsgi(application)), base_url=ISSUER))
        for one in ids:
            assert source.disable(one).status_code == 200
    finally:
        application.close()


def test_operator_sees_what_a_source_wrote_and_never_its_token(operator: Operator) -> None:
    operator.configure(scim=[scim_settings(operator.folder)])
    assert "rh" in operator.do("scim", "show")
    write(operator, 2)
    (shown,) = operator.ask("scim", "show", "--json")
    assert {"people": 2, "active": 2, "accounts": 2, "groups": 1, "held": 0, "run": None}.items() <= shown.items()
    person = operator.ask("scim", "show", "rh", "--user", "PERSONNE.1", "--json")
    assert (person["login"], person["groups"], person["status"], person["word"]) == ("personne.1", ["tilleuls-ide"], "active", "usable")
    everything = (
        operator.do("scim", "show", "--json") + operator.do("scim", "show") + operator.do("scim", "show", "rh", "--user", "personne.0")
    )
    assert TOKEN not in everything
    assert "written nobody" in operator.refused("scim", "show", "rh", "--user", "nobody")
    assert "no source" in operator.refused("scim", "show", "annuaire")


def test_operator_sees_why_a_rule_places_somebody_or_not(operator: Operator) -> None:
    operator.configure(scim=[scim_settings(operator.folder)])
    write(operator, 1)
    explained = operator.do("mapping", "explain", "personne.0", "--directory", "rh")
    assert "tilleuls-ide" in explained
    assert "written nobody" in operator.refused("mapping", "explain", "nobody", "--directory", "rh")
    tried = operator.ask("mapping", "try", "--connector", "rh", "--group", "glycines-ide", "--json")
    assert [one["establishment"] for one in tried["gives"]] == ["glycines"]


def test_people_are_placed_when_a_rule_was_added(operator: Operator) -> None:
    operator.configure(scim=[scim_settings(operator.folder)])
    write(operator, 2, group="soignants")
    assert operator.ask("scim", "show", "--json")[0]["accounts"] == 0
    rule = {"attributes": {"title": "IDE"}, "establishment": "glycines", "profile": "nurse"}
    operator.configure(scim=[scim_settings(operator.folder, mapping=[*RULES, rule])])
    assert operator.ask("scim", "settle", "rh", "--json") == {"kept": 2, "unkept": {}}
    assert operator.ask("scim", "show", "--json")[0]["accounts"] == 2


def test_operator_confirms_or_dismisses_those_whom_the_brake_holds(operator: Operator) -> None:
    operator.configure(scim=[scim_settings(operator.folder)], sync={"brake_people": 1, "brake_percent": 100})
    ids = write(operator, 5)
    disable(operator, ids[:3])
    (shown,) = operator.ask("scim", "show", "--json")
    assert shown["held"] == 2
    assert "dismissed; 2 people" in operator.do("scim", "dismiss", "rh", shown["run"])
    assert "no run" in operator.refused("scim", "confirm", "rh", shown["run"])
    disable(operator, ids[3:4])
    (shown,) = operator.ask("scim", "show", "--json")
    assert "it held 1 people" in operator.do("scim", "confirm", "rh", shown["run"])
    assert operator.last_event("sync.confirmed")["actor"] == ACTOR
    assert operator.ask("scim", "show", "rh", "--user", "personne.3", "--json")["status"] == "suspended"
    assert operator.ask("scim", "show", "rh", "--user", "personne.2", "--json")["status"] == "active"


@pytest.mark.parametrize(
    ("source", "path", "words"),
    [
        ({"tokens": []}, "scim[0].tokens", "nothing lets the source in"),
        ({"joins": "nowhere"}, "scim[0].joins", "is none of"),
        ({"joined_tenant": "72f988bf-0000-4000-8000-00000000beef"}, "scim[0].joined_tenant", "goes with"),
        ({"name": "local"}, "scim[0].name", "already used"),
        ({"mapping": []}, "scim[0].mapping", "nobody of this source gets an Account"),
        (
            {"mapping": [{"attributes": {"shoes": "39"}, "establishment": "tilleuls", "profile": "nurse"}]},
            "shoes",
            "is not kept of a person",
        ),
        ({"mapping": [{"group": "x", "establishment": "tilleuls", "profile": "king"}]}, "scim[0].mapping[0].profile", "not one of"),
    ],
)
def test_operator_is_told_what_is_wrong_with_a_source(operator: Operator, source: dict[str, object], path: str, words: str) -> None:
    operator.configure(scim=[{**scim_settings(operator.folder), **source}])
    told = operator.run("check-config").output
    assert path in told
    assert words in told


def test_operator_is_told_of_tokens_that_are_short_or_shared(operator: Operator) -> None:
    operator.configure(scim=[scim_settings(operator.folder, token="short"), scim_settings(operator.folder, "paie", "short")])
    told = operator.run("check-config").output
    assert "scim[0].tokens[0]" in told
    assert "at least 32" in told
    assert "is the token of rh too" in told
    assert "short " not in told
