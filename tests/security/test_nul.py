"""A NUL, and text longer than any column, wherever a stranger can put it: an ordinary refusal, never an error. PostgreSQL can keep neither."""

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import quote

import httpx

from tests.support.relying_party import basic
from tests.support.world import World

NUL = "a\x00b"
LONG = "n" * 3000
VALUES = (NUL, "\x00", LONG)


def assertion_of(subject: str) -> str:
    """A client assertion that nobody signed."""
    parts = ({"alg": "ES256"}, {"iss": subject, "sub": subject, "aud": "x", "jti": subject, "exp": 1})
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + ".c2ln"


ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MACHINE: dict[str, Callable[[httpx.Client, str], httpx.Response]] = {
    "basic client_id": lambda machine, value: machine.post(
        "/token", data={"grant_type": "client_credentials"}, headers={"Authorization": basic(value, "secret")}
    ),
    "encoded basic client_id": lambda machine, value: machine.post(
        "/token", data={"grant_type": "client_credentials"}, headers={"Authorization": basic(quote(value), "secret")}
    ),
    "basic secret": lambda machine, value: machine.post(
        "/token", data={"grant_type": "client_credentials"}, headers={"Authorization": basic("carnet", value)}
    ),
    "posted client_id": lambda machine, value: machine.post(
        "/token", data={"grant_type": "client_credentials", "client_id": value, "client_secret": "x"}
    ),
    "public client_id": lambda machine, value: machine.post("/token", data={"grant_type": "refresh_token", "client_id": value}),
    "assertion": lambda machine, value: machine.post(
        "/token",
        data={"grant_type": "client_credentials", "client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion_of(value)},
    ),
    "grant_type": lambda machine, value: machine.post("/token", data={"grant_type": value}),
    "introspected token": lambda machine, value: machine.post("/introspect", data={"token": value, "client_id": "tablette"}),
    "revoked token": lambda machine, value: machine.post("/revoke", data={"token": value, "client_id": "tablette"}),
    "bearer": lambda machine, value: machine.post("/userinfo", data={"access_token": value}),
}


# Where what is sent is not judged before the client is looked for, a NUL is refused in the very words in which an unknown name is.
SAME_WORDS = frozenset({"basic client_id", "encoded basic client_id", "basic secret", "assertion"})
PAGES = (
    "/logout?client_id={}",
    "/logout?id_token_hint={}",
    "/logout?post_logout_redirect_uri={}&state={}",
    "/logo/{}",
    "/signin/{}",
    "/?establishment={}",
    "/help?establishment={}",
    "/account?done={}",
    "/authorize?client_id={}",
    "/authorize?client_id=carnet&state={}&redirect_uri={}",
    "/authorize?client_id=carnet&login_hint={}&establishment={}",
    "/no/such/{}",
)


def test_machine_endpoints_refuse_as_they_always_do(world: World) -> None:
    for where, send in MACHINE.items():
        ordinary = send(world.machine, "nobody")
        for value in VALUES:
            answer = send(world.machine, value)
            assert answer.status_code in ({200} if where == "revoked token" else {400, 401}) | {400}, (where, answer.text)
            if value == NUL and where in SAME_WORDS:
                assert (answer.status_code, answer.json()) == (ordinary.status_code, ordinary.json()), where


def test_pages_refuse_as_they_always_do(world: World) -> None:
    for browser in (world.browser(), world.sign_in("claire", "carnet").browser):
        for path in PAGES:
            for value in VALUES:
                answer = browser.request("GET", path.replace("{}", quote(value)))
                assert answer.status_code < 500, (path, answer.text)
    assert not [line for line in world.events() if line["reason"] == "internal_error"]


def test_forms_refuse_as_they_always_do(world: World) -> None:
    for value in VALUES:
        browser = world.browser()
        refused = browser.sign_in(value, value, page=browser.get(world.relying_party("carnet").begin()))
        assert refused.status in {400, 403, 429}
    signed_in = world.sign_in("claire", "carnet").browser
    account = signed_in.get("/account")
    form = next(form for form in account.forms.values() if form.fields.get("csrf_token"))
    for value in VALUES:
        for name, action in (("session_id", "/account/sessions/end"), ("establishment", "/account/establishment")):
            data = {**form.fields, name: value}
            answer = signed_in.request("POST", action, data=data, headers={"Origin": world.issuer})
            assert answer.status_code < 500, answer.text
    assert not [line for line in world.events() if line["reason"] == "internal_error"]


def test_what_a_browser_says_of_itself_is_cut_and_kept(world: World) -> None:
    browser = world.browser(user_agent="Navigateur " + "x" * 5000)
    browser.get(world.relying_party("carnet").begin(state="s" * 500, nonce="n" * 2000, claims_locales="fr " * 40, ui_locales="fr " * 400))
    line = world.sign_in("claire", "carnet", browser=browser, claims_locales="fr " * 40)
    assert line.tokens.access
    assert len(world.last_event("session.opened")["user_agent"]) <= 300


def test_what_a_claims_request_holds_comes_back_as_it_was(world: World) -> None:
    claims = {"id_token": {"acr": {"values": ["a\x00b", "é\ud83d\ude00"]}}, "userinfo": {"name": None}}
    signed_in = world.sign_in("claire", "carnet", claims=json.dumps(claims))
    with world.database.read() as tx:
        (grant,) = tx.grants.open_of_account(world.account("claire").id)
    assert grant.claims is not None
    assert grant.claims["userinfo"] == {"name": None}
    world.clock.advance(timedelta(seconds=1))
    assert signed_in.party.refresh(signed_in.tokens.refresh).status_code == 200
