"""Where people leave from in bench.cut: a source with `people`, how they sign in, and one write each that disables them there.

slapd, Samba AD and Microsoft's stand-in are those of the tests (tests/support); a SCIM source writes to our own server. Each person is signed in as
people of that source are: with the directory's password, at Microsoft, or (SCIM brings no password) with a local one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from bench import slapd
from connectors.ldap.wire import ldap3
from idp.clock import SystemClock
from idp.config import load
from idp.crypto import PasswordHasher
from idp.store.database import Database
from tests.support.browser import Browser, Page
from tests.support.entra import entra_serving
from tests.support.entra_door import CALLBACK, NURSES, bring, provider_settings, sent_to
from tests.support.entra_door import NAME as OFFICE
from tests.support.entra_people import SECRET, Group, Person
from tests.support.samba import Samba
from tests.support.samba_cast import GROUPS as DOMAIN_GROUPS
from tests.support.samba_cast import PASSWORD as DOMAIN_PASSWORD
from tests.support.samba_domain import shared_domain
from tests.support.scim_source import ScimSource, scim_settings
from tests.support.slapd import DISABLED_FOREVER
from tests.support.slapd_cast import PEOPLE as PEOPLE_DN

HOME = "residence-000"
LOCAL_PASSWORD = "Trois-tasses-de-tilleul-7"
NORMAL, DISABLED = 512, 2
ASKED_EVERY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Leaving:
    """One source. `settings` are keys of the configuration; `furnish` is called once the server runs; `disable` writes, and returns once the source
    has answered; `reads` are read as a whole before, and listened to with `listens`; `polls`: the source is asked every so many seconds (None: it
    tells)."""

    name: str
    title: str
    settings: dict[str, Any]
    people: Sequence[str]
    sign_in: Callable[[Browser, Page, str], Page]
    disable: Callable[[str], None]
    furnish: Callable[[str, Path], None] | None = None
    reads: Sequence[str] = field(default=())
    listens: Sequence[str] = field(default=())
    polls: float | None = None


def with_password(password: str) -> Callable[[Browser, Page, str], Page]:
    """Sign in by typing this password."""
    return lambda browser, page, who: browser.sign_in(who, password, page=page)


@contextmanager
def openldap(people: int) -> Iterator[Leaving]:
    """slapd with ppolicy: an administrator locks the entry for good."""
    with slapd.serving(people, 1) as directory, directory.slapd.administering() as administrator:

        def disable(uid: str) -> None:
            written = administrator.modify(f"uid={uid},{PEOPLE_DN}", {"pwdAccountLockedTime": [(ldap3.MODIFY_REPLACE, [DISABLED_FOREVER])]})
            if not written[0]:
                raise RuntimeError(f"slapd: {written[1]}")

        settings = {"directories": [directory.settings()]}
        yield Leaving(
            "slapd", "OpenLDAP (syncrepl)", settings, directory.people, with_password(directory.password), disable, reads=(slapd.NAME,)
        )


@contextmanager
def domain(people: int) -> Iterator[Leaving]:
    """Samba AD: an administrator disables the user over LDAP."""
    with tempfile.TemporaryDirectory(prefix="vestibule-bench-samba-") as folder:
        template = shared_domain(Path(folder))
        controller = Samba(template, Path(folder) / "controller")
        try:
            controller.start()
            logins = tuple(f"p{number:05d}" for number in range(people))
            names = [controller.add_person(login) for login in logins]
            controller.add_group(f"{HOME}-ide", *names)
            mapping = [{"group": "{establishment}-ide", "establishment": "{establishment}", "profile": "nurse"}]
            entry = {
                key: value
                for key, value in controller.settings(mapping=mapping, groups={"base": DOMAIN_GROUPS}).items()
                if key not in {"connect_timeout", "receive_timeout"}
            }
            with controller.administering() as administrator:
                where = dict(zip(logins, names, strict=True))

                def disable(login: str) -> None:
                    value = [(ldap3.MODIFY_REPLACE, [str(NORMAL | DISABLED)])]
                    written = administrator.modify(where[login], {"userAccountControl": value})
                    if not written[0]:
                        raise RuntimeError(f"Samba: {written[1]}")

                yield Leaving(
                    "samba",
                    "Samba AD (notification)",
                    {"directories": [entry]},
                    logins,
                    with_password(DOMAIN_PASSWORD),
                    disable,
                    reads=(entry["name"],),
                )
        finally:
            controller.close()
            template.close()


@contextmanager
def provisioning(people: int) -> Iterator[Leaving]:
    """SCIM: the source sends PATCH active=False, as Microsoft Entra ID does."""
    with tempfile.TemporaryDirectory(prefix="vestibule-bench-scim-") as folder, httpx.Client(timeout=30) as client:
        ids: dict[str, str] = {}
        names = tuple(f"p{number:05d}" for number in range(people))
        source = ScimSource(client)

        def furnish(issuer: str, configuration: Path) -> None:
            client.base_url = httpx.URL(issuer)
            for name in names:
                ids[name] = source.add_user(name)["id"]
            source.add_group(f"{HOME}-ide", *ids.values())
            give_passwords(configuration, tuple(ids.values()))

        def disable(name: str) -> None:
            source.disable(ids[name]).raise_for_status()

        yield Leaving(
            "scim",
            "SCIM (PATCH active)",
            {"scim": [scim_settings(Path(folder))]},
            names,
            with_password(LOCAL_PASSWORD),
            disable,
            furnish,
        )


@contextmanager
def office(people: int) -> Iterator[Leaving]:
    """Microsoft's stand-in, asked every few seconds: an administrator blocks the account. (Its notices need an https address of ours.)"""
    with tempfile.TemporaryDirectory(prefix="vestibule-bench-office-") as folder, entra_serving(Path(folder)) as entra:
        nurses = Group(NURSES, "residence-000-ide")
        entra.people = [
            Person(f"33333333-2222-4333-8444-{number:012d}", f"p{number:05d}@tilleuls.example", "P", f"{number:05d}", groups=[nurses])
            for number in range(people)
        ]
        secret = Path(folder) / "secret"
        secret.write_text(SECRET, encoding="utf-8")
        provider = provider_settings(
            entra,
            client_secret=f"file:{secret}",
            groups="graph",
            mapping=[{"group": NURSES, "establishment": HOME, "profile": "nurse"}],
            watch={"every": f"{ASKED_EVERY_SECONDS:.0f}s"},
        )

        def furnish(issuer: str, _: Path) -> None:
            entra.registration.redirect_uris.add(f"{issuer}{CALLBACK}")

        def sign_in(browser: Browser, page: Page, who: str) -> Page:
            gone = page if page.callback is not None else browser.get(f"{page.url}/upstream/{OFFICE}")
            return bring(browser, entra, entra.sign_in(sent_to(gone), who))

        yield Leaving(
            "graph",
            f"Microsoft Graph, its stand-in, asked every {ASKED_EVERY_SECONDS:.0f} s",
            {"providers": [provider]},
            tuple(f"p{number:05d}" for number in range(people)),
            sign_in,
            lambda who: entra.directory.disable(entra.person(who)),
            furnish,
            listens=(OFFICE,),
            polls=ASKED_EVERY_SECONDS,
        )


def give_passwords(configuration: Path, subjects: Sequence[str]) -> None:
    """The same local password for people whom the source wrote."""
    clock, database = SystemClock(), Database.of(load(configuration).database, pool_size=2)
    try:
        encoded = PasswordHasher(clock, concurrency=1).hash(LOCAL_PASSWORD)
        with database.write() as tx:
            for subject in subjects:
                link = tx.links.get("rh", subject)
                if link is None:
                    raise RuntimeError(f"{subject} was not linked")
                tx.people.set_password(link.account_id, encoded, must_change=False, now=clock.now())
    finally:
        database.close()


PATHS: dict[str, Callable[[int], Any]] = {"slapd": openldap, "samba": domain, "scim": provisioning, "graph": office}
