"""How a sign-in page sends people to upstream providers: by a button, by what they typed, by what the application asked for, for a second factor.

Owns the ways out; where to and what is asked there is idp/signin's, the way back is upstream.py's. From a form, and where a form may have come
before, people are led on by a page of ours: Chromium holds the redirects after a form against form-action, and a provider's are not ours to know.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask import Response, request

from idp.signin.gate import UPSTREAM_KIND
from idp.signin.home_realm import ask_of, domain_of
from idp.signin.interaction import Interaction
from idp.signin.providers import OpenedProvider
from idp.signin.signin import Surroundings
from idp.signin.step import Step, StepKind
from idp.signin.upstream import Purpose, UpstreamFailed
from policies.assurance import Method

if TYPE_CHECKING:
    from idp.web.signin import Visit


def offers(visit: "Visit", interaction: Interaction, around: Surroundings) -> dict[str, Any]:
    """What the sign-in page shows of providers, as fields of StepView."""
    realm = visit.signin.realm(interaction, around.establishment, visit.pages.bystander())
    return {
        "providers": tuple({"label": one.label, "url": f"/signin/{visit.id}/upstream/{one.name}"} for one in realm.offers),
        "providers_lead": realm.leads,
        "upstream": told(visit, interaction),
    }


def told(visit: "Visit", interaction: Interaction) -> dict[str, str] | None:
    """Which provider nothing came of last, and why as a reason code; None when it went well or there was none."""
    if interaction.upstream is None or interaction.upstream_problem is None:
        return None
    provider = visit.signin.upstreams.providers.get(interaction.upstream)
    return {"label": provider.label if provider else interaction.upstream, "problem": interaction.upstream_problem}


def lead(visit: "Visit", interaction: Interaction, step: Step) -> Response | None:
    """Away from a page that need not be shown: the application asked for a provider, or it alone can give the second factor. Once each."""
    if step.kind is StepKind.LOGIN and "sign_in" not in interaction.upstream_sent and interaction.proof is None:
        around = _around(visit, interaction)
        found = visit.signin.realm(interaction, around.establishment, visit.pages.bystander()).straight_to
        if found is not None:
            interaction = replace(interaction, upstream_sent=(*interaction.upstream_sent, "sign_in"))
            return _send(visit, interaction, step, found.name, is_direct=not (interaction.restarts or visit.pages.must_act()))
    is_only_way = step.kind is StepKind.FACTOR and [choice.kind for choice in step.factors] == [UPSTREAM_KIND]
    if is_only_way and not step.is_optional and "second_factor" not in interaction.upstream_sent:
        interaction = replace(interaction, upstream_sent=(*interaction.upstream_sent, "second_factor"))
        return leave_for_factor(visit, interaction, step)
    return None


def leave(visit: "Visit", interaction: Interaction, step: Step, provider: str) -> Response | None:
    """By a provider's button; None when this page does not offer it."""
    if request.method == "HEAD":
        return None
    if step.kind is not StepKind.LOGIN and interaction.proof is not None:
        return None
    realm = visit.signin.realm(interaction, _around(visit, interaction).establishment, visit.pages.bystander())
    if all(one.name != provider for one in realm.offers):
        return None
    return _send(visit, interaction, replace(step, kind=StepKind.LOGIN), provider, is_direct=True)


def leave_by_identifier(visit: "Visit", interaction: Interaction, step: Step, typed: str) -> Response | None:
    """Whoever types an identifier of a provider's domain is sent there; the password that came with it is tried nowhere."""
    found = visit.signin.upstreams.providers.of_domain(domain_of(typed))
    if found is None:
        return None
    return _send(visit, interaction, step, found.name, typed=typed.strip())


def leave_for_factor(visit: "Visit", interaction: Interaction, step: Step) -> Response | None:
    """Back to the provider that the person came by, for two factors."""
    session, proof = visit.presence.session, interaction.proof
    came_by = proof.connector if proof else session.connector if session else ""
    if step.account is None:
        return None
    return _send(visit, interaction, step, came_by, purpose="second_factor", account_id=step.account.id)


def _send(
    visit: "Visit",
    interaction: Interaction,
    step: Step,
    provider: str,
    *,
    purpose: Purpose = "sign_in",
    account_id: str | None = None,
    typed: str | None = None,
    is_direct: bool = False,
) -> Response:
    pages, session = visit.pages, visit.presence.session
    pages.speak(interaction)
    bystander = pages.bystander()
    ask = ask_of(
        interaction,
        session,
        bystander=bystander,
        is_asked_again=step.is_asked_again,
        typed=typed,
        wants_mfa=purpose == "second_factor",
    )
    if purpose == "second_factor":
        # What was proven there before was not enough, or too long ago: only somebody who is there can add to it.
        shown = {interaction.proof.method} if interaction.proof else {one.method for one in session.proofs} if session else set()
        # On a shared machine, or after a sign-out, no session there may answer for anybody.
        must_tell = interaction.proof is None and interaction.request is not None and interaction.request.needs_auth_time
        ask = replace(ask, forces_prompt=bystander.must_act or must_tell or Method.UPSTREAM_MFA in shown, max_age=None)
    try:
        url = visit.signin.departures.depart(interaction, provider, ask, purpose=purpose, account_id=account_id, origin=pages.origin())
    except UpstreamFailed as failed:
        failing = replace(interaction, upstream=provider, upstream_problem=str(failed.reason))
        return visit.page(failing, step, status=503 if failed.is_unreachable else 502, typed=typed)
    if is_direct:
        return pages.see_other(url)
    found: OpenedProvider | None = visit.signin.upstreams.providers.get(provider)
    return pages.onward(url, interaction=interaction, label=found.label if found else None)


def _around(visit: "Visit", interaction: Interaction) -> Surroundings:
    return visit.signin.surroundings(interaction, visit.presence.session, last_used_slug=visit.pages.last_used_slug())
