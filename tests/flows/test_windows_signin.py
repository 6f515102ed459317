"""People whose computer has opened a Windows session are signed in by it, in the zones that say so, unless something wants them to act.

A real MIT realm, and OpenLDAP as its directory; Active Directory is in test_windows_active_directory.py, Chromium in tests/browser/test_windows.py.
"""

import time
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from idp.audit import Origin, Reason
from idp.endings import Cause, cut_account, end_session
from tests.conftest import MakeWorld
from tests.flows.refusal import Issued, issued
from tests.support.browser import Page
from tests.support.cast import AT_TILLEULS, OUTSIDE
from tests.support.cast import PASSWORD as LOCAL_PASSWORD
from tests.support.fixed_clock import FixedClock
from tests.support.kdc import KERBEROS, REALM, Kdc, kdc_serving
from tests.support.processes import wait_until
from tests.support.slapd import PASSWORD, PEOPLE, READABLE, Slapd
from tests.support.windows import arrive, at_desk, furnish_desks, is_asked, show
from tests.support.world import World

NOTHING = Issued(0, 0, 0, 0)
KERBEROS_SETTINGS = {"realm": REALM, "attribute": "uid", "holds": "user"}
NTLM = b"NTLMSSP\0\x01\x00\x00\x00" + bytes(24)
NTLM_IN_SPNEGO = bytes.fromhex("604606062b0601050502a03c303aa00e300c060a2b06010401823702020aa2280426") + NTLM + bytes(2)


@pytest.fixture
def clock() -> FixedClock:
    """Tickets go by the real time; it still moves only when told."""
    return FixedClock(datetime.now(UTC))


@pytest.fixture(scope="module")
def kdc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kdc]:
    """A realm whose people are the directory's."""
    with kdc_serving(tmp_path_factory.mktemp("kdc"), service="HTTP/connexion.example") as made:
        for name in ("d.claire", "d.hugo", "d.amina", "d.remi", "poste-soins-3", "d.claire/admin", "personne"):
            made.add_person(name)
        yield made


@pytest.fixture(scope="module")
def module_slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    """An OpenLDAP that shows when entries were made."""
    server = Slapd(tmp_path_factory.mktemp("slapd-windows"), readable=f"{READABLE},createTimestamp")
    yield server
    server.stop()


@pytest.fixture
def annuaire(module_slapd: Slapd) -> Slapd:
    """With its initial content, running."""
    module_slapd.reset()
    return module_slapd


def settings(kdc: Kdc, annuaire: Slapd, **override: Any) -> dict[str, Any]:
    """What the file says of both."""
    return {
        "directories": [annuaire.settings(kerberos={**KERBEROS_SETTINGS, "realm": override.get("realm", REALM)})],
        "windows": [{"realm": REALM, "keytabs": [str(kdc.keytab)], "directory": "annuaire", "generic_accounts": ["poste-*"], **override}],
    }


@pytest.fixture
def homes(make_world: MakeWorld, kdc: Kdc, annuaire: Slapd) -> World:
    """Les Tilleuls have computers of the domain."""
    world = make_world(**settings(kdc, annuaire))
    furnish_desks(world)
    return world


def refused(world: World, page: Page, reason: str, **details: Any) -> None:
    """The form, without another challenge; the Event; and nothing was given."""
    assert not is_asked(page)
    event = world.last_event("signin.refused")
    assert (event["reason"], event["connector"]) == (reason, "annuaire")
    assert event["details"] == {"method": "windows", **details}
    assert issued(world) == NOTHING


def test_a_nurse_with_a_windows_session_reaches_the_application_without_typing(homes: World, kdc: Kdc) -> None:
    browser, party = at_desk(homes), homes.relying_party()
    page = browser.get(party.begin())
    assert is_asked(page)
    page = show(browser, kdc.offer(kdc.give_tickets("d.claire")), page=page)
    assert page.callback is not None, page
    claims = party.exchange(page.callback).claims
    assert (claims["amr"], claims["acr"], claims["roles"]) == (["wia"], "urn:vestibule:acr:password", ["nurse"])
    assert claims["establishment"]["slug"] == "tilleuls"
    opened = homes.last_event("session.opened")
    assert (opened["connector"], opened["zone"]) == ("annuaire", "tilleuls/bureaux")
    assert homes.last_event("signin.succeeded")["amr"] == ["wia"]


