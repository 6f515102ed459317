"""What a link may not be: a way in for somebody else, a way back for who was dismissed, a name that is another's, a lock-out of who is here."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from idp.audit import Author
from idp.people.factors import issue_pass
from idp.store.base import Link
from tests.conftest import MakeWorld
from tests.flows.refusal import Issued, issued
from tests.support.browser import Browser, Page
from tests.support.cast import OUTSIDE, PASSWORD
from tests.support.entra import Entra
from tests.support.entra_door import MAPPING, account_of, bring, come_in, depart, open_door, provider_settings
from tests.support.entra_people import SECRET
from tests.support.neighbour import NAME, Neighbour, neighbouring
from tests.support.operator import Operator
from tests.support.second_factors import ORIGIN, enrol_phone, open_parts
from tests.support.smtp import SmtpServer
from tests.support.world import World

MFA = "urn:vestibule:acr:mfa"
AUTHOR = Author("operator:test", ORIGIN)
BOUND = timedelta(minutes=6)
NOTHING = Issued(0, 0, 0, 0)
ANYWHERE = {"rules": [{"name": "everywhere", "effect": "allow", "when": {"not": {"zone_kind": ["blocked"]}}}]}


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTRA_SECRET", SECRET)


@pytest.fixture
def neighbour(make_world: MakeWorld) -> Iterator[Neighbour]:
    with neighbouring(make_world) as found:
        yield found


@pytest.fixture
def home(make_world: MakeWorld, neighbour: Neighbour) -> World:
    """A world that makes nobody of the neighbour's an account."""
    return make_world(providers=[neighbour.settings(mfa_acr=[MFA], creates_accounts=False)])


def come(home: World, neighbour: Neighbour, browser: Browser, person: str = "rose", **parameters: str) -> Page:
    page = browser.get(home.relying_party().begin(**parameters))
    page = browser.get(f"{page.url}/upstream/{NAME}")
    if page.url.startswith(neighbour.issuer):
        neighbour.sign_in(browser, person)
    assert browser.page is not None
    return browser.page


def offers(page: Page, button: str) -> bool:
    return any(button in form.button_ids for form in page.document.forms)


def links_of(home: World, person: str) -> list[str]:
    with home.database.read() as tx:
        return [one.connector for one in tx.links.of_account(home.account(person).id)]


def link_by_hand(home: World, account_id: str, subject: str, *, connector: str = NAME, refresh_seal: bytes | None = None) -> None:
    now = home.clock.now()
    with home.arranging() as tx:
        tx.links.add(
            Link(
                connector=connector,
                subject=subject,
                account_id=account_id,
                word="usable",
                word_at=now,
                seen_digest="",
                held_by_run=None,
                held_until=None,
                password_changed_at=None,
                created_at=now,
                kind="upstream",
                how="proven",
                refresh_seal=refresh_seal,
            )
        )


# To link is to add a means of sign-in


def test_a_thief_of_a_password_links_nothing_when_the_person_has_a_factor(home: World, neighbour: Neighbour) -> None:
    enrol_phone(home, open_parts(home), "claire")
    browser = neighbour.browser(home)
    come(home, neighbour, browser, "rose")
    browser.sign_in("claire.dubois", PASSWORD)
    page = browser.press("link-confirm")
    assert page.callback is None
    assert "factor-form" in page.forms
    assert issued(home) == NOTHING
    page = browser.press("factor-skip")
    assert page.callback is not None
    assert links_of(home, "claire") == []


def test_a_person_with_a_factor_shows_it_and_links(home: World, neighbour: Neighbour) -> None:
    phone = enrol_phone(home, open_parts(home), "claire")
    browser = neighbour.browser(home)
    come(home, neighbour, browser, "claire")
    browser.sign_in("claire.dubois", PASSWORD)
    browser.press("link-confirm")
    page = browser.submit("factor-form", code=phone.code(home.clock))
    assert page.callback is not None, page
    assert links_of(home, "claire") == [NAME]


def test_a_password_alone_links_nothing_from_outside(make_world: MakeWorld, neighbour: Neighbour) -> None:
    home = make_world(providers=[neighbour.settings(creates_accounts=False)], policy=ANYWHERE)
    browser = neighbour.browser(home, address=OUTSIDE)
    come(home, neighbour, browser, "rose")
    page = browser.sign_in("claire.dubois", PASSWORD)
    assert not offers(page, "link-confirm")
    assert "laissez-passer" in page.text
    assert "pass-form" not in page.forms
    line = home.last_event("account.link_refused")
    assert (line["reason"], line["account_id"]) == ("enrolment_needs_trusted_zone", home.account("claire").id)
    assert issued(home) == NOTHING
    assert browser.press("link-decline").callback is not None
    assert links_of(home, "claire") == []


