"""Windows sessions of a real Active Directory domain: the ticket's security id says who, and the domain is asked each time.

A Samba AD DC gives the tickets; what is the same with every realm is in test_windows_signin.py.
"""

import base64
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Ticket
from connectors.kerberos.acceptor import KerberosAcceptor
from connectors.kerberos.settings import KerberosSettings
from tests.conftest import MakeWorld
from tests.support.browser import Page
from tests.support.fixed_clock import FixedClock
from tests.support.office import SERVICE, Office, furnished, office_settings
from tests.support.processes import program
from tests.support.samba import Samba
from tests.support.samba_cast import PASSWORD, REALM
from tests.support.windows import arrive, at_desk, is_asked, show

IMPERSONATE = """
import base64, sys, gssapi
kind = gssapi.NameType.kerberos_principal
own = gssapi.Credentials(usage="both", store={"ccache": sys.argv[1], "keytab": sys.argv[2]})
theirs = own.impersonate(gssapi.Name(sys.argv[3], kind))
target, mechanism = gssapi.Name(sys.argv[4], kind), gssapi.MechType.kerberos
context = gssapi.SecurityContext(name=target, usage="initiate", creds=theirs, mech=mechanism)
print(base64.b64encode(context.step()).decode())
"""


@pytest.fixture
def clock() -> FixedClock:
    """Tickets go by the real time; it still moves only when told."""
    return FixedClock(datetime.now(UTC))


@pytest.fixture
def office(make_world: MakeWorld, samba: Samba, tmp_path: Path) -> Office:
    """Les Tilleuls."""
    return furnished(samba, make_world(**office_settings(samba, tmp_path)), tmp_path)


def refused(office: Office, page: Page, reason: str) -> None:
    """The form and the Event."""
    assert page.callback is None
    assert not is_asked(page)
    assert office.world.last_event("signin.refused")["reason"] == reason


def test_a_ticket_holds_the_security_id_of_its_person(office: Office, tmp_path: Path) -> None:
    settings = KerberosSettings(realm=REALM, keytabs=(tmp_path / "http.keytab",))
    acceptor = KerberosAcceptor("essai", settings, office.world.clock, host="connexion.example")
    ticket = acceptor.accept(office.token(office.open_windows("a.claire")))
    assert (ticket.principal, ticket.sid) == (f"a.claire@{REALM}", office.samba.sid("a.claire"))
    assert ticket.authenticated_at is not None
    assert abs(ticket.authenticated_at - datetime.now(UTC)) < timedelta(minutes=2)
    assert repr(ticket) == f"Ticket(a.claire@{REALM}, …)"
    acceptor.close()


def test_a_nurse_is_the_same_account_by_ticket_and_by_password(office: Office) -> None:
    environment = office.open_windows("a.claire")
    _, page = office.visit(environment)
    assert page.callback is not None, page
    browser = office.world.browser()
    assert browser.sign_in("claire.dumas@residences.example", PASSWORD, page=arrive(browser, office.world)).callback is not None
    assert len(office.world.events("account.linked")) == 1
    assert {event["account_id"] for event in office.world.events("session.opened")} == {
        office.world.last_event("account.linked")["account_id"]
    }


@pytest.mark.parametrize(
    ("change", "reason"),
    [("disable", "directory_disabled"), ("expire_account", "directory_expired"), ("lock", "directory_locked")],
)
def test_somebody_the_domain_refuses_is_refused_although_their_ticket_is_valid(office: Office, change: str, reason: str) -> None:
    environment = office.open_windows("a.claire")
    _, page = office.visit(environment)
    assert page.callback is not None
    getattr(office.samba, change)("a.claire")
    browser, page = office.visit(environment)
    assert page.status == 403
    refused(office, page, reason)
    assert not is_asked(browser.get(page.url)), "no loop"


def test_somebody_outside_the_base_is_refused(office: Office) -> None:
    _, page = office.visit(office.open_windows("a.remi"))
    assert page.callback is None
    assert office.world.last_event("signin.refused")["reason"] in {"windows_nobody", "directory_out_of_scope"}


def test_somebody_made_anew_under_the_same_name_does_not_get_in_by_the_old_ticket(office: Office) -> None:
    environment = office.open_windows("a.claire")
    _, page = office.visit(environment)
    assert page.callback is not None
    former = office.samba.sid("a.claire")
    office.samba.delete(office.samba.dn("a.claire"))
    office.samba.add_person("a.claire", mail="a.claire@residences.example")
    assert office.samba.sid("a.claire") != former
    _, page = office.visit(environment)
    refused(office, page, "windows_nobody")
    assert len(office.world.events("account.linked")) == 1


def test_somebody_renamed_keeps_their_account_with_the_ticket_of_the_morning(office: Office) -> None:
    environment = office.open_windows("a.claire")
    _, page = office.visit(environment)
    office.samba.modify(office.samba.dn("a.claire"), {"sAMAccountName": "a.claire-dumas"})
    _, page = office.visit(environment)
    assert page.callback is not None, page
    assert len(office.world.events("account.linked")) == 1


def test_whoever_takes_the_name_of_somebody_renamed_is_themselves(office: Office) -> None:
    """A name that moves from one person to another takes no ticket with it."""
    environment = office.open_windows("a.claire")
    office.token(environment)  # the browser has the ticket for us already: the domain is not asked again
    office.samba.modify(office.samba.dn("a.claire"), {"sAMAccountName": "a.claire-dumas"})
    office.samba.modify(office.samba.dn("a.paul"), {"sAMAccountName": "a.claire"})
    _, page = office.visit(environment)
    assert page.callback is not None, page
    with office.world.database.read() as tx:
        account = tx.people.get(office.world.last_event("session.opened")["account_id"])
    assert account is not None
    assert account.given_name == "Claire"


def test_a_ticket_that_a_service_got_in_somebodys_name_is_refused(office: Office, tmp_path: Path) -> None:
    """Constrained delegation (S4U2Proxy): the domain lets another service ask for tickets of people who are not there."""
    dn = office.samba.add_service("svc-portail", "HTTP/portail.example")
    office.samba.modify(dn, {"msDS-AllowedToDelegateTo": SERVICE, "userAccountControl": str(0x200 | 0x1000000)})
    keytab = office.samba.export_keytab(tmp_path / "portail.keytab", "svc-portail")
    token = impersonate(office.samba, keytab, tmp_path)
    browser = at_desk(office.world)
    page = show(browser, token, page=arrive(browser, office.world))
    refused(office, page, "windows_delegated")


def impersonate(samba: Samba, keytab: Path, folder: Path) -> bytes:
    """What a service can do that the domain has allowed to delegate, with protocol transition."""
    environment = {**os.environ, "KRB5_CONFIG": str(samba.krb5_conf), "KRB5CCNAME": f"FILE:{folder / 'portail.tickets'}"}
    get = [program("kinit", "krb5-user"), "-f", "-k", "-t", str(keytab), f"svc-portail@{REALM}"]
    listed = subprocess.run(get, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert listed.returncode == 0, listed.stderr
    command = [sys.executable, "-c", IMPERSONATE, environment["KRB5CCNAME"], str(keytab), f"a.claire@{REALM}", f"{SERVICE}@{REALM}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return base64.b64decode(done.stdout)


def test_the_ticket_value_shows_no_secret() -> None:
    value: Any = Ticket(principal="a@B", handle="secret", answer=b"secret")
    assert "secret" not in repr(value)