def test_the_answer_of_the_mutual_authentication_comes_with_the_redirect(homes: World, kdc: Kdc) -> None:
    browser = at_desk(homes)
    page = arrive(browser, homes)
    token = b64encode(kdc.offer(kdc.give_tickets("d.claire"))).decode()
    sent = browser.request("GET", page.url, headers={"Authorization": f"negotiate {token}"})
    assert (sent.status_code, sent.headers["Location"]) == (303, page.url.removeprefix(homes.issuer))
    assert sent.headers["WWW-Authenticate"].startswith("Negotiate o")


def test_the_form_in_the_body_of_the_401_signs_in_with_a_password(homes: World) -> None:
    browser = at_desk(homes)
    page = arrive(browser, homes)
    assert is_asked(page)
    assert browser.sign_in("d.claire", PASSWORD, page=page).callback is not None


def test_a_wrong_password_at_a_desk_is_told_without_another_challenge(homes: World) -> None:
    browser = at_desk(homes)
    page = browser.sign_in("d.claire", "ce-n-est-pas-le-bon", page=arrive(browser, homes))
    assert page.status == 403
    assert not is_asked(page)


def test_a_bare_kerberos_token_is_as_good(homes: World, kdc: Kdc) -> None:
    browser = at_desk(homes)
    arrive(browser, homes)
    assert show(browser, kdc.offer(kdc.give_tickets("d.claire"), mechanism=KERBEROS)).callback is not None


def test_the_account_page_opens_for_whoever_has_a_windows_session(homes: World, kdc: Kdc) -> None:
    browser = at_desk(homes)
    page = browser.get("/account")
    page = show(browser, kdc.offer(kdc.give_tickets("d.claire")), page=page)
    assert page.url.endswith("/account")


# Where and when nobody is asked


@pytest.mark.parametrize("address", [AT_TILLEULS, "127.0.0.2", OUTSIDE], ids=["other zone", "other home", "outside"])
def test_a_computer_elsewhere_is_not_asked_and_its_ticket_is_not_looked_at(homes: World, kdc: Kdc, address: str) -> None:
    browser = at_desk(homes, address=address)
    page = arrive(browser, homes)
    assert (page.status, is_asked(page)) == (200, False)
    page = show(browser, kdc.offer(kdc.give_tickets("d.claire")), page=page)
    assert (page.status, is_asked(page)) == (200, False)
    assert homes.events("signin.refused") == []


def test_nobody_is_asked_where_a_public_address_is_also_the_guests(homes: World) -> None:
    furnish_desks(homes, name="sortie", networks=["203.0.113.7/32"], egress=True)
    assert not is_asked(arrive(at_desk(homes, address="203.0.113.7"), homes))
    furnish_desks(homes, name="sortie", networks=["203.0.113.7/32"], egress=True, guests_apart="Nadia Ferrand, 2026-03-12")
    assert is_asked(arrive(at_desk(homes, address="203.0.113.7"), homes))


@pytest.mark.parametrize(
    "parameters",
    [{"prompt": "login"}, {"prompt": "select_account"}, {"prompt": "login consent"}, {"max_age": "0"}],
    ids=["login", "select_account", "login consent", "max_age=0"],
)
def test_an_application_that_wants_somebody_to_act_is_never_answered_by_a_ticket(
    homes: World, kdc: Kdc, parameters: dict[str, str]
) -> None:
    browser = at_desk(homes)
    page = arrive(browser, homes, **parameters)
    page = show(browser, kdc.offer(kdc.give_tickets("d.claire")), page=page)
    assert "signin-form" in page.forms
    assert page.callback is None
    assert issued(homes) == NOTHING


