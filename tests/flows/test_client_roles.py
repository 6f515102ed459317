"""Least privilege of each application: it learns the roles of the profiles that open it, by its own names, and other homes only when it may ask them.

OpenID Connect Core 1.0 section 5.4 for where claims are, RFC 7662 section 2.2 for introspection.
"""

import json
from typing import Any

import pytest

from idp.cli.place import operating_user
from idp.store.base import Attachment
from tests.support.operator import Operator
from tests.support.relying_party import Tokens
from tests.support.world import SignedIn, World

BOTH = "openid establishment establishments"


def register(world: World, client: str = "carnet", **changes: Any) -> None:
    """What the client's registration says is changed, and counts at once."""
    settings = world.registered[client].settings.model_copy(update=changes)
    with world.arranging() as tx:
        kept = tx.clients.get(client)
        assert kept is not None
        tx.clients.put(settings, secret_digest=kept.secret_digest, source=kept.source, now=world.clock.now())


def attach(world: World, person: str, slug: str, profile: str, sector: str | None = None) -> str:
    with world.arranging() as tx:
        one = Attachment(
            id=world.clock.new_id(),
            account_id=world.account(person).id,
            establishment_id=world.establishment(slug).id,
            profile=profile,
            sector=sector,
            first_day=None,
            last_day=None,
            valid_from=None,
            valid_until=None,
            created_at=world.clock.now(),
            ended_at=None,
        )
        tx.people.attach(one)
        return one.id


def everywhere(world: World, signed_in: SignedIn, tokens: Tokens | None = None) -> list[Any]:
    """The roles as the ID token, userinfo and introspection say them."""
    tokens = tokens or signed_in.tokens
    userinfo = signed_in.party.userinfo(tokens.access).json()
    introspected = signed_in.party.introspect(tokens.access).json()
    assert introspected["active"] is True
    return [said.get("roles") for said in (tokens.claims, userinfo, introspected)]


def test_application_hears_its_own_names_for_the_profile_when_it_is_registered_with_roles(world: World) -> None:
    register(world, roles={"nurse": ("transmissions", "lecture"), "doctor": ("prescription",)})
    assert everywhere(world, world.sign_in("claire")) == [["lecture", "transmissions"]] * 3


def test_application_hears_the_profile_itself_when_it_is_registered_with_no_role(world: World) -> None:
    assert everywhere(world, world.sign_in("claire")) == [["nurse"]] * 3


def test_somebody_has_no_role_when_the_application_names_none_for_their_profile(world: World) -> None:
    register(world, roles={"doctor": ("prescription",), "reception": ()})
    assert everywhere(world, world.sign_in("claire")) == [None] * 3


def test_second_profile_at_the_same_home_gives_no_role_when_the_application_is_not_open_to_it(world: World) -> None:
    """A reception profile never yields a clinical role, nor a clinical one a reception's application."""
    attach(world, "claire", "tilleuls", "reception", "Accueil")
    register(world, profiles=("reception",), roles={"reception": ("accueil",), "nurse": ("soins",)})
    signed_in = world.sign_in("claire", scope=BOTH)
    assert everywhere(world, signed_in) == [["accueil"]] * 3
    assert signed_in.tokens.claims["sector"] == "Accueil"
    assert [one["profile"] for one in signed_in.tokens.claims["attachments"]] == ["reception"]


def test_role_is_gone_at_once_when_its_attachment_ends_beside_another(world: World) -> None:
    key = attach(world, "claire", "tilleuls", "manager")
    signed_in = world.sign_in("claire")
    assert signed_in.tokens.claims["roles"] == ["manager", "nurse"]
    with world.arranging() as tx:
        tx.people.detach(key, world.clock.now())
    refreshed = signed_in.party.read_tokens(signed_in.party.refresh(signed_in.tokens.refresh))
    assert everywhere(world, signed_in, refreshed) == [["nurse"]] * 3
    # The old access token too: what it opens is asked of the store each time.
    assert signed_in.party.userinfo(signed_in.tokens.access).json()["roles"] == ["nurse"]


def test_new_names_count_from_the_next_refresh_when_a_registration_changes(world: World) -> None:
    signed_in = world.sign_in("claire")
    register(world, roles={"nurse": ("soignant",)})
    refreshed = signed_in.party.read_tokens(signed_in.party.refresh(signed_in.tokens.refresh))
    assert everywhere(world, signed_in, refreshed) == [["soignant"]] * 3


def test_other_homes_are_named_when_the_application_may_ask_them(world: World) -> None:
    register(world, roles={"nurse": ("soins",), "manager": ("direction",)})
    claims = world.sign_in("amina", scope=BOTH, establishment="tilleuls").tokens.claims
    found = {one["establishment"]["slug"]: (one["profile"], one["roles"], one.get("sector")) for one in claims["attachments"]}
    assert found == {"tilleuls": ("nurse", ["soins"], "Nuit"), "glycines": ("manager", ["direction"], None)}
    assert claims["roles"] == ["soins"]


