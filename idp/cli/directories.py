"""What commands about directories share: opening one by name, and saying in plain words why one cannot be asked."""

from collections.abc import Iterator
from contextlib import contextmanager

from connectors.base import PeopleSource, SourceMisbehaved, SourceUnreachable
from idp.cli.place import Place, fail
from idp.signin.directories import Directories

TROUBLES = {
    "refused": "no server answers at its addresses: wrong host or port, a firewall, or the directory is stopped",
    "timeout": "a server was reached but did not answer in time",
    "closed": "the connection broke in the middle",
    "tls_untrusted": "the server's certificate was not signed by an authority we trust: see ca_file",
    "tls_name": "the server's certificate is for another host name",
    "tls_expired": "the server's certificate has expired",
    "tls_failed": "TLS could not be agreed, or the server does not offer StartTLS",
    "service_account": "the directory refused our service account: see bind_dn and bind_password",
    "busy": "too many requests are waiting for it already",
    "paused": "it failed too often a moment ago and is being left alone: try again in a few seconds",
    "unavailable": "it answered that it cannot serve requests now",
    "misbehaved": "it answered something that must not be believed",
    "interrupted": "the run was interrupted",
}


@contextmanager
def opened(place: Place, name: str | None) -> Iterator[Directories]:
    """The directories of the configuration, or the one that is named; nothing is asked yet."""
    from idp.composition.sources import open_directories

    known = [directory.name for directory in place.config.directories]
    if not known:
        fail("the configuration names no directory (directories:)")
    if name is not None and name not in known:
        fail(f"no directory {name!r}; there is: {', '.join(known)}")
    wanted = tuple(directory for directory in place.config.directories if name in {None, directory.name})
    directories = open_directories(place.config.model_copy(update={"directories": wanted}), place.clock)
    try:
        yield directories
    finally:
        directories.close()


@contextmanager
def readable(place: Place, name: str) -> Iterator[PeopleSource]:
    """Whom `vestibule sync` reads: the directory of that name, or the people known of a provider that is listened to; nothing is asked yet."""
    from idp.composition.sources import people_source, watched_providers
    from idp.composition.stores import Stores

    known = [one.name for one in (*place.config.directories, *watched_providers(place.config))]
    if not known:
        fail("the configuration names no directory (directories:)")
    with people_source(Stores(place.config, place.clock, place.keyring, place.database), name) as source:
        if source is None:
            fail(f"no directory {name!r}; there is: {', '.join(known)}")
        yield source


def trouble_of(error: SourceUnreachable | SourceMisbehaved) -> str:
    """Why a directory could not be asked, in plain words, with the detail that only operators see."""
    return in_words(error.trouble if isinstance(error, SourceUnreachable) else "misbehaved", error.detail)


def in_words(trouble: str, detail: str) -> str:
    """A trouble's code in plain words."""
    words = TROUBLES.get(trouble, trouble)
    return f"{words} ({detail})" if detail else words
