"""The cut, built from the configuration for the worker: what listens to the sources, what delivers to the applications, what measures the paths.

Opens no connection. `database` is, throughout, the store as the lease's holder sees it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from connectors.base import PeopleSource
from idp.composition.application import Application
from idp.composition.outgoing import messenger
from idp.composition.sources import upstream_people
from idp.composition.stores import Stores
from idp.signin.linking import Linking
from idp.store.database import Database

if TYPE_CHECKING:
    from idp.lifecycle.canary import CanaryKeeper
    from idp.lifecycle.watch import Watch
    from idp.oauth.delivery import Deliverer
    from idp.oauth.delivery import Sender as OutboxSender
    from idp.scim.settle import Settler
    from idp.store.leases import Fenced


def open_deliverer(application: Application, database: "Fenced | None" = None) -> "Deliverer":
    """The sender of the outbox, for the worker; `database` is the store as the lease's holder sees it."""
    from idp.oauth.delivery import Deliverer  # brings an HTTP client, which servers do not need

    store = database or application.database
    senders = open_senders(application, store)
    return Deliverer(application.config.logout, store, senders, application.clock, observe=application.metrics.observe_delivered)


def open_senders(application: Application, store: "Database | Fenced") -> "dict[str, OutboxSender]":
    """How each kind of notice goes out, by kind; nothing is reached but what the configuration lets."""
    from idp.config.signals import LOOPBACK
    from idp.egress import GuardedTransport  # brings an HTTP client, which servers do not need
    from idp.oauth import logout
    from idp.oauth.signals import sender as signals

    config, provider = application.config, application.provider
    allowed, timeout = config.reachable_networks, config.logout.timeout
    tokens = logout.LogoutSender(
        config.logout,
        store,
        provider.registry,
        provider.mint,
        transport=GuardedTransport(allowed),
        own=GuardedTransport(LOOPBACK),
    )
    events = signals.SetSender(
        store,
        provider.mint,
        application.keyring,
        application.clock,
        issuer=config.issuer,
        timeout=timeout,
        transport=GuardedTransport(allowed),
    )
    return {logout.KIND: tokens, signals.KIND: events}


def open_watches(application: Application, database: "Fenced", wake: Callable[[], None], *, is_ours: Callable[[], bool]) -> "list[Watch]":
    """What listens to each directory and provider, for the worker's threads; `database` is the store as the lease's holder sees it."""
    from idp.lifecycle.watch import Watch

    def watch(source: PeopleSource, let_go: Callable[[], None] | None = None) -> Watch:
        return Watch(
            source,
            application.linking,
            application.database,
            store=database,
            config=application.config,
            clock=application.clock,
            metrics=application.metrics,
            wake=wake,
            is_ours=is_ours,
            let_go=let_go,
        )

    known = upstream_people(application, application.ephemeral)
    return [*map(watch, application.directories), *(watch(people, people.close) for people in known)]


def open_canary(application: Application, database: "Fenced | None" = None) -> "CanaryKeeper | None":
    """What measures the paths on purpose; None where no directory names a canary."""
    if not any(one.canary is not None for one in application.config.directories):
        return None
    from idp.lifecycle.canary import CanaryKeeper  # for those who have one

    return CanaryKeeper(
        application.config,
        database or application.database,
        application.directories,
        linking=application.linking,
        clock=application.clock,
        metrics=application.metrics,
    )


def open_settler(stores: Stores, database: "Fenced | None" = None) -> "Settler":
    """What acts again on what sources have written by SCIM; `database` is the store as the lease's holder sees it."""
    from idp.scim.person import Keeper  # for those who have such sources
    from idp.scim.settle import Settler

    config, clock = stores.config, stores.clock
    keeper = Keeper(config, Linking(config, clock, messenger(stores)), clock)
    return Settler(database or stores.database, keeper, config.scim, clock=clock)
