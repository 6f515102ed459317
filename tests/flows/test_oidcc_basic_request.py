"""oidcc-basic-certification-test-plan: redirect URIs, request objects, unknown and repeated parameters, POST, and what the hints change.

OpenID Connect Core 1.0 sections 3.1.2.1, 3.1.2.6, 6 and 7.2.1; RFC 6749 section 3.1; RFC 8252 section 7.3; RFC 9207; RFC 9700 section 4.1.3.
"""

import base64
import json
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from idp.signin.local import ACR_PASSWORD
from tests.support.refusals import assert_refused_by_redirect, assert_refused_on_a_page, nothing_issued
from tests.support.relying_party import RelyingParty
from tests.support.world import World


@pytest.mark.parametrize(
    "redirect_uri",
    [
        None,
        "https://carnet.example/retour/xyz",
        "https://carnet.example/retour?foo=bar",
        "https://carnet.example/retour#ancre",
        "https://carnet.example/retour/",
        "https://carnet.example/Retour",
        "https://carnet.example:443/retour",
        "http://carnet.example/retour",
        "https://carnet.example@voleur.example/retour",
        "https://carnet.example/%72etour",
        "https://autre.example/retour",
        "javascript:alert(1)",
        "//carnet.example/retour",
        " https://carnet.example/retour",
    ],
)
def test_error_is_shown_here_when_redirect_uri_is_not_the_registered_one(
    world: World, carnet: RelyingParty, redirect_uri: str | None
) -> None:
    """oidcc-ensure-registered-redirect-uri, oidcc-redirect-uri-query-added: letter for letter, or a page."""
    with nothing_issued(world):
        page = world.browser().get(carnet.begin(redirect_uri=redirect_uri))
    assert_refused_on_a_page(world, page, reason="redirect_uri_mismatch", client_id="carnet")
    assert redirect_uri is None or redirect_uri not in page.markup


@pytest.mark.parametrize("client_id", [None, "", "inconnu", "carnet ", "CARNET", "<script>alert(1)</script>", "' OR 1=1 --"])
def test_error_is_shown_here_when_client_is_unknown(world: World, carnet: RelyingParty, client_id: str | None) -> None:
    """RFC 6749 section 4.1.2.1: never a redirect before the client is proven; what was claimed is kept in the Event only."""
    with nothing_issued(world):
        page = world.browser().get(carnet.begin(client_id=client_id))
    assert_refused_on_a_page(world, page, reason="unknown_client")
    assert "<script>alert" not in page.markup
    assert world.last_event("authorization.refused")["details"]["claimed_client"] == (client_id or "")


def test_error_is_shown_here_when_client_was_withdrawn(world: World, carnet: RelyingParty) -> None:
    """RFC 6749 section 4.1.2.1: a withdrawn client is an unknown one."""
    browser = world.browser()
    assert "signin-form" in browser.get(carnet.begin()).forms
    with world.arranging() as tx:
        tx.clients.end("carnet", world.clock.now())
    with nothing_issued(world):
        page = browser.get(carnet.begin())
    assert_refused_on_a_page(world, page, reason="unknown_client")


@pytest.mark.parametrize(
    "redirect_uri", ["http://127.0.0.1:49152/retour", "http://127.0.0.1/retour", "http://[::1]:8001/retour", "example.bureau:/retour"]
)
def test_desktop_application_signs_people_in_when_its_port_is_free(world: World, redirect_uri: str) -> None:
    """RFC 8252 section 7.3: any port of the registered loopback address; private-use schemes match exactly."""
    party, browser = world.relying_party("bureau"), world.browser()
    page = browser.sign_in("claire.dubois", world.password, page=browser.get(party.begin(redirect_uri=redirect_uri)))
    assert page.callback is not None
    assert page.callback.uri == redirect_uri
    assert party.exchange(page.callback).claims["sub"] == world.account("claire").id


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "http://localhost:49152/retour",
        "http://127.0.0.2:49152/retour",
        "http://127.0.0.1:49152/ailleurs",
        "https://127.0.0.1:49152/retour",
        "http://127.0.0.1:49152/retour?a=b",
        "http://127.0.0.1:99999/retour",
        "http://moi@127.0.0.1:49152/retour",
        "example.bureau:/retour/autre",
    ],
)
def test_error_is_shown_here_when_desktop_redirect_differs_in_more_than_the_port(world: World, redirect_uri: str) -> None:
    """RFC 8252 sections 7.3 and 8.3: only the port of the loopback address is free, and localhost is a name."""
    with nothing_issued(world):
        page = world.browser().get(world.relying_party("bureau").begin(redirect_uri=redirect_uri))
    assert_refused_on_a_page(world, page, reason="redirect_uri_mismatch", client_id="bureau")


