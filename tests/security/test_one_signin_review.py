"""What a review of one sign-in found, kept shut: each test is the attack that went through. Linking and providers have files of their own."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from connectors.entra.settings import EntraSettings
from tests.conftest import MakeWorld
from tests.flows.refusal import Issued, issued
from tests.support.browser import Page
from tests.support.fixed_clock import FixedClock
from tests.support.office import Office, furnished, office_settings
from tests.support.samba import Samba
from tests.support.samba_cast import REALM
from tests.support.windows import arrive, is_asked

NEW = "Hamac-Cerfeuil-83-Tournesol"
NOTHING = Issued(0, 0, 0, 0)
pytestmark = pytest.mark.slow


@pytest.fixture
def clock() -> FixedClock:
    """Tickets go by the real time; it still moves only when told."""
    return FixedClock(datetime.now(UTC))


@pytest.fixture
def office(make_world: MakeWorld, samba: Samba, tmp_path: Path) -> Office:
    """Les Tilleuls, on a real domain."""
    return furnished(samba, make_world(**office_settings(samba, tmp_path)), tmp_path)


def refused(office: Office, page: Page, reason: str) -> None:
    """The form, the Event, and nothing given."""
    assert page.callback is None
    assert not is_asked(page)
    event = office.world.last_event("signin.refused")
    assert (event["reason"], event["connector"], event["details"]["method"]) == (reason, "domaine", "windows")
    assert issued(office.world) == NOTHING


# Kerberos


def test_a_ticket_without_a_security_id_is_nobodys_in_a_domain(office: Office) -> None:
    """Whether a ticket holds one is the client's choice: it must not choose to be known by its name."""
    _, page = office.visit(office.open_windows("a.claire", "--no-request-pac"))
    refused(office, page, "windows_nobody")


def test_whoever_takes_over_a_name_does_not_get_what_an_old_ticket_without_security_id_opens(office: Office) -> None:
    environment = office.open_windows("a.claire", "--no-request-pac")
    office.token(environment)
    office.samba.modify(office.samba.dn("a.claire"), {"sAMAccountName": "a.claire-dumas", "userPrincipalName": "claire-dumas@ehpad.test"})
    office.samba.modify(office.samba.dn("a.paul"), {"sAMAccountName": "a.claire"})
    _, page = office.visit(environment)
    refused(office, page, "windows_nobody")


def test_a_ticket_from_before_a_reset_by_the_help_desk_opens_nothing(office: Office) -> None:
    environment = office.open_windows("a.claire")
    office.token(environment)
    office.samba.set_password_age(timedelta(seconds=-2), office.samba.dn("a.claire"))  # two seconds from now
    _, page = office.visit(environment)
    refused(office, page, "windows_too_old")
    assert "Windows" not in page.text, "nothing has failed: the plain form"


def test_a_ticket_from_before_a_reset_that_must_be_changed_opens_nothing(office: Office) -> None:
    """Of whoever "must change at next logon" the domain hides when the password was set: that might be since."""
    environment = office.open_windows("a.claire")
    office.token(environment)
    office.samba.must_change("a.claire")
    _, page = office.visit(environment)
    refused(office, page, "windows_too_old")


def test_a_ticket_of_the_new_password_signs_in_after_a_reset(office: Office) -> None:
    office.samba.set_password_age(timedelta(seconds=2), office.samba.dn("a.claire"))
    _, page = office.visit(office.open_windows("a.claire"))
    assert page.callback is not None, page


def test_somebody_disabled_after_a_reset_is_known_to_be_so(office: Office) -> None:
    """The graver word wins: it cuts their other Sessions."""
    environment = office.open_windows("a.claire")
    _, page = office.visit(environment)
    assert page.callback is not None
    office.samba.set_password("a.claire", NEW)
    office.samba.disable("a.claire")
    _, page = office.visit(environment)
    assert office.world.last_event("signin.refused")["reason"] == "directory_disabled"


@pytest.mark.parametrize(
    ("pattern", "principal"),
    [("a.claire", "accueil"), ("accueil", "a.claire"), ("ACC*", "a.claire")],
    ids=["login listed, opened by the other name", "other name listed, opened by login", "pattern of the other name"],
)
def test_a_generic_account_is_generic_by_any_of_its_names(
    make_world: MakeWorld, samba: Samba, tmp_path: Path, pattern: str, principal: str
) -> None:
    office = furnished(samba, make_world(**office_settings(samba, tmp_path, generic_accounts=[pattern])), tmp_path)
    samba.modify(samba.dn("a.claire"), {"userPrincipalName": f"accueil@{REALM}"})
    _, page = office.visit(office.open_windows(principal))
    refused(office, page, "windows_generic_account")


def test_the_log_of_a_refusal_names_nobody(office: Office) -> None:
    environment = office.open_windows("a.remi")
    with capture_logs() as lines:
        _, page = office.visit(environment)
    assert page.callback is None
    (line,) = [line for line in lines if line["event"] == "windows_refused"]
    assert "a.remi" not in str(line)
    assert line["identifier_hash"] == office.world.last_event("signin.refused")["identifier_hash"] is not None


def test_the_password_of_a_proxy_is_in_no_representation() -> None:
    guid = "11111111-2222-3333-4444-555555555555"
    proxy = "http://vestibule:Tamaris-41@proxy.example:3128"
    settings = EntraSettings(tenants=(guid,), client_id=guid, client_secret="env:HOME", proxy=proxy)
    assert settings.proxy == proxy
    assert "Tamaris-41" not in repr(settings) + str(settings)


def test_an_application_still_finds_the_person_with_a_good_ticket(office: Office) -> None:
    browser, page = office.visit(office.open_windows("a.claire"))
    assert page.callback is not None
    assert arrive(browser, office.world).callback is not None
