"""Composition: builds every part from the configuration and passes it to those that need it.

`build` makes the parts (idp/composition has how each is built), `wsgi` the application that a server process answers with; granian's workers call
`from_environment`.
"""

import os
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from idp.clock import Clock
from idp.composition.application import Application
from idp.composition.desk import open_desk
from idp.composition.outgoing import messenger
from idp.composition.signin import open_signin
from idp.composition.sources import open_directories, open_providers
from idp.composition.stores import open_stores
from idp.config import Config, load
from idp.crypto import PasswordHasher
from idp.lifecycle.standing import Standing
from idp.lifecycle.upstream_standing import UpstreamStanding
from idp.oauth.provider import Provider
from idp.signin.linking import Linking
from idp.signin.passes import Passes
from idp.signin.whereabouts import Locator
from idp.signin.workstations import Workstations
from idp.store.ephemeral import open_ephemeral

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


CONFIG_VARIABLE = "VESTIBULE_CONFIG"


def build(config: Config, clock: Clock | None = None) -> Application:
    """The parts, on a migrated database."""
    # Imported here: the metrics library decides at its import whether processes count together, which only idp.serve knows.
    from idp.telemetry import Metrics

    metrics = Metrics()
    stores = open_stores(config, clock, metrics.count_events)
    ephemeral = open_ephemeral(config.ephemeral, stores.clock, connections=config.server.threads + 2)
    hasher = PasswordHasher(stores.clock, concurrency=config.server.hash_concurrency, in_progress=metrics.hashes)
    directories = open_directories(config, stores.clock)
    providers = open_providers(config, stores.clock)
    linking = Linking(config, stores.clock, messenger(stores))
    locator = Locator(stores.database, stores.clock)
    workstations = Workstations(
        stores.database,
        stores.keyring,
        clock=stores.clock,
        locator=locator,
        passes=Passes(stores.database, stores.keyring, stores.clock, settings=config.factors),
    )
    asking = UpstreamStanding(stores.database, ephemeral, stores.keyring, providers=providers, linking=linking, clock=stores.clock)
    standing = Standing(stores.database, directories, linking, upstreams=asking, clock=stores.clock, settings=config.standing)
    provider = Provider(config, stores.database, stores.keyring, stores.clock, ask_standing=standing.ask, tell=messenger(stores).tell)
    signin = open_signin(
        stores,
        ephemeral,
        hasher=hasher,
        directories=directories,
        providers=providers,
        linking=linking,
        locator=locator,
        standing=standing,
        load_client=provider.registry.record,
    )
    return Application(
        config=config,
        clock=stores.clock,
        keyring=stores.keyring,
        database=stores.database,
        ephemeral=ephemeral,
        hasher=hasher,
        metrics=metrics,
        directories=directories,
        providers=providers,
        linking=linking,
        provider=provider,
        signin=signin,
        locator=locator,
        workstations=workstations,
        desk=open_desk(
            stores,
            ephemeral,
            hasher=hasher,
            directories=directories,
            linking=linking,
            ask_standing=standing.ask_now,
            signin=signin,
        ),
    )


def wsgi(application: Application) -> "WSGIApplication":
    """The WSGI application: machine endpoints first, then pages."""
    # Imported here so that the worker and the operators' commands do not load the web layer.
    from idp.composition.endpoints import with_others
    from idp.telemetry import ObservedPages
    from idp.web.machine import MachineEndpoints
    from idp.web.origin import OriginReader
    from idp.web.pages import create_pages
    from idp.web.rooms import Rooms

    origins = OriginReader(application.config.server.trusted_proxies, application.locator, clock=application.clock)
    rooms = Rooms(
        config=application.config,
        clock=application.clock,
        database=application.database,
        ephemeral=application.ephemeral,
        keyring=application.keyring,
        hasher=application.hasher,
        signin=application.signin,
        provider=application.provider,
        origins=origins,
        workstations=application.workstations,
        desk=application.desk,
    )
    observe = application.metrics.observe_request
    pages = ObservedPages(create_pages(rooms), observe, perf_counter)
    return with_others(application, origins, MachineEndpoints(application.provider, origins, pages, observe))


def from_environment() -> "WSGIApplication":
    """What a granian worker calls once: the application of the configuration that VESTIBULE_CONFIG names."""
    from idp.telemetry import configure_logging

    config = load(Path(os.environ[CONFIG_VARIABLE]))
    configure_logging(config.log_level)
    return wsgi(build(config))
