"""The dispatcher's order of questions, as a table on frozen facts (house rule: direct calls only for what is pure)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from idp.audit import Reason
from idp.config import ClientSettings
from idp.signin.devices import Recognised
from idp.signin.dispatch import decide_step
from idp.signin.factor import FactorProof
from idp.signin.facts import Facts, Terms
from idp.signin.ground import Ground
from idp.signin.interaction import AuthorizationRequest, Interaction, Proof
from idp.signin.local import ACR_PASSWORD, AMR_PASSWORD
from idp.signin.step import StepKind
from idp.store.base import Account, Client, Device, Establishment, Session, StoredProof
from idp.store.means import EnrolledFactor, Means
from policies.access import AccessFacts, AttachmentFacts
from policies.assurance import ACR_MFA, ACR_PHISHING_RESISTANT
from policies.rules import DEFAULT_RULE_SET
from policies.sessions import SessionLimits
from policies.zones import Whereabouts

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(hours=2)


def establishment(key: str, **changes: Any) -> Establishment:
    plain = Establishment(
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
    return replace(plain, **changes)


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


def proof(account_id: str = "claire", *, must_change: bool = False, at: datetime = NOW) -> Proof:
    return Proof(
        account_id=account_id, auth_time=at, amr=AMR_PASSWORD, acr=ACR_PASSWORD, connector="local", must_change_password=must_change
    )


def given(method: str = "totp", account_id: str = "claire") -> tuple[FactorProof, ...]:
    """A second proof of this sign-in."""
    return (FactorProof(account_id=account_id, method=method, factor_id=f"f-{method}", at=NOW),)


def proven(*methods: str, at: datetime = LONG_AGO) -> Session:
    """A Session in which these were given."""
    return session(proofs=tuple(StoredProof(method=method, at=at, factor_id=f"f-{method}") for method in methods))


def ground(*kinds: str, zone: str = "trusted", device: Device | None = None, **means: Any) -> Ground:
    """A place, and the kinds of factors enrolled."""
    is_inside = zone in {"trusted", "shared_workstation"}
    factors = tuple(EnrolledFactor(f"f-{kind}", kind, "", "") for kind in kinds)
    return Ground(
        whereabouts=Whereabouts(
            zone="outside" if zone == "outside" else "slug-a/lan",
            kind=zone,
            why="",
            is_inside=is_inside,
            is_shared=zone == "shared_workstation",
            may_enrol=zone == "trusted",
        ),
        means=Means(factors=factors, **means),
        device=Recognised(device, "digest") if device else Recognised(),
    )


def device(remembered_at: datetime | None, *, days: int = 30) -> Device:
    """A browser of Claire's."""
    return Device(
        id="d",
        account_id="claire",
        secret_digest="digest",  # no secret
        previous_digest=None,
        rotated_at=LONG_AGO,
        user_agent="",
        address="",
        remembered_at=remembered_at,
        remembered_until=remembered_at + timedelta(days=days) if remembered_at else None,
        last_seen_at=LONG_AGO,
        created_at=LONG_AGO,
        ended_at=None,
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
        for name in (
            "proof",
            "factors",
            "establishment_id",
            "consented",
            "closing_session_id",
            "selected_session",
            "declined",
            "step_up",
            "pass_digest",
        )
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
        "terms": Terms(DEFAULT_RULE_SET),
        "ground": ground() if person else None,
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
    # With which proofs: the default rules, and what clients ask
    ("outside, a factor enrolled", facts(proof=proof(), ground=ground("totp", zone="outside")), StepKind.FACTOR),
    ("outside, the factor given", facts(proof=proof(), factors=given(), ground=ground("totp", zone="outside")), StepKind.FINISH),
    (
        "outside, somebody else's factor given",
        facts(proof=proof(), factors=given(account_id="paul"), ground=ground("totp", zone="outside")),
        StepKind.FACTOR,
    ),
    ("outside, only an e-mail address", facts(proof=proof(), ground=ground("email", zone="outside")), StepKind.DENY),
    ("outside, no factor", facts(proof=proof(), ground=ground(zone="outside")), StepKind.DENY),
    ("outside, no factor but a pass", facts(proof=proof(), ground=ground(zone="outside", passes=frozenset({"enrol"}))), StepKind.ENROL),
    (
        "outside, no factor, the pass shown",
        facts(proof=proof(), pass_digest="p", ground=ground(zone="outside", passes=frozenset({"enrol"}))),
        StepKind.ENROL,
    ),
    (
        "outside, a factor lost and a pass to sign in",
        facts(proof=proof(), ground=ground("totp", zone="outside", passes=frozenset({"sign_in"}))),
        StepKind.FACTOR,
    ),
    ("a VPN is not inside", facts(proof=proof(), ground=ground("totp", zone="vpn")), StepKind.FACTOR),
    ("a blocked network", facts(proof=proof(), factors=given(), ground=ground("totp", zone="blocked")), StepKind.DENY),
    ("a session of the LAN goes outside", facts(session=proven("password"), ground=ground("totp", zone="outside")), StepKind.FACTOR),
    (
        "a session with a factor goes outside",
        facts(session=proven("password", "totp"), ground=ground("totp", zone="outside")),
        StepKind.FINISH,
    ),
    ("a session of an earlier release goes outside", facts(session=LIVE, ground=ground("totp", zone="outside")), StepKind.FACTOR),
    ("an administrator inside", facts(proof=proof(), ground=ground("totp", roles=frozenset({"group_administrator"}))), StepKind.FACTOR),
    (
        "an administrator inside, without a factor",
        facts(proof=proof(), ground=ground(roles=frozenset({"group_administrator"}))),
        StepKind.ENROL,
    ),
    (
        "the break-glass account outside",
        facts(proof=proof(), account=account(is_break_glass=True), ground=ground(zone="outside")),
        StepKind.FINISH,
    ),
    ("a higher acr wished", facts(session=LIVE, request=request(acr_values=(ACR_MFA,)), ground=ground("totp")), StepKind.FACTOR),
    ("a higher acr wished, no factor", facts(session=LIVE, request=request(acr_values=(ACR_MFA,))), StepKind.FINISH),
    (
        "a higher acr wished, and declined",
        facts(session=LIVE, declined=True, request=request(acr_values=(ACR_MFA,)), ground=ground("totp")),
        StepKind.FINISH,
    ),
    (
        "a higher acr wished first, a lower after",
        facts(session=LIVE, request=request(acr_values=(ACR_MFA, ACR_PASSWORD)), ground=ground("totp")),
        StepKind.FACTOR,
    ),
    (
        "a higher acr wished after a lower",
        facts(session=LIVE, request=request(acr_values=(ACR_PASSWORD, ACR_MFA)), ground=ground("totp")),
        StepKind.FINISH,
    ),
    (
        "a higher acr wished that the session has",
        facts(session=proven("password", "totp"), request=request(acr_values=(ACR_MFA,)), ground=ground("totp")),
        StepKind.FINISH,
    ),
    ("a higher acr essential", facts(session=LIVE, request=request(essential_acr=(ACR_MFA,)), ground=ground("totp")), StepKind.FACTOR),
    (
        "a higher acr essential, declined",
        facts(session=LIVE, declined=True, request=request(essential_acr=(ACR_MFA,)), ground=ground("totp")),
        StepKind.FACTOR,
    ),
    (
        "a higher acr essential, no factor, signed in long ago",
        facts(session=LIVE, request=request(essential_acr=(ACR_MFA,))),
        StepKind.LOGIN,
    ),
    ("a higher acr essential, no factor, just signed in", facts(proof=proof(), request=request(essential_acr=(ACR_MFA,))), StepKind.ENROL),
    (
        "a higher acr essential, no factor, outside",
        facts(
            proof=proof(), factors=given("pass"), request=request(essential_acr=(ACR_PHISHING_RESISTANT,)), ground=ground(zone="outside")
        ),
        StepKind.DENY,
    ),
    (
        "a passkey essential, a code enrolled: it is given first",
        facts(proof=proof(), request=request(essential_acr=(ACR_PHISHING_RESISTANT,)), ground=ground("totp")),
        StepKind.FACTOR,
    ),
    (
        "a passkey essential, a code given",
        facts(proof=proof(), factors=given(), request=request(essential_acr=(ACR_PHISHING_RESISTANT,)), ground=ground("totp")),
        StepKind.ENROL,
    ),
    (
        "rie-2026 inside, a factor enrolled",
        facts(proof=proof(), establishments={"a": establishment("a", regulatory_level="rie-2026")}, ground=ground("totp")),
        StepKind.FACTOR,
    ),
    (
        "rie-2026 inside, none enrolled",
        facts(proof=proof(), establishments={"a": establishment("a", regulatory_level="rie-2026")}),
        StepKind.DENY,
    ),
    (
        "rie-2026 inside, none enrolled, days of grace",
        facts(proof=proof(), establishments={"a": establishment("a", regulatory_level="rie-2026", enrolment_grace_days=14)}),
        StepKind.FINISH,
    ),
    (
        "inside, the days of grace are over",
        facts(
            proof=proof(),
            account=account(grace_began_at=NOW - timedelta(days=15)),
            establishments={"a": establishment("a", enrolment_grace_days=14)},
        ),
        StepKind.ENROL,
    ),
    (
        "inside at a shared machine, the days of grace are over",
        facts(
            proof=proof(),
            account=account(grace_began_at=NOW - timedelta(days=15)),
            establishments={"a": establishment("a", enrolment_grace_days=14)},
            ground=ground(zone="shared_workstation"),
        ),
        StepKind.FINISH,
    ),
    (
        "outside in a remembered browser",
        facts(
            proof=proof(),
            establishments={"a": establishment("a", remember_device_days=30)},
            ground=ground("totp", zone="outside", device=device(LONG_AGO)),
        ),
        StepKind.FINISH,
    ),
    (
        "outside in a browser remembered elsewhere, where no browser is",
        facts(proof=proof(), ground=ground("totp", zone="outside", device=device(LONG_AGO))),
        StepKind.FACTOR,
    ),
    (
        "outside in a browser remembered for longer than here",
        facts(
            proof=proof(),
            establishments={"a": establishment("a", remember_device_days=7)},
            ground=ground("totp", zone="outside", device=device(NOW - timedelta(days=8))),
        ),
        StepKind.FACTOR,
    ),
    (
        "a remembered browser does not give an acr",
        facts(
            proof=proof(),
            request=request(essential_acr=(ACR_MFA,)),
            establishments={"a": establishment("a", remember_device_days=30)},
            ground=ground("totp", device=device(LONG_AGO)),
        ),
        StepKind.FACTOR,
    ),
    ("our page asks the first proof again", facts(session=LIVE, step_up="sign_in", request=None), StepKind.LOGIN),
    (
        "our page asks a factor",
        facts(session=proven("password", "totp"), step_up="second_factor", request=None, ground=ground("totp")),
        StepKind.FACTOR,
    ),
    (
        "our page was given a factor",
        facts(session=LIVE, factors=given(), step_up="second_factor", request=None, ground=ground("totp")),
        StepKind.FINISH,
    ),
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
    StepKind.FACTOR: "interaction_required",
    StepKind.ENROL: "interaction_required",
}


@pytest.mark.parametrize(("case", "known", "expected"), CASES, ids=[case for case, _, _ in CASES])
def test_dispatcher_shows_no_page_when_the_client_asked_for_silence(case: str, known: Facts, expected: StepKind) -> None:
    asked = known.interaction.request
    if asked is None:
        return
    silent = replace(known, interaction=replace(known.interaction, request=replace(asked, prompt=asked.prompt | {"none"})))
    step = decide_step(silent)
    if expected is StepKind.FINISH or (asked.acr_values and asked.essential_acr == ()):
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


def test_who_shows_a_passkey_stands_no_longer_than_the_word_of_the_provider_that_made_them() -> None:
    """Else the sign-in would finish here, and the application's code be refused: again and again."""
    by_passkey = replace(proof(), connector="office", method="passkey_verified")
    told = facts(proof=by_passkey, upstream_at=NOW - timedelta(hours=11))
    assert decide_step(told).kind is not StepKind.LOGIN
    assert decide_step(replace(told, upstream_at=NOW - timedelta(hours=13))).kind is StepKind.LOGIN
