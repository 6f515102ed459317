"""The seven workloads, as flows for the load generator; each drives any OpenID Provider.

A Seat is one connection's place at the server: its browser, its tokens, its requests prepared in advance.
Whatever is not expected ends the flow with FlowError, and a run with one such flow is not valid.
RFC 6749, RFC 7636 (S256), RFC 7662, OpenID Connect Core 1.0.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from bench.browser import Arrival, Browser, visit
from bench.http import Response, basic, bearer, get, post
from bench.load import Flow, FlowError
from bench.statistic import Work
from bench.subject import Subject


class Seat:
    """One connection's place: number, browser and tokens, and the bytes of requests that never change."""

    def __init__(self, subject: Subject, number: int, seats: int) -> None:
        self.subject = subject
        self.number = number
        self.seats = seats
        self.sign_ins = 0
        self.browser = Browser(subject.host)
        self.access_token = ""
        self.refresh_token = ""
        self.prepared = b""
        self.authorization = basic(subject.client.client_id, subject.client.client_secret)

    def next_identifier(self) -> str:
        """People in turn, never one who sits at another connection."""
        people = self.subject.identifiers
        mine = people[self.number % len(people) :: self.seats]
        self.sign_ins += 1
        return mine[self.sign_ins % len(mine)]

    def token_request(self, form: dict[str, str]) -> bytes:
        """The bytes of a request to the token endpoint, client authenticated by client_secret_basic."""
        return post(self.subject.host, self.subject.endpoints.token, form, self.authorization)

    def keep_tokens(self, response: Response) -> None:
        """Take over the tokens of a token response. Raises FlowError when it is not one with an ID token."""
        tokens = _json(response, "token")
        if "id_token" not in tokens:
            raise FlowError("no ID token in the answer")
        self.access_token = tokens["access_token"]
        self.refresh_token = tokens.get("refresh_token", "")


def _json(response: Response, where: str) -> dict[str, Any]:
    if response.status != 200:
        reason = response.body[:120].decode("utf-8", "replace") if response.status < 500 else ""
        raise FlowError(f"status {response.status} at {where} {reason}".strip())
    answer: dict[str, Any] = json.loads(response.body)
    return answer


