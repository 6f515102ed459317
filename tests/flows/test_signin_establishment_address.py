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
