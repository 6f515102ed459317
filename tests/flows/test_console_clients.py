"""The console's pages of applications: registered, changed, given a secret shown once, withdrawn, and tried with one's own account."""

import pytest

from tests.support.browser import Page
from tests.support.console_agent import ConsoleAgent, console_agent
from tests.support.world import World


@pytest.fixture
def admin(world: World) -> ConsoleAgent:
    return console_agent(world)


def shown_secret(page: Page) -> str:
    found = page.markup.partition('id="secret" tabindex="0">')[2].partition("<")[0]
    assert found.startswith("vestibule_cs_"), page.text
    return found


def own_basic(world: World, client_id: str, secret: str) -> int:
    """How the token endpoint takes the application's proof: 400 for a code that is none, 401 when it is not believed."""
    answer = world.machine.post(
        "/token",
        data={"grant_type": "authorization_code", "code": "x", "redirect_uri": "https://n.example/retour"},
        auth=(client_id, secret),
    )
    return answer.status_code


def test_an_administrator_registers_an_application_and_its_secret_is_shown_once(world: World, admin: ConsoleAgent) -> None:
    admin.get("/admin/clients/+new")
    page = admin.submit("client-form", client_id="neuf", name="Neuf", redirect_uris="https://n.example/retour")
    assert "https://n.example/retour" in page.text
    with world.database.read() as tx:
        assert tx.clients.get("neuf") is None
    page = admin.submit("changes", button="confirm")
    secret = shown_secret(page)
    assert page.headers["Cache-Control"] == "no-store"
    assert own_basic(world, "neuf", secret) == 400
    assert own_basic(world, "neuf", secret + "x") == 401
    assert secret not in "".join(map(str, world.events()))
    assert secret not in admin.get("/admin/clients/neuf").markup
    event = world.last_event("client.changed")
    assert (event["client_id"], event["details"]["changed"]) == ("neuf", "registered")


def test_an_application_registered_without_scopes_claimed_at_the_form_keeps_the_usual_ones(world: World, admin: ConsoleAgent) -> None:
    admin.get("/admin/clients/+new")
    fields = admin.page.forms["client-form"].fields
    assert {name for name in fields if name.startswith("scope_")} == {
        "scope_openid",
        "scope_profile",
        "scope_email",
        "scope_establishment",
    }
    assert "require_pkce" in fields


@pytest.mark.parametrize(
    ("field", "value", "wrong"),
    [
        ("redirect_uris", "http://ailleurs.example/retour", "redirect_uris"),
        ("redirect_uris", "https://n.example/*", "redirect_uris"),
        ("redirect_uris", "", "redirect_uris"),
        ("client_id", "deux mots", "client_id"),
        ("client_id", "carnet", "client_id"),
        ("profiles", "astronaute", "profiles"),
        ("establishments", "nulle-part", "establishments"),
        ("roles", "nurse", "roles"),
        ("roles", "nurse=doctor", "roles"),
        ("jwks", "{", "jwks"),
        ("backchannel_logout_uri", "http://ailleurs.example/", "backchannel_logout_uri"),
    ],
)
def test_an_administrator_reads_what_is_wrong_and_loses_nothing_when_a_registration_cannot_be(
    world: World, admin: ConsoleAgent, field: str, value: str, wrong: str
) -> None:
    typed = {"client_id": "neuf", "name": "Neuf", "redirect_uris": "https://n.example/retour", field: value}
    admin.get("/admin/clients/+new")
    page = admin.submit("client-form", **typed)
    assert page.status == 422
    assert f"{wrong}-problem" in page.document.ids, page.text
    assert {name: page.forms["client-form"].fields[name] for name in typed} == typed
    with world.database.read() as tx:
        assert tx.clients.get("neuf") is None


def test_an_administrator_changes_an_application_and_what_the_form_does_not_show_stays(world: World, admin: ConsoleAgent) -> None:
    with world.database.read() as tx:
        before = tx.clients.get("carnet")
    assert before is not None
    admin.get("/admin/clients/carnet/edit")
    page = admin.submit("client-form", name="Carnet neuf")
    assert "Carnet de soins" in page.text
    admin.submit("changes", button="confirm")
    with world.database.read() as tx:
        after = tx.clients.get("carnet")
    assert after is not None
    assert after.settings == before.settings.model_copy(update={"name": "Carnet neuf"})
    assert after.secret_digest == before.secret_digest
    assert world.last_event("client.changed")["details"]["changed"] == "name"


def test_an_administrator_does_not_turn_an_application_with_a_secret_into_one_without(world: World, admin: ConsoleAgent) -> None:
    admin.get("/admin/clients/carnet/edit")
    assert admin.submit("client-form", token_endpoint_auth_method="none").status == 422


def test_the_old_secret_stops_at_once_when_a_new_one_is_made(world: World, admin: ConsoleAgent) -> None:
    old = world.registered["carnet"].secret
    assert old is not None
    admin.get("/admin/clients/carnet/secret")
    assert own_basic(world, "carnet", old) == 400, "looking changes nothing"
    secret = shown_secret(admin.submit("changes", button="confirm"))
    assert own_basic(world, "carnet", old) == 401
    assert own_basic(world, "carnet", secret) == 400


