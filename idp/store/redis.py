"""Redis as the ephemeral store, shared by every process of every host; found through Sentinel when the address says so.

Implements idp.store.base.Ephemeral: each method is one command or one script, and so atomic. Whether a value is over is judged by our own clock,
whose instant is kept with the value; Redis's own expiry, later by SLACK, only clears what nobody asks for again. Nothing is sent twice: a request
that was not answered in time may have been carried out. Not for Redis Cluster. Everything that fails is EphemeralUnavailable.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from idp.clock import Clock
from idp.config import EphemeralSettings, RedisAddress, redis_address
from idp.errors import EphemeralUnavailable

SLACK = timedelta(minutes=10)  # more than clocks of hosts may differ
DIGITS = 17  # of an instant in microseconds, written before each value and each count
LOOKED_AT_BY_A_SWEEP = 10_000
PAGE = 500

# KEYS[1]; ARGV: now, the value with its instant, milliseconds until Redis forgets it.
ADD = f"""
local kept = redis.call('GET', KEYS[1])
if kept and tonumber(string.sub(kept, 1, {DIGITS})) > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
# KEYS[1]; ARGV: now, the new instant, milliseconds.
TOUCH = f"""
local kept = redis.call('GET', KEYS[1])
if not kept or tonumber(string.sub(kept, 1, {DIGITS})) <= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2] .. string.sub(kept, {DIGITS + 1}), 'PX', ARGV[3])
return 1
"""
# KEYS[1]; ARGV: now, the end of a window that begins now, milliseconds.
COUNT = f"""
local kept = redis.call('GET', KEYS[1])
if not kept or tonumber(string.sub(kept, 1, {DIGITS})) <= tonumber(ARGV[1]) then
    redis.call('SET', KEYS[1], ARGV[2] .. '1', 'PX', ARGV[3])
    return 1
end
local count = tonumber(string.sub(kept, {DIGITS + 1})) + 1
redis.call('SET', KEYS[1], string.sub(kept, 1, {DIGITS}) .. string.format('%d', count), 'KEEPTTL')
return count
"""
# KEYS[1]; ARGV: now.
UNCOUNT = f"""
local kept = redis.call('GET', KEYS[1])
if not kept or tonumber(string.sub(kept, 1, {DIGITS})) <= tonumber(ARGV[1]) then return 0 end
local count = tonumber(string.sub(kept, {DIGITS + 1}))
if count > 0 then redis.call('SET', KEYS[1], string.sub(kept, 1, {DIGITS}) .. string.format('%d', count - 1), 'KEEPTTL') end
return 1
"""
# KEYS: any; ARGV: now.
SWEEP = f"""
local deleted = 0
for _, key in ipairs(KEYS) do
    local at = tonumber(redis.call('GETRANGE', key, 0, {DIGITS - 1}))
    if at and at <= tonumber(ARGV[1]) then deleted = deleted + redis.call('UNLINK', key) end
end
return deleted
"""


