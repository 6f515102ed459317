"""Pages that never leave a person stranded: stale forms, other browsers, tabs, loops, broken stores; and what every page carries."""

import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from urllib.parse import urlsplit

import httpx
import pytest

from idp.crypto import digest
from tests.conftest import MakeWorld
from tests.flows.refusal import at_sign_in, issued
from tests.support.cast import PASSWORD
from tests.support.world import World

# Stale, reloaded, elsewhere


def test_page_begins_again_by_itself_when_left_open_too_long(world: World) -> None:
    browser, party = world.browser(), world.relying_party()
    page = browser.get(party.begin())
    world.clock.advance(timedelta(hours=9))
    again = browser.get(page.url)
    assert "signin-form" in again.forms
    assert again.url != page.url
    assert world.last_event("signin.restarted")["reason"] == "interaction_expired"
    again = browser.sign_in("claire.dubois", PASSWORD, page=again)
    assert again.callback is not None
    assert party.exchange(again.callback).answer["access_token"]  # the same state and nonce as asked


def test_form_begins_again_by_itself_when_sent_too_late(world: World) -> None:
    browser, page = at_sign_in(world)
    world.clock.advance(timedelta(hours=2))
    page = browser.sign_in("claire.dubois", PASSWORD, page=page)
    assert "signin-form" in page.forms
    assert page.callback is None
    assert browser.sign_in("claire.dubois", PASSWORD, page=page).callback is not None


def test_page_says_plainly_what_to_do_when_it_was_already_used(world: World) -> None:
    browser, page = at_sign_in(world)
    url = page.url
    assert browser.sign_in("claire.dubois", PASSWORD, page=page).callback is not None
    before = issued(world)
    page = browser.get(url)
    assert page.status == 410
    assert page.support_code
    assert "https://carnet.example/" in page.markup
    assert world.last_event("signin.restarted")["request_id"] == page.support_code
    assert issued(world) == before


def test_page_opened_in_another_browser_opens_nothing(world: World) -> None:
    _, page = at_sign_in(world)
    other, _ = at_sign_in(world)
    before = issued(world)
    stolen = other.get(page.url)
    assert stolen.status == 403
    assert "signin-form" not in stolen.forms
    event = world.last_event("signin.restarted")
    assert (event["reason"], event["request_id"]) == ("interaction_of_another_browser", stolen.support_code)
    fields = {
        **next(iter(other.get(world.relying_party().begin()).forms.values())).fields,
        "identifier": "claire.dubois",
        "password": PASSWORD,
    }
    assert other.post(urlsplit(page.url).path + "/login", fields).status == 403
    assert issued(world) == before


def test_page_explains_cookies_when_the_browser_keeps_none(world: World) -> None:
    browser, page = at_sign_in(world)
    browser.forget_cookies()
    page = browser.get(page.url)
    assert page.status == 400
    assert "cookies" in page.text.lower()
    assert page.support_code


def test_form_is_shown_again_when_its_token_is_stale(world: World) -> None:
    browser, page = at_sign_in(world)
    before, counted = issued(world), world.application.hasher.hash_count
    fields = {**page.forms["signin-form"].fields, "csrf_token": "x", "identifier": "claire.dubois", "password": PASSWORD}
    page = browser.post(page.forms["signin-form"].action, fields)
    assert page.status == 400
    event = world.last_event("request.refused")
    assert (event["reason"], event["request_id"]) == ("bad_form_token", page.support_code)
    assert issued(world) == before
    assert world.application.hasher.hash_count == counted
    assert browser.sign_in("claire.dubois", PASSWORD, page=page).callback is not None


@pytest.mark.parametrize("origin", ["https://mechant.example", "null", "http://connexion.example"])
def test_form_is_refused_when_another_site_sent_it(world: World, origin: str) -> None:
    browser, page = at_sign_in(world)
    before = issued(world)
    fields = {**page.forms["signin-form"].fields, "identifier": "claire.dubois", "password": PASSWORD}
    page = browser.post(page.forms["signin-form"].action, fields, headers={"Origin": origin})
    assert page.status == 400
    assert world.last_event("request.refused")["reason"] == "bad_form_token"
    assert issued(world) == before


