"""Spraying: many identifiers tried, few times each, from one address or from everywhere. It is seen, told once a window, and slowed outside.

Owns the counters by address and overall, in the ephemeral store; policies/lockout.py says what they mean. Addresses and names are kept as keyed
hashes, an IPv6 address as the network that one household has. Tries of near and of outside are counted apart, and whoever is near is never kept
waiting for what guests behind the same address do: a home is not shut out. A store that does not answer raises StoreUnavailable.
"""

from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address

from idp.audit import Event, EventType, Origin
from idp.clock import Clock
from idp.config import LockoutSettings
from idp.crypto import Keyring
from idp.signin.throttle import TryKeys
from idp.signin.whereabouts import is_in_zone
from idp.store.base import Ephemeral
from policies.lockout import SprayFacts, Standing, is_spraying
from policies.zones import EGRESS_ALONE

WINDOW = timedelta(minutes=15)
NAME = "spraying.name"
REFUSED = "spraying.refused"
LET_IN = "spraying.let_in"
TRIES = "spraying.tries"
SLOWED = "spraying.slowed"
TOLD = "spraying.told"
EVERYWHERE = "everywhere"
HOUSEHOLD = 64  # bits of an IPv6 address that one household or site has in common
NAMES_WHILE_EVERYWHERE = 2
HOME_FACTOR = 20


class SprayWatch:
    """Counts tries by address. Safe between threads and processes."""

    def __init__(self, ephemeral: Ephemeral, keyring: Keyring, clock: Clock, *, settings: LockoutSettings) -> None:
        self._ephemeral = ephemeral
        self._keyring = keyring
        self._clock = clock
        self._settings = settings

    def wait(self, keys: TryKeys) -> timedelta:
        """How long the address of a try must wait before anything is checked; zero: not at all."""
        place = self._place(keys.origin)
        if keys.standing is Standing.OUTSIDE:
            stored = self._ephemeral.get(SLOWED, place)
            until = datetime.fromisoformat(stored.decode()) if stored else self._clock.now()
            return max(timedelta(0), until - self._clock.now())
        is_flood = self._ephemeral.peek(TRIES, f"{place}.{keys.side}") >= self._settings.address_failures * HOME_FACTOR
        return WINDOW if is_flood and keys.standing is Standing.INSIDE else timedelta(0)

    def note_failure(self, keys: TryKeys) -> tuple[Event, ...]:
        """Count a try that failed. The Events to write, when guessing was seen for the first time in this window.

        Counted afterwards: people who sign in at once at one address when a shift begins are no failures while they wait for one another.
        """
        place, is_outside, is_home = self._place(keys.origin), keys.standing is Standing.OUTSIDE, _is_home(keys.origin)
        spotted = self._look_everywhere(keys) if is_outside else ()
        factor = HOME_FACTOR if is_home else 1
        tries = self._ephemeral.count(TRIES, f"{place}.{keys.side}", WINDOW)
        names = self._settings.spraying_names * factor
        if not is_home and self._ephemeral.get(SLOWED, EVERYWHERE) is not None:
            names = min(names, NAMES_WHILE_EVERYWHERE)
        facts = self._note_name(place, keys)
        is_seen = is_spraying(facts, names=names)
        if is_seen:
            spotted += self._tell(keys, place, "address", facts.names_refused)
        if is_outside and (is_seen or tries >= self._settings.address_failures * factor):
            self._ephemeral.put(SLOWED, place, (self._clock.now() + WINDOW).isoformat().encode(), WINDOW)
        return spotted

    def note_success(self, keys: TryKeys) -> None:
        """Whoever got in: their name is none that fails."""
        place = self._place(keys.origin)
        for where in (place, EVERYWHERE) if keys.standing is Standing.OUTSIDE else (place,):
            if self._ephemeral.take(NAME, _name(where, keys)) is not None:
                self._ephemeral.uncount(REFUSED, where)
            if self._ephemeral.add(NAME, f"{_name(where, keys)}.in", b"", WINDOW):
                self._ephemeral.count(LET_IN, where, WINDOW)

    def _look_everywhere(self, keys: TryKeys) -> tuple[Event, ...]:
        facts = self._note_name(EVERYWHERE, keys)
        if not is_spraying(facts, names=self._settings.spraying_names_everywhere):
            return ()
        self._ephemeral.put(SLOWED, EVERYWHERE, b"-", WINDOW)
        return self._tell(keys, EVERYWHERE, EVERYWHERE, facts.names_refused)

    def _note_name(self, place: str, keys: TryKeys) -> SprayFacts:
        is_new = self._ephemeral.add(NAME, _name(place, keys), b"", WINDOW)
        refused = self._ephemeral.count(REFUSED, place, WINDOW) if is_new else self._ephemeral.peek(REFUSED, place)
        return SprayFacts(names_refused=refused, names_let_in=self._ephemeral.peek(LET_IN, place))

    def _tell(self, keys: TryKeys, place: str, scope: str, names: int) -> tuple[Event, ...]:
        if not self._ephemeral.add(TOLD, place, b"", WINDOW):
            return ()
        return (
            Event(
                type=EventType.SIGNIN_SPRAYING,
                at=self._clock.now(),
                actor="anonymous",
                origin=keys.origin,
                details={"scope": scope, "names": names, "slowed": keys.standing is Standing.OUTSIDE},
            ),
        )

    def _place(self, origin: Origin) -> str:
        return self._keyring.keyed_hash("throttle", f"network:{household(origin.address)}")


def household(address: str) -> str:
    """The network that counts as one place: an IPv4 address, or the first half of an IPv6 address; other text as it is."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return f"{IPv6Address(int(found) >> (128 - HOUSEHOLD) << (128 - HOUSEHOLD))}/{HOUSEHOLD}"


def _name(place: str, keys: TryKeys) -> str:
    return f"{place}.{keys.identifier}"


def _is_home(origin: Origin) -> bool:
    """Whether many people of a home share the address: one of a trusted zone, or one that a whole site leaves by."""
    return is_in_zone(origin) or origin.zone_why == EGRESS_ALONE
