"""A stand-in for Microsoft Entra ID and Graph over real HTTPS, from Microsoft's documentation, with its quirks: the one thing here that is not real.

v2.0 discovery per tenant and for `organizations` (issuer with {tenantid}), keys with their issuers, overlapping when they change; authorize with
pages that work without JavaScript; form_post; token endpoint (code with PKCE, refresh, client credentials; secret or assertion); Graph in
entra_graph.py. As there: iat and nbf are five minutes old, no amr in version 2.0, an old refresh token goes on after a new one was given, errors
carry AADSTS numbers.
"""

import json
import secrets
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx

from tests.support.certificates import PrivateAuthority, ServerCertificate
from tests.support.entra_directory import TenantDirectory
from tests.support.entra_graph import GraphService
from tests.support.entra_pages import error_page, form_post_page, login_page, mfa_page, read_action, read_form
from tests.support.entra_people import CLIENT_ID, MFA_CODE, OTHER_TENANT, PASSWORD, SECRET, TENANT, Person, Registration, usual_people
from tests.support.entra_token_endpoint import WORDS, Issued, TokenEndpoint, b64, describe, error_of
from tests.support.entra_tokens import Claims, SigningKey
from tests.support.entra_wire import SESSION_COOKIE, Fault, Reply, https_serving


@dataclass
class SignedIn:
    """A session of a browser there."""

    person: Person
    auth_time: int
    contexts: frozenset[str] = frozenset()


