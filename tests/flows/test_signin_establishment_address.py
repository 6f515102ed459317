"""An establishment's own address leads to the issuer's pages, and names the establishment there; it opens nothing."""

from tests.support.world import World


def test_person_sees_her_establishment_when_she_comes_by_its_address(world: World) -> None:
    answer = world.machine.get("/account", headers={"Host": "tilleuls.connexion.example"})
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"{world.issuer}/?establishment=tilleuls"
    page = world.browser().get(answer.headers["Location"])
    assert "signin-form" in page.forms
    assert "Les Tilleuls" in page.text


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
