"""The gate: what the rules and the establishment's level make of a sign-in, and by which proof it could go on.

Pure: turns gathered Facts into policies' values, asks them, and says what is missing and who could give it. Loads nothing and routes to no page
(dispatch.py does). Sources: OpenID Connect Core 1.0 section 5.5.1.1 (acr, voluntary and essential), RFC 9470 (step-up).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from idp.signin.devices import spares_until
from idp.signin.enrolment import Asking, has_strong, latest_proof
from idp.signin.facts import Facts, profiles_at
from idp.signin.ground import Ground
from idp.signin.interaction import DeviceUse, Grounds
from idp.store.base import Account, Establishment, Session, StoredProof
from policies.assurance import ACR_ORDER, TOLERANT, Assurance, Given, Method, Missing, Need, assess, missing, satisfies, strictest
from policies.decision import Decision
from policies.enrolment import EnrolmentFacts, Grace, GraceFacts, grace, may_enrol
from policies.rules import Ruling, SignInFacts
from policies.zones import ADDRESS_DOUBTFUL

OWN_PAGES = ""  # no application asks: that is known
METHOD_OF_KIND = {"passkey": Method.PASSKEY, "totp": Method.TOTP, "sms": Method.SMS, "email": Method.EMAIL}
UPSTREAM_KIND = "upstream"  # to be sent back to the provider that the person came by, for two factors
KINDS_OF_SECOND_FACTOR = frozenset({"passkey", "totp", "sms"})
# Given by a factor of one's own in this browser: what is on paper, or was handed over, is not a reason to trust the browser.
REMEMBERABLE = frozenset({Method.TOTP, Method.PASSKEY, Method.PASSKEY_VERIFIED, Method.SMS})


@dataclass(frozen=True, slots=True)
class FactorChoice:
    """One way to give a second proof: its kind ("recovery", "pass" and "upstream" beside the kinds of Factors), and which Factor or provider, as far
    as it may be shown."""

    kind: str
    factor_id: str | None = None
    label: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What was decided at one instant for one establishment, and on what. `proofs` is what this sign-in has, a remembered Device among them."""

    facts: SignInFacts
    ruling: Ruling
    proofs: tuple[StoredProof, ...]
    assurance: Assurance

    @property
    def is_denied(self) -> bool:
        """Whether a rule, or the silence of all of them, denies it whatever is proven."""
        return self.ruling.decision.is_denied

    def as_json(self) -> dict[str, Any]:
        """As the Event keeps it: small, and enough to judge the past again by other rules."""
        return {"facts": self.facts.as_json(), **self.ruling.as_json()}


def judge(facts: Facts, account: Account, place: Establishment, ground: Ground) -> Judgement:
    """Ask the rules about this sign-in, as it stands."""
    proofs = _proofs(facts, account, place, ground)
    methods = frozenset(proof.method for proof in proofs)
    request, session, proof = facts.interaction.request, facts.session, facts.interaction.proof
    known = SignInFacts(
        zone=ground.whereabouts.zone,
        zone_kind=ground.whereabouts.kind,
        client=request.client_id if request else OWN_PAGES,
        profiles=profiles_at(facts, place.id),
        establishment=place.slug,
        level=place.regulatory_level,
        local_time=facts.now.astimezone(ZoneInfo(place.time_zone)),
        connector=proof.connector if proof else session.connector if session else None,
        methods=methods,
        factors=frozenset(factor.kind for factor in ground.means.factors),
        device_known=_is_known_device(facts, ground),
        workstation=ground.workstation is not None,
        requested_acr=frozenset((*request.essential_acr, *request.acr_values)) if request else frozenset(),
        administrator=bool(ground.means.roles),  # wherever the role is: what it opens is reached from here too
        break_glass=account.is_break_glass,
        degraded=facts.is_degraded,
    )
    return Judgement(facts=known, ruling=facts.terms.rules.decide(known), proofs=proofs, assurance=_assess(proofs, place))


def _is_known_device(facts: Facts, ground: Ground) -> bool:
    """Where no rule looks at it the Device is not looked for, and the Event says what the Session began with."""
    if ground.device.device is not None or facts.interaction.proof is not None or "device_known" in facts.terms.rules.looks_at:
        return ground.device.device is not None
    return facts.session is not None and facts.session.device_id is not None


def still_missing(facts: Facts, judgement: Judgement, account: Account, place: Establishment, acr: tuple[str, ...]) -> Missing:
    """What the rules and the level still want; with `acr`, what is missing for the client to be given one of those, whatever they want."""
    return _missing(judgement.proofs, facts, judgement, account=account, place=place, acr=acr)


