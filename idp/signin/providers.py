"""The upstream providers that people are sent to, opened, in the order of the configuration, each with what the operator said of it.

Owns the list and what its settings say may be asked of one. Opens nothing (idp/composition/sources.py does);
upstream.py sends people there and receives them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from connectors.base import RedirectConnector
from idp.config.directories import AnyProvider


@dataclass(frozen=True, slots=True)
class OpenedProvider:
    """One provider: what the operator said of it, and what speaks to it."""

    settings: AnyProvider
    connector: RedirectConnector

    @property
    def name(self) -> str:
        """Its name in addresses, in the store and in the trail."""
        return self.settings.name

    @property
    def label(self) -> str:
        """What its button says."""
        return self.settings.label

    def serves(self, slug: str | None) -> bool:
        """Whether an establishment's pages offer it; where none is known yet (None), all that might be meant are offered."""
        return slug is None or not self.settings.establishments or slug in self.settings.establishments


class Providers:
    """Opened providers by name, in the order of the configuration."""

    def __init__(self, opened: Mapping[str, OpenedProvider]) -> None:
        self._opened = dict(opened)

    def __iter__(self) -> Iterator[OpenedProvider]:
        return iter(self._opened.values())

    def __len__(self) -> int:
        return len(self._opened)

    def get(self, name: str) -> OpenedProvider | None:
        """By name; None when the configuration has none of that name (any more)."""
        return self._opened.get(name)

    def of_domain(self, domain: str) -> OpenedProvider | None:
        """The one whose people have identifiers of a domain, or None."""
        wanted = domain.strip().lower().rstrip(".")
        return next((one for one in self if wanted and wanted in (known.lower() for known in one.settings.domains)), None)

    def with_mfa(self) -> Mapping[str, str]:
        """Labels, by name, of those that can be asked for two factors."""
        return {one.name: one.label for one in self if one.settings.gives_mfa}

    def close(self) -> None:
        """Let go of their connections."""
        for provider in self:
            provider.connector.close()
