"""What rules and places said, in plain English for a terminal: of a sign-in that is supposed (`policy explain`) and of one that was (`audit show`).

Owns the sentences only; codes and their meaning are those of policies/ and idp.audit.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from connectors.settings import format_duration
from idp.audit import Reason
from idp.signin.decided import Decided, decided
from idp.signin.gate import FactorChoice
from idp.signin.step import Step, StepKind
from idp.signin.what_if import WhatIf
from policies import access, assurance, zones
from policies.assurance import Method, Need
from policies.criteria import CRITERIA, FACTS, fact_text
from policies.decision import TraceLine, Verdict

PLACE_WHY = {
    zones.NETWORK_OF_ZONE: "the address is in one of the zone's networks",
    zones.EGRESS_WITH_WORKSTATION: "the site's public address, from a workstation enrolled in that zone",
    zones.EGRESS_WITH_DECLARATION: "the site's public address, and it is on record that guests leave by another",
    zones.EGRESS_ALONE: "the site's public address alone, by which guests may leave too: outside without an enrolled workstation",
    zones.ZONE_OF_ANOTHER_ESTABLISHMENT: "the address is in a zone of another establishment than the active one",
    zones.NO_ZONE: "the address is in no zone",
    zones.ADDRESS_DOUBTFUL: "the address behind the proxies could not be told for sure",
    zones.ATTACHMENT_NOT_VALID: "the person's attachment to the zone's establishment is not valid",
    zones.BLOCKED_NETWORK: "the address is in a blocked network",
    zones.ZONE_NOT_VALID_NOW: "the zone that holds the address does not count on that day",
    "zones_unknown": "the store did not answer, so no zone was known",
    "not_concluded": "nothing was concluded yet",
}
PROOFS = {
    assurance.SECOND_FACTOR: "a second factor",
    assurance.PHISHING_RESISTANT: "a passkey",
    assurance.FRESH_SIGN_IN: "a fresh sign-in",
}
METHODS = {
    Method.PASSWORD: "a password",
    Method.WINDOWS: "the Windows session",
    Method.UPSTREAM: "another provider",
    Method.UPSTREAM_MFA: "another provider, with two factors",
    Method.TOTP: "a code of an authenticator application",
    Method.PASSKEY: "a passkey",
    Method.PASSKEY_VERIFIED: "a passkey with a finger or a PIN",
    Method.SMS: "a code by SMS",
    Method.EMAIL: "a code by e-mail",
    Method.RECOVERY: "a recovery code",
    Method.PASS: "a one-time pass",
    Method.REMEMBERED_DEVICE: "a remembered device",
}
MISSING_WHY = {
    assurance.NOTHING_MISSING: "nothing is missing",
    assurance.SIGN_IN_NEEDED: "nobody has signed in yet",
    assurance.SIGN_IN_TOO_OLD: "a rule wants a sign-in that is more recent",
    assurance.RULE_NEEDS_SECOND_FACTOR: "a rule wants a second factor",
    assurance.RULE_NEEDS_PHISHING_RESISTANT: "a rule wants a passkey",
    assurance.LEVEL_NEEDS_TWO_FACTORS: "the establishment's regulatory level wants two factors, inside too",
    assurance.LEVEL_NEEDS_PRO_SANTE_CONNECT: "the establishment's regulatory level wants Pro Santé Connect, or a passkey",
    assurance.CLIENT_NEEDS_HIGHER_ACR: "the application asks for a higher acr",
    assurance.ACR_NOT_OFFERED: "the application asks for an acr that is not offered",
    assurance.ACR_OUT_OF_REACH: "the application asks for an acr that these proofs cannot reach",
    assurance.REQUIREMENT_UNKNOWN: "a rule wants a proof that this release does not know",
    assurance.LEVEL_UNKNOWN: "the establishment has a regulatory level that this release does not know",
}
ACCESS_WHY = {
    access.ATTACHMENT_USABLE: "attached there, and the application serves it",
    access.ACCOUNT_NOT_ACTIVE: "the account is suspended or ended",
    access.NO_ATTACHMENT: "attached to no establishment, or not to that one",
    access.ATTACHMENT_NOT_STARTED: "the attachment begins later",
    access.ATTACHMENT_ENDED: "the attachment is over",
    access.CLIENT_NOT_OPEN_TO_ESTABLISHMENT: "the application does not serve that establishment",
    access.CLIENT_NOT_OPEN_TO_PROFILE: "the application does not serve that profile",
}
NOBODY = "none"  # the person's own pages, which no application asks for
CRITERION_OF = {fact: name for name, fact in CRITERIA.items() if name not in {"time", "weekdays"}} | {"local_time": "time"}


def sentence(name: str, found: WhatIf) -> str:
    """What would happen, in one sentence."""
    step = found.step
    if step.kind is StepKind.FINISH:
        return f"{name} gets in with {_given(found)}, and nothing more is asked."
    if step.kind is StepKind.FACTOR:
        wish = ", which the application wishes and the person may decline" if step.is_optional else ""
        return f"{name} is asked for {_factors(step.factors)}{wish}."
    if step.kind is StepKind.ENROL:
        through = " with the one-time pass that is waiting for them" if step.asks_pass else " there and then"
        return f"{name} has nothing to prove it with, and adds a second factor first ({', '.join(sorted(step.kinds))}){through}."
    if step.kind is StepKind.CHOOSE_ESTABLISHMENT:
        return f"{name} chooses an establishment first ({', '.join(one.slug for one in step.choices)}): say which with --establishment."
    if step.kind is StepKind.DENY:
        return f"{name} is refused: {_because(step, found)}."
    return f"{name} is asked something first: {step.kind.replace('_', ' ')}."


def place_line(zone: str, kind: str, why: str) -> str:
    """`tilleuls/salle-de-soins (trusted): the address is in one of the zone's networks`."""
    where = zone if zone == kind else f"{zone} ({kind.replace('_', ' ')})"
    return f"{where}: {PLACE_WHY.get(why, why)}"


def access_line(found: WhatIf) -> str:
    """Whether the person may use the application at all, and why."""
    said = "; ".join(ACCESS_WHY.get(reason, reason) for reason in found.access.reasons)
    return f"{'yes' if found.access.is_allowed else 'no'}: {said}"


def missing_line(found: WhatIf) -> str | None:
    """What is to be proven beyond the first proof; None where the rules were not asked, or denied."""
    if found.missing is None or (found.judgement is not None and found.judgement.is_denied):
        return None
    return MISSING_WHY[found.missing.reason]


def past_lines(stored: Mapping[str, Any]) -> Iterator[str]:
    """The story of a decision that an Event keeps: its verdict, the rules that spoke, and what was known."""
    try:
        past = decided(stored)
    except (KeyError, TypeError, ValueError, AttributeError):
        yield "the decision is kept in a form that this release cannot read; --json shows it"
        return
    proofs = [METHODS[Method(method)] for method in sorted(past.facts.methods or ()) if method in tuple(Method)]
    yield f"proven by {' and '.join(proofs) or 'nothing that is known'}; {_verdict(past)}"
    yield from (f"rule {_rule(line)}" for line in past.trace)
    yield from (f"rule {_rule(line)} (only observed, not enforced)" for line in past.observed)
    known = {CRITERION_OF[name]: getattr(past.facts, name) for name in FACTS}
    yield f"on these facts: {'; '.join(f'{name} {fact_text(value) or NOBODY}' for name, value in known.items() if value is not None)}"
    if unknown := [name for name, value in known.items() if value is None]:
        yield f"not known: {', '.join(unknown)}"


def _verdict(past: Decided) -> str:
    if past.verdict is Verdict.REQUIRE:
        asked = " and ".join(PROOFS.get(proof, proof) + _age(within) for proof, within in past.requirements.items())
        return f"the rules required {asked} ({', '.join(past.reasons)})"
    return f"the rules {'allowed' if past.verdict is Verdict.ALLOW else 'denied'} it ({', '.join(past.reasons)})"


def _rule(line: TraceLine) -> str:
    doubt = ", because a fact it speaks of was not known" if line.detail == "unknown" else f", {line.detail}" if line.detail else ""
    return f"{line.reason}: {line.verdict}{doubt}"


def _age(within: timedelta | None) -> str:
    return "" if within is None else f" not older than {format_duration(within)}"


def _given(found: WhatIf) -> str:
    proofs = found.judgement.proofs if found.judgement else ()
    return " and ".join(METHODS[Method(proof.method)] for proof in proofs) or "what was proven"


def _factors(choices: tuple[FactorChoice, ...]) -> str:
    named = []
    for choice in choices:
        method = {"upstream": Method.UPSTREAM_MFA}.get(choice.kind) or Method(choice.kind)
        shown = choice.hint or (choice.label if choice.label != choice.kind else "")
        named.append(METHODS[method] + (f" ({shown})" if shown else ""))
    return " or ".join(dict.fromkeys(named))


def _because(step: Step, found: WhatIf) -> str:
    if found.judgement is not None and found.judgement.is_denied:
        return f"the rules deny it ({', '.join(found.judgement.ruling.decision.reasons)})"
    if not found.access.is_allowed:
        return "; ".join(ACCESS_WHY.get(reason, reason) for reason in found.access.reasons)
    because = step.reason.description.rstrip(".") if isinstance(step.reason, Reason) else "no reason was given"
    because = because[:1].lower() + because[1:]
    is_wanting = found.missing is not None and found.missing.kind is not Need.NOTHING
    return f"{because} ({MISSING_WHY[found.missing.reason]})" if is_wanting and found.missing else because