def choices(
    facts: Facts, judgement: Judgement, ground: Ground, *, account: Account, place: Establishment, acr: tuple[str, ...]
) -> tuple[FactorChoice, ...]:
    """The second proofs that would bring this sign-in further; a code by e-mail, for one, most often would not."""
    present = _missing(judgement.proofs, facts, judgement, account=account, place=place, acr=acr)
    found = []
    for choice in (*_upstream_choice(facts, judgement), *all_choices(ground)):
        method = Method.UPSTREAM_MFA if choice.kind == UPSTREAM_KIND else METHOD_OF_KIND.get(choice.kind) or Method(choice.kind)
        then = (*judgement.proofs, StoredProof(method=method, at=facts.now, factor_id=choice.factor_id))
        after = _missing(then, facts, judgement, account=account, place=place, acr=acr)
        if after != present and after.kind is not Need.UNATTAINABLE:
            found.append(choice)
    return tuple(found)


def _upstream_choice(facts: Facts, judgement: Judgement) -> tuple[FactorChoice, ...]:
    """Who came by a provider that can be asked for two factors may give them there; `choices` leaves it out where it would not help."""
    came_by = judgement.facts.connector
    label = facts.terms.mfa_providers.get(came_by) if came_by is not None else None
    return (FactorChoice(UPSTREAM_KIND, label=label),) if label is not None else ()


def all_choices(ground: Ground) -> tuple[FactorChoice, ...]:
    """Everything the person could give, the best first."""
    order = list(METHOD_OF_KIND)
    enrolled = [factor for factor in ground.means.factors if factor.kind in METHOD_OF_KIND]
    found = [FactorChoice(one.kind, one.id, one.label, one.hint) for one in sorted(enrolled, key=lambda one: order.index(one.kind))]
    if ground.means.recovery_codes_left and has_second_factor(ground):
        found.append(FactorChoice("recovery"))
    if "sign_in" in ground.means.passes:
        found.append(FactorChoice("pass"))
    return tuple(found)


def asking(facts: Facts, judgement: Judgement, ground: Ground, *, account: Account, place: Establishment) -> Asking:
    """The position from which the person would add a factor in the middle of this sign-in."""
    interaction, session = facts.interaction, facts.session
    return Asking(
        account_id=account.id,
        establishment_id=place.id,
        whereabouts=ground.whereabouts,
        signed_in_at=interaction.proof.auth_time if interaction.proof else session.auth_time if session else None,
        proved_at=latest_proof(judgement.proofs),
        session_id=session.id if session is not None and session.account_id == account.id else None,
        pass_digest=interaction.pass_digest,
        within=interaction,
    )


def enrolment(facts: Facts, wanted: Asking, ground: Ground) -> Decision:
    """Whether a factor may be added from that position (policies/enrolment.py); the guard itself asks again when it is added."""
    return may_enrol(
        EnrolmentFacts(
            level=strictest(one.regulatory_level for one in facts.establishments.values()),  # what is added here serves in every home
            whereabouts=wanted.whereabouts,
            signed_in_at=wanted.signed_in_at,
            now=facts.now,
            has_factor=has_second_factor(ground),
            proved_factor_recently=wanted.proved_at is not None and facts.now - wanted.proved_at <= facts.terms.recent,
            has_pass=wanted.pass_digest is not None,
        )
    )


def grace_of(facts: Facts, ground: Ground, *, account: Account, place: Establishment) -> Grace:
    """What becomes of a person without a factor of whom one is wanted."""
    return grace(
        GraceFacts(
            grace_days=place.enrolment_grace_days,
            grace_began_at=account.grace_began_at,
            is_inside=ground.whereabouts.is_inside,
            now=facts.now,
        )
    )


def has_second_factor(ground: Ground) -> bool:
    """Whether a factor is enrolled that can count as a second one."""
    return has_strong(ground.means.factors)


def may_remember(place: Establishment, ground: Ground) -> bool:
    """Whether a browser may be remembered here: never where people follow one another at it, nor where nobody can tell."""
    here = ground.whereabouts
    return place.remember_device_days > 0 and not here.is_shared and here.why != ADDRESS_DOUBTFUL