class Entra:
    """What it knows, and what is to go wrong: `forgery` is a key of FORGERIES, or None; `extra_claims` go into every ID token."""

    def __init__(self, folder: Path, authority: PrivateAuthority | None = None) -> None:
        self.authority = authority or PrivateAuthority(folder, "microsoft")
        self.port = 0
        self._made: dict[str, SigningKey] = {}
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        self._lock = threading.RLock()
        self.reset()

    def reset(self, now: Callable[[], datetime] | None = None) -> None:
        """As at first, by this clock (the real one when None)."""
        self.now = now or (lambda: datetime.now(UTC))
        self.tenants = {TENANT, OTHER_TENANT}
        self.people = usual_people()
        self.registration = Registration(secrets={SECRET: datetime(2100, 1, 1, tzinfo=UTC)})
        self.keys = [self.key("key-1"), self.key("key-2")]  # in use overlapping: the first signs, the next is published already
        self.foreign_key = self.key("key-of-another", OTHER_TENANT)
        self.forgery: str | None = None
        self.extra_claims: Claims = {}
        self.ignores_contexts = False
        self.overage_at = 200
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.codes: dict[str, Issued] = {}
        self.refresh_tokens: dict[str, Issued] = {}
        self.sessions: dict[str, SignedIn] = {}
        self.pending: dict[str, dict[str, str]] = {}
        self.refuses_at_authorize: tuple[str, int] | None = None
        self.graph = GraphService(self)
        self.tokens = TokenEndpoint(self)

    @property
    def seconds(self) -> int:
        """Now, in seconds since 1970."""
        return int(self.now().timestamp())

    @property
    def directory(self) -> TenantDirectory:
        """What an application sees in Graph, and what an administrator changes there."""
        return self.graph.directory

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def graph_url(self) -> str:
        return f"{self.url}/v1.0"

    def key(self, kid: str, tenant: str | None = None) -> SigningKey:
        """A key by its name: making one takes a while, so that tests share them."""
        if kid not in self._made:
            self._made[kid] = SigningKey.make(kid, tenant)
        return self._made[kid]

    def person(self, name: str) -> Person:
        """By the beginning of their user principal name."""
        return next(person for person in self.people if person.upn.startswith(name))

    def settings(self, **override: Any) -> dict[str, Any]:
        """The connector's settings for this stand-in, without its credential."""
        base = {
            "tenants": [TENANT],
            "client_id": CLIENT_ID,
            "authority": self.url,
            "graph": self.graph_url,
            "ca_file": str(self.authority.ca_file),
        }
        return {**base, **override}

    def fail(self, part: str, status: int, *, times: int = 1, body: bytes = b"{}", **headers: str) -> None:
        """The next requests whose path holds `part` go wrong."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.faults.append(Fault(part, status, times, named, body))

    def rotate(self) -> None:
        """The next key begins to sign; a new one is published beside it; the old one is withdrawn."""
        number = int(self.keys[-1].kid.split("-")[1]) + 1
        self.keys = [*self.keys[1:], self.key(f"key-{number}")]

    def asked(self, part: str) -> int:
        """How many requests had that in their path."""
        return sum(part in path for _, path, _ in self.requests)

    def date(self) -> str:
        """The Date header."""
        return format_datetime(self.now(), usegmt=True)

    @contextmanager
    def browser(self) -> Iterator[httpx.Client]:
        """A person's browser, for several sign-ins in a row."""
        context = ssl.create_default_context(cafile=str(self.authority.ca_file))
        with httpx.Client(verify=context, trust_env=False, timeout=20) as client:
            yield client

    def sign_in(self, url: str, name: str = "nadia", *, browser: httpx.Client | None = None) -> dict[str, str]:
        """What a person's browser brings back to us, after every page there: the form_post parameters."""
        if browser is None:
            with self.browser() as opened:
                return self.sign_in(url, name, browser=opened)
        answer = browser.get(url)
        for _ in range(4):
            fields = read_form(answer.text)
            if 'name="hiddenform"' in answer.text:
                return fields
            if 'name="passwd"' in answer.text:
                fields |= {"login": self.person(name).upn, "passwd": PASSWORD}
            elif 'name="otc"' in answer.text:
                fields["otc"] = MFA_CODE
            else:
                break
            answer = browser.post(f"{self.url}{read_action(answer.text)}", data=fields)
        raise AssertionError(answer.text)

    # Endpoints

    def answer(self, method: str, path: str, query: dict[str, str], form: dict[str, str], headers: dict[str, str]) -> Reply | None:
        """What is answered; None: the connection is dropped."""
        with self._lock:
            self.requests.append((method, path, form))
            for fault in self.faults:
                if fault.part in path and fault.times > 0:
                    fault.times -= 1
                    return Reply(fault.status, fault.body, headers=fault.headers) if fault.status else None
            if path.startswith("/v1.0/"):
                return self.graph.answer(method, path, query, headers)
            parts = path.strip("/").split("/")
            tenant, rest = parts[0], "/".join(parts[1:])
            if tenant not in {*self.tenants, "organizations", "common"}:
                return error_of(self.now(), "invalid_tenant", 90002)
            routes: dict[str, Callable[[], Reply]] = {
                "v2.0/.well-known/openid-configuration": lambda: self._metadata(tenant),
                "discovery/v2.0/keys": self._keys,
                "oauth2/v2.0/authorize": lambda: self._authorize(tenant, query, headers),
                "login": lambda: self._login(tenant, form, headers),
                "mfa": lambda: self._mfa(form, headers),
                "cancel": lambda: self._back(self.pending.pop(form["ctx"], {}), error="access_denied", code=65004),
                "oauth2/v2.0/token": lambda: self.tokens.answer(tenant, form),
            }
            return routes[rest]() if rest in routes else Reply.of({"error": "not found"}, 404)

    def _metadata(self, tenant: str) -> Reply:
        shown = tenant if tenant in self.tenants else "{tenantid}"
        base = f"{self.url}/{tenant}"
        return Reply.of(
            {
                "issuer": f"{self.url}/{shown}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "jwks_uri": f"{base}/discovery/v2.0/keys",
                "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
                "response_modes_supported": ["query", "fragment", "form_post"],
                "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
                "scopes_supported": ["openid", "profile", "email", "offline_access"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "request_uri_parameter_supported": False,
                "tenant_region_scope": None,
            }
        )

    def _keys(self) -> Reply:
        return Reply.of({"keys": [key.published(self.url) for key in (*self.keys, self.foreign_key)]})

    def _authorize(self, tenant: str, asked: dict[str, str], headers: dict[str, str]) -> Reply:
        registration = self.registration
        if asked.get("client_id") != registration.client_id:
            return Reply.page(error_page(700016, WORDS[700016]), 400)
        if asked.get("redirect_uri") not in registration.redirect_uris:
            return Reply.page(error_page(50011, WORDS[50011]))
        asked = {**asked, "tenant": tenant}
        if self.refuses_at_authorize is not None:
            error, code = self.refuses_at_authorize
            return self._back(asked, error=error, code=code)
        kept = self.sessions.get(headers.get("session", ""))
        if kept is not None and self._is_enough(kept, asked):
            return self._go_on(kept, asked)
        if asked.get("prompt") == "none":
            return self._back(asked, error="login_required", code=50058)
        return self._ask(asked)

    def _is_enough(self, kept: SignedIn, asked: dict[str, str]) -> bool:
        age = asked.get("max_age")
        is_young = age is None or self.seconds - kept.auth_time <= int(age)
        is_same = asked.get("login_hint", kept.person.upn).lower() == kept.person.upn.lower()
        return asked.get("prompt") not in {"login", "select_account"} and is_young and is_same and kept.person.enabled

    def _ask(self, asked: dict[str, str], problem: str = "") -> Reply:
        context = secrets.token_urlsafe(12)
        self.pending[context] = asked
        return Reply.page(login_page(asked["tenant"], context, hint=asked.get("login_hint", ""), problem=problem))

    def _login(self, tenant: str, form: dict[str, str], headers: dict[str, str]) -> Reply:
        asked = self.pending.pop(form.get("ctx", ""), None)
        if asked is None:
            return Reply.page(error_page(900144, "The request is too old."), 400)
        person = next((one for one in self.people if one.upn.lower() == form.get("login", "").strip().lower() and not one.deleted), None)
        if person is None or form.get("passwd") != PASSWORD:
            return self._ask(asked, f"AADSTS50126: {WORDS[50126]}")
        if not person.enabled:
            return self._ask(asked, f"AADSTS50057: {WORDS[50057]}")
        if tenant in self.tenants and person.tenant != tenant:
            return Reply.page(error_page(50020, WORDS[50020]))
        return self._go_on(SignedIn(person, self.seconds), asked)

    def _mfa(self, form: dict[str, str], headers: dict[str, str]) -> Reply:
        asked = self.pending.pop(form.get("ctx", ""), {})
        kept = self.sessions[asked["session"]]
        if form.get("otc") != MFA_CODE:
            self.pending[form["ctx"]] = asked
            return Reply.page(mfa_page(asked["tenant"], form["ctx"], problem="That didn't work"))
        kept.contexts = frozenset({*kept.contexts, asked["wanted"]})
        return self._go_on(kept, asked)

    def _go_on(self, kept: SignedIn, asked: dict[str, str]) -> Reply:
        session = secrets.token_urlsafe(16)
        self.sessions[session] = kept
        acrs = _wanted(asked, "acrs")
        wanted = acrs.get("value") or next(iter(acrs.get("values", [])), None)
        if wanted and wanted not in kept.contexts and not self.ignores_contexts:
            context = secrets.token_urlsafe(12)
            self.pending[context] = {**asked, "session": session, "wanted": wanted}
            reply = Reply.page(mfa_page(asked["tenant"], context))
        else:
            code = f"0.{secrets.token_urlsafe(24)}"
            contexts = frozenset() if self.ignores_contexts else kept.contexts
            self.codes[code] = Issued(kept.person, asked, kept.auth_time, contexts, self.seconds)
            info = b64(json.dumps({"uid": kept.person.oid, "utid": kept.person.tenant}).encode())
            reply = self._back(asked, code_given=code, info=info)
        reply.headers["Set-Cookie"] = f"{SESSION_COOKIE}={session}; Path=/; Secure; HttpOnly; SameSite=None"
        return reply

    def _back(self, asked: dict[str, str], *, error: str = "", code: int = 0, code_given: str = "", info: str = "") -> Reply:
        if code_given:
            parameters = {"code": code_given, "session_state": secrets.token_hex(8), "client_info": info}
        else:
            parameters = {"error": error, "error_description": describe(self.now(), code)}
        parameters["state"] = asked.get("state", "")
        if asked.get("response_mode") == "form_post":
            return Reply.page(form_post_page(asked["redirect_uri"], parameters))
        return Reply.to(f"{asked['redirect_uri']}?{urlencode(parameters)}")


def _wanted(asked: dict[str, str], name: str) -> dict[str, Any]:
    """What the `claims` parameter wants of a claim of the ID token."""
    found = json.loads(asked.get("claims") or "{}").get("id_token", {}).get(name)
    return found or {}


@contextmanager
def entra_serving(folder: Path, certificate: ServerCertificate | None = None) -> Iterator[Entra]:
    """The stand-in on a free port, until the end of the block; `certificate` is another than its own authority's."""
    entra = Entra(folder)
    with https_serving(entra, certificate or entra.authority.sign("login", names=("localhost",))):
        yield entra
