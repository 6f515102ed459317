"""How sure a sign-in is, what may be said of it (`acr`, `amr`), and which proof is still missing.

Owns the methods, their families and the regulatory levels. Does not ask, verify or remember a proof: idp.signin does, and asks here. Claims say
less rather than more. Sources: RFC 8176 (amr), OpenID Connect EAP ACR Values 1.0 (phr), RFC 9470 (step-up), CNIL délibération 2025-019 (two of
three families; a place is no factor; a code by e-mail makes two steps, not two factors), PGSSI-S référentiel d'identification électronique.

`amr`, by RFC 8176 section 2. Password: pwd. Windows session: wia. TOTP, recovery code, one-time pass: otp. SMS code: sms. Passkey: pop and user;
whether its key lives in hardware (hwk) or software (swk), and whether a finger or a PIN unlocked it, is not known without attestation and not said.
Another provider that was trusted to have seen two factors: mfa, for nothing is known of which. A code by e-mail, a remembered device, a place,
another provider that said nothing: nothing, for none has a registered value, and `otp` beside `pwd` would be read as two factors.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

SECOND_FACTOR = "second_factor"
PHISHING_RESISTANT = "phishing_resistant"
FRESH_SIGN_IN = "fresh_sign_in"
PROOFS = (SECOND_FACTOR, PHISHING_RESISTANT, FRESH_SIGN_IN)

TOLERANT = "tolerant"
RIE_2026 = "rie-2026"
PSC = "psc"
LEVELS = (TOLERANT, RIE_2026, PSC)

# One factor; one, on a workstation whose Windows session the establishment has approved; two families; two, and none that a false page could use.
ACR_PASSWORD = "urn:vestibule:acr:password"  # noqa: S105  # the name of an assurance level, not a password
ACR_APPROVED = "urn:vestibule:acr:approved-workstation"
ACR_MFA = "urn:vestibule:acr:mfa"
ACR_PHISHING_RESISTANT = "phr"
ACR_ORDER = (ACR_PASSWORD, ACR_APPROVED, ACR_MFA, ACR_PHISHING_RESISTANT)

# What Pro Santé Connect answers with when it was asked as its documentation says.
PSC_ACR = frozenset({"eidas1", "eidas2", "eidas3"})

NOTHING_MISSING = "nothing_missing"
SIGN_IN_NEEDED = "sign_in_needed"
SIGN_IN_TOO_OLD = "sign_in_too_old"
RULE_NEEDS_SECOND_FACTOR = "rule_needs_second_factor"
RULE_NEEDS_PHISHING_RESISTANT = "rule_needs_phishing_resistant"
LEVEL_NEEDS_TWO_FACTORS = "level_needs_two_factors"
LEVEL_NEEDS_PRO_SANTE_CONNECT = "level_needs_pro_sante_connect"
CLIENT_NEEDS_HIGHER_ACR = "client_needs_higher_acr"
ACR_NOT_OFFERED = "acr_not_offered"
ACR_OUT_OF_REACH = "acr_out_of_reach"
REQUIREMENT_UNKNOWN = "requirement_unknown"
LEVEL_UNKNOWN = "level_unknown"


class Method(StrEnum):
    """How something was proven."""

    PASSWORD = "password"  # noqa: S105  # the name of a method
    WINDOWS = "windows"
    UPSTREAM = "upstream"
    UPSTREAM_MFA = "upstream_mfa"
    TOTP = "totp"
    PASSKEY = "passkey"
    PASSKEY_VERIFIED = "passkey_verified"
    SMS = "sms"
    EMAIL = "email"
    RECOVERY = "recovery"
    PASS = "pass"  # noqa: S105  # the name of a method
    REMEMBERED_DEVICE = "remembered_device"


class Family(StrEnum):
    """The CNIL's families, as far as they can be told: a passkey is unlocked by a PIN (known) or a finger (one's own), and which is not said."""

    KNOWN = "known"
    HELD = "held"
    KNOWN_OR_OWN = "known_or_own"


# A Kerberos ticket was got with a password, or with a card and its PIN: something known in either case. What another provider asked is not known;
# where it says that it was two factors, and is trusted to say so, they are of two families.
FAMILIES: dict[Method, frozenset[Family]] = {
    Method.PASSWORD: frozenset({Family.KNOWN}),
    Method.WINDOWS: frozenset({Family.KNOWN}),
    Method.UPSTREAM: frozenset(),
    Method.UPSTREAM_MFA: frozenset({Family.KNOWN, Family.HELD}),
    Method.TOTP: frozenset({Family.HELD}),
    Method.PASSKEY: frozenset({Family.HELD}),
    Method.PASSKEY_VERIFIED: frozenset({Family.HELD, Family.KNOWN_OR_OWN}),
    Method.SMS: frozenset({Family.HELD}),
    Method.EMAIL: frozenset(),
    Method.RECOVERY: frozenset({Family.HELD}),
    Method.PASS: frozenset({Family.HELD}),
    Method.REMEMBERED_DEVICE: frozenset(),
}

_AMR: dict[Method, tuple[str, ...]] = {
    Method.PASSWORD: ("pwd",),
    Method.WINDOWS: ("wia",),
    Method.UPSTREAM: (),
    Method.UPSTREAM_MFA: ("mfa",),
    Method.TOTP: ("otp",),
    Method.PASSKEY: ("pop", "user"),
    Method.PASSKEY_VERIFIED: ("pop", "user"),
    Method.SMS: ("sms",),
    Method.EMAIL: (),
    Method.RECOVERY: ("otp",),
    Method.PASS: ("otp",),
    Method.REMEMBERED_DEVICE: (),
}
_AMR_ORDER = ("pwd", "wia", "otp", "sms", "pop", "user", "mfa")

UPSTREAMS = frozenset({Method.UPSTREAM, Method.UPSTREAM_MFA})
PRIMARY = frozenset({Method.PASSWORD, Method.WINDOWS, Method.PASSKEY_VERIFIED}) | UPSTREAMS
REAL_SECOND = frozenset(
    {Method.TOTP, Method.PASSKEY, Method.PASSKEY_VERIFIED, Method.SMS, Method.RECOVERY, Method.PASS, Method.UPSTREAM_MFA}
)
PASSKEYS = frozenset({Method.PASSKEY, Method.PASSKEY_VERIFIED})
_SATISFIES_RULE = REAL_SECOND | {Method.REMEMBERED_DEVICE}


@dataclass(frozen=True, slots=True)
class Requirement:
    """A proof that must be there, and how long ago it may have been given at most (None: whenever in this Session)."""

    proof: str
    within: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """One proof, given at `at` (UTC-aware). Of a remembered device: when the factor was last really given in it.

    `upstream_acr`: what the other provider said, where it is trusted to say it; for UPSTREAM and UPSTREAM_MFA only.
    """

    method: Method
    at: datetime
    upstream_acr: str | None = None


@dataclass(frozen=True, slots=True)
class Assurance:
    """What may be said of a sign-in: one of ACR_ORDER, and RFC 8176 values in a fixed order."""

    acr: str
    amr: tuple[str, ...]

    @property
    def is_multi_factor(self) -> bool:
        """Whether two families were really proven."""
        return "mfa" in self.amr


class Need(StrEnum):
    """What is to be asked next."""

    NOTHING = "nothing"
    SECOND_FACTOR = "second_factor"
    PHISHING_RESISTANT = "phishing_resistant"
    SIGN_IN = "sign_in"
    UNATTAINABLE = "unattainable"


# A passkey is a second factor too, and after a new sign-in the rest is asked again anyway: the strongest is asked first.
_WEIGHT = {need: weight for weight, need in enumerate(Need)}


@dataclass(frozen=True, slots=True)
class Missing:
    """What is missing most, and the code of who asks for it."""

    kind: Need
    reason: str


def assess(given: Iterable[Given], *, approved_windows: bool) -> Assurance:
    """The honest `acr` and `amr` of these proofs. `approved_windows`: the establishment has recorded that its Windows sessions count as approved.

    `mfa` only for two families. `phr` only for two families of which a passkey is one. Nothing given is the lowest level with an empty `amr`.
    """
    methods = {one.method for one in given}
    families = frozenset[Family]().union(*(FAMILIES[method] for method in methods))
    has_two = len(families) > 1 and Family.HELD in families
    values = {value for method in methods for value in _AMR[method]} | ({"mfa"} if has_two else set())
    amr = tuple(value for value in _AMR_ORDER if value in values)
    if has_two:
        return Assurance(ACR_PHISHING_RESISTANT if methods & PASSKEYS else ACR_MFA, amr)
    return Assurance(ACR_APPROVED if approved_windows and Method.WINDOWS in methods else ACR_PASSWORD, amr)


def strictest(levels: Iterable[str]) -> str:
    """The level that asks most; one that is not of LEVELS asks more than any, and none at all is as unknown."""
    return max(levels, key=lambda level: LEVELS.index(level) if level in LEVELS else len(LEVELS), default="")


def satisfies(have: str, wanted: str) -> bool:
    """Whether a level is at least another one; never when either is not of ACR_ORDER."""
    return have in ACR_ORDER and wanted in ACR_ORDER and ACR_ORDER.index(have) >= ACR_ORDER.index(wanted)


def missing(
    requirements: Iterable[Requirement],
    given: Iterable[Given],
    *,
    level: str,
    wanted_acr: tuple[str, ...],
    now: datetime,
    approved_windows: bool = False,
    is_break_glass: bool = False,
) -> Missing:
    """What is still to be proven for a ruling that did not deny (a denial has no requirements: look at the verdict first).

    `wanted_acr`: any one of them is enough, and a higher level satisfies a lower. A remembered device satisfies a rule and the level, for the
    gesture may be spared, and never an acr. The break-glass account is not held to the level: it is for the day on which factors do not work.
    UNATTAINABLE: nothing the person does here would help.
    """
    proofs = tuple(given)
    if not any(one.method in PRIMARY for one in proofs):
        return Missing(Need.SIGN_IN, SIGN_IN_NEEDED)
    found = [_of_requirement(requirement, proofs, now) for requirement in requirements]
    if not is_break_glass:
        found.append(_of_level(level, proofs, approved_windows=approved_windows))
    if wanted_acr:
        found.append(_of_acr(wanted_acr, proofs, approved_windows=approved_windows))
    return max((one for one in found if one is not None), key=lambda one: _WEIGHT[one.kind], default=Missing(Need.NOTHING, NOTHING_MISSING))


def _of_requirement(requirement: Requirement, proofs: tuple[Given, ...], now: datetime) -> Missing | None:
    fresh = {one.method for one in proofs if requirement.within is None or now - one.at <= requirement.within}
    if requirement.proof == FRESH_SIGN_IN:
        return None if fresh & PRIMARY else Missing(Need.SIGN_IN, SIGN_IN_TOO_OLD)
    if requirement.proof == SECOND_FACTOR:
        return None if fresh & _SATISFIES_RULE else Missing(Need.SECOND_FACTOR, RULE_NEEDS_SECOND_FACTOR)
    if requirement.proof == PHISHING_RESISTANT:
        return None if fresh & PASSKEYS else Missing(Need.PHISHING_RESISTANT, RULE_NEEDS_PHISHING_RESISTANT)
    return Missing(Need.UNATTAINABLE, REQUIREMENT_UNKNOWN)


def _of_level(level: str, proofs: tuple[Given, ...], *, approved_windows: bool) -> Missing | None:
    methods = {one.method for one in proofs}
    if level == TOLERANT:
        return None
    if level not in LEVELS:
        return Missing(Need.UNATTAINABLE, LEVEL_UNKNOWN)
    if methods & PASSKEYS or any(one.method in UPSTREAMS and one.upstream_acr in PSC_ACR for one in proofs):
        return None
    if level == PSC:
        return Missing(Need.PHISHING_RESISTANT, LEVEL_NEEDS_PRO_SANTE_CONNECT)
    is_approved = approved_windows and Method.WINDOWS in methods
    return None if is_approved or methods & _SATISFIES_RULE else Missing(Need.SECOND_FACTOR, LEVEL_NEEDS_TWO_FACTORS)


def _of_acr(wanted: tuple[str, ...], proofs: tuple[Given, ...], *, approved_windows: bool) -> Missing | None:
    known = [acr for acr in ACR_ORDER if acr in wanted]
    if not known:
        return Missing(Need.UNATTAINABLE, ACR_NOT_OFFERED)
    lowest, methods = known[0], {one.method for one in proofs}
    if satisfies(assess(proofs, approved_windows=approved_windows).acr, lowest):
        return None
    need, helping = (Need.PHISHING_RESISTANT, PASSKEYS) if lowest == ACR_PHISHING_RESISTANT else (Need.SECOND_FACTOR, REAL_SECOND)
    # It was given already and is still not enough: to ask again would go round in circles.
    return Missing(Need.UNATTAINABLE, ACR_OUT_OF_REACH) if methods & helping else Missing(need, CLIENT_NEEDS_HIGHER_ACR)