def grounds(facts: Facts, judgement: Judgement, ground: Ground, *, account: Account, place: Establishment) -> Grounds:
    """What the end of the sign-in stands on."""
    found = ground.device
    given = {proof.method for proof in facts.interaction.factors if proof.account_id == account.id}
    is_remembered = facts.interaction.remembers_device and may_remember(place, ground) and not given.isdisjoint(REMEMBERABLE)
    return Grounds(
        whereabouts=ground.whereabouts,
        proofs=judgement.proofs,
        assurance=judgement.assurance,
        decision=judgement.as_json(),
        workstation_id=ground.workstation.id if ground.workstation else None,
        device=DeviceUse(
            device_id=found.device.id if found.device else None,
            current_digest=found.device.secret_digest if found.device else None,
            presented_digest=found.presented_digest,
            stale_id=found.stale_id,
            is_kept=not ground.whereabouts.is_shared,
            is_inside=ground.whereabouts.is_inside,
            remembered_for=timedelta(days=place.remember_device_days) if is_remembered else None,
        ),
        begins_grace=place.enrolment_grace_days > 0
        and account.grace_began_at is None
        and not account.is_break_glass
        and not has_second_factor(ground),
    )


def told_acr(have: str, essential: Iterable[str]) -> str:
    """The level to tell a client: when it insists on some, one of those, the highest that was reached (OpenID Connect Core section 5.5.1.1)."""
    wanted = set(essential)
    if not wanted or have in wanted:
        return have
    return next((acr for acr in reversed(ACR_ORDER) if acr in wanted and satisfies(have, acr)), have)


def proofs_of(session: Session) -> tuple[StoredProof, ...]:
    """What was proven in a Session; one of an earlier release kept its password only as `amr`."""
    return session.proofs or (StoredProof(method=Method.PASSWORD, at=session.auth_time),)


def _proofs(facts: Facts, account: Account, place: Establishment, ground: Ground) -> tuple[StoredProof, ...]:
    """A new first proof begins anew: what an earlier sign-in of this browser had shown is not what was just done.

    To unlock, the same person shows the first proof again, and the others stay as old as they are.
    """
    interaction, session = facts.interaction, facts.session
    if interaction.proof is not None:
        first = interaction.proof
        found = [StoredProof(method=first.method, at=first.auth_time, factor_id=first.factor_id, upstream_acr=first.upstream_acr)]
        if session is not None and _is_unlocking(facts, session):
            found.extend(_shown_in(session)[1:])
    else:
        found = _shown_in(session) if session is not None else []
    for given in interaction.factors:
        if given.account_id == account.id:
            found.append(StoredProof(method=given.method, at=given.at, factor_id=given.factor_id))
    device = ground.device.device
    until = spares_until(device, place.remember_device_days) if device is not None and may_remember(place, ground) else None
    if device is not None and device.remembered_at is not None and until is not None and facts.now < until:
        found.append(StoredProof(method=Method.REMEMBERED_DEVICE, at=device.remembered_at, factor_id=device.id))
    # The latest of each: a Session that is stepped up all day keeps no more than was shown.
    return tuple({(proof.method, proof.factor_id): proof for proof in found}.values())


def _shown_in(session: Session) -> list[StoredProof]:
    """What the person showed. That a browser was remembered is no such thing: it is looked at again each time, here and now."""
    return [proof for proof in proofs_of(session) if proof.method != Method.REMEMBERED_DEVICE]


def _is_unlocking(facts: Facts, session: Session) -> bool:
    """Whether the lock is all that the person is asked for; who asks for a new sign-in gets a whole one."""
    proof, request, client = facts.interaction.proof, facts.interaction.request, facts.client
    if proof is None or not session.is_locked or session.account_id != proof.account_id:
        return False
    if request is None:
        return facts.interaction.step_up is None
    has_max_age = request.max_age_seconds is not None or (client is not None and client.settings.default_max_age is not None)
    return not has_max_age and "login" not in request.prompt


def _given(proofs: Iterable[StoredProof]) -> list[Given]:
    return [Given(Method(proof.method), proof.at, proof.upstream_acr) for proof in proofs]


def _assess(proofs: Iterable[StoredProof], place: Establishment) -> Assurance:
    return assess(_given(proofs), approved_windows=bool(place.windows_approval))


def _missing(
    proofs: Iterable[StoredProof], facts: Facts, judgement: Judgement, *, account: Account, place: Establishment, acr: tuple[str, ...]
) -> Missing:
    # What a client asks beyond is judged alone: where the establishment spares people for some days, the client's wish is not spared with it.
    return missing(
        () if acr else judgement.ruling.requirements,
        _given(proofs),
        level=TOLERANT if acr else place.regulatory_level,
        wanted_acr=acr,
        now=facts.now,
        approved_windows=bool(place.windows_approval),
        is_break_glass=account.is_break_glass,
    )