def unsigned(**claims: str) -> str:
    def part(value: dict[str, str]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none'})}.{part(claims)}."


@pytest.mark.parametrize(
    ("parameter", "value", "error"),
    [
        ("request", unsigned(client_id="carnet", scope="openid", response_type="code"), "request_not_supported"),
        ("request_uri", "https://carnet.example/request.jwt", "request_uri_not_supported"),
        ("registration", '{"client_name":"Autre"}', "registration_not_supported"),
    ],
)
def test_application_is_told_when_it_sends_a_request_object(
    world: World, carnet: RelyingParty, parameter: str, value: str, error: str
) -> None:
    """oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported, and its request_uri twin: never ignored."""
    with nothing_issued(world):
        page = world.browser().get(carnet.begin(**{parameter: value}))
    callback = assert_refused_by_redirect(world, page, error=error, reason=error)
    assert carnet.begun is not None
    assert callback["state"] == carnet.begun.state


def test_error_is_shown_here_when_only_the_request_object_has_the_right_redirect_uri(world: World, carnet: RelyingParty) -> None:
    """oidcc-ensure-request-object-with-redirect-uri: an invalid redirect_uri page; never the default one."""
    inner = unsigned(client_id="carnet", redirect_uri="https://carnet.example/retour")
    with nothing_issued(world):
        page = world.browser().get(carnet.begin(redirect_uri="https://carnet.example/retour/faux", request=inner))
    assert_refused_on_a_page(world, page, reason="redirect_uri_mismatch", client_id="carnet")


def test_nurse_signs_in_when_request_has_unknown_parameters(world: World) -> None:
    """oidcc-ensure-request-with-unknown-parameter-succeeds."""
    assert world.sign_in("claire", extra="foobar", autre="é~'").tokens.claims["sub"] == world.account("claire").id


def test_nurse_signs_in_when_request_uses_pkce(world: World) -> None:
    """oidcc-ensure-request-with-valid-pkce-succeeds, also for a client that need not send it."""
    assert world.sign_in("claire", "ancien").party.begun is not None


@pytest.mark.parametrize(
    "name", ["state", "nonce", "scope", "response_type", "response_mode", "prompt", "code_challenge", "claims", "max_age", "login_hint"]
)
def test_application_is_told_when_a_parameter_is_repeated(world: World, carnet: RelyingParty, name: str) -> None:
    """RFC 6749 section 3.1: at most once, even with the same value twice."""
    url = carnet.begin()
    value = dict(parse_qsl(urlsplit(url).query)).get(name)
    repeated = [(name, value)] if value else [(name, "query")] * 2
    with nothing_issued(world):
        page = world.browser().get(f"{url}&{urlencode(repeated)}")
    callback = assert_refused_by_redirect(world, page, error="invalid_request", reason="duplicate_parameter")
    assert ("state" in callback.parameters) == (name != "state"), "which of two states is meant cannot be known"


@pytest.mark.parametrize(("name", "client_id"), [("client_id", None), ("redirect_uri", None)])
def test_error_is_shown_here_when_the_repeated_parameter_proves_the_client(
    world: World, carnet: RelyingParty, name: str, client_id: str | None
) -> None:
    """RFC 6749 sections 3.1 and 4.1.2.1: neither of two addresses is proven."""
    with nothing_issued(world):
        page = world.browser().get(f"{carnet.begin()}&{name}=https://voleur.example/")
    assert_refused_on_a_page(world, page, reason="duplicate_parameter", client_id=client_id)


def test_empty_parameter_counts_as_absent_when_sent(world: World, carnet: RelyingParty) -> None:
    """RFC 6749 section 3.1: parameters sent without a value are treated as if they were omitted."""
    browser = world.browser()
    url = carnet.begin(state=None, prompt="", max_age="", request="", claims="", login_hint="")
    page = browser.sign_in("claire.dubois", world.password, page=browser.get(f"{url}&state="))
    assert page.callback is not None
    assert page.callback.parameters.keys() == {"code", "iss"}


def test_nurse_signs_in_when_request_is_posted(world: World, carnet: RelyingParty) -> None:
    """oidcc-ensure-post-request-succeeds, from the application's own site."""
    browser = world.browser()
    fields = dict(parse_qsl(urlsplit(carnet.begin()).query))
    page = browser.post(carnet.metadata["authorization_endpoint"], fields, cross_site=True)
    page = browser.sign_in("claire.dubois", world.password, page=page)
    assert page.callback is not None
    assert carnet.exchange(page.callback).claims["sub"] == world.account("claire").id


def test_open_session_answers_when_request_is_posted_from_another_site(world: World) -> None:
    """oidcc-ensure-post-request-succeeds with someone there: SameSite=Lax cookies are found again."""
    browser = world.sign_in("claire").browser
    party = world.relying_party()
    fields = dict(parse_qsl(urlsplit(party.begin(prompt="none")).query))
    page = browser.post(party.metadata["authorization_endpoint"], fields, cross_site=True)
    assert page.callback is not None
    assert party.exchange(page.callback).claims["sub"] == world.account("claire").id


def test_error_is_shown_here_when_posted_request_has_a_foreign_redirect_uri(world: World, carnet: RelyingParty) -> None:
    """RFC 6749 section 4.1.2.1 by POST; parameters in the URL of a POST do not count."""
    fields = dict(parse_qsl(urlsplit(carnet.begin()).query)) | {"redirect_uri": "https://voleur.example/"}
    with nothing_issued(world):
        page = world.browser().post(f"{carnet.metadata['authorization_endpoint']}?redirect_uri=https://carnet.example/retour", fields)
    assert_refused_on_a_page(world, page, reason="redirect_uri_mismatch", client_id="carnet")


@pytest.mark.parametrize("state", ["a b", "a%2Fb", "a+b&c=d", "é~'\"<b>", "x" * 4096, "#?&=+;,/:@"])
def test_state_comes_back_letter_for_letter_when_sent(world: World, state: str) -> None:
    """RFC 6749 section 4.1.2: the exact value received, in answers and in errors."""
    browser = world.sign_in("claire").browser
    party = world.relying_party()
    for extra in ({}, {"max_age": "bientôt"}):
        callback = browser.get(party.begin(state=state, **extra)).callback
        assert callback is not None
        assert callback["state"] == state


@pytest.mark.parametrize("state", ["x" * 4097, "a\nb", "a\x00b", "a\x7fb"])
def test_error_is_shown_here_when_a_parameter_is_absurd(world: World, carnet: RelyingParty, state: str) -> None:
    """RFC 6749 appendix A.5: state is printable; and nothing is longer than 4096 characters."""
    with nothing_issued(world):
        page = world.browser().get(carnet.begin(state=state))
    assert_refused_on_a_page(world, page, reason="invalid_request")


@pytest.mark.parametrize("display", ["page", "popup", "touch", "wap", "rien"])
def test_nurse_sees_the_form_when_display_is_asked(world: World, carnet: RelyingParty, display: str) -> None:
    """oidcc-display-page, oidcc-display-popup: no value causes an error."""
    assert "signin-form" in world.browser().get(carnet.begin(display=display)).forms


def test_identifier_is_filled_in_when_login_hint_is_sent(world: World, carnet: RelyingParty) -> None:
    """oidcc-login-hint: shown in the field, escaped, and never trusted."""
    page = world.browser().get(carnet.begin(login_hint='claire.dubois"><b>'))
    assert page.forms["signin-form"].fields["identifier"] == 'claire.dubois"><b>'
    assert "<b>" not in page.markup


@pytest.mark.parametrize(
    ("ui_locales", "language"), [("en", "en"), ("fr", "fr"), ("se en-GB fr", "en"), ("fr-CA en", "fr"), ("se", "fr"), ("??", "fr")]
)
def test_page_speaks_the_asked_language_when_we_know_it(world: World, carnet: RelyingParty, ui_locales: str, language: str) -> None:
    """oidcc-ui-locales: the first we speak; none is no error."""
    page = world.browser(language="fr").get(carnet.begin(ui_locales=ui_locales))
    assert page.document.language == language


def test_nurse_signs_in_when_claims_locales_are_asked(world: World) -> None:
    """oidcc-claims-locales: no error."""
    assert world.sign_in("claire", claims_locales="se fr en").tokens.claims["sub"]


@pytest.mark.parametrize("acr_values", ["1 2", ACR_PASSWORD])
def test_nurse_signs_in_when_acr_values_are_asked(world: World, acr_values: str) -> None:
    """oidcc-ensure-request-with-acr-values-succeeds: voluntary, so unknown ones are no error; acr says what was done."""
    assert world.sign_in("claire", acr_values=acr_values).tokens.claims["acr"] == ACR_PASSWORD


def test_application_finds_the_acr_values_when_reading_the_metadata(world: World, carnet: RelyingParty) -> None:
    """oidcc-ensure-request-with-acr-values-succeeds asks the advertised ones; the ID token then holds one of them."""
    advertised = carnet.metadata["acr_values_supported"]
    assert world.sign_in("claire", acr_values=" ".join(advertised)).tokens.claims["acr"] in advertised


@pytest.mark.parametrize("path", ["query", "form_post"])
def test_error_answer_names_the_issuer_when_refused_in_any_mode(world: World, carnet: RelyingParty, path: str) -> None:
    """RFC 9207 section 2: iss in errors too, whatever the response mode."""
    with nothing_issued(world):
        page = world.browser().get(carnet.begin(prompt="none", response_mode=path))
    callback = assert_refused_by_redirect(world, page, error="login_required", reason="login_required")
    assert callback.mode == path


@pytest.mark.parametrize("mode", ["fragment", "web_message", "jwt", "QUERY"])
def test_application_is_told_when_response_mode_is_not_offered(world: World, carnet: RelyingParty, mode: str) -> None:
    """OAuth 2.0 Multiple Response Types section 2.1: refused, by query."""
    with nothing_issued(world):
        page = world.browser().get(carnet.begin(response_mode=mode))
    assert assert_refused_by_redirect(world, page, error="invalid_request", reason="invalid_request").mode == "query"