def code_flow(seat: Seat, *, scope: str, identifier: str | None, prompt: str | None = None) -> Flow:
    """The authorization code flow from /authorize to tokens; `identifier` None expects a silent answer."""
    subject = seat.subject
    verifier = secrets.token_urlsafe(32)
    state = secrets.token_urlsafe(12)
    parameters = {
        "response_type": "code",
        "client_id": subject.client.client_id,
        "redirect_uri": subject.client.redirect_uri,
        "scope": scope,
        "state": state,
        "nonce": secrets.token_urlsafe(12),
        "code_challenge": base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    if prompt is not None:
        parameters["prompt"] = prompt
    credentials = None if identifier is None else (identifier, subject.password)
    arrival = Arrival()
    address = f"{subject.endpoints.authorize}?{urlencode(parameters)}"
    yield from visit(seat.browser, address, subject.client.redirect_uri, credentials, arrival)
    answer = parse_qs(urlsplit(arrival.url).query)
    if "code" not in answer or answer.get("state") != [state]:
        raise FlowError(f"no code: {answer.get('error', ['wrong state'])[0]}")
    form = {
        "grant_type": "authorization_code",
        "code": answer["code"][0],
        "redirect_uri": subject.client.redirect_uri,
        "code_verifier": verifier,
    }
    seat.keep_tokens((yield seat.token_request(form)))


def sign_in(seat: Seat) -> Flow:
    """A whole sign-in with a password in a fresh browser."""
    seat.browser = Browser(seat.subject.host)
    yield from code_flow(seat, scope=seat.subject.scope, identifier=seat.next_identifier())


def sign_in_for_long(seat: Seat) -> Flow:
    """A whole sign-in that asks for offline access, for a chain of refresh tokens."""
    seat.browser = Browser(seat.subject.host)
    scope = f"{seat.subject.scope} offline_access"
    yield from code_flow(seat, scope=scope, identifier=seat.next_identifier(), prompt="consent")
    if not seat.refresh_token:
        raise FlowError("no refresh token in the answer")


def authorize_silently(seat: Seat) -> Flow:
    """A signed-in browser comes back: cookie -> code -> tokens, no page shown."""
    yield from code_flow(seat, scope=seat.subject.scope, identifier=None, prompt="none")


def prepare_client_credentials(seat: Seat) -> None:
    """Prepare W1's request."""
    seat.prepared = seat.token_request({"grant_type": "client_credentials", **seat.subject.client_credentials})


def prepare_userinfo(seat: Seat) -> None:
    """Prepare W5's request with the access token of this seat."""
    seat.prepared = get(seat.subject.host, seat.subject.endpoints.userinfo, bearer(seat.access_token))


def prepare_introspection(seat: Seat) -> None:
    """Prepare W6's request about the access token of this seat."""
    subject = seat.subject
    seat.prepared = post(subject.host, subject.endpoints.introspect, {"token": seat.access_token}, seat.authorization)


def prepare_discovery(seat: Seat) -> None:
    """Prepare W7's request."""
    seat.prepared = get(seat.subject.host, seat.subject.endpoints.discovery)


def ask_expecting(pattern: bytes) -> Callable[[Seat], Flow]:
    """A flow that sends the prepared request and expects 200 and the regular expression `pattern` in the body."""
    expected = re.compile(pattern)

    def ask(seat: Seat) -> Flow:
        response = yield seat.prepared
        if response.status != 200:
            raise FlowError(f"status {response.status} {response.body[:120].decode('utf-8', 'replace')}".strip())
        if expected.search(response.body) is None:
            raise FlowError(f"{pattern.decode()} is not in the answer")

    return ask


def refresh(seat: Seat) -> Flow:
    """One rotation; the new refresh token is what this seat uses next."""
    used = seat.refresh_token
    seat.keep_tokens((yield seat.token_request({"grant_type": "refresh_token", "refresh_token": used})))
    if seat.refresh_token in ("", used):
        raise FlowError("the refresh token was not rotated")


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload: `enter` is run once for each seat before the clock starts, then `prepare`,
    then `flow` again and again.

    `work` is the least that one flow costs beside its HTTP requests; the number of those is counted in the run.
    """

    key: str
    title: str
    unit: str
    flow: Callable[[Seat], Flow]
    work: Work
    enter: Callable[[Seat], Flow] | None = None
    prepare: Callable[[Seat], None] | None = None


WORKLOADS = {
    workload.key: workload
    for workload in (
        Workload(
            "W1",
            "client_credentials",
            "requests",
            ask_expecting(b'"access_token"'),
            Work(signs=1, transactions=1),
            prepare=prepare_client_credentials,
        ),
        Workload(
            "W2",
            "refresh with rotation",
            "requests",
            refresh,
            Work(signs=2, transactions=1, selects=1),
            enter=sign_in_for_long,
        ),
        Workload(
            "W3",
            "whole sign-in with password",
            "flows",
            sign_in,
            Work(signs=2, transactions=4, selects=4, hashes=1),
        ),
        Workload(
            "W4",
            "silent re-authorize",
            "flows",
            authorize_silently,
            Work(signs=2, transactions=2, selects=2),
            enter=sign_in,
        ),
        Workload(
            "W5",
            "userinfo",
            "requests",
            ask_expecting(b'"sub"'),
            Work(verifies=1, selects=2),
            enter=sign_in,
            prepare=prepare_userinfo,
        ),
        Workload(
            "W6",
            "introspection",
            "requests",
            ask_expecting(b'"active": *true'),
            Work(verifies=1, selects=2),
            enter=sign_in,
            prepare=prepare_introspection,
        ),
        Workload(
            "W7",
            "discovery",
            "requests",
            ask_expecting(b'"issuer"'),
            Work(),
            prepare=prepare_discovery,
        ),
    )
}
