"""A sign-in that has not taken place: what would be known of it, what the rules would say and why, and what the person would be asked.

Owns the supposing only: a person, an application, an address, an instant. Facts are gathered, the rules asked and the Step found by the same code as
for a real one (facts.py, gate.py, dispatch.py), so that the answer cannot differ from it. Reads the store in the caller's transaction and writes
nothing. For the command line and the console. The directory is taken to answer, the password to be right, and other open Sessions are not counted.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from ipaddress import ip_address
from urllib.parse import urlsplit

from idp.config import Config
from idp.signin import gate
from idp.signin.devices import STRANGE, Recognised
from idp.signin.dispatch import decide_step
from idp.signin.facts import Facts, Terms, active_establishment, gather
from idp.signin.gate import Judgement
from idp.signin.ground import Ground
from idp.signin.interaction import LOCAL, AuthorizationRequest, Interaction, Proof
from idp.signin.step import Step
from idp.signin.whereabouts import zone_facts
from idp.store.base import Account, Client, Device, Establishment, Workstation
from idp.store.database import Transaction
from idp.store.means import EnrolledFactor
from policies import access
from policies.assurance import Method, Missing, Need
from policies.decision import Decision
from policies.rules import Explanation, RuleSet
from policies.sessions import SessionLimits
from policies.zones import WorkstationFacts, ZoneIndex, conclude

_A_CENTURY = timedelta(days=36_525)
_NO_LIMITS = SessionLimits(idle=_A_CENTURY, absolute=_A_CENTURY, concurrent=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Supposed:
    """The sign-in to suppose, at `at` (UTC-aware), from `address`. `client_id` None: our own account page.

    `establishment`: the slug that the application asks for, or that the person chooses. `acr` is asked for as a wish, `essential_acr` insisted on.
    `method` is how the person proves who they are. `factors`: the kinds enrolled; None: those that are. `is_remembered`: in a browser in which a
    second factor was given at `at` and is to be spared. `workstation`: the enrolled machine that they sit at.
    """

    account_id: str
    client_id: str | None
    address: str
    at: datetime
    establishment: str | None = None
    acr: tuple[str, ...] = ()
    essential_acr: tuple[str, ...] = ()
    method: Method = Method.PASSWORD
    factors: frozenset[str] | None = None
    is_device_known: bool = False
    is_remembered: bool = False
    workstation: Workstation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """What would come of it. `step` is what the person would see next; FINISH: nothing more is asked.

    `access` says whether the person may use the application at all. `judgement`, `explanation` and `missing` are None where the rules would not be
    asked: nobody may use it, or the establishment must be chosen first.
    """

    step: Step
    access: Decision
    establishment: Establishment | None
    ground: Ground | None = None
    judgement: Judgement | None = None
    explanation: Explanation | None = None
    missing: Missing | None = None


def terms_of(config: Config, rules: RuleSet | None = None) -> Terms:
    """What a configuration judges by, as the sign-in does; with a draft, by that instead of its rules."""
    # Browsers know no passkeys at a bare address (Web Authentication level 2, section 5.1.3), and what cannot be sent is not offered.
    is_there = {"sms": config.sms.is_set, "email": config.mail.is_set, "passkey": not _is_address(urlsplit(config.issuer).hostname or "")}
    offered = frozenset(kind for kind in config.factors.offered if is_there.get(kind, True))
    return Terms(rules or config.policy.rule_set, offered=offered, recent=config.factors.recent)


def what_if(tx: Transaction, supposed: Supposed, terms: Terms) -> WhatIf:
    """Suppose it. Unknown ids are answered as the sign-in would: with a refusal."""
    facts = gather(
        tx,
        _interaction(tx, supposed),
        None,
        now=supposed.at,
        limits=_NO_LIMITS,
        terms=terms,
        load_client=_open_client,
        survey=_Ground(supposed),
    )
    establishment = facts.establishments.get(active_establishment(facts)[0] or "")
    # At the one that was asked for, where another answers in its place: that is what needs explaining.
    asked = next((one for one in facts.establishments.values() if one.slug == supposed.establishment), establishment)
    found = WhatIf(
        step=decide_step(facts),
        access=access.decide(facts.access, asked.id if asked else None),
        establishment=establishment,
        ground=facts.ground,
    )
    if facts.account is None or facts.ground is None or establishment is None:
        return found
    return _judged(found, facts, facts.account, establishment, facts.ground, supposed)


def _judged(found: WhatIf, facts: Facts, account: Account, establishment: Establishment, ground: Ground, supposed: Supposed) -> WhatIf:
    judgement = gate.judge(facts, account, establishment, ground)
    return replace(
        found,
        judgement=judgement,
        explanation=facts.terms.rules.explain(judgement.facts),
        missing=_missing(facts, judgement, account, establishment, supposed.essential_acr or supposed.acr),
    )


def _missing(facts: Facts, judgement: Judgement, account: Account, place: Establishment, acr: tuple[str, ...]) -> Missing:
    found = gate.still_missing(facts, judgement, account, place, ())
    return gate.still_missing(facts, judgement, account, place, acr) if found.kind is Need.NOTHING and acr else found


class _Ground:
    """The ground of a sign-in that is supposed (see ground.Survey)."""

    def __init__(self, supposed: Supposed) -> None:
        self._supposed = supposed

    def __call__(self, tx: Transaction, account: Account, establishment: Establishment, *, asks_device: bool, now: datetime) -> Ground:
        """Zones, means and machine as they are in the store, but for what is supposed."""
        supposed = self._supposed
        index = ZoneIndex(zone_facts(zone, slug) for zone, slug in tx.zones.open_with_slugs())
        machine = _recognised(index, supposed, now)
        means = tx.means.of(account.id, now)
        if supposed.factors is not None:
            means = replace(means, factors=tuple(EnrolledFactor(kind, kind, kind, "") for kind in sorted(supposed.factors)))
        whereabouts = conclude(
            index.find(supposed.address, now, establishment_id=establishment.id),
            is_doubtful=False,
            establishment_id=establishment.id,
            has_attachment=True,
            workstation=machine,
            now=now,
        )
        return Ground(
            whereabouts=whereabouts,
            means=means,
            workstation=machine if machine is not None and machine.establishment_id == establishment.id else None,
            device=_device(supposed, establishment) if asks_device else STRANGE,
        )


def _interaction(tx: Transaction, supposed: Supposed) -> Interaction:
    request = None
    if supposed.client_id is not None:
        request = AuthorizationRequest(
            client_id=supposed.client_id,
            redirect_uri="",
            response_mode="query",
            scope=("openid",),
            acr_values=supposed.acr,
            essential_acr=supposed.essential_acr,
            establishment_hint=supposed.establishment,
        )
    links = tx.links.of_account(supposed.account_id)
    proof = Proof(
        account_id=supposed.account_id,
        auth_time=supposed.at,
        amr=(),
        acr="",
        connector=links[0].connector if links else LOCAL,
        method=supposed.method,
    )
    chosen = tx.establishments.by_slug(supposed.establishment) if supposed.establishment else None
    return Interaction(
        id="",
        browser_digest="",
        created_at=supposed.at,
        request=request,
        proof=proof,
        establishment_id=chosen.id if chosen else None,
        consented=True,
    )


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _open_client(tx: Transaction, client_id: str) -> Client | None:
    found = tx.clients.get(client_id)
    return found if found is not None and found.ended_at is None else None


def _recognised(index: ZoneIndex, supposed: Supposed, now: datetime) -> WorkstationFacts | None:
    """The machine, where its secret would be believed: in its own zone only (workstations.py)."""
    machine = supposed.workstation
    zone = index.find(supposed.address, now)
    if machine is None or zone is None or not zone.is_valid(now) or zone.id != machine.zone_id:
        return None
    return WorkstationFacts(id=machine.id, establishment_id=machine.establishment_id, zone_id=machine.zone_id, is_shared=machine.is_shared)


def _device(supposed: Supposed, establishment: Establishment) -> Recognised:
    if not (supposed.is_device_known or supposed.is_remembered):
        return STRANGE
    until = supposed.at + timedelta(days=max(1, establishment.remember_device_days))
    return Recognised(
        Device(
            id="",
            account_id=supposed.account_id,
            secret_digest="",
            previous_digest=None,
            rotated_at=supposed.at,
            user_agent="",
            address=supposed.address,
            remembered_at=supposed.at if supposed.is_remembered else None,
            remembered_until=until if supposed.is_remembered else None,
            last_seen_at=supposed.at,
            created_at=supposed.at,
            ended_at=None,
        )
    )
