"""A whole journey through Vestibule, and every secret that was made or typed on the way: what must not be found in files or logs."""

import base64
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from flask.json.tag import TaggedJSONSerializer
from itsdangerous import URLSafeTimedSerializer

from tests.support.browser import Browser
from tests.support.cast import PASSWORD
from tests.support.relying_party import RelyingParty

MISTYPED = "Lavande-Tramway-62-Girafa"
IN_THE_WRONG_FIELD = "Mimosa-Caravelle-91-Belette"
STRANGER = "quelqu-un-d-autre@ailleurs.example"
INVENTED = "vestibule_cs_" + "x7q" * 14


@dataclass
class Journey:
    """Walks with the browsers and applications it is given."""

    browsers: Callable[[], Browser]
    parties: Callable[[str], RelyingParty]
    secrets: dict[str, str] = field(default_factory=dict)

    def walk(self) -> Mapping[str, str]:
        """Wrong passwords, a sign-in, tokens, a refresh and its repetition, refusals, a sign-out; what was secret, by name."""
        browser, party = self.browsers(), self.parties("carnet")
        page = browser.get(party.begin(scope="openid profile email establishment offline_access"))
        self._keep("interaction", urlsplit(page.url).path.rpartition("/")[2])
        for identifier, password in (
            ("claire.dubois", MISTYPED),
            (IN_THE_WRONG_FIELD, "x" * 12),
            (STRANGER, MISTYPED),
        ):
            page = browser.sign_in(identifier, password, page=page)
        self.secrets |= {"mistyped": MISTYPED, "wrong field": IN_THE_WRONG_FIELD, "stranger": STRANGER, "password": PASSWORD}
        page = browser.sign_in("claire.dubois", PASSWORD, page=page)
        assert page.callback is not None, page
        self._keep("code", page.callback["code"])
        begun = party.begun
        assert begun is not None
        self._keep("verifier", begun.verifier or "")
        tokens = party.exchange(page.callback)
        self._keep_answer("first", tokens.answer)
        self._keep_cookies(browser)
        self._keep("form token", browser.get("/account").document.forms[0].fields["csrf_token"])
        refreshed = party.refresh(tokens.refresh)
        assert party.refresh(tokens.refresh).content == refreshed.content
        self._keep_answer("second", refreshed.json())
        self._machines(party, refreshed.json())
        signed_out = browser.get(party.sign_out_url(id_token_hint=tokens.identity))
        assert signed_out.status in {200, 303}, signed_out
        return self.secrets

    def _machines(self, party: RelyingParty, answer: Mapping[str, Any]) -> None:
        self._keep("client secret", party.registered.secret or "")
        assert party.userinfo(answer["access_token"]).status_code == 200
        assert party.introspect(answer["access_token"]).status_code == 200
        self._keep("own token", party.client_credentials().json()["access_token"])
        signer = self.parties("signataire")
        assertion = signer.assertion()
        sent = {"grant_type": "client_credentials", "client_assertion": assertion}
        sent["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        for _ in range(2):
            party.machine.post(party.metadata["token_endpoint"], data=sent)
        self._keep("assertion", assertion)
        wrong = secrets.token_urlsafe(32)
        fields = {"grant_type": "refresh_token", "refresh_token": wrong, "client_id": "envoi", "client_secret": INVENTED}
        assert party.machine.post(party.metadata["token_endpoint"], data=fields).status_code == 401
        assert party.refresh(wrong).status_code == 400
        self._keep("wrong refresh token", wrong)
        self._keep("wrong client secret", INVENTED)
        assert party.userinfo(answer["access_token"][:-8] + "AAAAAAAA").status_code == 401

    def _keep(self, name: str, value: str) -> None:
        assert len(value) >= 12, (name, value)
        self.secrets[name] = value

    def _keep_answer(self, name: str, answer: Mapping[str, Any]) -> None:
        for kind in ("access_token", "refresh_token", "id_token"):
            self._keep(f"{name} {kind}", answer[kind])

    def _keep_cookies(self, browser: Browser) -> None:
        prefix = "__Host-" if browser.issuer.startswith("https") else ""
        session, signed = browser.cookie(f"{prefix}vestibule-session"), browser.cookie(f"{prefix}vestibule-browser")
        assert session is not None
        assert signed is not None
        self._keep("session cookie", session.value)
        self._keep("browser cookie", signed.value)
        reader = URLSafeTimedSerializer("", salt="cookie-session", serializer=TaggedJSONSerializer())
        _, payload = reader.loads_unsafe(signed.value)
        self._keep("browser secret", payload["browser"])


def forms_of(secret: str) -> Iterator[bytes]:
    """A secret in the clear and in the disguises that are none. The signature alone gives a JWT away: it is looked for by itself."""
    texts = [secret, secret.rpartition(".")[2]] if secret.count(".") == 2 and secret.startswith("eyJ") else [secret]
    for text in texts:
        raw = text.encode()
        yield raw
        yield quote(text, safe="").encode()
        yield raw.hex().encode()
        yield raw.hex().upper().encode()
        for encoded in (base64.b64encode(raw), base64.urlsafe_b64encode(raw)):
            yield encoded.rstrip(b"=")
        try:
            decoded = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except ValueError:
            continue
        # The bytes that the text stands for, when it stands for bytes.
        if len(decoded) >= 16:
            yield decoded
            yield decoded.hex().encode()


def found_in(secrets_by_name: Mapping[str, str], haystack: bytes) -> list[str]:
    """The names of the secrets that the haystack gives away."""
    return [name for name, secret in secrets_by_name.items() if any(form in haystack for form in forms_of(secret))]