def test_a_factor_added_meanwhile_holds_the_link_at_the_end(home: World, neighbour: Neighbour) -> None:
    """The question was answered before the person had a factor; what is written is judged by what is there then."""
    browser = neighbour.browser(home)
    come(home, neighbour, browser, "rose")
    page = browser.sign_in("claire.dubois", PASSWORD)
    enrol_phone(home, open_parts(home), "claire")
    page = browser.press("link-confirm", page=page)
    assert page.callback is None
    assert links_of(home, "claire") == []


def test_a_pass_that_was_handed_over_lets_them_link_once(make_world: MakeWorld, neighbour: Neighbour) -> None:
    home = make_world(providers=[neighbour.settings(creates_accounts=False)], policy=ANYWHERE)
    parts = home.application.signin.second_factors
    with home.arranging() as tx:
        code, _ = issue_pass(tx, home.account("claire"), "enrol", AUTHOR, passes=parts.passes)
    browser = neighbour.browser(home, address=OUTSIDE)
    come(home, neighbour, browser, "claire")
    browser.sign_in("claire.dubois", PASSWORD)
    page = browser.submit("pass-form", **{"pass": "AAAAA-AAAAA-AAAAA"})
    assert page.status == 403
    assert "laissez-passer" in page.text
    browser.submit("pass-form", page=page, **{"pass": code})
    assert browser.press("link-confirm").callback is not None
    assert links_of(home, "claire") == [NAME]
    assert home.last_event("account.linked")["details"] == {"how": "proven", "opened_by": "pass"}
    assert home.last_event("pass.used")["details"]["purpose"] == "enrol"


def test_a_person_is_told_by_mail_of_what_is_linked_and_unlinked(make_world: MakeWorld, neighbour: Neighbour, smtp: SmtpServer) -> None:
    home = make_world(providers=[neighbour.settings(creates_accounts=False)], mail=smtp.settings())
    browser = neighbour.browser(home)
    come(home, neighbour, browser, "claire")
    browser.sign_in("claire.dubois", PASSWORD)
    assert browser.press("link-confirm").callback is not None
    assert "link_added" in {line["details"]["purpose"] for line in home.events("message.queued")}
    browser.submit(f"unlink-{NAME}", page=browser.get("/account/links"), button=NAME)
    assert home.last_event("message.queued")["details"]["purpose"] == "link_removed"


# Whose word counts


def test_whoever_is_dismissed_at_the_provider_that_made_them_is_out_whatever_they_linked(
    make_world: MakeWorld, neighbour: Neighbour, entra: Entra
) -> None:
    providers = [provider_settings(entra), neighbour.settings(creates_accounts=False, mapping=[])]
    home = open_door(entra, make_world(providers=providers, sessions={"idle": "12h"}))
    here = come_in(home, entra, scope="openid offline_access")
    account = account_of(home, entra.person("nadia"))
    link_by_hand(home, account.id, neighbour.world.account("claire").id)
    entra.person("nadia").refresh_error = 50057
    home.clock.advance(BOUND)
    assert here.party.refresh(here.tokens.refresh).status_code == 400
    assert account_of(home, entra.person("nadia")).status == "suspended"
    page = come(home, neighbour, neighbour.browser(home), "claire")
    assert page.callback is None


def test_what_a_provider_gave_ends_with_its_no(make_world: MakeWorld, entra: Entra) -> None:
    """It does not speak for the person, whom an operator made; but what it gave is its to take."""
    home = open_door(
        entra, make_world(providers=[provider_settings(entra, creates_accounts=False, mapping=[{**MAPPING[0], "profile": "doctor"}])])
    )
    nadia, claire = entra.person("nadia"), home.account("claire")
    Operator(home.config_path, clock=home.clock).do(
        "account", "link", claire.id, "--connector", "office", "--subject", nadia.subject, "--reason", "vue"
    )
    here = come_in(home, entra, scope="openid offline_access")
    assert given(home, claire.id) == ["office"]
    nadia.refresh_error = 50057
    home.clock.advance(BOUND)
    assert here.party.refresh(here.tokens.refresh).status_code == 400
    assert given(home, claire.id) == []
    assert home.account("claire").status == "active"


def given(home: World, account_id: str) -> list[str]:
    """The sources of the attachments that stand, but an operator's."""
    with home.database.read() as tx:
        return [one.source for one in tx.people.attachments(account_id) if one.ended_at is None and one.source != "operator"]


def test_what_a_provider_gave_opens_nothing_once_its_word_is_old(make_world: MakeWorld, neighbour: Neighbour, entra: Entra) -> None:
    providers = [provider_settings(entra), neighbour.settings(creates_accounts=False, mapping=[])]
    home = open_door(entra, make_world(providers=providers, sessions={"idle": "12h"}))
    here = come_in(home, entra)
    account = account_of(home, entra.person("nadia"))
    link_by_hand(home, account.id, neighbour.world.account("claire").id)
    with home.arranging() as tx:
        tx.links.change("office", entra.person("nadia").subject, refresh_seal=None)
    assert here.party.introspect(here.tokens.access).json()["active"]
    home.clock.advance(timedelta(hours=12, minutes=1))
    page = come(home, neighbour, neighbour.browser(home), "claire")
    assert page.callback is None
    assert home.last_event("signin.refused")["reason"] in {"attachment_ended", "no_attachment"}


