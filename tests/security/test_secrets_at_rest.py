"""What somebody who copies the database gets: no secret, and nothing that opens without the master key.

A whole journey is walked, then every column of every table and every byte of the files is searched for what was secret on the way.
"""

import base64
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from joserfc.jwk import ECKey, RSAKey
from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.pool import NullPool

from idp.crypto import Keyring, digest
from idp.errors import VestibuleError
from idp.oauth.grants import ANSWER_SEAL
from idp.oauth.keys import SEAL
from tests.support.browser import Browser
from tests.support.journey import Journey, forms_of, found_in
from tests.support.relying_party import basic
from tests.support.world import World


@pytest.fixture
def secrets(world: World) -> Mapping[str, str]:
    """A journey's secrets, and those that the program and the applications keep."""
    walked = dict(Journey(world.browser, world.relying_party).walk())
    master = (world.folder / "master.key").read_text(encoding="utf-8").strip()
    keyring = world.application.keyring
    with world.database.read() as tx:
        for key in tx.keys.all():
            kind = RSAKey if key.alg == "RS256" else ECKey
            private: Mapping[str, Any] = kind.import_key(keyring.unseal(SEAL, key.sealed_private, key.kid)).as_dict(private=True)
            walked |= {f"{key.alg} {key.state} {name}": private[name] for name in ("d", "p", "q") if name in private}
    walked |= {f"secret of {name}": client.secret for name, client in world.registered.items() if client.secret}
    signer = world.registered["signataire"].key
    assert signer is not None
    walked["key of signataire"] = str(signer.as_dict(private=True)["d"])
    subkeys = (ANSWER_SEAL, SEAL, "browser cookie")
    return {**walked, "master key": master, **{f"subkey {name}": _text(keyring.subkey(name)) for name in subkeys}}


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def values(connection: Connection) -> Iterator[tuple[str, bytes]]:
    """Every value of every column of every table, as bytes, with where it stands."""
    for table in inspect(connection).get_table_names():
        for row in connection.execute(text(f'SELECT * FROM "{table}"')).mappings():
            for name, value in row.items():
                if value is not None:
                    yield f"{table}.{name}", value if isinstance(value, bytes) else str(value).encode()


def passing(world: World) -> Iterator[tuple[str, bytes]]:
    """The same of the ephemeral store."""
    if world.stores.redis is not None:
        for key, dumped in world.stores.redis.remembered().items():
            yield "the name of a key", key
            yield key.decode(), dumped
        return
    engine = create_engine(f"sqlite:///{world.folder / 'ephemeral.db'}", poolclass=NullPool)
    with engine.connect() as connection:
        yield from values(connection)


def test_no_secret_is_in_any_column(world: World, secrets: Mapping[str, str]) -> None:
    with world.database.read() as tx:
        lasting = list(values(tx.connection))
    for place, value in (*lasting, *passing(world)):
        assert found_in(secrets, value) == [], place
    assert len(lasting) > 500


@pytest.mark.sqlite
def test_no_secret_is_in_any_byte_of_the_files(world: World, secrets: Mapping[str, str]) -> None:
    files = [file for file in world.folder.iterdir() if ".db" in file.name]
    assert {file.name for file in files} >= {"vestibule.db", "vestibule.db-wal", "ephemeral.db"}
    for file in files:
        # Also in pages that were freed, and in the write-ahead log.
        assert found_in(secrets, file.read_bytes()) == [], file.name


def test_the_search_finds_what_is_there(secrets: Mapping[str, str]) -> None:
    for name, secret in secrets.items():
        for form in forms_of(secret):
            assert name in found_in(secrets, b"\x00...%s...\x00" % form)
    assert len(secrets) > 25


def test_what_was_typed_by_mistake_is_only_a_keyed_hash(world: World, secrets: Mapping[str, str]) -> None:
    refused = [line for line in world.events("signin.refused") if line["reason"] == "unknown_identifier"]
    assert len(refused) == 2
    hashes = {line["identifier_hash"] for line in refused}
    assert len(hashes) == 2
    # Without the key nobody can try words against it.
    assert hashes.isdisjoint({digest(secrets["wrong field"]), digest(secrets["wrong field"].lower()), digest(secrets["stranger"])})


