"""The settings of an establishment's places on the network, and what one of them alone can say; zone_checks.py compares several.

Used for the file and for `vestibule zone add` alike. What a zone means for a sign-in is policies/zones.py's.
"""

from datetime import date, datetime, time
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, model_validator

from connectors.settings import Settings
from idp.config.values import Network
from policies.access import attachment_window
from policies.zones import ZoneFacts, ZoneKind

# What nobody reaches from the internet: RFC 1918, RFC 4193, RFC 6598 (an operator's shared addresses), and one machine or one link only.
INSIDE = tuple(
    ip_network(text)
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "127.0.0.0/8",
        "fc00::/7",
        "fe80::/10",
        "::1/128",
    )
)
NO_WINDOWS = {
    "shared_workstation": "people follow one another there, and the Windows session does not say who is there now",
    "blocked": "nobody signs in there",
}
WIDEST_IPV4 = 8
WIDEST_IPV6 = 16


def is_inside_range(network: IPv4Network | IPv6Network) -> bool:
    """Whether a network lies wholly in addresses that the internet does not route."""
    return any(network.version == kept.version and network.subnet_of(kept) for kept in INSIDE)  # type: ignore[arg-type]  # of one version


def _read_kind(value: object) -> object:
    return value.replace("-", "_") if isinstance(value, str) else value


def _check_network(network: IPv4Network | IPv6Network) -> None:
    if isinstance(network, IPv4Network):
        if network.prefixlen < WIDEST_IPV4:
            raise ValueError(f"{network} is wider than /{WIDEST_IPV4}: it is nobody's place")
    elif network.network_address.ipv4_mapped is not None:
        raise ValueError(f"{network} holds IPv4 addresses: write them as IPv4")
    elif network.prefixlen < WIDEST_IPV6 and not is_inside_range(network):
        raise ValueError(f"{network} is wider than /{WIDEST_IPV6}: it is nobody's place")


def zone_window(first_day: date | None, last_day: date | None, time_zone: str) -> tuple[datetime | None, datetime | None]:
    """The instants at which a zone begins and ceases to count: whole days of the establishment's calendar; None where there is no bound."""
    return attachment_window(first_day, last_day, ZoneInfo(time_zone), closes_at=time(0), closes_days_after=1)


class ZoneSettings(Settings):
    """A place of an establishment on the network: where a sign-in comes from. An address in no zone is outside."""

    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9_-]{0,58}[a-z0-9])?$")
    """Short name, unique in the establishment: small letters, digits, - and _. Rules, tokens and audit lines say `<slug>/<name>`."""
    kind: Annotated[Literal["trusted", "shared_workstation", "vpn", "blocked"], BeforeValidator(_read_kind)]
    """trusted: inside; shared_workstation: inside, on computers that several people use; vpn: known, and outside; blocked: nobody signs in."""
    networks: tuple[Network, ...] = Field(min_length=1, max_length=200)
    """Its networks, none wider than /8 (IPv6: /16). Where several zones hold an address, the narrowest network counts."""
    egress: bool = False
    """A public address that the whole site leaves by, guests perhaps too. Inside only with an enrolled workstation, or with `guests_apart`."""
    guests_apart: str = Field(default="", max_length=300)
    """egress only: who declares that the guests' Wi-Fi leaves by another address, and when. Empty: nobody does."""
    windows: bool = False
    """Whether its computers belong to the domain: whoever has opened a Windows session there is signed in with it (`windows`)."""
    first_day: date | None = None
    """First day it counts, in the establishment's time zone."""
    last_day: date | None = None
    """Last day it counts."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for network in self.networks:
            _check_network(network)
        if self.first_day is not None and self.last_day is not None and self.last_day < self.first_day:
            raise ValueError("last_day is before first_day")
        if self.guests_apart and not self.egress:
            raise ValueError("guests_apart is said of an egress only: set egress: true, or leave it out")
        is_inside = self.kind in {"trusted", "shared_workstation"}
        if self.egress and not is_inside:
            raise ValueError(f"egress has no use on a {self.kind} zone")
        if self.windows and self.kind in {"shared_workstation", "blocked"}:
            raise ValueError(f"windows has no use on a {self.kind} zone: " + NO_WINDOWS[self.kind])
        public = [str(network) for network in self.networks if not is_inside_range(network)]
        if public and is_inside and not self.egress:
            raise ValueError(f"{', '.join(public)}: addresses of the internet are inside only as an egress (egress: true)")
        return self

    def facts(self, zone_id: str, establishment_id: str, *, slug: str, time_zone: str) -> ZoneFacts:
        """The zone as policies/zones.py judges it."""
        valid_from, valid_until = zone_window(self.first_day, self.last_day, time_zone)
        return ZoneFacts(
            id=zone_id,
            establishment_id=establishment_id,
            slug=slug,
            name=self.name,
            kind=ZoneKind(self.kind),
            networks=self.networks,
            valid_from=valid_from,
            valid_until=valid_until,
            is_egress=self.egress,
            guests_apart=bool(self.guests_apart),
            has_windows=self.windows,
        )