def test_a_provider_that_is_away_locks_out_nobody_who_comes_another_way(make_world: MakeWorld, neighbour: Neighbour) -> None:
    home = make_world(providers=[neighbour.settings()])
    neighbour.link(home)
    assert come(home, neighbour, neighbour.browser(home), "claire").callback is not None
    neighbour.is_down = True
    home.clock.advance(timedelta(hours=5))
    signed = home.sign_in("claire")
    assert signed.party.introspect(signed.tokens.access).json()["active"]


def test_a_provider_that_is_configured_no_more_is_asked_once(home: World) -> None:
    """Taken out of the configuration: nobody can be asked, and who comes another way does not wait for an answer that never comes."""
    link_by_hand(home, home.account("claire").id, "f:1:899700218896", connector="psc", refresh_seal=b"sealed")
    signed = home.sign_in("claire")
    home.clock.advance(BOUND)
    assert signed.party.refresh(signed.tokens.refresh).status_code == 200
    assert home.last_event("upstream.refused")["reason"] == "upstream_lapsed"
    with home.database.read() as tx:
        assert [one.is_askable for one in tx.links.of_account(home.account("claire").id)] == [False]


def test_whom_the_provider_refuses_loses_what_is_open_elsewhere(make_world: MakeWorld, entra: Entra) -> None:
    home = open_door(entra, make_world(providers=[provider_settings(entra)]))
    here = come_in(home, entra)
    browser = home.browser()
    answer = entra.sign_in(depart(browser, home), "nadia")
    entra.person("nadia").enabled = False
    bring(browser, entra, answer)
    assert home.last_event("upstream.refused")["reason"] == "directory_disabled"
    assert account_of(home, entra.person("nadia")).status == "suspended"
    assert not here.party.introspect(here.tokens.access).json()["active"]


# Names


def test_a_name_that_a_person_chose_at_a_provider_is_nobodys_login(make_world: MakeWorld, neighbour: Neighbour) -> None:
    rule = {"attributes": {"preferred_username": "*"}, "establishment": "tilleuls", "profile": "nurse"}
    home = make_world(providers=[neighbour.settings(mapping=[rule])])
    with neighbour.world.arranging() as tx:
        tx.people.change(neighbour.world.account("rose").id, home.clock.now(), username="m.directeur")
    browser, party = neighbour.browser(home), home.relying_party()
    page = browser.get(party.begin(scope="openid profile"))
    browser.get(f"{page.url}/upstream/{NAME}")
    neighbour.sign_in(browser, "rose")
    assert browser.page is not None
    assert browser.page.callback is not None
    tokens = party.exchange(browser.page.callback)
    assert party.userinfo(tokens.access).json().get("preferred_username") != "m.directeur"
    with home.database.read() as tx:
        assert tx.people.matching("m.directeur", None) == ()


# Merges


def test_a_merge_undone_leaves_nothing_that_the_other_was_given(make_world: MakeWorld, entra: Entra) -> None:
    mapping = [*MAPPING, {"role": "chef", "establishment": "tilleuls", "profile": "doctor"}]
    home = open_door(entra, make_world(providers=[provider_settings(entra, mapping=mapping)], sessions={"idle": "12h"}))
    operator = Operator(home.config_path, clock=home.clock)
    home.clock.advance(timedelta(minutes=1))
    come_in(home, entra)
    nadia, kept = account_of(home, entra.person("nadia")), home.account("rose")
    operator.do("account", "merge", kept.id, nadia.id, "--yes", "--reason", "même personne")
    entra.person("nadia").roles.append("chef")
    home.clock.advance(BOUND)
    come_in(home, entra)
    assert len(given(home, kept.id)) == 2
    operator.do("account", "unmerge", nadia.id, "--reason", "deux homonymes")
    assert given(home, kept.id) == []
    home.clock.advance(BOUND)
    come_in(home, entra)
    assert given(home, kept.id) == []
    assert len(given(home, nadia.id)) == 2


def test_a_merge_opens_no_way_to_whoever_administers(make_world: MakeWorld) -> None:
    home = make_world()
    kept, retired = home.account("claire").id, home.account("rose").id
    with home.arranging() as tx:
        tx.people.change(retired, home.clock.now(), created_at=home.clock.now())
    operator = Operator(home.config_path, clock=home.clock)
    operator.do("admin", "bootstrap", kept)
    assert "take that role first" in operator.refused("account", "merge", kept, retired, "--yes", "--reason", "essai")
    assert operator.events("account.merged") == []