class RedisEphemeral:
    """Safe between threads; build one per process. Connects at first use. `connections`: at most so many at once."""

    def __init__(self, settings: EphemeralSettings, clock: Clock, *, connections: int) -> None:
        self._clock = clock
        self._prefix = settings.prefix
        self._sentinel, self._redis = _open(settings, redis_address(settings.url), connections)
        self._add = self._redis.register_script(ADD)
        self._touch = self._redis.register_script(TOUCH)
        self._count = self._redis.register_script(COUNT)
        self._uncount = self._redis.register_script(UNCOUNT)
        self._sweep = self._redis.register_script(SWEEP)
        self._cursor = 0

    def put(self, kind: str, key: str, value: bytes, ttl: timedelta) -> None:
        """See Ephemeral."""
        with _translated():
            self._redis.set(self._value(kind, key), self._at(ttl) + value, px=_milliseconds(ttl))

    def add(self, kind: str, key: str, value: bytes, ttl: timedelta) -> bool:
        """See Ephemeral."""
        with _translated():
            return bool(self._add(keys=[self._value(kind, key)], args=[self._at(), self._at(ttl) + value, _milliseconds(ttl)]))

    def get(self, kind: str, key: str) -> bytes | None:
        """See Ephemeral."""
        with _translated():
            return self._living(self._redis.get(self._value(kind, key)))

    def take(self, kind: str, key: str) -> bytes | None:
        """See Ephemeral."""
        with _translated():
            return self._living(self._redis.getdel(self._value(kind, key)))

    def touch(self, kind: str, key: str, ttl: timedelta) -> bool:
        """See Ephemeral."""
        with _translated():
            return bool(self._touch(keys=[self._value(kind, key)], args=[self._at(), self._at(ttl), _milliseconds(ttl)]))

    def count(self, kind: str, key: str, window: timedelta) -> int:
        """See Ephemeral."""
        with _translated():
            return int(cast(int, self._count(keys=[self._counter(kind, key)], args=[self._at(), self._at(window), _milliseconds(window)])))

    def uncount(self, kind: str, key: str) -> None:
        """See Ephemeral."""
        with _translated():
            self._uncount(keys=[self._counter(kind, key)], args=[self._at()])

    def peek(self, kind: str, key: str) -> int:
        """See Ephemeral."""
        with _translated():
            return int(self._living(self._redis.get(self._counter(kind, key))) or 0)

    def forget(self, kind: str, key: str) -> None:
        """See Ephemeral."""
        with _translated():
            self._redis.unlink(self._value(kind, key), self._counter(kind, key))

    def sweep(self) -> int:
        """Delete what is past its time among the next keys; how many. Goes round by and by: Redis forgets them by itself a little later."""
        deleted = looked_at = 0
        with _translated():
            while looked_at < LOOKED_AT_BY_A_SWEEP:
                self._cursor, keys = cast(Any, self._redis.scan(self._cursor, match=f"{self._prefix}:[vc]:*", count=PAGE))
                looked_at += PAGE
                if keys:
                    deleted += int(cast(int, self._sweep(keys=keys, args=[self._at()])))
                if self._cursor == 0:
                    break
        return deleted

    def ping(self) -> None:
        """Answer or raise EphemeralUnavailable. A write: a replica, and a server that is full, answer a mere PING."""
        with _translated():
            self._redis.set(f"{self._prefix}:ping", b"1", px=60_000)

    def warnings(self) -> tuple[str, ...]:
        """What an operator should know about how the server is set up; empty when it may not be asked."""
        try:
            policy = cast(Any, self._redis.config_get("maxmemory-policy")).get("maxmemory-policy")
        except redis.RedisError:
            return ()
        name = policy.decode() if isinstance(policy, bytes) else policy
        if name in {"noeviction", None}:
            return ()
        return (
            f"maxmemory-policy is {name}: when its memory is full, Redis would forget sign-ins in progress and failed tries; set noeviction",
        )

    def close(self) -> None:
        """Close every connection."""
        self._redis.close()
        self._redis.connection_pool.disconnect()
        if self._sentinel is not None:
            self._sentinel.close()

    def _value(self, kind: str, key: str) -> str:
        # The length keeps apart what would join to the same text.
        return f"{self._prefix}:v:{len(kind)}:{kind}:{key}"

    def _counter(self, kind: str, key: str) -> str:
        return f"{self._prefix}:c:{len(kind)}:{kind}:{key}"

    def _at(self, later: timedelta = timedelta(0)) -> bytes:
        return b"%0*d" % (DIGITS, int((self._clock.now() + later).timestamp() * 1_000_000))

    def _living(self, kept: Any) -> bytes | None:
        return kept[DIGITS:] if kept is not None and kept[:DIGITS] > self._at() else None


def _milliseconds(ttl: timedelta) -> int:
    return max(0, (ttl + SLACK) // timedelta(milliseconds=1))


def _open(settings: EphemeralSettings, address: RedisAddress, connections: int) -> tuple[Sentinel | None, "redis.Redis"]:
    shared: dict[str, Any] = {
        "socket_connect_timeout": settings.connect_timeout.total_seconds(),
        "socket_timeout": settings.timeout.total_seconds(),
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "driver_info": None,
    }
    if address.uses_tls:
        shared |= {"ssl": True, "ssl_cert_reqs": "required", "ssl_check_hostname": True}
        shared |= {"ssl_ca_certs": str(settings.ca_file)} if settings.ca_file else {}
    own: dict[str, Any] = {
        "db": address.database,
        "username": address.username or settings.username,
        "password": address.password or settings.password,
        "max_connections": connections,
    }
    if address.master is None:
        host, port = address.servers[0]
        return None, redis.Redis(host=host, port=port, **shared, **own)
    sentinel = Sentinel(list(address.servers), sentinel_kwargs={**shared, "password": settings.sentinel_password})  # type: ignore[no-untyped-call]
    return sentinel, cast("redis.Redis", sentinel.master_for(address.master, **shared, **own))  # type: ignore[no-untyped-call]


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise EphemeralUnavailable("store_unavailable", f"ephemeral: {type(error).__name__}: {error}") from error