def test_form_of_an_old_browser_is_accepted_when_it_names_no_sender(world: World) -> None:
    browser, page = at_sign_in(world)
    fields = {**page.forms["signin-form"].fields, "identifier": "claire.dubois", "password": PASSWORD}
    assert browser.post(page.forms["signin-form"].action, fields).callback is not None


def test_two_tabs_both_arrive_when_the_person_signs_in_once(world: World) -> None:
    browser, first = at_sign_in(world)
    _, second = at_sign_in(world, browser=browser, client="autre")
    assert browser.sign_in("claire.dubois", PASSWORD, page=first).callback is not None
    assert browser.get(second.url).callback is not None
    assert len(world.events("session.opened")) == 1


def test_form_sent_twice_signs_in_once(world: World) -> None:
    browser, page = at_sign_in(world)
    form = page.forms["signin-form"]
    fields = {**form.fields, "identifier": "claire.dubois", "password": PASSWORD}
    headers = {"Origin": world.issuer}
    for _ in range(2):  # the browser drops the first answer and follows the second
        response = browser.request("POST", form.action, data=fields, headers=headers)
        assert response.status_code == 303
    page = browser.get(response.headers["Location"])
    assert page.callback is not None
    assert len(world.events("session.opened")) == 1
    assert issued(world).codes == 1


def test_sign_in_ends_once_when_two_requests_end_it_at_the_same_time(world: World) -> None:
    for _ in range(5):
        browser, page = at_sign_in(world)
        before = issued(world).codes
        form = page.forms["signin-form"]
        fields = {**form.fields, "identifier": "claire.dubois", "password": PASSWORD}
        target = browser.request("POST", form.action, data=fields, headers={"Origin": world.issuer}).headers["Location"]
        cookies = {"Cookie": "; ".join(f"{name}={cookie.value}" for (_, name), cookie in browser.jar.items())}

        def end(_: int, target: str = target, cookies: dict[str, str] = cookies) -> str:
            return world.transport().get(target, headers=cookies).headers.get("Location", "")

        with ThreadPoolExecutor(8) as pool:
            arrived = [location for location in pool.map(end, range(8)) if "code=" in location]
        assert len(arrived) == 1
        assert issued(world).codes - before == 1
        world.clock.advance(timedelta(hours=1))


def test_ended_sign_in_stays_ended_when_a_late_form_stores_it_again(world: World) -> None:
    browser, page = at_sign_in(world)
    signin = world.application.signin
    form = page.forms["signin-form"]
    fields = {**form.fields, "identifier": "claire.dubois", "password": PASSWORD}
    target = browser.request("POST", form.action, data=fields, headers={"Origin": world.issuer}).headers["Location"]
    interaction_id = urlsplit(page.url).path.split("/")[2]
    stored = world.application.ephemeral.get("interaction", digest(interaction_id))
    assert browser.get(target).callback is not None
    world.application.ephemeral.put("interaction", digest(interaction_id), stored, timedelta(minutes=30))
    before = issued(world)
    assert browser.get(target).status == 410
    assert issued(world) == before
    assert signin.leftover(interaction_id) is not None


@pytest.mark.parametrize("address", ["/signin/a%0d%0aSet-Cookie:x/login", "/signin/%00", "/signin/..%2f..%2fx/login"])
def test_strange_addresses_are_answered_with_a_page(world: World, address: str) -> None:
    browser, _ = at_sign_in(world)
    assert browser.get(address).status in {404, 410}


def test_address_of_a_form_leads_to_its_page_when_loaded_again(world: World) -> None:
    browser, page = at_sign_in(world)
    page = browser.sign_in("claire.dubois", "faux", page=page)
    assert page.url.endswith("/login")
    page = browser.get(page.url + "?lang=en")
    assert page.document.language == "en"
    assert "signin-form" in page.forms


def test_looping_application_is_explained(world: World) -> None:
    signed = world.sign_in("claire")
    statuses = []
    for _ in range(9):
        page = signed.browser.get(signed.party.begin(), headers={"Sec-Fetch-Dest": "document"})
        statuses.append(page.callback is not None)
    assert statuses == [True] * 8 + [False]
    assert page.status == 429
    assert "cookies" in page.text.lower()
    event = world.last_event("signin.refused")
    assert (event["reason"], event["request_id"], event["client_id"]) == ("loop", page.support_code, "carnet")
    world.clock.advance(timedelta(seconds=61))
    assert signed.browser.get(signed.party.begin(), headers={"Sec-Fetch-Dest": "document"}).callback is not None