def test_a_silent_request_is_told_login_required_and_no_browser_is_asked(homes: World) -> None:
    browser, party = at_desk(homes), homes.relying_party()
    page = browser.get(party.begin(prompt="none"))
    assert page.callback is not None
    assert page.callback["error"] == "login_required"
    assert "WWW-Authenticate" not in page.headers


def test_a_frame_or_a_script_is_not_asked(homes: World) -> None:
    browser = at_desk(homes)
    page = arrive(browser, homes)
    for destination in ("iframe", "empty"):
        assert not is_asked(browser.get(page.url, headers={"Sec-Fetch-Dest": destination}))
    assert is_asked(browser.get(page.url, headers={"Sec-Fetch-Dest": "document"}))


def test_whoever_signs_out_must_act_the_next_time_and_once_only(homes: World, kdc: Kdc) -> None:
    cache, browser, party = kdc.give_tickets("d.claire"), at_desk(homes), homes.relying_party()
    browser.get(party.begin())
    page = show(browser, kdc.offer(cache))
    assert page.callback is not None
    assert party.exchange(page.callback).claims["amr"] == ["wia"]
    browser.get("/account")
    browser.press("account-signout")
    page = arrive(browser, homes)
    assert not is_asked(page)
    assert "signin-form" in show(browser, kdc.offer(cache), page=page).forms
    assert browser.sign_in("d.claire", PASSWORD, page=page).callback is not None
    homes.clock.advance(timedelta(hours=1))  # idle
    page = arrive(browser, homes)
    assert is_asked(page)


def test_whoever_changes_person_must_act(homes: World, kdc: Kdc) -> None:
    browser = at_desk(homes)
    arrive(browser, homes)
    show(browser, kdc.offer(kdc.give_tickets("d.claire")))
    browser.get("/lock")
    browser.press("change-person")
    page = arrive(browser, homes)
    assert not is_asked(page)


def test_a_locked_session_is_not_opened_by_a_ticket(homes: World, kdc: Kdc) -> None:
    cache, browser = kdc.give_tickets("d.claire"), at_desk(homes)
    arrive(browser, homes)
    show(browser, kdc.offer(cache))
    browser.get("/lock")
    browser.press("lock-submit")
    page = arrive(browser, homes)
    assert not is_asked(page)
    assert "signin-form" in show(browser, kdc.offer(cache), page=page).forms


def test_a_session_that_an_operator_ended_is_not_begun_again_by_a_ticket(homes: World, kdc: Kdc) -> None:
    browser = at_desk(homes)
    arrive(browser, homes)
    show(browser, kdc.offer(kdc.give_tickets("d.claire")))
    account_id = homes.last_event("session.opened")["account_id"]
    with homes.arranging() as tx:
        (session,) = tx.sessions.open_of(account_id)
        end_session(tx, session, Cause(Reason.ENDED_BY_OPERATOR, "operator:essai", Origin("0123456789", "local")), clock=homes.clock)
    assert not is_asked(arrive(browser, homes))
    assert not is_asked(arrive(browser, homes))  # the cookie that told it is gone by now


def test_a_ticket_changes_nothing_while_somebody_else_is_signed_in(homes: World, kdc: Kdc) -> None:
    browser = at_desk(homes)
    page = arrive(browser, homes)
    assert browser.sign_in("d.claire", PASSWORD, page=page).callback is not None
    page = arrive(browser, homes, prompt="login")
    page = show(browser, kdc.offer(kdc.give_tickets("d.hugo")), page=page)
    assert "signin-form" in page.forms
    browser.get("/account")
    assert browser.page is not None
    assert homes.account("claire").id not in browser.page.markup
    assert len(homes.events("account.linked")) == 1


def test_a_ticket_shown_in_another_browser_than_the_one_that_began_is_worth_nothing(homes: World, kdc: Kdc) -> None:
    page = arrive(at_desk(homes), homes)
    other = at_desk(homes)
    arrive(other, homes)
    assert show(other, kdc.offer(kdc.give_tickets("d.claire")), page=page).status == 403
    assert issued(homes) == NOTHING


