"""A long audit trail for bench.audit, written and sealed by the product's own code: many writers' lines of token requests and sign-ins."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tqdm import tqdm

from idp.audit import Event, EventType, Origin
from idp.clock import SystemClock
from idp.config import load
from idp.crypto import Keyring
from idp.store.chain import Notary, Pens
from idp.store.database import Database
from idp.telemetry import configure_logging
from idp.trail.sealer import Sealer

BATCH = 2_000
WRITERS = 16
TYPES = (
    EventType.SIGNIN_SUCCEEDED,
    EventType.AUTHORIZATION_GRANTED,
    EventType.TOKEN_ISSUED,
    EventType.TOKEN_ISSUED,
    EventType.SIGNIN_REFUSED,
)


def write(configuration: Path, *, lines: int, seed: int, tell: Callable[[int], object]) -> None:
    """Fill the migrated store of a configuration, sealing as it goes; `tell` is given how many lines were just written."""
    dice, clock, config = random.Random(seed), SystemClock(), load(configuration)
    configure_logging("warning")
    keyring = Keyring(config.master_key.encode(), clock)
    views = [Database.of(config.database, pool_size=2, pens=Pens.of(keyring, clock)) for _ in range(WRITERS)]
    sealer = Sealer(views[0], Notary.of(keyring), clock)
    at = datetime.now(UTC) - timedelta(days=30)
    try:
        for begun in range(0, lines, BATCH):
            count = min(BATCH, lines - begun)
            with views[(begun // BATCH) % WRITERS].write() as tx:
                for _ in range(count):
                    at += timedelta(milliseconds=dice.randrange(5_000))
                    tx.events.append(_line(dice, at))
            sealer.run_once()
            tell(count)
    finally:
        for view in views:
            view.close()


def _line(dice: random.Random, at: datetime) -> Event:
    who = f"01HZ{dice.getrandbits(100):022X}"[:26]
    address = f"10.20.{dice.randrange(256)}.{dice.randrange(1, 255)}"
    return Event(
        type=dice.choice(TYPES),
        at=at,
        actor=f"account:{who}",
        origin=Origin(
            f"{dice.getrandbits(40):010X}", address, (address,), "residence-1/lan", "Mozilla/5.0 (X11; Linux x86_64)", "trusted", "network"
        ),
        account_id=who,
        client_id="carnet-de-soins",
        establishment_id="01HZ0000000000000000000001",
        session_id=who,
        grant_id=who,
        connector="siege",
        amr=("pwd", "otp"),
        acr="urn:vestibule:acr:mfa",
        details={"grant_type": "authorization_code"},
    )


if __name__ == "__main__":
    configuration, count, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    with tqdm(total=count, desc="writing the trail", unit=" lines", file=sys.stderr) as bar:
        write(configuration, lines=count, seed=seed, tell=bar.update)