def test_digests_open_nothing(world: World, secrets: Mapping[str, str]) -> None:
    signed_in = world.sign_in("claire", "carnet")
    with world.database.read() as tx:
        refresh = [row[0] for row in tx.connection.execute(text("SELECT digest FROM refresh_tokens"))]
        codes = [row[0] for row in tx.connection.execute(text("SELECT digest FROM codes"))]
        cookies = [row[0] for row in tx.connection.execute(text("SELECT cookie_digest FROM sessions WHERE ended_at IS NULL"))]
        client_secrets = [row[0] for row in tx.connection.execute(text("SELECT secret_digest FROM clients WHERE client_id = 'carnet'"))]
    party = signed_in.party
    assert min(map(len, (refresh, codes, cookies, client_secrets))) >= 1
    assert {party.refresh(value).status_code for value in refresh} == {400}
    assert {party.redeem(value).status_code for value in codes} == {400}
    for value in client_secrets:
        stolen = {"Authorization": basic("carnet", value)}
        assert world.machine.post("/token", data={"grant_type": "client_credentials"}, headers=stolen).status_code == 401
    for value in cookies:
        assert _arrives(world.browser(), value).path != "/account"
    kept = signed_in.browser.cookie("__Host-vestibule-session")
    assert kept is not None
    assert _arrives(world.browser(), kept.value).path == "/account"


def _arrives(browser: Browser, cookie: str) -> "_Place":
    response = browser.client.get("/account", headers={"Cookie": f"__Host-vestibule-session={cookie}"})
    return _Place("/account" if response.status_code == 200 else response.headers["Location"])


class _Place:
    def __init__(self, path: str) -> None:
        self.path = path


def sealed(world: World) -> list[tuple[str, bytes, str]]:
    """Every seal of the database: purpose, seal, and the row it is bound to."""
    with world.database.read() as tx:
        answers = tx.connection.execute(text("SELECT sealed_answer, digest FROM refresh_tokens WHERE sealed_answer IS NOT NULL")).all()
        keys = tx.connection.execute(text("SELECT sealed_private, kid FROM signing_keys")).all()
    return [(ANSWER_SEAL, seal, row) for seal, row in answers] + [(SEAL, seal, row) for seal, row in keys]


def test_no_seal_opens_without_the_master_key(world: World, secrets: Mapping[str, str]) -> None:
    found = sealed(world)
    assert {purpose for purpose, _, _ in found} == {ANSWER_SEAL, SEAL}
    stranger = Keyring(b"another master key of 32 bytes, or more", world.clock)
    for purpose, seal, row in found:
        assert world.application.keyring.unseal(purpose, seal, row)
        with pytest.raises(VestibuleError, match="seal_broken"):
            stranger.unseal(purpose, seal, row)


def test_no_seal_opens_when_moved_to_another_row_or_purpose(world: World, secrets: Mapping[str, str]) -> None:
    keyring = world.application.keyring
    found = sealed(world)
    rows = {row for _, _, row in found}
    for purpose, seal, row in found:
        for other in rows - {row}:
            with pytest.raises(VestibuleError, match="seal_broken"):
                keyring.unseal(purpose, seal, other)
        with pytest.raises(VestibuleError, match="seal_broken"):
            keyring.unseal(SEAL if purpose == ANSWER_SEAL else ANSWER_SEAL, seal, row)


def test_no_seal_opens_when_a_bit_was_changed(world: World, secrets: Mapping[str, str]) -> None:
    purpose, seal, row = sealed(world)[0]
    for index in (0, 11, 12, len(seal) // 2, len(seal) - 1):
        altered = bytearray(seal)
        altered[index] ^= 1
        with pytest.raises(VestibuleError, match="seal_broken"):
            world.application.keyring.unseal(purpose, bytes(altered), row)
    for length in (0, 5, 12, 27):
        with pytest.raises(VestibuleError, match="seal_broken"):
            world.application.keyring.unseal(purpose, seal[:length], row)


def test_a_sealed_answer_moved_to_another_token_gives_nobody_else_his_tokens(world: World) -> None:
    # With write access to the database but no master key: one person's answer put under another's rotated token.
    hers, his = world.sign_in("claire", "carnet"), world.sign_in("rose", "carnet")
    hers.party.refresh(hers.tokens.refresh)
    his.party.refresh(his.tokens.refresh)
    query = "UPDATE refresh_tokens SET sealed_answer = (SELECT sealed_answer FROM refresh_tokens WHERE digest = :his) WHERE digest = :hers"
    rows = {"his": digest(his.tokens.refresh), "hers": digest(hers.tokens.refresh)}
    with world.arranging() as tx:
        assert tx.connection.execute(text(query), rows).rowcount == 1
    response = hers.party.refresh(hers.tokens.refresh)
    assert response.status_code == 500
    assert response.json().keys() == {"error", "error_description"}
    assert "seal" not in response.text