def test_a_ticket_older_than_the_application_allows_gives_the_plain_form(homes: World, kdc: Kdc) -> None:
    cache = kdc.give_tickets("d.claire")
    homes.clock.advance(timedelta(minutes=20))
    browser = at_desk(homes)
    page = show(browser, kdc.offer(cache), page=arrive(browser, homes, max_age="600"))
    assert page.status == 200
    refused(homes, page, "windows_too_old")
    party = homes.relying_party()
    page = show(browser, kdc.offer(cache), page=browser.get(party.begin(max_age="3600")))
    assert page.callback is not None
    claims = party.exchange(page.callback).claims
    # The KDC's clock goes on while ours stands: a ticket may be some seconds younger than the start of the test.
    assert 1150 <= homes.clock.timestamp() - claims["auth_time"] < 1300, "the ticket was got then"


def test_whoever_is_signed_in_for_too_long_types_their_password(homes: World, kdc: Kdc) -> None:
    cache, browser = kdc.give_tickets("d.claire"), at_desk(homes)
    arrive(browser, homes)
    assert show(browser, kdc.offer(cache)).callback is not None
    homes.clock.advance(timedelta(minutes=20))
    page = arrive(browser, homes, max_age="600")
    assert not is_asked(page)
    assert "signin-form" in show(browser, kdc.offer(cache), page=page).forms


def test_a_ticket_from_before_a_change_of_password_is_not_taken(homes: World, kdc: Kdc) -> None:
    cache, browser = kdc.give_tickets("d.claire"), at_desk(homes)
    arrive(browser, homes)
    assert show(browser, kdc.offer(cache)).callback is not None
    event = homes.last_event("account.linked")
    with homes.arranging() as tx:
        (link,) = tx.links.of_account(event["account_id"])
        tx.links.change(link.connector, link.subject, password_changed_at=homes.clock.now() + timedelta(seconds=1))
    other = at_desk(homes)
    page = show(other, kdc.offer(cache), page=arrive(other, homes))
    assert (page.status, homes.last_event("signin.refused")["reason"]) == (200, "windows_too_old")


@pytest.mark.parametrize(
    ("hint", "is_let"), [("d.claire", True), ("D.Claire@annuaire.example", True), ("70001", True), ("d.hugo", False), ("inconnu", False)]
)
def test_an_application_that_names_somebody_gets_that_person_or_the_form(homes: World, kdc: Kdc, hint: str, is_let: bool) -> None:
    browser = at_desk(homes)
    page = show(browser, kdc.offer(kdc.give_tickets("d.claire")), page=arrive(browser, homes, login_hint=hint))
    if is_let:
        assert page.callback is not None
        return
    assert page.forms["signin-form"].fields["identifier"] == hint
    refused(homes, page, "windows_another_person")


# What is not taken for a ticket


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (NTLM, "windows_ntlm"),
        (NTLM_IN_SPNEGO, "windows_ntlm"),
        (b"", "windows_malformed"),
        (b"\x60\x82\xff\xff", "windows_malformed"),
        (bytes(200), "windows_malformed"),
        (b"\x60" + bytes(50_000), "windows_too_large"),
    ],
    ids=["NTLM", "NTLM in SPNEGO", "nothing", "cut short", "zeros", "too large"],
)
def test_what_is_no_kerberos_token_is_refused_and_the_page_says_so_once(homes: World, token: bytes, reason: str) -> None:
    browser = at_desk(homes)
    page = show(browser, token, page=arrive(browser, homes))
    assert page.status == 403
    assert "La connexion par Windows n’a pas fonctionné ici" in page.text
    refused(homes, page, reason)
    again = browser.get(page.url)
    assert (again.status, is_asked(again)) == (200, False), "no loop"
    assert len(homes.events("signin.refused")) == 1


def test_a_header_that_is_no_base64_is_refused(homes: World) -> None:
    browser = at_desk(homes)
    page = arrive(browser, homes)
    refused(homes, browser.get(page.url, headers={"Authorization": "Negotiate pas-du-base64!"}), "windows_malformed")


