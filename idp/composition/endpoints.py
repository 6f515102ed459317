"""The endpoints that other systems write to and read from beside OpenID Connect, each in front of the others: signals, SCIM, notices of Graph.

A source that is not configured costs nothing: its modules are not even imported.
"""

from typing import TYPE_CHECKING

from idp.composition.application import Application
from idp.lifecycle.graph_notices import GraphNotices

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from idp.web.origin import OriginReader


def with_others(application: Application, origins: "OriginReader", machine: "WSGIApplication") -> "WSGIApplication":
    """`machine`, and in front of it whatever the configuration asks for."""
    answering = _with_signals(application, origins, machine)
    if application.config.scim:
        answering = _with_scim(application, origins, answering)
    notices = GraphNotices(application.config, application.ephemeral, application.keyring)
    return _with_graph(application, notices, origins, answering) if notices.providers else answering


def _with_signals(application: Application, origins: "OriginReader", others: "WSGIApplication") -> "WSGIApplication":
    """The same, with the Shared Signals transmitter."""
    from idp.oauth.signals.endpoint import Signals
    from idp.web.signals import SignalEndpoints

    provider = application.provider
    signals = Signals(
        application.config,
        application.database,
        application.keyring,
        application.clock,
        mint=provider.mint,
        read_machine=provider.machine_of,
    )
    return SignalEndpoints(signals, origins, others, application.metrics.observe_request)


def _with_scim(application: Application, origins: "OriginReader", others: "WSGIApplication") -> "WSGIApplication":
    """The same, with the sources that write to us by SCIM."""
    from idp.scim.caller import Callers  # for those who have such sources
    from idp.scim.endpoint import ROOT, Scim
    from idp.web.scim import ScimEndpoints

    config, clock = application.config, application.clock
    callers = Callers(config.scim, application.provider.machine_of, resource=f"{config.issuer}{ROOT}")
    scim = Scim(config, application.database, callers, linking=application.linking, clock=clock)
    return ScimEndpoints(scim, origins, others, clock=clock, observe=application.metrics.observe_request)


def _with_graph(application: Application, notices: GraphNotices, origins: "OriginReader", others: "WSGIApplication") -> "WSGIApplication":
    """The same, with the notices of Microsoft Graph."""
    from idp.web.graph import GraphEndpoints  # for those who let it tell us

    return GraphEndpoints(notices, origins, others, record=application.signin.trail.record, observe=application.metrics.observe_request)
