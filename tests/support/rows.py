"""Rows of the store with nothing remarkable about them; a test says what matters to it (`changes`). Whole casts are in tests/support/cast.py."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from idp.store.base import Account, Attachment, Establishment, Factor


def an_account(id: str, username: str, now: datetime, **changes: Any) -> Account:
    """An active account."""
    plain = Account(
        id=id,
        status="active",
        username=username,
        given_name=username,
        family_name="Essai",
        email=None,
        email_verified=False,
        phone_number=None,
        phone_number_verified=False,
        address=None,
        locale=None,
        last_establishment_id=None,
        is_demo=False,
        created_at=now,
        updated_at=now,
        ended_at=None,
    )
    return replace(plain, **changes)


def an_establishment(id: str, slug: str, now: datetime, **changes: Any) -> Establishment:
    """An establishment that an operator added."""
    plain = Establishment(
        id=id,
        slug=slug,
        name=slug.title(),
        finess=None,
        siret=None,
        time_zone="Europe/Paris",
        contact_name="",
        contact_phone="",
        contact_email="",
        logo_type=None,
        source="operator",
        created_at=now,
        ended_at=None,
    )
    return replace(plain, **changes)


def an_attachment(id: str, account_id: str, establishment_id: str, now: datetime, **changes: Any) -> Attachment:
    """A nurse's, without end."""
    plain = Attachment(
        id=id,
        account_id=account_id,
        establishment_id=establishment_id,
        profile="nurse",
        sector=None,
        first_day=None,
        last_day=None,
        valid_from=None,
        valid_until=None,
        created_at=now,
        ended_at=None,
    )
    return replace(plain, **changes)


def a_factor(id: str, account_id: str, now: datetime, **changes: Any) -> Factor:
    """An authenticator application that never served."""
    plain = Factor(
        id=id,
        account_id=account_id,
        kind="totp",
        label="Téléphone",
        hint="",
        sealed=b"-",
        last_step=None,
        credential_digest=None,
        credential_id=None,
        public_key=None,
        sign_count=None,
        transports=None,
        is_synced=None,
        aaguid=None,
        enrolled_zone="outside",
        last_used_at=None,
        created_at=now,
        ended_at=None,
    )
    return replace(plain, **changes)