def test_nobody_has_access_to_an_application_any_more_when_it_is_withdrawn(world: World, admin: ConsoleAgent) -> None:
    signed = world.sign_in("claire")
    admin.get("/admin/clients/carnet/end")
    page = admin.submit("changes", button="confirm")
    assert page.url.endswith("/admin/clients?done=ended")
    assert "carnet" not in [href.rpartition("/")[2] for href, _text in page.document.links]
    assert signed.party.userinfo(signed.tokens.access).status_code == 401
    assert world.last_event("client.ended")["actor"] == f"account:{world.account('rose').id}"
    assert admin.get("/admin/clients/carnet").status == 403


def test_an_application_of_the_file_is_shown_and_not_changed(world: World, admin: ConsoleAgent) -> None:
    with world.arranging() as tx:
        kept = tx.clients.get("carnet")
        assert kept is not None
        tx.clients.put(kept.settings, secret_digest=kept.secret_digest, source="config", now=world.clock.now())
    page = admin.get("/admin/clients/carnet")
    assert "Fichier de configuration" in page.text
    assert not {"client-edit", "client-secret", "client-end"} & set(page.document.ids)
    for path in ("edit", "secret", "end"):
        page = admin.get(f"/admin/clients/carnet/{path}")
        assert page.status == 409
        assert "changes" not in page.forms


def test_an_administrator_finds_an_application_by_a_part_of_its_name(admin: ConsoleAgent) -> None:
    page = admin.get("/admin/clients?q=SOIN")
    found = [href for href, _text in page.document.links if href.startswith("/admin/clients/") and "+" not in href]
    assert found == ["/admin/clients/carnet"]
    assert "Rien n’a été trouvé" in admin.get("/admin/clients?q=%25").text


def test_a_contact_sees_no_application(world: World) -> None:
    contact = console_agent(world, "claire", "it_contact", "tilleuls")
    for path in ("", "/carnet", "/carnet/edit", "/carnet/secret", "/carnet/trial", "/+new"):
        assert contact.get(f"/admin/clients{path}").status == 403


# The test sign-in


def test_a_test_sign_in_shows_the_claims_that_a_real_one_gives_and_issues_nothing(world: World, admin: ConsoleAgent) -> None:
    with world.database.read() as tx:
        before = tx.grants.open_at(world.establishment("tilleuls").id)
    admin.get("/admin/clients/carnet/trial")
    page = admin.submit("trial-form")
    assert "La personne entre" in page.text
    shown = dict(row for section in ("id-token", "userinfo") for row in claims(page, section))
    with world.database.read() as tx:
        assert tx.grants.open_at(world.establishment("tilleuls").id) == before
    event = world.last_event("client.tried")
    assert (event["client_id"], event["details"]["step"]) == ("carnet", "finish")
    # The same person, really.
    party = world.relying_party("carnet")
    callback = admin.browser.get(party.begin(scope="openid profile email phone address establishment establishments")).callback
    assert callback is not None
    real = party.exchange(callback)
    said = {**real.claims, **party.userinfo(real.access).json()}
    assert shown["name"] == said["name"]
    assert shown["sub"] == said["sub"]
    assert shown["acr"] == said["acr"]
    assert shown["zone"] == said["zone"]
    assert set(shown) == set(said) - {"iat", "exp", "sid", "at_hash", "nonce"}


def claims(page: Page, section: str) -> list[tuple[str, str]]:
    import html
    import re

    markup = page.markup.partition(f'<section aria-labelledby="{section}">')[2].partition("</section>")[0]
    return [(name, html.unescape(value)) for name, value in re.findall(r"<dt>([^<]+)</dt><dd><code>([^<]*)</code></dd>", markup)]


def test_a_test_sign_in_says_that_the_person_would_be_refused(admin: ConsoleAgent, world: World) -> None:
    admin.get("/admin/clients/medecins/trial")
    page = admin.submit("trial-form")
    assert "refusée" in page.text
    assert claims(page, "id-token") == []
    assert world.last_event("client.tried")["details"]["step"] == "deny"


def test_a_test_sign_in_says_what_more_would_be_asked(admin: ConsoleAgent) -> None:
    admin.get("/admin/clients/carnet/trial")
    strongest = admin.page.forms["trial-form"].choices["acr"][-1]
    page = admin.submit("trial-form", acr=strongest)
    assert claims(page, "id-token") == []


def test_a_test_sign_in_says_that_people_are_asked_to_agree(admin: ConsoleAgent, world: World) -> None:
    admin.get("/admin/clients/curieux/trial")
    page = admin.submit("trial-form")
    assert "accord" in page.text
    assert claims(page, "id-token") != []
    with world.database.read() as tx:
        assert tx.clients.consented_scope(world.account("rose").id, "curieux") == frozenset()
