"""Sources: the directories, upstream providers and Windows realms of a configuration, each opened by the connector that speaks to it.

Owns the one map from a `type` in the configuration to its connector, and what can be tried of each step by step. Asks nobody anything; a connector's
library is imported when the configuration names that connector.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from connectors.base import CheckStep, Directory, NegotiateConnector, PeopleSource, RedirectConnector
from idp.clock import Clock
from idp.composition.stores import Stores
from idp.config import ActiveDirectoryDirectorySettings, Config, DirectorySettings, LdapDirectorySettings
from idp.config.directories import EntraProviderSettings, OidcProviderSettings, ProviderSettings, WindowsSettings
from idp.lifecycle.graph_notices import GraphNotices
from idp.signin.directories import Directories
from idp.signin.providers import OpenedProvider, Providers
from idp.signin.upstream import callback_address
from idp.store.base import Ephemeral

if TYPE_CHECKING:
    from idp.lifecycle.upstream_people import UpstreamPeople


class Checked(Protocol):
    """Whatever says of itself, step by step, whether it works."""

    def check(self) -> Iterator[CheckStep]:
        """The steps."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


def open_directories(config: Config, clock: Clock) -> Directories:
    """The directories of a configuration, in its order; nothing is asked before it is needed."""
    opened: dict[str, Directory] = {}
    for settings in config.directories:
        opened[settings.name] = OPENERS[type(settings)](settings, clock)
    return Directories(opened)


def _open_ldap(settings: LdapDirectorySettings, clock: Clock) -> Directory:
    from connectors.ldap.directory import LdapDirectory  # its library, for those who have such a directory

    return LdapDirectory(settings.name, settings, clock)


def _open_active_directory(settings: ActiveDirectoryDirectorySettings, clock: Clock) -> Directory:
    from connectors.active_directory.directory import ActiveDirectory

    return ActiveDirectory(settings.name, settings, clock)


# The one place where a kind of directory in the configuration meets the connector that speaks to it.
OPENERS: dict[type[DirectorySettings], Callable[[Any, Clock], Directory]] = {
    LdapDirectorySettings: _open_ldap,
    ActiveDirectoryDirectorySettings: _open_active_directory,
}


def source_kinds(config: Config) -> dict[str, str]:
    """The `type` of each directory and provider, by name."""
    return {one.name: one.type for one in (*config.directories, *config.providers)}


def open_providers(config: Config, clock: Clock) -> Providers:
    """The upstream providers of a configuration, in its order; nothing is asked before it is needed."""
    return Providers({settings.name: OpenedProvider(settings, open_provider(settings, clock)) for settings in config.providers})


def open_provider(settings: ProviderSettings, clock: Clock) -> RedirectConnector:
    """What speaks to one provider."""
    return PROVIDER_OPENERS[type(settings)](settings, clock)


def credential_ends(config: Config) -> dict[str, datetime]:
    """When our credential at each upstream provider ends, where that is known: nobody else says it before sign-ins stop."""
    found: dict[str, datetime] = {}
    for settings in config.providers:
        if isinstance(settings, EntraProviderSettings):
            from connectors.entra.credential import ends_at  # for those who have such a provider

            if (end := ends_at(settings)) is not None:
                found[settings.name] = end
    return found


def _open_entra(settings: EntraProviderSettings, clock: Clock) -> RedirectConnector:
    from connectors.entra.provider import EntraProvider  # its library, for those who have such a provider

    return EntraProvider(settings.name, settings, clock)


def _open_oidc(settings: OidcProviderSettings, clock: Clock) -> RedirectConnector:
    from connectors.oidc.provider import OidcProvider

    return OidcProvider(settings.name, settings, clock)


PROVIDER_OPENERS: dict[type[ProviderSettings], Callable[[Any, Clock], RedirectConnector]] = {
    EntraProviderSettings: _open_entra,
    OidcProviderSettings: _open_oidc,
}


def open_acceptor(settings: WindowsSettings, config: Config, clock: Clock) -> NegotiateConnector:
    """What verifies the tickets of one realm, for the issuer's host; no key is read before it is needed."""
    from connectors.kerberos.acceptor import KerberosAcceptor  # its library is an extra

    return KerberosAcceptor(settings.directory, settings, clock, host=urlsplit(config.issuer).hostname or "")


def source_checks(config: Config, clock: Clock) -> tuple[tuple[tuple[str, ...], Callable[[], Iterator[CheckStep]]], ...]:
    """What can be tried step by step, by the names it goes by, its own last; each is opened anew when it is tried, and nothing before."""
    return (
        *(((one.name,), partial(_try, partial(OPENERS[type(one)], one, clock))) for one in config.directories),
        *(((one.name,), partial(_try_provider, one, config, clock)) for one in config.providers),
        *((("windows", one.realm), partial(_try, partial(open_acceptor, one, config, clock))) for one in config.windows),
    )


def _try(open_it: Callable[[], Checked]) -> Iterator[CheckStep]:
    with closing(open_it()) as opened:
        yield from opened.check()


def _try_provider(settings: ProviderSettings, config: Config, clock: Clock) -> Iterator[CheckStep]:
    with closing(open_provider(settings, clock)) as opened:
        yield from opened.check(callback_address(config.issuer, settings.name))
    if isinstance(settings, EntraProviderSettings) and settings.watch is not None:
        from connectors.entra.people import EntraPeople  # for those who listen to it

        with closing(EntraPeople(settings.name, settings, clock)) as people:
            yield from people.check()


def watched_providers(config: Config) -> tuple[EntraProviderSettings, ...]:
    """Those whose people may be asked about while they are not there."""
    return tuple(one for one in config.providers if isinstance(one, EntraProviderSettings) and one.watch is not None)


@contextmanager
def people_source(stores: Stores, name: str) -> Iterator[PeopleSource | None]:
    """Who is read as a whole by that name: a directory, or the people who are known of a provider that is listened to. None for neither."""
    directories = tuple(one for one in stores.config.directories if one.name == name)
    providers = tuple(one for one in watched_providers(stores.config) if one.name == name)
    narrowed = replace(stores, config=stores.config.model_copy(update={"directories": directories, "providers": providers}))
    with ExitStack() as stack:
        opened = stack.enter_context(closing(open_directories(narrowed.config, narrowed.clock)))
        known = [stack.enter_context(closing(one)) for one in upstream_people(narrowed)]
        yield next(iter((*opened, *known)), None)


def upstream_people(stores: Stores, ephemeral: Ephemeral | None = None) -> "list[UpstreamPeople]":
    """The people of each of the watched providers; with `ephemeral`, its notices are heard too."""
    wanted = watched_providers(stores.config)
    if not wanted:
        return []
    from connectors.entra.people import EntraPeople  # for those who have such a provider
    from connectors.entra.subscription import Notifications
    from idp.lifecycle.upstream_people import UpstreamPeople

    notices = GraphNotices(stores.config, ephemeral, stores.keyring) if ephemeral is not None else None
    found = []
    for settings in wanted:
        notifications = None
        if notices is not None and settings.name in notices.providers:
            notifications = Notifications(
                url=notices.address(settings.name),
                client_state=notices.client_state(settings.name),
                were_heard=partial(notices.were_heard, settings.name),
                warn=partial(notices.warn, settings.name),
            )
        people = EntraPeople(settings.name, settings, stores.clock, notifications=notifications)
        found.append(UpstreamPeople(people, stores.database))
    return found
