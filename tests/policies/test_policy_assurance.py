"""policies.assurance: what may honestly be claimed of the proofs given, and which is still missing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.assurance import (
    ACR_APPROVED,
    ACR_MFA,
    ACR_ORDER,
    ACR_PASSWORD,
    ACR_PHISHING_RESISTANT,
    LEVELS,
    PROOFS,
    Given,
    Method,
    Need,
    Requirement,
    assess,
    missing,
    satisfies,
)

NOW = datetime(2026, 3, 10, 8, 0, tzinfo=UTC)
PWD, WIN, UP, UP_MFA, TOTP, KEY, KEY_UV, SMS, MAIL, REC, PASS, DEVICE = Method
PHR, MFA, ONE, APPROVED = ACR_PHISHING_RESISTANT, ACR_MFA, ACR_PASSWORD, ACR_APPROVED


def _given(*methods: Method, ago: timedelta = timedelta(0)) -> list[Given]:
    return [Given(method, NOW - ago) for method in methods]


@pytest.mark.parametrize(
    ("methods", "acr", "amr"),
    [
        ((), ONE, ""),
        ((PWD,), ONE, "pwd"),
        ((WIN,), ONE, "wia"),
        ((UP,), ONE, ""),
        ((PWD, TOTP), MFA, "pwd otp mfa"),
        ((TOTP, PWD), MFA, "pwd otp mfa"),
        ((PWD, SMS), MFA, "pwd sms mfa"),
        ((PWD, REC), MFA, "pwd otp mfa"),
        ((PWD, PASS), MFA, "pwd otp mfa"),
        ((PWD, KEY), PHR, "pwd pop user mfa"),
        ((KEY_UV,), PHR, "pop user mfa"),
        ((PWD, KEY_UV), PHR, "pwd pop user mfa"),
        ((WIN, TOTP), MFA, "wia otp mfa"),
        ((WIN, KEY), PHR, "wia pop user mfa"),
        ((PWD, TOTP, KEY), PHR, "pwd otp pop user mfa"),
        # A code by e-mail is a second step and no factor; a place and a remembered device prove nothing (CNIL 2025-019).
        ((PWD, MAIL), ONE, "pwd"),
        ((PWD, DEVICE), ONE, "pwd"),
        ((PWD, MAIL, DEVICE), ONE, "pwd"),
        ((PWD, DEVICE, TOTP), MFA, "pwd otp mfa"),
        # Two of one family are one factor.
        ((PWD, WIN), ONE, "pwd wia"),
        ((TOTP, SMS), ONE, "otp sms"),
        ((KEY,), ONE, "pop user"),
        ((KEY, TOTP), ONE, "otp pop user"),
        ((PASS,), ONE, "otp"),
        # What another provider asked is not known.
        ((UP, TOTP), ONE, "otp"),
        ((UP, KEY), ONE, "pop user"),
        ((UP, KEY_UV), PHR, "pop user mfa"),
        # Where it is trusted to say that it was two factors, that is all that is known of them.
        ((UP_MFA,), MFA, "mfa"),
        ((UP_MFA, TOTP), MFA, "otp mfa"),
        ((UP_MFA, KEY), PHR, "pop user mfa"),
        ((UP_MFA, MAIL, DEVICE), MFA, "mfa"),
    ],
)
def test_claims_say_what_was_proven_and_no_more(methods: tuple[Method, ...], acr: str, amr: str) -> None:
    assurance = assess(_given(*methods), approved_windows=False)
    assert (assurance.acr, " ".join(assurance.amr)) == (acr, amr)
    assert assurance.is_multi_factor == ("mfa" in amr)


@pytest.mark.parametrize(
    ("methods", "acr", "amr"),
    [
        ((WIN,), APPROVED, "wia"),
        ((WIN, DEVICE), APPROVED, "wia"),
        ((WIN, PWD), APPROVED, "pwd wia"),
        ((WIN, MAIL), APPROVED, "wia"),
        ((WIN, TOTP), MFA, "wia otp mfa"),
        ((PWD,), ONE, "pwd"),
        ((UP,), ONE, ""),
    ],
)
def test_an_approved_windows_session_shows_in_acr_and_never_as_mfa(methods: tuple[Method, ...], acr: str, amr: str) -> None:
    assurance = assess(_given(*methods), approved_windows=True)
    assert (assurance.acr, " ".join(assurance.amr)) == (acr, amr)


@given(st.lists(st.sampled_from(Method)), st.booleans())
def test_mfa_is_never_claimed_without_two_families(methods: list[Method], approved: bool) -> None:
    assurance = assess(_given(*methods), approved_windows=approved)
    known, held = {PWD, WIN} & set(methods), {TOTP, KEY, KEY_UV, SMS, REC, PASS} & set(methods)
    assert assurance.is_multi_factor == (not {KEY_UV, UP_MFA}.isdisjoint(methods) or bool(known and held))
    assert satisfies(assurance.acr, MFA) == assurance.is_multi_factor
    without = [method for method in methods if method not in {MAIL, DEVICE}]
    assert assess(_given(*without), approved_windows=approved) == assurance


def test_a_higher_level_satisfies_a_lower_and_an_unknown_one_nothing() -> None:
    for at, have in enumerate(ACR_ORDER):
        assert [satisfies(have, wanted) for wanted in ACR_ORDER] == [place <= at for place in range(len(ACR_ORDER))]
    assert not satisfies("0", "0")
    assert not satisfies(PHR, "urn:somebody:else")
    assert not satisfies("urn:somebody:else", ONE)


FACTOR, STRONG, FRESH = (
    (Requirement("second_factor"),),
    (Requirement("phishing_resistant"),),
    (Requirement("fresh_sign_in", timedelta(minutes=5)),),
)
HOURLY = (Requirement("second_factor", timedelta(hours=1)),)
T, RIE, PSC = LEVELS


@pytest.mark.parametrize(
    ("methods", "requirements", "level", "acr", "kind", "reason"),
    [
        ((), (), T, (), "sign_in", "sign_in_needed"),
        ((TOTP,), (), T, (), "sign_in", "sign_in_needed"),
        ((KEY,), STRONG, T, (), "sign_in", "sign_in_needed"),
        ((PASS, DEVICE), (), T, (), "sign_in", "sign_in_needed"),
        ((PWD,), (), T, (), "nothing", "nothing_missing"),
        ((WIN,), (), T, (), "nothing", "nothing_missing"),
        ((UP,), (), T, (), "nothing", "nothing_missing"),
        ((KEY_UV,), (), T, (), "nothing", "nothing_missing"),
        # A rule that asks a second factor.
        ((PWD,), FACTOR, T, (), "second_factor", "rule_needs_second_factor"),
        ((PWD, MAIL), FACTOR, T, (), "second_factor", "rule_needs_second_factor"),
        ((PWD, WIN), FACTOR, T, (), "second_factor", "rule_needs_second_factor"),
        ((PWD, TOTP), FACTOR, T, (), "nothing", "nothing_missing"),
        ((PWD, SMS), FACTOR, T, (), "nothing", "nothing_missing"),
        ((PWD, REC), FACTOR, T, (), "nothing", "nothing_missing"),
        ((PWD, PASS), FACTOR, T, (), "nothing", "nothing_missing"),
        ((PWD, KEY), FACTOR, T, (), "nothing", "nothing_missing"),
        ((KEY_UV,), FACTOR, T, (), "nothing", "nothing_missing"),
        ((PWD, DEVICE), FACTOR, T, (), "nothing", "nothing_missing"),
        ((UP, TOTP), FACTOR, T, (), "nothing", "nothing_missing"),
        ((UP,), FACTOR, T, (), "second_factor", "rule_needs_second_factor"),
        ((UP_MFA,), FACTOR, T, (), "nothing", "nothing_missing"),
        ((UP_MFA,), STRONG, T, (), "phishing_resistant", "rule_needs_phishing_resistant"),
        ((UP_MFA,), (), RIE, (), "nothing", "nothing_missing"),
        ((UP_MFA,), (), PSC, (), "phishing_resistant", "level_needs_pro_sante_connect"),
        ((UP_MFA,), (), T, (MFA,), "nothing", "nothing_missing"),
        ((UP_MFA,), (), T, (PHR,), "phishing_resistant", "client_needs_higher_acr"),
        # One that no false page could use.
        ((PWD,), STRONG, T, (), "phishing_resistant", "rule_needs_phishing_resistant"),
        ((PWD, TOTP), STRONG, T, (), "phishing_resistant", "rule_needs_phishing_resistant"),
        ((PWD, DEVICE), STRONG, T, (), "phishing_resistant", "rule_needs_phishing_resistant"),
        ((PWD, KEY), STRONG, T, (), "nothing", "nothing_missing"),
        ((KEY_UV,), STRONG, T, (), "nothing", "nothing_missing"),
        ((PWD,), FACTOR + STRONG, T, (), "phishing_resistant", "rule_needs_phishing_resistant"),
        ((PWD, KEY), FACTOR + STRONG, T, (), "nothing", "nothing_missing"),
        ((PWD,), (Requirement("retina"),), T, (), "unattainable", "requirement_unknown"),
        # rie-2026: the gesture may be spared, two factors must be there.
        ((PWD,), (), RIE, (), "second_factor", "level_needs_two_factors"),
        ((PWD, MAIL), (), RIE, (), "second_factor", "level_needs_two_factors"),
        ((PWD, TOTP), (), RIE, (), "nothing", "nothing_missing"),
        ((PWD, DEVICE), (), RIE, (), "nothing", "nothing_missing"),
        ((PWD, KEY), (), RIE, (), "nothing", "nothing_missing"),
        ((KEY_UV,), (), RIE, (), "nothing", "nothing_missing"),
        ((WIN,), (), RIE, (), "second_factor", "level_needs_two_factors"),
        ((WIN, TOTP), (), RIE, (), "nothing", "nothing_missing"),
        ((UP,), (), RIE, (), "second_factor", "level_needs_two_factors"),
        # psc: Pro Santé Connect, or what no false page could use.
        ((PWD,), (), PSC, (), "phishing_resistant", "level_needs_pro_sante_connect"),
        ((PWD, TOTP), (), PSC, (), "phishing_resistant", "level_needs_pro_sante_connect"),
        ((PWD, DEVICE), (), PSC, (), "phishing_resistant", "level_needs_pro_sante_connect"),
        ((UP,), (), PSC, (), "phishing_resistant", "level_needs_pro_sante_connect"),
        ((PWD, KEY), (), PSC, (), "nothing", "nothing_missing"),
        ((KEY_UV,), (), PSC, (), "nothing", "nothing_missing"),
        ((PWD,), (), "rie-2030", (), "unattainable", "level_unknown"),
        # Step-up (RFC 9470): any of the levels asked for is enough.
        ((PWD,), (), T, (ONE,), "nothing", "nothing_missing"),
        ((PWD,), (), T, (MFA,), "second_factor", "client_needs_higher_acr"),
        ((PWD,), (), T, (APPROVED,), "second_factor", "client_needs_higher_acr"),
        ((PWD,), (), T, (PHR,), "phishing_resistant", "client_needs_higher_acr"),
        ((PWD,), (), T, (PHR, MFA), "second_factor", "client_needs_higher_acr"),
        ((PWD,), (), T, (MFA, ONE), "nothing", "nothing_missing"),
        ((PWD, TOTP), (), T, (MFA,), "nothing", "nothing_missing"),
        ((PWD, KEY), (), T, (MFA,), "nothing", "nothing_missing"),
        ((PWD, TOTP), (), T, (PHR,), "phishing_resistant", "client_needs_higher_acr"),
        # A remembered device spares the gesture of a rule; a client that asks for mfa is given mfa.
        ((PWD, DEVICE), FACTOR, T, (MFA,), "second_factor", "client_needs_higher_acr"),
        ((PWD, MAIL), (), T, (MFA,), "second_factor", "client_needs_higher_acr"),
        ((PWD,), (), T, ("urn:somebody:else",), "unattainable", "acr_not_offered"),
        ((PWD,), (), T, ("urn:somebody:else", MFA), "second_factor", "client_needs_higher_acr"),
        # Given, and still not enough: to ask again would go round in circles.
        ((UP, TOTP), (), T, (MFA,), "unattainable", "acr_out_of_reach"),
        ((UP, KEY), (), T, (PHR,), "unattainable", "acr_out_of_reach"),
        ((PWD,), FACTOR, RIE, (PHR,), "phishing_resistant", "client_needs_higher_acr"),
    ],
)
def test_what_is_missing_most_is_asked_next(
    methods: tuple[Method, ...], requirements: tuple[Requirement, ...], level: str, acr: tuple[str, ...], kind: str, reason: str
) -> None:
    found = missing(requirements, _given(*methods), level=level, wanted_acr=acr, now=NOW)
    assert (found.kind, found.reason) == (kind, reason)


@pytest.mark.parametrize(
    ("given", "requirements", "kind"),
    [
        (_given(PWD), FRESH, "nothing"),
        (_given(PWD, ago=timedelta(minutes=5)), FRESH, "nothing"),
        (_given(PWD, ago=timedelta(minutes=5, seconds=1)), FRESH, "sign_in"),
        (_given(PWD, ago=timedelta(hours=1)) + _given(TOTP), FRESH, "sign_in"),
        (_given(PWD, ago=timedelta(hours=1)) + _given(KEY_UV), FRESH, "nothing"),
        (_given(PWD, TOTP, ago=timedelta(hours=1)), HOURLY, "nothing"),
        (_given(PWD, TOTP, ago=timedelta(hours=2)), HOURLY, "second_factor"),
        (_given(UP_MFA, ago=timedelta(hours=2)), HOURLY, "second_factor"),
        (_given(PWD, TOTP, ago=timedelta(hours=2)), FACTOR, "nothing"),
        # A remembered device counts from when the factor was really given in it.
        (_given(PWD) + _given(DEVICE, ago=timedelta(days=3)), HOURLY, "second_factor"),
        (_given(PWD) + _given(DEVICE, ago=timedelta(days=3)), FACTOR, "nothing"),
        (_given(PWD, TOTP, ago=timedelta(hours=2)), HOURLY + FRESH, "sign_in"),
        (_given(PWD, KEY, ago=timedelta(hours=2)), (Requirement("phishing_resistant", timedelta(hours=1)),), "phishing_resistant"),
    ],
)
def test_a_proof_that_is_too_old_is_asked_again(given: list[Given], requirements: tuple[Requirement, ...], kind: str) -> None:
    assert missing(requirements, given, level=T, wanted_acr=(), now=NOW).kind == kind


@pytest.mark.parametrize(
    ("methods", "level", "approved", "is_break_glass", "kind"),
    [
        ((WIN,), RIE, True, False, "nothing"),
        ((PWD,), RIE, True, False, "second_factor"),
        ((WIN,), PSC, True, False, "phishing_resistant"),
        ((PWD,), RIE, False, True, "nothing"),
        ((PWD,), PSC, False, True, "nothing"),
        ((PWD,), "rie-2030", False, True, "nothing"),
    ],
)
def test_an_approval_counts_for_rie_and_break_glass_is_held_to_no_level(
    methods: tuple[Method, ...], level: str, approved: bool, is_break_glass: bool, kind: str
) -> None:
    found = missing((), _given(*methods), level=level, wanted_acr=(), now=NOW, approved_windows=approved, is_break_glass=is_break_glass)
    assert found.kind == kind


@pytest.mark.parametrize(
    ("upstream_acr", "level", "kind"),
    [
        ("eidas1", PSC, "nothing"),
        ("eidas1", RIE, "nothing"),
        ("eidas2", PSC, "nothing"),
        ("urn:other", PSC, "phishing_resistant"),
        (None, PSC, "phishing_resistant"),
    ],
)
def test_pro_sante_connect_is_enough_for_every_level(upstream_acr: str | None, level: str, kind: str) -> None:
    for method in (UP, UP_MFA):
        found = missing((), [Given(method, NOW, upstream_acr=upstream_acr)], level=level, wanted_acr=(), now=NOW).kind
        assert found == (Need.NOTHING if method is UP_MFA and level == RIE else kind)


_proofs = st.lists(
    st.builds(lambda method, hours: Given(method, NOW - timedelta(hours=hours)), st.sampled_from(Method), st.integers(0, 30))
)
_requirements = st.lists(
    st.builds(Requirement, st.sampled_from(PROOFS), st.one_of(st.none(), st.integers(1, 24).map(lambda hours: timedelta(hours=hours))))
)


@given(_requirements, _proofs, st.sampled_from(LEVELS), st.lists(st.sampled_from(ACR_ORDER)).map(tuple))
def test_when_nothing_is_missing_everything_asked_is_there(
    requirements: list[Requirement], proofs: list[Given], level: str, acr: tuple[str, ...]
) -> None:
    found = missing(requirements, proofs, level=level, wanted_acr=acr, now=NOW)
    if found.kind is not Need.NOTHING:
        return
    have = assess(proofs, approved_windows=False)
    assert not acr or any(satisfies(have.acr, wanted) for wanted in acr)
    methods = {one.method for one in proofs}
    assert methods & {PWD, WIN, UP, UP_MFA, KEY_UV}
    if level != T or any(one.proof == "second_factor" for one in requirements):
        assert methods & {TOTP, KEY, KEY_UV, SMS, REC, PASS, DEVICE, UP_MFA}
    if level == PSC or any(one.proof == "phishing_resistant" for one in requirements):
        assert methods & {KEY, KEY_UV}


@given(_requirements, _proofs, st.builds(Requirement, st.sampled_from(PROOFS), st.none()), st.sampled_from(LEVELS))
def test_one_more_requirement_never_makes_nothing_missing(
    requirements: list[Requirement], proofs: list[Given], more: Requirement, level: str
) -> None:
    before = missing(requirements, proofs, level=level, wanted_acr=(), now=NOW)
    after = missing([*requirements, more], proofs, level=level, wanted_acr=(), now=NOW)
    assert before.kind is Need.NOTHING or after.kind is not Need.NOTHING
