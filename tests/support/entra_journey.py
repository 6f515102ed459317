"""A journey to the stand-in for Entra and back, with the connector alone: what tests of the connector have in common."""

import json
from typing import Any

import pytest

from connectors.base import Arrival, Ask, Departure, Renewal, SourceMisbehaved
from connectors.entra.provider import EntraProvider
from tests.support.entra import Entra

CALLBACK = "https://connexion.example/upstream/office/callback"
STATE = "an-unguessable-state"


def depart(provider: EntraProvider, **ask: Any) -> Departure:
    """Leave; what is kept survives as JSON, as a store keeps it."""
    departure = provider.begin(CALLBACK, state=STATE, ask=Ask(**ask))
    return Departure(departure.url, json.loads(json.dumps(departure.kept)))


def come_back(provider: EntraProvider, departure: Departure, parameters: dict[str, str]) -> Arrival:
    """Come back with what the browser brings."""
    return provider.complete(parameters, callback_url=CALLBACK, kept=departure.kept)


def sign_in(provider: EntraProvider, entra: Entra, name: str = "nadia", **ask: Any) -> Arrival:
    """There and back, in a browser of its own."""
    departure = depart(provider, **ask)
    return come_back(provider, departure, entra.sign_in(departure.url, name))


def problem_of(provider: EntraProvider, entra: Entra, name: str = "nadia", **ask: Any) -> str | None:
    """The problem of a journey that must fail."""
    with pytest.raises(SourceMisbehaved) as caught:
        sign_in(provider, entra, name, **ask)
    return caught.value.problem


def renew(provider: EntraProvider, arrival: Arrival) -> Renewal:
    """Ask again about somebody who came."""
    return provider.renew(arrival.identity.subject, arrival.refresh_token or "")
