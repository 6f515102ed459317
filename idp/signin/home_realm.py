"""Where a person belongs before they said who they are: the establishment whose name, logo and contact the page shows.

Owns the order of the hints (request, interaction, Session, person, last used in this browser, client, the only one there is) and nothing of
access: a hint opens no door. Which
connector answers for an identifier will be decided here too; today every account is local. Reads the store, called by signin.py.
"""

from idp.signin.interaction import Interaction
from idp.store.base import Client, Establishment, Session
from idp.store.database import Transaction


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
