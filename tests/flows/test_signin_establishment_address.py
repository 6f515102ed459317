"""An establishment's own address leads to the issuer's pages, and names the establishment there; it opens nothing."""

from tests.support.cast import LANS
from tests.support.world import World


def test_person_sees_her_establishment_when_she_comes_by_its_address(world: World) -> None:
    answer = world.machine.get("/account", headers={"Host": "tilleuls.connexion.example"})
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"{world.issuer}/?establishment=tilleuls"
    page = world.browser().get(answer.headers["Location"])
    assert "signin-form" in page.forms
    assert "Les Tilleuls" in page.text


def test_manager_of_two_homes_is_in_the_one_by_whose_address_she_came(world: World) -> None:
    for slug, name in (("glycines", "Les Glycines"), ("tilleuls", "Les Tilleuls")):
        browser = world.browser(address=LANS[slug])
        page = browser.sign_in("amina.benali", world.password, page=browser.get(f"/?establishment={slug}"))
        assert name in page.text
        assert "establishment-form" not in page.forms
        assert world.last_event("session.opened")["establishment_id"] == world.establishment(slug).id


def test_address_of_a_home_opens_nothing_to_who_does_not_work_there(world: World) -> None:
    browser = world.browser()
    browser.sign_in("claire.dubois", world.password, page=browser.get("/?establishment=glycines"))
    assert world.last_event("session.opened")["establishment_id"] == world.establishment("tilleuls").id


def test_person_sees_the_common_page_when_the_address_names_nobody(world: World) -> None:
    answer = world.machine.get("/", headers={"Host": '"><x7q>.connexion.example'})
    assert answer.status_code in {303, 400}
    page = world.browser().get(f"{world.issuer}/?establishment=inconnu")
    assert "signin-form" in page.forms
    assert "Les Tilleuls" not in page.text


def test_page_ignores_the_host_when_it_is_not_under_the_issuer(world: World) -> None:
    answer = world.machine.get("/", headers={"Host": "connexion.example.attacker.test"})
    assert answer.headers["Location"] == "/account"


def test_refused_person_is_told_whom_to_call_when_her_last_day_is_past(world: World) -> None:
    browser, party = world.browser(), world.relying_party("ancien")
    page = browser.sign_in(world.person("ines").username or "", world.password, page=browser.get(party.begin()))
    with world.database.read() as tx:
        (attachment,) = tx.people.attachments(world.account("ines").id)
        place = tx.establishments.get(attachment.establishment_id)
    assert place is not None
    assert page.status == 403
    assert place.contact_phone in page.text
