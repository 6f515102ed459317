"""Where what may be lost is kept, and how a Redis address is written.

Owns EphemeralSettings, WorkSettings and `redis_address`; idp/store/redis.py connects. An address names no option: whether a certificate is verified
is not for a URL to say.
"""

from dataclasses import dataclass
from datetime import time, timedelta
from urllib.parse import unquote, urlsplit

from pydantic import Field, model_validator

from connectors.settings import Duration, LocalPath, Secret, Settings
from idp.config.values import StoreUrl

REDIS_PORT, SENTINEL_PORT = 6379, 26379
TLS_SCHEMES = frozenset({"rediss", "rediss+sentinel"})
SENTINEL_SCHEMES = frozenset({"redis+sentinel", "rediss+sentinel"})
REDIS_SCHEMES = SENTINEL_SCHEMES | {"redis", "rediss"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisAddress:
    """`servers` are Redis itself, or the Sentinels that know where the master called `master` is."""

    servers: tuple[tuple[str, int], ...]
    master: str | None
    database: int
    username: str | None
    password: str | None
    uses_tls: bool


class EphemeralSettings(Settings):
    """Where what may be lost is kept: sign-ins in progress and counters."""

    url: StoreUrl = Field(default="sqlite:///vestibule-ephemeral.db", repr=False)
    """sqlite:///path (embedded, one host), relative to this file; redis://host:6379/0, rediss:// with TLS, or
    redis+sentinel://host1:26379,host2:26379/master/0 (rediss+sentinel://). file:<path> or env:<NAME> when it holds a password."""
    username: str | None = None
    """Redis: the user (ACL), where the URL names none."""
    password: Secret | None = Field(default=None, repr=False)
    """Redis: its password, where the URL holds none."""
    sentinel_password: Secret | None = Field(default=None, repr=False)
    """Redis Sentinel: the password of the Sentinels themselves."""
    ca_file: LocalPath | None = None
    """Redis with TLS: PEM file of the authority that signed its certificate. Default: this machine's authorities."""
    connect_timeout: Duration = timedelta(milliseconds=500)
    """Redis: how long a connection may take to open."""
    timeout: Duration = timedelta(seconds=1)
    """Redis: how long an answer may take. No request is sent twice: when it is over, the person sees that the service does not answer."""
    prefix: str = Field(default="vestibule", pattern=r"^[A-Za-z0-9._-]{1,40}$")
    """Redis: begins every key, so that two deployments may share one server."""

    @property
    def is_embedded(self) -> bool:
        """Whether it is a file of this host."""
        return self.url.startswith("sqlite:")

    @model_validator(mode="after")
    def _is_known(self) -> "EphemeralSettings":
        if not self.is_embedded:
            redis_address(self.url)
        return self


class WorkSettings(Settings):
    """`vestibule work`: the jobs that no request waits for."""

    lease: Duration = Field(default=timedelta(seconds=15), ge=timedelta(seconds=1), le=timedelta(minutes=10))
    """With several hosts one of them does the jobs that must be done once; when it dies, another begins after this long."""
    reconcile_at: time | None = time(3, 30)
    """Time of day, in `pages.time_zone`, at which every directory is read as a whole, whatever was heard from it. null: never."""


def redis_address(url: str) -> RedisAddress:
    """Read an address; ValueError, which never repeats it (it may hold a password), when it is none."""
    scheme, _, rest = url.partition("://")
    if scheme not in REDIS_SCHEMES:
        raise ValueError("the ephemeral store is sqlite:///<path>, redis://, rediss://, redis+sentinel:// or rediss+sentinel://")
    netloc, _, path = rest.partition("/")
    userinfo, at, hosts = netloc.rpartition("@")
    username, _, password = userinfo.partition(":")
    if "?" in rest or "#" in rest:
        raise ValueError(
            "a Redis URL takes no options: they are settings beside it (an @, ?, # or / of a password is written as %40, %3F...)"
        )
    is_sentinel = scheme in SENTINEL_SCHEMES
    servers = tuple(_server(host, SENTINEL_PORT if is_sentinel else REDIS_PORT) for host in hosts.split(","))
    segments = [unquote(segment) for segment in path.split("/") if segment]
    if not is_sentinel and len(servers) > 1:
        raise ValueError("several addresses are for redis+sentinel:// only")
    if is_sentinel and not segments:
        raise ValueError("redis+sentinel:// needs the master's name: redis+sentinel://host1,host2/<master>/<database>")
    master = segments.pop(0) if is_sentinel else None
    database = segments.pop(0) if segments else "0"
    if segments or not database.isdecimal():
        raise ValueError("a Redis URL ends with the number of the database, for instance /0")
    return RedisAddress(
        servers=servers,
        master=master,
        database=int(database),
        username=unquote(username) or None if at else None,
        password=unquote(password) or None if at else None,
        uses_tls=scheme in TLS_SCHEMES,
    )


def _server(text: str, default_port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or "@" in text:
        raise ValueError("a Redis address is host or host:port, [v6]:port for IPv6")
    return host, port or default_port