# Why one is asked again


def test_person_is_told_why_when_signed_out_for_idleness(world: World) -> None:
    signed = world.sign_in("claire", browser=world.browser(language="en"))
    world.clock.advance(timedelta(minutes=31))
    page = signed.browser.get(signed.party.begin())
    assert "signin-form" in page.forms
    assert "You were signed out because nothing had happened for a while." in page.text
    assert world.last_event("session.ended")["reason"] == "idle"
    assert signed.browser.cookie("__Host-vestibule-session") is None
    assert 'class="notice info"' not in signed.browser.get(page.url).markup


def test_person_is_told_when_the_absolute_limit_was_reached(world: World) -> None:
    signed = world.sign_in("claire")
    for _ in range(29):
        world.clock.advance(timedelta(minutes=29))
        page = signed.browser.get(signed.party.begin())
        if page.callback is None:
            break
    assert world.last_event("session.ended")["reason"] == "absolute_limit"
    assert "signin-form" in page.forms


def test_session_lives_on_when_the_person_is_active(world: World) -> None:
    signed = world.sign_in("claire")
    for _ in range(4):
        world.clock.advance(timedelta(minutes=20))
        assert signed.browser.get(signed.party.begin()).callback is not None


# What every page carries


def test_pages_carry_strict_headers(world: World) -> None:
    browser, page = at_sign_in(world)
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self' https://carnet.example;" in policy
    assert "frame-ancestors 'none'" in policy
    assert "base-uri 'none'" in policy
    assert "unsafe" not in policy
    for url in ("/help", "/account/password", "/nulle-part"):
        page = browser.get(url)
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert page.headers["Referrer-Policy"] == "same-origin"
        assert page.headers["Strict-Transport-Security"].startswith("max-age=")
        assert page.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "form-action 'self';" in page.headers["Content-Security-Policy"]
    world.sign_in("claire", browser=browser)
    for name in ("__Host-vestibule-browser", "__Host-vestibule-session"):
        cookie = browser.cookie(name)
        assert cookie is not None
        assert (cookie.secure, cookie.http_only, cookie.same_site.lower()) == (True, True, "lax")


def test_pages_load_nothing_from_elsewhere(world: World) -> None:
    browser, page = at_sign_in(world)
    for resource in page.document.resources:
        assert urlsplit(resource).netloc in {"", urlsplit(world.issuer).netloc}
        answer = browser.request("GET", resource)
        assert answer.status_code == 200
        assert "max-age" in answer.headers["Cache-Control"]
        assert answer.headers["ETag"]


def test_establishment_and_contact_are_shown_when_they_are_known(world: World) -> None:
    _, page = at_sign_in(world, client="glycines")
    assert "Les Glycines" in page.text
    assert "Yann Le Goff" in page.text
    _, page = at_sign_in(world, establishment="tilleuls")
    assert "Nadia Ferrand" in page.text
    signed = world.sign_in("claire")
    signed.browser.post("/logout")
    signed.browser.jar.pop(("connexion.example", "__Host-vestibule-session"), None)
    assert "Les Tilleuls" in signed.browser.get(signed.party.begin()).text  # last used in this browser


@pytest.mark.parametrize(
    ("accepted", "ui_locales", "language"),
    [("fr", None, "fr"), ("en-GB,en;q=0.8", None, "en"), ("de", None, "fr"), ("fr", "en", "en"), ("en", "de fr-CA", "fr")],
)
def test_page_speaks_the_language_that_was_asked(world: World, accepted: str, ui_locales: str | None, language: str) -> None:
    browser = world.browser(language=accepted)
    page = browser.get(world.relying_party().begin(**({"ui_locales": ui_locales} if ui_locales else {})))
    assert page.document.language == language


def test_choice_of_language_is_kept_when_the_client_asked_for_another(world: World) -> None:
    browser, page = at_sign_in(world, ui_locales="fr")
    page = browser.get(page.url + "?lang=en")
    assert page.document.language == "en"
    page = browser.sign_in("claire.dubois", "wrong", page=page)
    assert page.document.language == "en"
    assert browser.get("/help").document.language == "en"


