"""Where a person belongs before they said who they are: the establishment that the page shows, and the provider they are sent to or offered.

Owns the order of the hints and nothing of access: a hint opens no door. The establishment: request, interaction, Session, person, last used in this
browser, client, the only one there is. The provider: kc_idp_hint and domain_hint lead there straight away; login_hint's domain, the one used last in
this browser, then one of the establishment's own come first on the page. Reads the store, called by signin.py; sends nobody anywhere (upstream.py).
"""

from dataclasses import dataclass
from datetime import timedelta

from connectors.base import Ask
from idp.signin.interaction import Interaction
from idp.signin.providers import OpenedProvider, Providers
from idp.store.base import Client, Establishment, Session
from idp.store.database import Transaction

LONGEST_AGE_SECONDS = 10 * 365 * 86_400


@dataclass(frozen=True, slots=True)
class Realm:
    """The providers that a page offers, the likeliest first. `leads`: it is likelier than a password; `straight_to`: the one that was asked for."""

    offers: tuple[OpenedProvider, ...] = ()
    leads: bool = False
    straight_to: OpenedProvider | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bystander:
    """What is known of a browser that no person has said: where it is, the provider used last in it (never on a shared machine), and whether
    somebody has just left it, or may not be assumed to be the one who was there before (`must_act`)."""

    zone: str = "outside"
    last_provider: str | None = None
    must_act: bool = False
    language: str = "fr"


def realm_of(providers: Providers, interaction: Interaction, *, slug: str | None, bystander: Bystander) -> Realm:
    """Which providers to offer at an establishment (None: not known), and how insistently."""
    if not len(providers):
        return Realm()
    zone_slug, _, zone_name = bystander.zone.partition("/")
    place = slug or (zone_slug if zone_name else None)
    offered = [one for one in providers if one.serves(place)]
    request = interaction.request
    hinted = next((one for one in offered if request and request.idp_hint == one.name), None)
    by_domain = providers.of_domain(request.domain_hint) if request and request.domain_hint else None
    straight_to = hinted or (by_domain if by_domain in offered else None)
    by_login = providers.of_domain(domain_of(request.login_hint)) if request and request.login_hint else None
    last = next((one for one in offered if one.name == bystander.last_provider), None)
    own = next((one for one in offered if place is not None and place in one.settings.establishments), None)
    first = straight_to or (by_login if by_login in offered else None) or last or own
    ordered = ([first] if first else []) + [one for one in offered if one is not first]
    return Realm(tuple(ordered), leads=first is not None, straight_to=straight_to)


def ask_of(
    interaction: Interaction,
    session: Session | None,
    *,
    bystander: Bystander,
    is_asked_again: bool = False,
    typed: str | None = None,
    wants_mfa: bool = False,
) -> Ask:
    """What to ask of a provider on behalf of an Interaction. `typed`: the identifier that led there.

    Somebody who was signed out, or who is asked to show again who they are (`is_asked_again`, as in Step), is not let in by a session that the
    provider still has; nor is whoever is to prove that a stranger is they.
    """
    request = interaction.request
    hint = typed or (request.login_hint if request else None)
    max_age = request.max_age_seconds if request else None  # its own, or the one that the client is registered with
    return Ask(
        login_hint=hint[:254] if hint else None,
        domain_hint=(domain_of(typed) or None) if typed else request.domain_hint if request else None,
        wants_mfa=wants_mfa,
        forces_prompt=bystander.must_act
        or is_asked_again
        or (interaction.proof is not None and not wants_mfa)
        or interaction.pending_link is not None
        or interaction.step_up in {"sign_in", "enrol"}
        or (session is not None and session.is_locked)
        or bool(request and "login" in request.prompt)
        or bool(request and request.needs_auth_time),
        # A client may send a number beyond what timedelta holds, and that is no error.
        max_age=None if max_age is None else timedelta(seconds=min(max_age, LONGEST_AGE_SECONDS)),
        ui_locales=bystander.language,
    )


def domain_of(identifier: str | None) -> str:
    """The domain of an address; "" when it is none."""
    name, at, domain = (identifier or "").strip().rpartition("@")
    return domain.lower() if name and at else ""


def hinted_establishment(
    tx: Transaction, interaction: Interaction, client: Client | None, *, session: Session | None, last_used_slug: str | None
) -> Establishment | None:
    """The establishment to show, or None. An ended or unknown one is passed over for the next hint."""
    request = interaction.request
    if request and request.establishment_hint and (found := _open(tx.establishments.by_slug(request.establishment_hint))):
        return found
    for establishment_id in (interaction.establishment_id, session.establishment_id if session else None, _of_person(tx, interaction)):
        if establishment_id and (found := _open(tx.establishments.get(establishment_id))):
            return found
    for slug in (last_used_slug, client.settings.default_establishment if client else None):
        if slug and (found := _open(tx.establishments.by_slug(slug))):
            return found
    return tx.establishments.only()


def _of_person(tx: Transaction, interaction: Interaction) -> str | None:
    """Where a person who has proven themselves works, or worked last: somebody there can tell them why they are refused."""
    if interaction.proof is None or (account := tx.people.get(interaction.proof.account_id)) is None:
        return None
    if account.last_establishment_id:
        return account.last_establishment_id
    attachments = tx.people.attachments(account.id)
    return attachments[-1].establishment_id if attachments else None


def _open(establishment: Establishment | None) -> Establishment | None:
    return establishment if establishment and establishment.ended_at is None else None
