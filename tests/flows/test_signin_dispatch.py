"""The dispatcher's order of questions, as a table on frozen facts (house rule: direct calls only for what is pure)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from idp.audit import Reason
from idp.config import ClientSettings
from idp.signin.dispatch import Facts, StepKind, decide_step
from idp.signin.interaction import AuthorizationRequest, Interaction, Proof
from idp.signin.local import ACR_PASSWORD, AMR_PASSWORD
from idp.store.base import Account, Client, Establishment, Session
from policies.access import AccessFacts, AttachmentFacts
from policies.sessions import SessionLimits

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(hours=2)


def establishment(key: str) -> Establishment:
    return Establishment(
        id=key,
        slug=f"slug-{key}",
        name=key.upper(),
        finess=None,
        siret=None,
        time_zone="Europe/Paris",
        contact_name="",
        contact_phone="",
        contact_email="",
        logo_type=None,
        source="command",
        created_at=LONG_AGO,
        ended_at=None,
    )


def account(key: str = "claire", **changes: Any) -> Account:
    values: dict[str, Any] = {
        "id": key,
        "status": "active",
        "username": key,
        "given_name": "",
        "family_name": "",
        "email": None,
        "email_verified": False,
        "phone_number": None,
        "phone_number_verified": False,
        "address": None,
        "locale": None,
        "is_demo": False,
        "last_establishment_id": None,
        "created_at": LONG_AGO,
        "updated_at": LONG_AGO,
        "ended_at": None,
        **changes,
    }
    return Account(**values)


def session(key: str = "s", account_id: str = "claire", **changes: Any) -> Session:
    values: dict[str, Any] = {
        "id": key,
        "cookie_digest": "",
        "account_id": account_id,
        "establishment_id": "a",
        "auth_time": LONG_AGO,
        "amr": AMR_PASSWORD,
        "acr": ACR_PASSWORD,
        "connector": "local",
        "zone": "outside",
        "device_id": None,
        "address": "",
        "user_agent": "",
        "created_at": LONG_AGO,
        "last_active_at": NOW,
        "expires_at": NOW + timedelta(hours=12),
        "ended_at": None,
        "ended_cause": None,
        **changes,
    }
    return Session(**values)


def proof(account_id: str = "claire", *, must_change: bool = False) -> Proof:
    return Proof(
        account_id=account_id, auth_time=NOW, amr=AMR_PASSWORD, acr=ACR_PASSWORD, connector="local", must_change_password=must_change
    )


def request(*prompt: str, **changes: Any) -> AuthorizationRequest:
    return AuthorizationRequest(
        client_id="app",
        redirect_uri="https://app.example/cb",
        response_mode="query",
        scope=("openid",),
        prompt=frozenset(prompt),
        **changes,
    )


def client(**settings: Any) -> Client:
    return Client(
        client_id="app",
        revision=1,
        settings=ClientSettings(client_id="app", name="App", redirect_uris=("https://app.example/cb",), **settings),
        secret_digest=None,
        source="command",
        created_at=LONG_AGO,
        ended_at=None,
    )


def attached(*keys: str, active: bool = True) -> AccessFacts:
    return AccessFacts(
        account_active=active,
        attachments=tuple(AttachmentFacts(f"at-{key}", key, "nurse", None, None, ended=False) for key in keys),
        client_establishments=frozenset(),
        client_profiles=frozenset(),
        now=NOW,
    )


def facts(**changes: Any) -> Facts:
    """A nurse attached at one place, nobody signed in, a plain request; changed as a case wants."""
    asked = changes.pop("request", request())
    known = {
        name: changes.pop(name)
        for name in ("proof", "establishment_id", "consented", "closing_session_id", "selected_session")
        if name in changes
    }
    interaction = Interaction(id="i", browser_digest="", created_at=NOW, request=asked, **known)
    access = changes.pop("access", attached("a"))
    person = "proof" in known or changes.get("session") is not None
    values: dict[str, Any] = {
        "now": NOW,
        "word_at": None,
        "longest_silence": timedelta(hours=4),
        "interaction": interaction,
        "session": None,
        "client": client() if asked else None,
        "account": account() if person else None,
        "access": access if person else attached(active=False),
        "establishments": {entry.establishment_id: establishment(entry.establishment_id) for entry in access.attachments},
        "other_sessions": (),
        "consented_scope": frozenset(),
        "limits": SessionLimits(timedelta(minutes=30), timedelta(hours=14), 2),
        **changes,
    }
    return Facts(**values)


TWO = attached("a", "b")
LIVE = session()
THREE_ELSEWHERE = (session("s1"), session("s2"), session("s3"))

CASES: list[tuple[str, Facts, StepKind]] = [
    ("nobody is there", facts(), StepKind.LOGIN),
    ("a session answers", facts(session=LIVE), StepKind.FINISH),
    ("a session answers for our own page", facts(session=LIVE, request=None), StepKind.FINISH),
    ("nobody is there for our own page", facts(request=None), StepKind.LOGIN),
    ("prompt=login", facts(session=LIVE, request=request("login")), StepKind.LOGIN),
    ("prompt=login and a proof", facts(session=LIVE, proof=proof(), request=request("login")), StepKind.FINISH),
    ("prompt=select_account", facts(session=LIVE, request=request("select_account")), StepKind.SELECT_ACCOUNT),
    ("prompt=select_account, chosen", facts(session=LIVE, selected_session=True, request=request("select_account")), StepKind.FINISH),
    ("prompt=select_account, nobody there", facts(request=request("select_account")), StepKind.LOGIN),
    ("max_age passed", facts(session=LIVE, request=request(max_age_seconds=7_199)), StepKind.LOGIN),
    ("max_age not passed", facts(session=LIVE, request=request(max_age_seconds=7_200)), StepKind.FINISH),
    ("max_age=0", facts(session=session(auth_time=NOW), request=request(max_age_seconds=0)), StepKind.LOGIN),
    ("max_age=0 and a proof", facts(proof=proof(), request=request(max_age_seconds=0)), StepKind.FINISH),
    ("the client's default_max_age passed", facts(session=LIVE, client=client(default_max_age="1h")), StepKind.LOGIN),
    (
        "max_age over default_max_age",
        facts(session=LIVE, client=client(default_max_age="1h"), request=request(max_age_seconds=9_000)),
        StepKind.FINISH,
    ),
    ("the hint names somebody else", facts(session=LIVE, request=request(hinted_account_id="paul")), StepKind.LOGIN),
    ("the hint names the person", facts(session=LIVE, request=request(hinted_account_id="claire")), StepKind.FINISH),
    ("somebody else than hinted proved themselves", facts(proof=proof(), request=request(hinted_account_id="paul")), StepKind.DENY),
    ("an essential acr we never give", facts(session=LIVE, request=request(essential_acr=("urn:other",))), StepKind.DENY),
    ("an essential acr we give", facts(session=LIVE, request=request(essential_acr=("urn:other", ACR_PASSWORD))), StepKind.FINISH),
    ("a voluntary acr we never give", facts(session=LIVE, request=request(acr_values=("urn:other",))), StepKind.FINISH),
    ("the client is gone", facts(session=LIVE, client=None), StepKind.DENY),
    ("no attachment", facts(session=LIVE, access=attached()), StepKind.DENY),
    ("not active any more", facts(session=LIVE, access=attached("a", active=False)), StepKind.DENY),
    ("a password to change", facts(proof=proof(must_change=True)), StepKind.CHANGE_PASSWORD),
    ("a password to change and no attachment", facts(proof=proof(must_change=True), access=attached()), StepKind.DENY),
    ("two establishments", facts(proof=proof(), access=TWO), StepKind.CHOOSE_ESTABLISHMENT),
    ("two establishments, one chosen", facts(proof=proof(), access=TWO, establishment_id="b"), StepKind.FINISH),
    ("two establishments, one hinted", facts(proof=proof(), access=TWO, request=request(establishment_hint="slug-b")), StepKind.FINISH),
    (
        "two establishments, a hint to neither",
        facts(proof=proof(), access=TWO, request=request(establishment_hint="x")),
        StepKind.CHOOSE_ESTABLISHMENT,
    ),
    ("two establishments, a session at one", facts(session=LIVE, access=TWO), StepKind.FINISH),
    (
        "two establishments, somebody else's session",
        facts(session=session(account_id="paul"), proof=proof(), access=TWO),
        StepKind.CHOOSE_ESTABLISHMENT,
    ),
    ("too many sessions", facts(proof=proof(), other_sessions=THREE_ELSEWHERE[:2]), StepKind.CLOSE_SESSION),
    ("one session more is allowed", facts(proof=proof(), other_sessions=THREE_ELSEWHERE[:1]), StepKind.FINISH),
    ("too many sessions, one to be closed", facts(proof=proof(), other_sessions=THREE_ELSEWHERE, closing_session_id="s1"), StepKind.FINISH),
    (
        "too many sessions, a stranger's to be closed",
        facts(proof=proof(), other_sessions=THREE_ELSEWHERE, closing_session_id="x"),
        StepKind.CLOSE_SESSION,
    ),
    ("too many sessions, this browser's renewed", facts(proof=proof(), session=LIVE, other_sessions=THREE_ELSEWHERE), StepKind.FINISH),
    ("the client asks consent", facts(session=LIVE, client=client(require_consent=True)), StepKind.CONSENT),
    (
        "consent given before",
        facts(session=LIVE, client=client(require_consent=True), consented_scope=frozenset({"openid", "email"})),
        StepKind.FINISH,
    ),
    ("consent given now", facts(session=LIVE, consented=True, client=client(require_consent=True)), StepKind.FINISH),
    ("prompt=consent", facts(session=LIVE, request=request("consent"), consented_scope=frozenset({"openid"})), StepKind.CONSENT),
]


@pytest.mark.parametrize(("case", "known", "expected"), CASES, ids=[case for case, _, _ in CASES])
def test_dispatcher_asks_one_thing_when_facts_are_known(case: str, known: Facts, expected: StepKind) -> None:
    step = decide_step(known)
    assert step.kind is expected
    assert (step.finish is not None) == (expected is StepKind.FINISH)


SILENT = {
    StepKind.LOGIN: "login_required",
    StepKind.SELECT_ACCOUNT: "account_selection_required",
    StepKind.CONSENT: "consent_required",
    StepKind.CHOOSE_ESTABLISHMENT: "interaction_required",
    StepKind.CHANGE_PASSWORD: "interaction_required",
    StepKind.CLOSE_SESSION: "interaction_required",
}


@pytest.mark.parametrize(("case", "known", "expected"), CASES, ids=[case for case, _, _ in CASES])
def test_dispatcher_shows_no_page_when_the_client_asked_for_silence(case: str, known: Facts, expected: StepKind) -> None:
    asked = known.interaction.request
    if asked is None:
        return
    silent = replace(known, interaction=replace(known.interaction, request=replace(asked, prompt=asked.prompt | {"none"})))
    step = decide_step(silent)
    if expected is StepKind.FINISH:
        assert step.kind is StepKind.FINISH
    elif known.client is None:
        assert (step.error, step.must_redirect) == (None, False)  # nothing proves the redirect URI any more
    else:
        assert step.must_redirect
        expected_error = SILENT.get(expected)
        assert (
            step.error == expected_error
            if expected_error
            else step.error in {"access_denied", "login_required", "unmet_authentication_requirements"}
        )
        assert isinstance(step.reason, Reason)


def test_last_used_establishment_is_suggested_when_there_are_several() -> None:
    step = decide_step(facts(proof=proof(), access=TWO, account=account(last_establishment_id="b")))
    assert step.suggested_id == "b"
    assert [place.id for place in step.choices] == ["a", "b"]


def test_replaced_session_is_handed_on_when_somebody_else_proved_themselves() -> None:
    other = session(account_id="paul")
    step = decide_step(facts(proof=proof(), session=other))
    assert step.finish is not None
    assert (step.finish.account_id, step.finish.session) == ("claire", other)