@pytest.mark.parametrize("user_agent", ["Mozilla/5.0 (Windows NT 6.1; Trident/7.0; rv:11.0) like Gecko", ""])
def test_page_works_when_the_browser_is_obsolete_or_says_nothing(world: World, user_agent: str) -> None:
    browser = world.browser(user_agent=user_agent)
    _, page = at_sign_in(world, browser=browser)
    assert browser.sign_in("claire.dubois", PASSWORD, page=page).callback is not None


# Wrong turns


@pytest.mark.parametrize(
    ("method", "url", "status"),
    [
        ("GET", "/nulle-part", 404),
        ("POST", "/help", 405),
        ("GET", "/account/signout", 405),
        ("GET", "/signin/", 404),
        ("PUT", "/account", 405),
    ],
)
def test_visitor_reads_what_happened_when_the_address_is_wrong(world: World, method: str, url: str, status: int) -> None:
    response = world.browser().request(method, url, headers={"Origin": world.issuer})
    assert response.status_code == status
    assert re.search(r"[0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]{5}", response.text)


def test_body_is_refused_when_it_is_larger_than_any_form(world: World) -> None:
    browser, page = at_sign_in(world)
    page = browser.post(page.forms["signin-form"].action, {"identifier": "x" * 70_000})
    assert page.status == 413
    assert world.last_event("request.refused")["reason"] == "too_large"


def test_page_says_so_when_the_program_breaks(world: World) -> None:
    browser, page = at_sign_in(world)
    with world.arranging() as tx:
        tx.connection.exec_driver_sql("UPDATE passwords SET hash = 'not a hash'")
    page = browser.sign_in("claire.dubois", PASSWORD, page=page)
    assert page.status == 500
    assert "Traceback" not in page.markup
    event = world.last_event("request.refused")
    assert (event["reason"], event["request_id"]) == ("internal_error", page.support_code)


@pytest.mark.sqlite
def test_page_says_so_when_the_database_is_gone(world: World) -> None:
    browser, page = at_sign_in(world)
    world.application.database.close()
    shutil.move(world.folder / "vestibule.db", world.folder / "elsewhere.db")
    for name in ("vestibule.db-wal", "vestibule.db-shm"):
        (world.folder / name).unlink(missing_ok=True)
    page = browser.sign_in("claire.dubois", PASSWORD, page=page)
    assert page.status == 503
    assert page.headers["Retry-After"]
    ready = httpx.Client(transport=httpx.WSGITransport(world.wsgi), base_url=world.issuer).get("/readyz")
    assert ready.status_code in {200, 503}


@pytest.mark.sqlite
def test_readiness_names_the_store_that_does_not_answer(world: World) -> None:
    browser = world.browser()
    assert browser.request("GET", "/healthz").json() == {"status": "ok"}
    assert browser.request("GET", "/readyz").json() == {"status": "ok", "database": "ok", "ephemeral": "ok"}
    world.application.ephemeral._connection.execute("DROP TABLE entries")
    answer = browser.request("GET", "/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "unavailable", "database": "ok", "ephemeral": "unavailable"}
    assert browser.request("GET", "/healthz").status_code == 200


def test_help_is_read_without_signing_in(world: World) -> None:
    page = world.browser().get("/help")
    assert page.status == 200
    assert "connexion.example" in page.text


def test_logo_is_served_with_nothing_running_in_it(world: World) -> None:
    with world.arranging() as tx:
        tx.establishments.change(
            world.establishment("tilleuls").id, {"logo": b"<svg xmlns='http://www.w3.org/2000/svg'/>", "logo_type": "image/svg+xml"}
        )
    answer = world.browser().request("GET", "/logo/tilleuls")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "image/svg+xml"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    again = world.browser().request("GET", "/logo/tilleuls", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304
    assert world.browser().request("GET", "/logo/inconnu").status_code == 404


def test_answers_arrive_when_the_client_is_an_application_of_the_device(make_world: MakeWorld) -> None:
    world = make_world()
    browser, page = at_sign_in(world, client="bureau", redirect_uri="example.bureau:/retour")
    assert "form-action 'self' example.bureau:;" in page.headers["Content-Security-Policy"]
    page = browser.sign_in("claire.dubois", PASSWORD, page=page)
    assert page.callback is not None
    assert page.callback.uri == "example.bureau:/retour"
