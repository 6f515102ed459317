"""The OpenID Connect connector against a real node-oidc-provider: what it asks, whom it believes, what it asks again."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from joserfc.jwk import RSAKey

from connectors.base import Arrival, Ask, Departure, Lapsed, SourceMisbehaved, SourceUnreachable, UpstreamRefused
from connectors.oidc.provider import OidcProvider
from connectors.oidc.settings import OidcSettings
from tests.support.browser import Browser
from tests.support.fixed_clock import FixedClock
from tests.support.node_provider import CODE, MFA, ONE_FACTOR, PSC_PEOPLE, PSC_SCOPES, NodeProvider, node_provider_serving

CALLBACK = "http://localhost:1/upstream/amont/callback"
OURS = RSAKey.generate_key(2048)
WITH_KEY = {
    "client_id": "with-key",
    "token_endpoint_auth_method": "private_key_jwt",
    "token_endpoint_auth_signing_alg": "RS256",
    "jwks": {"keys": [OURS.as_dict(private=False) | {"kid": OURS.thumbprint(), "use": "sig"}]},
}
WITH_POST = {
    "client_id": "with-post",
    "client_secret": "a-secret-of-forty-characters-0123456789ab",
    "token_endpoint_auth_method": "client_secret_post",
}
SIGNED = {
    "client_id": "signed",
    "client_secret": "another-secret-of-forty-characters-012345",
    "userinfo_signed_response_alg": "ES256",
    "id_token_signed_response_alg": "ES256",
}


@pytest.fixture(scope="module")
def running_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProvider]:
    with node_provider_serving(tmp_path_factory.mktemp("node"), [CALLBACK], clients=(WITH_KEY, WITH_POST, SIGNED)) as provider:
        yield provider


@pytest.fixture
def node(running_node: NodeProvider, clock: FixedClock) -> NodeProvider:
    running_node.reset()
    running_node.set_time(clock.now())
    return running_node


class Door:
    """What our sign-in does with the connector, and a person with a browser of their own."""

    def __init__(self, node: NodeProvider, clock: FixedClock, folder: Path, **more: Any) -> None:
        self.node, self.clock, self.folder = node, clock, folder
        self.opened = ExitStack()
        self.connector = self.open(**more)
        self.browser = Browser(self.opened.enter_context(httpx.Client(trust_env=False)), node.issuer)

    def open(self, **more: Any) -> OidcProvider:
        settings = {name: value for name, value in self.node.settings().items() if name not in {"type", "name", "label"}}
        settings = {name: value for name, value in (settings | more).items() if value is not None}
        connector = OidcProvider("amont", OidcSettings.model_validate(settings), self.clock)
        self.opened.callback(connector.close)
        return connector

    def secret(self, text: str) -> str:
        file = self.folder / "secret"
        file.write_text(text, encoding="utf-8")
        return f"file:{file}"

    def begin(self, **ask: Any) -> Departure:
        return self.connector.begin(CALLBACK, state="the-state", ask=Ask(**ask))

    def go(self, departure: Departure, login: str = "claire", code: str = CODE, act: str = "sign-in") -> dict[str, str]:
        """The person signs in there; what the browser brings back."""
        page = self.browser.get(departure.url)
        if page.callback is None:
            page = self.browser.submit("upstream-form", button=act, login=login, code=code)
        assert page.callback is not None, f"{page!r} {self.node.log.read_text()[-2000:]}"
        assert page.callback.uri == CALLBACK
        return page.callback.parameters

    def complete(self, departure: Departure, parameters: dict[str, str]) -> Arrival:
        return self.connector.complete(parameters, callback_url=CALLBACK, kept=departure.kept)

    def arrive(self, login: str = "claire", **ask: Any) -> Arrival:
        departure = self.begin(**ask)
        return self.complete(departure, self.go(departure, login))

    def problem(self, departure: Departure, parameters: dict[str, str]) -> str | None:
        with pytest.raises(SourceMisbehaved) as refused:
            self.complete(departure, parameters)
        return refused.value.problem


@pytest.fixture
def door(node: NodeProvider, clock: FixedClock, tmp_path: Path) -> Iterator[Door]:
    door = Door(node, clock, tmp_path)
    with door.opened:
        yield door


def asked(departure: Departure) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(departure.url).query))


def test_person_arrives_with_what_the_provider_says_of_them(door: Door) -> None:
    arrival = door.arrive()
    identity = arrival.identity
    assert (identity.connector, identity.subject, identity.username) == ("amont", "u-claire", "claire")
    assert (identity.given_name, identity.family_name, identity.email) == ("Claire", "Amont", "claire@amont.example")
    assert identity.groups == {"tilleuls-ide", "tous"}
    assert (arrival.acr, arrival.is_multi_factor) == (None, False)  # nothing was asked of it
    assert arrival.refresh_token is not None
    assert arrival.refresh_token not in repr(arrival)


def test_request_carries_state_nonce_pkce_and_what_the_sign_in_wants(door: Door) -> None:
    door.connector = door.open(acr_values=[ONE_FACTOR, MFA])
    departure = door.begin(login_hint="claire", max_age=timedelta(minutes=5), ui_locales="fr")
    parameters = asked(departure)
    assert parameters["code_challenge_method"] == "S256"
    assert len(parameters["code_challenge"]) == 43
    assert departure.kept["verifier"] not in departure.url
    assert parameters["nonce"] == departure.kept["nonce"]
    assert (parameters["state"], parameters["response_type"], parameters["redirect_uri"]) == ("the-state", "code", CALLBACK)
    assert parameters["acr_values"] == f"{ONE_FACTOR} {MFA}"
    assert (parameters["login_hint"], parameters["max_age"], parameters["ui_locales"]) == ("claire", "300", "fr")
    assert "prompt" not in parameters
    assert asked(door.begin())["nonce"] != parameters["nonce"]
    assert departure.kept["verifier"] not in repr(departure)


def test_claims_are_read_where_the_settings_say(door: Door) -> None:
    claims = {
        "number": "phone_number",
        "phone": "phone_number",
        "groups": [],
        "roles": ["realm_access.roles"],
        "attributes": ["department", "email_verified"],
    }
    door.connector = door.open(scopes=["openid", "profile", "email", "phone"], claims=claims)
    identity = door.arrive().identity
    assert (identity.number, identity.phone_number) == ("+33612345678", "+33612345678")
    assert identity.groups == {"infirmier"}
    assert identity.attributes == {"department": ("Soins",), "email_verified": ("true",), "roles": ("Infirmier",)}


def test_unverified_email_is_kept_only_when_the_operator_says_so(door: Door) -> None:
    assert door.arrive("driss").identity.email is None
    door.connector = door.open(trusts_unverified_email=True)
    assert door.arrive("driss").identity.email == "driss@amont.example"


def test_second_factor_is_believed_by_the_agreed_level_only(door: Door) -> None:
    door.connector = door.open(mfa_acr=[MFA])
    assert not door.arrive().is_multi_factor
    door.browser.forget_cookies()
    arrival = door.arrive(wants_mfa=True)
    assert (arrival.acr, arrival.is_multi_factor) == (MFA, True)


def test_level_is_demanded_as_an_essential_claim_when_the_operator_says_so(door: Door) -> None:
    assert door.arrive().acr is None
    door.connector = door.open(mfa_acr=[MFA])
    wish = door.begin(wants_mfa=True)
    assert door.problem(wish, door.go(wish)) == "assurance"  # its session answered in silence
    door.connector = door.open(mfa_acr=[MFA], acr_request="claims")
    demand = door.begin(wants_mfa=True)
    assert json.loads(asked(demand)["claims"]) == {"id_token": {"acr": {"essential": True, "values": [MFA]}}}
    assert "acr_values" not in asked(demand)
    assert door.complete(demand, door.go(demand)).is_multi_factor
    demand = door.begin(wants_mfa=True)
    door.browser.forget_cookies()
    assert door.problem(demand, door.go(demand, "driss")) == "assurance"


def test_person_without_the_level_that_was_asked_is_refused(door: Door) -> None:
    door.connector = door.open(mfa_acr=[MFA])
    departure = door.begin(wants_mfa=True)
    assert door.problem(departure, door.go(departure, "driss")) == "assurance"
    door.connector = door.open(acr_values=[MFA])
    departure = door.begin()
    assert door.problem(departure, door.go(departure, "driss")) == "assurance"


def test_forced_prompt_is_asked_and_seen_to_have_been_obeyed(door: Door) -> None:
    first, began = door.arrive(), door.clock.now()
    assert first.auth_time == began  # asked of it with every sign-in
    door.node.set_time(door.clock.advance(timedelta(minutes=30)))
    silent = door.begin()
    parameters = door.go(silent)  # its own session answers in silence, and says since when
    assert door.complete(silent, parameters).auth_time == began
    departure = door.begin(forces_prompt=True)
    assert (asked(departure)["prompt"], asked(departure)["max_age"]) == ("login", "0")
    assert door.browser.get(departure.url).callback is None
    arrival = door.complete(departure, door.go(departure))
    assert arrival.auth_time == door.clock.now()


def test_silent_answer_to_a_forced_prompt_is_refused(door: Door) -> None:
    door.arrive()
    door.node.set_time(door.clock.advance(timedelta(minutes=30)))
    departure = door.begin(forces_prompt=True)
    # A browser that takes the demand out of the address on its way.
    url = departure.url.replace("&prompt=login", "").replace("&max_age=0", "&max_age=86400")
    parameters = door.go(Departure(url, departure.kept))
    assert door.problem(departure, parameters) == "too_old"
    departure = door.begin(forces_prompt=True)
    parameters = door.go(Departure(departure.url.replace("&prompt=login", "").replace("&max_age=0", ""), departure.kept))
    assert door.problem(departure, parameters) == "too_old"
    door.connector = door.open(auth_time_required=False)
    departure = door.begin(forces_prompt=True)
    parameters = door.go(Departure(departure.url.replace("&prompt=login", "").replace("&max_age=0", ""), departure.kept))
    assert door.complete(departure, parameters).identity.subject == "u-claire"


def test_code_is_taken_once(door: Door) -> None:
    departure = door.begin()
    parameters = door.go(departure)
    assert door.complete(departure, parameters)
    assert door.problem(departure, parameters) == "code_refused"


def test_code_of_another_sign_in_is_refused(door: Door) -> None:
    mine, other = door.begin(), door.begin()
    stolen = door.go(other)
    assert door.problem(mine, {**stolen, "state": "another"}) == "state"
    assert door.problem(mine, {key: value for key, value in stolen.items() if key != "state"}) == "state"
    # Even under the right state: PKCE is checked there, and the nonce would be here.
    assert door.problem(mine, stolen) == "code_refused"


def test_answer_of_another_provider_is_refused_before_its_code_is_sent(door: Door) -> None:
    departure = door.begin()
    parameters = door.go(departure)
    assert door.problem(departure, {**parameters, "iss": "https://elsewhere.example"}) == "callback_issuer"
    assert door.problem(departure, {key: value for key, value in parameters.items() if key != "iss"}) == "callback_issuer"
    assert door.complete(departure, parameters)


@pytest.mark.parametrize("code", ["", "made-up", "é", "\x00", "a b&c=d", "%zz", "x" * 5000, "\ud7ff", '"', "\r\nHost: evil"])
def test_made_up_code_is_refused(door: Door, code: str) -> None:
    departure = door.begin()
    assert door.problem(departure, {"state": "the-state", "iss": door.node.issuer, "code": code}) == "code_refused"


def test_person_who_gives_up_is_told_from_one_who_is_forged(door: Door) -> None:
    departure = door.begin()
    parameters = door.go(departure, act="cancel")
    with pytest.raises(UpstreamRefused) as refused:
        door.complete(departure, parameters)
    assert refused.value.error == "access_denied"
    forged = {**parameters, "error": "<script>", "error_description": "\x1b[31mred\n"}
    with pytest.raises(UpstreamRefused) as refused:
        door.complete(departure, forged)
    assert refused.value.error == "invalid"
    assert refused.value.detail.isprintable()
    assert door.problem(departure, {**parameters, "iss": "https://elsewhere.example"}) == "callback_issuer"


def test_provider_is_asked_again_with_the_refresh_token(door: Door) -> None:
    arrival = door.arrive()
    assert arrival.refresh_token is not None
    door.node.change("u-claire", claims={"family_name": "Nouveau", "groups": ["rosiers-ide"]})
    door.node.set_time(door.clock.advance(timedelta(minutes=10)))
    renewal = door.connector.renew("u-claire", arrival.refresh_token)
    assert (renewal.identity.family_name, renewal.identity.groups) == ("Nouveau", {"rosiers-ide"})
    assert renewal.refresh_token not in (None, arrival.refresh_token)
    again = door.connector.renew("u-claire", renewal.refresh_token or "")
    assert again.identity.subject == "u-claire"
    with pytest.raises(Lapsed):
        door.connector.renew("u-claire", arrival.refresh_token)  # it was rotated


def test_person_who_is_gone_there_lapses(door: Door) -> None:
    arrival = door.arrive()
    door.node.change("u-claire", disabled=True)
    with pytest.raises(Lapsed):
        door.connector.renew("u-claire", arrival.refresh_token or "")


def test_refresh_token_of_another_person_is_refused(door: Door) -> None:
    arrival = door.arrive()
    with pytest.raises(SourceMisbehaved) as refused:
        door.connector.renew("u-driss", arrival.refresh_token or "")
    assert refused.value.problem == "subject"


def test_refresh_token_is_not_kept_when_the_operator_says_so(door: Door) -> None:
    door.connector = door.open(keeps_refresh_token=False)
    assert door.arrive().refresh_token is None


def test_person_arrives_after_the_provider_changed_its_keys(door: Door) -> None:
    assert door.arrive()
    door.node.rotate_keys()
    door.node.set_time(door.clock.advance(timedelta(minutes=2)))
    door.browser.forget_cookies()
    assert door.arrive().identity.subject == "u-claire"


def test_check_sees_whether_our_address_is_registered(door: Door) -> None:
    (step,) = [step for step in door.connector.check(CALLBACK) if step.title == "Redirect address"]
    assert (step.outcome, step.explanation) == ("ok", f"{CALLBACK} is registered")
    (step,) = [step for step in door.connector.check(f"{CALLBACK}/") if step.title == "Redirect address"]
    assert (step.outcome, "register that address there" in step.explanation) == ("failed", True)
    door.connector = door.open(client_id="nobody")
    (step,) = [step for step in door.connector.check(CALLBACK) if step.title == "Redirect address"]
    assert step.outcome == "failed"


def test_we_prove_ourselves_with_a_key(door: Door, tmp_path: Path) -> None:
    file = tmp_path / "client.pem"
    file.write_bytes(OURS.as_pem(private=True))
    door.connector = door.open(client_id="with-key", client_secret=None, client_key=str(file))
    assert door.arrive().identity.subject == "u-claire"
    assert [step.outcome for step in door.connector.check() if step.title == "Our credential"] == ["ok"]
    file.write_bytes(RSAKey.generate_key(2048).as_pem(private=True))
    departure = door.begin()
    parameters = door.go(departure)
    with pytest.raises(SourceUnreachable) as refused:
        door.complete(departure, parameters)
    assert refused.value.trouble == "service_account"
    file.write_text("rubbish", encoding="utf-8")
    with pytest.raises(SourceUnreachable, match="no private key"):
        door.complete(departure, parameters)


def test_we_prove_ourselves_in_the_body_when_the_operator_says_so(door: Door) -> None:
    secret = door.secret(WITH_POST["client_secret"])
    door.connector = door.open(client_id="with-post", client_secret=secret, client_authentication="client_secret_post")
    assert door.arrive().identity.subject == "u-claire"


def test_wrong_secret_is_our_trouble_and_not_the_persons(door: Door) -> None:
    door.connector = door.open(client_secret=door.secret("wrong"))
    departure = door.begin()
    parameters = door.go(departure)
    with pytest.raises(SourceUnreachable) as refused:
        door.complete(departure, parameters)
    assert refused.value.trouble == "service_account"
    assert "wrong" not in refused.value.detail
    assert parameters["code"] not in refused.value.detail


def test_signed_userinfo_is_believed_when_it_is_agreed(door: Door) -> None:
    secret = door.secret(SIGNED["client_secret"])
    for agreed in ("signed", "either"):
        door.browser.forget_cookies()
        door.connector = door.open(client_id="signed", client_secret=secret, userinfo=agreed)
        assert door.arrive().identity.family_name == "Amont"
    door.connector = door.open(client_id="signed", client_secret=secret)
    departure = door.begin()
    assert door.problem(departure, door.go(departure)) == "token_malformed"
    door.connector = door.open(userinfo="signed")
    departure = door.begin()
    assert door.problem(departure, door.go(departure)) == "token_malformed"


def test_provider_that_is_gone_is_unreachable_and_then_left_alone(tmp_path: Path, clock: FixedClock) -> None:
    with node_provider_serving(tmp_path, [CALLBACK]) as node:
        node.set_time(clock.now())
        door = Door(node, clock, tmp_path, failures=2)
        arrival = door.arrive()
    # Its metadata is known, so people are still sent there; what must be asked of it fails.
    assert door.begin().url.startswith(node.issuer)
    for trouble in ("refused", "refused", "paused"):
        with pytest.raises(SourceUnreachable) as refused:
            door.connector.renew("u-claire", arrival.refresh_token or "")
        assert refused.value.trouble == trouble
    door.clock.advance(timedelta(days=1))
    with pytest.raises(SourceUnreachable):
        door.begin()
    door.opened.close()


@pytest.fixture(scope="module")
def running_psc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProvider]:
    folder = tmp_path_factory.mktemp("psc")
    with node_provider_serving(folder, [CALLBACK], people=PSC_PEOPLE, scopes=PSC_SCOPES, levels=("eidas1",)) as provider:
        yield provider


def test_pro_sante_connect_needs_no_more_than_its_preset(running_psc: NodeProvider, clock: FixedClock, tmp_path: Path) -> None:
    running_psc.set_time(clock.now())
    door = Door(running_psc, clock, tmp_path, preset="pro-sante-connect")
    with door.opened:
        departure = door.begin()
        assert (asked(departure)["scope"], asked(departure)["acr_values"]) == ("openid scope_all", "eidas1")
        arrival = door.complete(departure, door.go(departure, "899700218896"))
    identity = arrival.identity
    assert (arrival.acr, arrival.is_multi_factor, arrival.refresh_token) == ("eidas1", True, None)
    assert identity.subject == "f:550dc1c8-d97b-4b1e-ac8c-8eb4471cf9dd:899700218896"
    assert (identity.number, identity.username, identity.family_name) == ("899700218896", "899700218896", "Amont")
    assert identity.email is None  # nobody is told apart by it, and the person wrote it
    assert identity.attributes is not None
    assert identity.attributes["rpps"] == ("99700218896",)
    assert identity.attributes["subjectrole"] == ("60^1.2.250.1.213.1.1.5.5",)
    assert identity.attributes["subjectrefpro.exercices.codeprofession"] == ("60",)
    assert identity.attributes["subjectrefpro.exercices.activities.numerofinesssite"] == ("750000001",)


@pytest.mark.parametrize(
    ("environment", "issuer"),
    [
        ("production", "https://auth.esw.esante.gouv.fr/auth/realms/esante-wallet"),
        ("sandbox", "https://auth.bas.psc.esante.gouv.fr/auth/realms/esante-wallet"),
        (None, "https://auth.esw.esante.gouv.fr/auth/realms/esante-wallet"),
    ],
)
def test_preset_knows_both_environments(door: Door, environment: str | None, issuer: str) -> None:
    written = {"preset": "pro-sante-connect", "client_id": "x", "client_secret": door.secret("x"), "environment": environment}
    settings = OidcSettings.model_validate({name: value for name, value in written.items() if value is not None})
    assert settings.issuer == issuer
    assert settings.document_url == f"{issuer}/.well-known/wallet-openid-configuration"
    assert (settings.scopes, settings.acr_values, settings.mfa_acr) == (("openid", "scope_all"), ("eidas1",), ("eidas1",))


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ({"issuer": "http://provider.example"}, "https"),
        ({"issuer": "https://user:pass@provider.example"}, "https"),
        ({"issuer": "https://provider.example?x=1"}, "https"),
        ({"issuer": "ftp://provider.example"}, "https"),
        ({"metadata_url": "http://provider.example/metadata"}, "https"),
        ({"issuer": "HTTPS://provider.example"}, "https"),
        ({"issuer": "https://[provider"}, "https"),
        ({"proxy": "proxy:3128"}, "proxy"),
        ({"client_secret": None}, "client_secret"),
        ({"client_key": "key.pem"}, "client_secret"),
        ({"client_authentication": "private_key_jwt"}, "client_key"),
        ({"scopes": ["profile"]}, "openid"),
        ({"environment": "sandbox"}, "preset"),
        ({"preset": "pro-sante-connect", "environment": "moon"}, "environment"),
        ({"preset": "france-connect"}, "preset"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(door: Door, written: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        door.open(**written)
