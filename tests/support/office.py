"""A home whose computers belong to a real Active Directory domain (Samba), and the people who open them in the morning."""

from pathlib import Path
from typing import Any

from tests.support.browser import Browser, Page
from tests.support.kdc import get_tickets, offer
from tests.support.samba import Samba
from tests.support.samba_cast import PASSWORD, REALM
from tests.support.windows import arrive, at_desk, furnish_desks, is_asked, show
from tests.support.world import World

SERVICE = "HTTP/connexion.example"


class Office:
    """Les Tilleuls, on one controller."""

    def __init__(self, samba: Samba, world: World, folder: Path) -> None:
        self.samba = samba
        self.world = world
        self.folder = folder

    def open_windows(self, login: str, *options: str) -> dict[str, str]:
        """Somebody opens their Windows session; the environment of their programs. `options` are kinit's."""
        cache = self.folder / f"{login}.tickets"
        environment = {"KRB5_CONFIG": str(self.samba.krb5_conf), "KRB5CCNAME": f"FILE:{cache}"}
        get_tickets(environment, f"{login}@{REALM}", PASSWORD, options=options)
        return environment

    def token(self, environment: dict[str, str]) -> bytes:
        """What their browser sends us. The ticket for us is kept: the domain is not asked for it again."""
        return offer(environment, f"{SERVICE}@{REALM}")

    def visit(self, environment: dict[str, str], **parameters: str) -> tuple[Browser, Page]:
        """They come from an application."""
        browser = at_desk(self.world)
        page = arrive(browser, self.world, **parameters)
        assert is_asked(page)
        return browser, show(browser, self.token(environment), page=page)


def office_settings(samba: Samba, folder: Path, **windows: Any) -> dict[str, Any]:
    """What the file says of the domain and of its tickets; the service is made in the domain. `windows` are more keys of the realm's entry."""
    samba.add_service("svc-vestibule", SERVICE)
    keytab = samba.export_keytab(folder / "http.keytab", SERVICE)
    directory = samba.settings()
    realm = {"realm": REALM, "keytabs": [str(keytab)], "directory": directory["name"], **windows}
    return {"directories": [directory], "windows": [realm]}


def furnished(samba: Samba, world: World, folder: Path) -> Office:
    """The office in a world of those settings."""
    furnish_desks(world)
    return Office(samba, world, folder)
