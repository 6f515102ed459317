"""What somebody who copies the stores or reads the logs gets of second factors: no secret, no code, no pass."""

import base64
import logging
from collections.abc import Mapping

import pytest

from idp.audit import Author
from idp.errors import VestibuleError
from idp.signin.factor import FactorRefused
from idp.signin.passes import NewPass
from idp.signin.totp import OFFER_SEAL, SEAL
from tests.support.journey import found_in
from tests.support.second_factors import ORIGIN, OUTSIDE, Phone, asking, open_parts
from tests.support.world import World

OPERATOR = Author("operator:essai", ORIGIN)


@pytest.fixture
def secrets(world: World, caplog: pytest.LogCaptureFixture) -> Mapping[str, str]:
    """A journey of second factors, and what was secret on the way."""
    caplog.set_level(logging.DEBUG)
    parts, claire = open_parts(world), world.account("claire")
    with world.arranging() as tx:
        enrol, _ = parts.passes.issue(tx, NewPass(purpose="enrol", account_id=claire.id), OPERATOR)
        sign_in, _ = parts.passes.issue(tx, NewPass(purpose="sign_in", account_id=claire.id), OPERATOR)
        unused, _ = parts.passes.issue(tx, NewPass(purpose="enrol", account_id=world.account("rose").id), OPERATOR)
    offer = parts.totp.begin(claire)
    phone = Phone(offer.secret)
    position = asking(world, where=OUTSIDE, pass_digest=parts.passes.check(claire.id, enrol, ORIGIN))
    parts.totp.enrol(position, offer.token, phone.code(world.clock), label="", origin=ORIGIN)
    codes = parts.recovery.renew(claire.id, ORIGIN)
    parts.recovery.prove(claire.id, codes[0], ORIGIN)
    parts.passes.prove(claire.id, sign_in, ORIGIN)
    for wrong in ("motdepasse-tape-ici", codes[0]):
        for kind in ("totp", "recovery", "pass"):
            with pytest.raises(FactorRefused):
                parts.prove(kind, claire.id, wrong, origin=ORIGIN)
    raw = base64.b32decode(offer.secret)
    found = {
        "secret": offer.secret,
        "secret, typed": offer.typed,
        "secret, raw": base64.urlsafe_b64encode(raw).rstrip(b"=").decode(),
        "offer": offer.token,
        "typed by mistake": "motdepasse-tape-ici",
    }
    for name, code in {"enrol": enrol, "sign_in": sign_in, "unused": unused, **{f"code {n}": code for n, code in enumerate(codes)}}.items():
        found |= {name: code, f"{name}, bare": code.replace("-", "")}
    return found


def test_no_secret_is_in_any_byte_that_is_kept(world: World, secrets: Mapping[str, str]) -> None:
    if world.stores.redis is not None:
        from sqlalchemy import text

        kept = {"redis": repr(world.stores.redis.remembered()).encode()}
        with world.database.read() as tx:
            for table in ("factors", "recovery_codes", "passes", "events"):
                kept[table] = repr(tx.connection.execute(text(f"SELECT * FROM {table}")).all()).encode()
    else:
        kept = {file.name: file.read_bytes() for file in world.folder.iterdir() if ".db" in file.name}
    assert len(kept) >= 3
    for place, content in kept.items():
        assert found_in(secrets, content) == [], place


def test_no_secret_is_in_the_trail_or_the_log(world: World, secrets: Mapping[str, str], caplog: pytest.LogCaptureFixture) -> None:
    assert found_in(secrets, str(world.events()).encode()) == []
    assert found_in(secrets, caplog.text.encode()) == []
    assert len(world.events("factor.refused")) == 6


def test_a_secret_opens_with_the_key_for_its_own_factor_only(world: World, secrets: Mapping[str, str]) -> None:
    with world.database.read() as tx:
        (factor,) = tx.factors.open_of(world.account("claire").id)
    keyring = world.application.keyring
    assert factor.sealed is not None
    assert base64.b32encode(keyring.unseal(SEAL, factor.sealed, factor.id)).decode() == secrets["secret"]
    for purpose, row in ((SEAL, "another"), (OFFER_SEAL, factor.id)):
        with pytest.raises(VestibuleError, match="seal_broken"):
            keyring.unseal(purpose, factor.sealed, row)


def test_a_secret_moved_to_another_person_s_factor_is_refused_and_not_used(world: World, secrets: Mapping[str, str]) -> None:
    from sqlalchemy import text

    parts, rose = open_parts(world), world.account("rose")
    offer = parts.totp.begin(rose)
    parts.totp.enrol(asking(world, "rose"), offer.token, Phone(offer.secret).code(world.clock), label="", origin=ORIGIN)
    query = "UPDATE factors SET sealed = (SELECT sealed FROM factors WHERE account_id = :hers) WHERE account_id = :his"
    with world.arranging() as tx:
        tx.connection.execute(text(query), {"hers": world.account("claire").id, "his": rose.id})
    with pytest.raises(VestibuleError, match="seal_broken"):
        parts.totp.prove(rose.id, Phone(secrets["secret"]).code(world.clock, steps=1), ORIGIN)


def test_a_keyed_hash_of_a_code_is_no_plain_one(world: World, secrets: Mapping[str, str]) -> None:
    from sqlalchemy import text

    from idp.crypto import digest

    with world.database.read() as tx:
        kept = {row[0] for row in tx.connection.execute(text("SELECT digest FROM recovery_codes UNION ALL SELECT digest FROM passes"))}
    assert len(kept) == 13
    # Short enough to be tried one after the other, if the hash needed no key.
    assert kept.isdisjoint({digest(form) for code in secrets.values() for form in (code, code.lower(), code.replace("-", ""))})