def test_other_homes_are_not_named_when_only_the_active_one_is_asked(world: World) -> None:
    signed_in = world.sign_in("amina", scope="openid establishment", establishment="tilleuls")
    assert "attachments" not in signed_in.tokens.claims
    assert "attachments" not in signed_in.party.userinfo(signed_in.tokens.access).json()


def test_home_that_the_application_does_not_serve_is_not_named_when_others_are(world: World) -> None:
    register(world, establishments=("glycines",))
    claims = world.sign_in("amina", scope=BOTH, establishment="glycines").tokens.claims
    assert [one["establishment"]["slug"] for one in claims["attachments"]] == ["glycines"]


def test_application_is_refused_the_other_homes_when_it_is_not_registered_for_them(world: World) -> None:
    register(world, scopes=("openid", "establishment"))
    signed_in = world.sign_in(
        "amina", scope="openid establishment", establishment="tilleuls", claims=json.dumps({"userinfo": {"attachments": None}})
    )
    assert "attachments" not in signed_in.party.userinfo(signed_in.tokens.access).json()
    page = world.browser().get(world.relying_party().begin(scope=BOTH))
    assert page.callback is not None
    assert page.callback.parameters["error"] == "invalid_scope"
    assert world.last_event("authorization.refused")["reason"] == "invalid_scope"


def test_person_is_told_of_the_other_homes_when_consent_is_asked(world: World) -> None:
    browser = world.browser()
    page = browser.get(world.relying_party("curieux").begin(scope=BOTH))
    page = browser.sign_in("claire.dubois", world.password, page=page)
    assert "les autres établissements où vous pouvez l’utiliser" in page.text


def test_discovery_names_the_scope_and_the_claim(world: World) -> None:
    found = world.machine.get("/.well-known/openid-configuration").json()
    assert {"establishment", "establishments"} <= set(found["scopes_supported"])
    assert found["claims_supported"].count("attachments") == found["claims_supported"].count("roles") == 1


@pytest.mark.parametrize(
    ("roles", "says"),
    [
        (("reception=nurse",), "nurse is another profile"),
        (("reception=Nurse",), "Nurse is another profile"),
        (("king=soins",), "king is not one of `profiles`"),
        (("nurse",), "is not PROFILE=ROLE"),
        (("nurse=deux  blancs",), "roles.nurse.0"),
    ],
)
def test_operator_is_refused_a_role_when_it_is_not_what_the_profile_may_have(operator: Operator, roles: tuple[str, ...], says: str) -> None:
    words = [word for role in roles for word in ("--role", role)]
    assert says in operator.refused("client", "add", "notes", "--name", "Notes", "--redirect-uri", "https://app.example/cb", *words)
    assert operator.ask("client", "list", "--json") == []


def test_operator_changes_the_roles_of_an_application_and_nothing_else(operator: Operator) -> None:
    words = ("--redirect-uri", "https://app.example/cb", "--profile", "nurse", "--profile", "aide")
    operator.do("client", "add", "notes", "--name", "Notes", *words)
    before = operator.ask("client", "show", "notes")
    assert before["roles"] == {}
    said = operator.do("client", "change", "notes", "--role", "nurse=soins", "--role", "nurse=lecture", "--role", "aide=")
    assert said.strip() == "notes changed"
    after = operator.ask("client", "show", "notes")
    assert after["roles"] == {"nurse": ["soins", "lecture"], "aide": []}
    assert {name for name, value in after.items() if before[name] != value} == {"roles", "revision"}
    event = operator.last_event("client.changed")
    assert (event["details"], event["actor"]) == ({"changed": "roles"}, f"operator:{operating_user()}")
    assert "was so already" in operator.do("client", "change", "notes", "--name", "Notes")
    operator.do("client", "change", "notes", "--empty", "roles", "--empty", "profiles", "--consent")
    emptied = operator.ask("client", "show", "notes")
    assert (emptied["roles"], emptied["profiles"], emptied["require_consent"]) == ({}, [], True)


def test_operator_is_refused_a_change_when_it_makes_no_sense(operator: Operator) -> None:
    operator.do("client", "add", "notes", "--name", "Notes", "--redirect-uri", "https://app.example/cb")
    assert "at least one redirect URI" in operator.refused("client", "change", "notes", "--empty", "redirect_uris")
    assert "no establishment nowhere" in operator.refused("client", "change", "notes", "--establishment", "nowhere")
    assert "no client other" in operator.refused("client", "change", "other", "--name", "X")
    assert operator.ask("client", "show", "notes")["revision"] == 1
