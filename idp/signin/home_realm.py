"""Where a person belongs before they said who they are: the establishment whose name, logo and contact the page shows.

Owns the order of the hints (request, interaction, Session, last used in this browser, client) and nothing of access: a hint opens no door. Which
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
    for establishment_id in (interaction.establishment_id, session.establishment_id if session else None, _last_of(tx, interaction)):
        if establishment_id and (found := _open(tx.establishments.get(establishment_id))):
            return found
    for slug in (last_used_slug, client.settings.default_establishment if client else None):
        if slug and (found := _open(tx.establishments.by_slug(slug))):
            return found
    return None


def _last_of(tx: Transaction, interaction: Interaction) -> str | None:
    account = tx.people.get(interaction.proof.account_id) if interaction.proof else None
    return account.last_establishment_id if account else None


def _open(establishment: Establishment | None) -> Establishment | None:
    return establishment if establishment and establishment.ended_at is None else None