def test_another_scheme_is_as_no_ticket(homes: World) -> None:
    browser = at_desk(homes)
    page = arrive(browser, homes)
    assert is_asked(browser.get(page.url, headers={"Authorization": "Basic ZDpj"}))


def test_a_token_shown_twice_is_refused(homes: World, kdc: Kdc) -> None:
    token = kdc.offer(kdc.give_tickets("d.claire"))
    first, second = at_desk(homes), at_desk(homes)
    arrive(first, homes)
    assert show(first, token).callback is not None
    before = issued(homes)
    page = show(second, token, page=arrive(second, homes))
    assert homes.last_event("signin.refused")["reason"] == "windows_replayed"
    assert (page.status, issued(homes)) == (403, before)


def test_a_token_that_another_server_took_is_refused_here(
    make_world: MakeWorld, kdc: Kdc, annuaire: Slapd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two servers, each with a replay cache of its own, and one ephemeral store."""
    world = make_world(**settings(kdc, annuaire))
    furnish_desks(world)
    token = kdc.offer(kdc.give_tickets("d.claire"))
    first, second = at_desk(world), at_desk(world)
    monkeypatch.setenv("KRB5RCACHENAME", f"file2:{tmp_path / 'one'}")
    arrive(first, world)
    assert show(first, token).callback is not None
    monkeypatch.setenv("KRB5RCACHENAME", f"file2:{tmp_path / 'two'}")
    page = show(second, token, page=arrive(second, world))
    assert (page.status, world.last_event("signin.refused")["reason"]) == (403, "windows_replayed")


def test_a_ticket_for_another_service_is_refused(homes: World, kdc: Kdc) -> None:
    kdc.administer("addprinc -randkey HTTP/intranet.example")
    token = kdc.offer(kdc.give_tickets("d.claire"), service=f"HTTP/intranet.example@{REALM}")
    browser = at_desk(homes)
    refused(homes, show(browser, token, page=arrive(browser, homes)), "windows_other_service")


def test_a_ticket_that_is_over_is_refused(homes: World, kdc: Kdc) -> None:
    token = kdc.offer(kdc.give_tickets("d.claire", life="10m"))
    homes.clock.advance(timedelta(minutes=11))
    browser = at_desk(homes)
    refused(homes, show(browser, token, page=arrive(browser, homes)), "windows_expired")


def test_somebody_of_another_realm_is_refused(make_world: MakeWorld, kdc: Kdc, annuaire: Slapd) -> None:
    service = f"HTTP/connexion.example@{REALM}"
    world = make_world(**settings(kdc, annuaire, realm="AUTRE.TEST", services=[service]))
    furnish_desks(world)
    browser = at_desk(world)
    refused(world, show(browser, kdc.offer(kdc.give_tickets("d.claire")), page=arrive(browser, world)), "windows_other_realm")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("d.claire/admin", "windows_not_a_person"), ("poste-soins-3", "windows_generic_account"), ("personne", "windows_nobody")],
    ids=["another role", "generic account", "nobody's"],
)
def test_a_ticket_that_is_no_persons_of_the_directory_is_refused(homes: World, kdc: Kdc, name: str, reason: str) -> None:
    browser = at_desk(homes)
    refused(homes, show(browser, kdc.offer(kdc.give_tickets(name)), page=arrive(browser, homes)), reason)


def test_a_generic_account_is_one_by_an_alias_too(make_world: MakeWorld, kdc: Kdc, annuaire: Slapd) -> None:
    world = make_world(**settings(kdc, annuaire))
    furnish_desks(world)
    annuaire.modify(f"uid=d.claire,{PEOPLE}", {"uid": ["d.claire", "poste-soins-9"]})
    browser = at_desk(world)
    refused(world, show(browser, kdc.offer(kdc.give_tickets("d.claire")), page=arrive(browser, world)), "windows_generic_account")


def test_tickets_by_the_former_key_are_good_while_both_keytabs_are_named(make_world: MakeWorld, kdc: Kdc, annuaire: Slapd) -> None:
    cache = kdc.give_tickets("d.claire")
    former = kdc.offer(cache)
    newer = kdc.folder / "newer.keytab"
    kdc.administer(f"ktadd -k {newer} {kdc.service}")
    kdc.keytab, older = newer, kdc.keytab
    both = make_world(**settings(kdc, annuaire, keytabs=[str(newer), str(older)]))
    furnish_desks(both)
    for token in (former, kdc.offer(kdc.give_tickets("d.hugo"))):
        browser = at_desk(both)
        arrive(browser, both)
        page = show(browser, token)
        assert page.callback is not None or "establishment-form" in page.forms or page.status == 403, page
    only_new = make_world(**settings(kdc, annuaire))
    furnish_desks(only_new)
    browser = at_desk(only_new)
    token = kdc.offer(cache)  # the ticket is kept, and still by the former key
    refused(only_new, show(browser, token, page=arrive(browser, only_new)), "windows_other_service")


# The directory has the last word


def test_a_disabled_person_is_refused_although_the_ticket_is_valid_and_is_cut_elsewhere(homes: World, kdc: Kdc, annuaire: Slapd) -> None:
    cache, browser = kdc.give_tickets("d.claire"), at_desk(homes)
    arrive(browser, homes)
    assert show(browser, kdc.offer(cache)).callback is not None
    annuaire.disable("d.claire")
    other = at_desk(homes)
    page = show(other, kdc.offer(cache), page=arrive(other, homes))
    assert page.status == 403
    assert "Windows vous a reconnu" in page.text
    event = homes.last_event("signin.refused")
    assert (event["reason"], event["details"]) == ("directory_disabled", {"method": "windows"})
    assert homes.last_event("account.suspended")["account_id"] == event["account_id"]
    assert homes.last_event("session.ended")["reason"] == "directory_disabled"


def test_somebody_out_of_scope_is_refused(homes: World, kdc: Kdc) -> None:
    browser = at_desk(homes)
    page = show(browser, kdc.offer(kdc.give_tickets("d.remi")), page=arrive(browser, homes))
    refused(homes, page, "directory_out_of_scope")


def test_a_newcomer_with_the_name_of_somebody_who_left_does_not_get_in_by_the_old_ticket(homes: World, kdc: Kdc, annuaire: Slapd) -> None:
    cache, given = kdc.give_tickets("d.claire"), int(time.time())
    browser = at_desk(homes)
    arrive(browser, homes)
    assert show(browser, kdc.offer(cache)).callback is not None
    annuaire.delete(annuaire.dn("d.claire"))
    wait_until(lambda: time.time() >= given + 2, seconds=5)  # the directory counts in seconds
    annuaire.add_person("d.claire", mail="d.claire2@annuaire.example")
    other = at_desk(homes)
    page = show(other, kdc.offer(cache), page=arrive(other, homes))
    assert (page.status, homes.last_event("signin.refused")["reason"]) == (403, "windows_nobody")
    assert len(homes.events("account.linked")) == 1


def test_somebody_whose_password_must_be_changed_changes_it_first(homes: World, kdc: Kdc, annuaire: Slapd) -> None:
    cache = kdc.give_tickets("d.claire")
    annuaire.must_change("d.claire")
    browser = at_desk(homes)
    page = show(browser, kdc.offer(cache), page=arrive(browser, homes))
    assert page.callback is None
    assert "current_password" in next(form for form in page.document.forms if "new_password" in form.fields).fields
    assert issued(homes) == NOTHING


def test_somebody_an_operator_suspended_here_is_refused(homes: World, kdc: Kdc) -> None:
    cache, browser = kdc.give_tickets("d.claire"), at_desk(homes)
    arrive(browser, homes)
    assert show(browser, kdc.offer(cache)).callback is not None
    account_id = homes.last_event("account.linked")["account_id"]
    with homes.arranging() as tx:
        cause = Cause(Reason.ENDED_BY_OPERATOR, "operator:essai", Origin("0123456789", "local"))
        cut_account(tx, account_id, cause, status="suspended", cut_by="operator", clock=homes.clock)
    other = at_desk(homes)
    page = show(other, kdc.offer(cache), page=arrive(other, homes))
    assert (page.status, homes.last_event("signin.refused")["reason"]) == (403, "account_not_active")


def test_operator_counts_outcomes(homes: World, kdc: Kdc) -> None:
    for token in (kdc.offer(kdc.give_tickets("d.claire")), NTLM):
        browser = at_desk(homes)
        arrive(browser, homes)
        show(browser, token)
    counted = homes.application.metrics.render().decode()
    assert 'vestibule_windows_sign_ins_total{outcome="succeeded"} 1.0' in counted
    assert 'vestibule_windows_sign_ins_total{outcome="windows_ntlm"} 1.0' in counted


def test_the_form_comes_with_a_notice_while_the_directory_is_away_and_a_reload_tries_again(homes: World, kdc: Kdc, annuaire: Slapd) -> None:
    cache, browser = kdc.give_tickets("d.claire"), at_desk(homes)
    page = arrive(browser, homes)
    annuaire.stop()
    page = show(browser, kdc.offer(cache), page=page)
    assert page.status == 503
    refused(homes, page, "directory_unreachable", trouble="refused")
    annuaire.start()
    homes.clock.advance(timedelta(seconds=11))
    assert is_asked(browser.get(page.url))
    assert show(browser, kdc.offer(cache)).callback is not None


def test_a_missing_keytab_gives_the_form_and_nothing_else(make_world: MakeWorld, kdc: Kdc, annuaire: Slapd, tmp_path: Path) -> None:
    copy = tmp_path / "http.keytab"
    copy.write_bytes(kdc.keytab.read_bytes())
    world = make_world(**settings(kdc, annuaire, keytabs=[str(copy)]))
    furnish_desks(world)
    browser = at_desk(world)
    page = arrive(browser, world)
    copy.unlink()
    page = show(browser, kdc.offer(kdc.give_tickets("d.claire")), page=page)
    assert page.status == 503
    refused(world, page, "windows_unavailable")


def test_an_address_whose_tickets_keep_failing_is_asked_no_more_for_a_while(homes: World) -> None:
    for _ in range(61):
        browser = at_desk(homes)
        show(browser, NTLM, page=arrive(browser, homes))
    assert not is_asked(arrive(at_desk(homes), homes))
    homes.clock.advance(timedelta(minutes=6))
    assert is_asked(arrive(at_desk(homes), homes))


# What a ticket is worth


def test_a_ticket_is_one_factor_and_an_approved_workstation_where_the_home_says_so(homes: World, kdc: Kdc) -> None:
    with homes.arranging() as tx:
        tx.establishments.change(homes.establishment("tilleuls").id, {"windows_approval": "Nadia Ferrand, 2026-03-12"})
    browser, party = at_desk(homes), homes.relying_party()
    page = show(browser, kdc.offer(kdc.give_tickets("d.claire")), page=browser.get(party.begin()))
    assert page.callback is not None
    claims = party.exchange(page.callback).claims
    assert (claims["amr"], claims["acr"]) == (["wia"], "urn:vestibule:acr:approved-workstation")


def test_an_essential_second_factor_is_asked_after_the_ticket(homes: World, kdc: Kdc) -> None:
    browser = at_desk(homes)
    asked = '{"id_token":{"acr":{"essential":true,"values":["urn:vestibule:acr:mfa"]}}}'
    page = show(browser, kdc.offer(kdc.give_tickets("d.claire")), page=arrive(browser, homes, claims=asked))
    assert page.callback is None or "code" not in page.callback.parameters
    assert "signin-form" not in page.forms


def test_local_people_at_a_desk_type_their_password(homes: World) -> None:
    browser = at_desk(homes)
    page = arrive(browser, homes)
    assert browser.sign_in(homes.person("claire").username, LOCAL_PASSWORD, page=page).callback is not None
