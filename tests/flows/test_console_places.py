"""The console's pages of establishments, zones and computers: what changes is shown first, done once, recorded, and never more than one may."""

from datetime import timedelta

import pytest

from idp.store.database import Transaction
from tests.support.console_agent import ConsoleAgent, console_agent
from tests.support.world import World


@pytest.fixture
def admin(world: World) -> ConsoleAgent:
    return console_agent(world)


@pytest.fixture
def contact(world: World) -> ConsoleAgent:
    return console_agent(world, "claire", "it_contact", "tilleuls")


def zones(world: World, slug: str = "tilleuls") -> dict[str, tuple[str, ...]]:
    with world.database.read() as tx:
        return {zone.name: zone.networks for zone in tx.zones.of(world.establishment(slug).id)}


def test_an_administrator_finds_every_establishment_and_a_contact_only_their_own(world: World) -> None:
    page = console_agent(world).get("/admin/places")
    assert "Les Tilleuls" in page.text
    assert "Les Glycines" in page.text
    page = console_agent(world, "claire", "it_contact", "tilleuls").get("/admin/places?q=les")
    assert "Les Tilleuls" in page.text
    assert "Les Glycines" not in page.text


def test_a_contact_is_refused_the_establishment_of_another_as_if_it_were_not_there(world: World, contact: ConsoleAgent) -> None:
    other = contact.get("/admin/places/glycines")
    nowhere = contact.get("/admin/places/nulle-part")
    assert (other.status, nowhere.status) == (403, 403)
    assert "Glycines" not in other.text
    assert [line["reason"] for line in world.events("desk.refused")] == ["act_outside_establishment", "act_target_unknown"]


def test_a_contact_changes_who_to_call_when_the_differences_were_read(world: World, contact: ConsoleAgent) -> None:
    contact.get("/admin/places/tilleuls/edit")
    page = contact.submit("place-form", contact_phone="04 99 99 99 99")
    assert "04 00 00 01 23" in page.text
    assert "04 99 99 99 99" in page.text
    assert "Les Tilleuls" not in " ".join(page.document.headings)
    assert world.establishment("tilleuls").contact_phone == "04 00 00 01 23", "nothing is done before it is confirmed"
    page = contact.submit("changes", button="confirm")
    assert page.status == 200
    assert world.establishment("tilleuls").contact_phone == "04 99 99 99 99"
    event = world.last_event("establishment.changed")
    assert event["actor"] == f"account:{world.account('claire').id}"
    assert event["details"]["changed"] == "contact_phone"


def test_a_contact_goes_back_from_the_differences_and_finds_all_they_typed(contact: ConsoleAgent) -> None:
    contact.get("/admin/places/tilleuls/edit")
    contact.submit("place-form", contact_name="Somebody Else", remember_device="7")
    page = contact.submit("changes", button="edit")
    assert page.forms["place-form"].fields["contact_name"] == "Somebody Else"
    assert page.forms["place-form"].fields["remember_device"] == "7"


def test_a_contact_reads_the_differences_anew_when_somebody_else_was_first(world: World, contact: ConsoleAgent) -> None:
    contact.get("/admin/places/tilleuls/edit")
    contact.submit("place-form", contact_phone="04 99 99 99 99")
    with world.arranging() as tx:
        tx.establishments.change(world.establishment("tilleuls").id, {"contact_phone": "04 11 11 11 11"})
    page = contact.submit("changes", button="confirm")
    assert page.status == 409
    assert "04 11 11 11 11" in page.text
    assert world.establishment("tilleuls").contact_phone == "04 11 11 11 11"
    contact.submit("changes", button="confirm")
    assert world.establishment("tilleuls").contact_phone == "04 99 99 99 99"


def test_a_contact_is_told_that_nothing_would_change_when_nothing_was_typed(contact: ConsoleAgent) -> None:
    contact.get("/admin/places/tilleuls/edit")
    page = contact.submit("place-form")
    assert "changes" in page.forms
    assert "changes-confirm" not in page.forms["changes"].button_ids


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("finess", "12"),
        ("siret", "abc"),
        ("time_zone", "Mars/Olympus"),
        ("remember_device", "-1"),
        ("contact_email", "x" * 300),
    ],
)
def test_a_contact_reads_what_is_wrong_and_loses_nothing_when_a_field_cannot_be(
    world: World, contact: ConsoleAgent, field: str, value: str
) -> None:
    before = world.establishment("tilleuls")
    contact.get("/admin/places/tilleuls/edit")
    page = contact.submit("place-form", **{"contact_name": "Quelqu’un", field: value})
    assert page.status == 422
    assert f"{field}-problem" in page.document.ids
    assert page.forms["place-form"].fields["contact_name"] == "Quelqu’un"
    assert world.establishment("tilleuls") == before
    assert world.events("establishment.changed") == []


def test_a_contact_adds_a_zone_and_the_next_sign_in_is_inside(world: World, contact: ConsoleAgent) -> None:
    contact.get("/admin/places/tilleuls/zones/new")
    page = contact.submit("zone-form", name="annexe", kind="trusted", networks="10.99.4.0/24\n10.99.5.0/24")
    assert "10.99.4.0/24" in page.text
    contact.submit("changes", button="confirm")
    assert zones(world)["annexe"] == ("10.99.4.0/24", "10.99.5.0/24")
    assert world.last_event("zone.changed")["details"]["zone"] == "tilleuls/annexe"
    contact.get("/admin/places/tilleuls/zones/annexe/edit")
    assert contact.page.forms["zone-form"].fields["networks"] == "10.99.4.0/24\n10.99.5.0/24"
    contact.confirm("zone-form", networks="10.99.4.0/24", last_day="2099-12-31")
    assert zones(world)["annexe"] == ("10.99.4.0/24",)
    contact.get("/admin/places/tilleuls/zones/annexe/end")
    assert "annexe" in zones(world)
    contact.submit("changes", button="confirm")
    assert "annexe" not in zones(world)
    assert world.last_event("zone.changed")["details"]["changed"] == "ended"


@pytest.mark.parametrize("networks", ["10.20.130.0/24", "0.0.0.0/0", "8.8.8.0/24", "ceci n’est pas un réseau", ""])
def test_a_contact_is_refused_a_zone_of_another_s_addresses_or_of_nobody_s(world: World, contact: ConsoleAgent, networks: str) -> None:
    before = zones(world)
    contact.get("/admin/places/tilleuls/zones/new")
    page = contact.submit("zone-form", name="annexe", networks=networks)
    assert page.status == 422
    assert page.forms["zone-form"].fields["networks"] == networks
    assert "glycines" not in page.text.lower(), "whose addresses they are is not for a contact of another"
    assert zones(world) == before


def test_a_contact_is_refused_a_zone_name_that_is_taken(world: World, contact: ConsoleAgent) -> None:
    name = next(iter(zones(world)))
    contact.get("/admin/places/tilleuls/zones/new")
    assert contact.submit("zone-form", name=name, networks="10.99.0.0/24").status == 422


def test_an_administrator_sees_what_the_file_says_and_changes_it_nowhere(world: World, admin: ConsoleAgent) -> None:
    with world.arranging() as tx:
        place = world.establishment("tilleuls")
        tx.establishments.change(place.id, {"source": "config"})
        for zone in tx.zones.of(place.id):
            tx.zones.change(zone.id, {"source": "config"})
    name = next(iter(zones(world)))
    page = admin.get("/admin/places/tilleuls")
    assert "Fichier de configuration" in page.text
    assert not [href for href, _text in page.document.links if href.endswith(("tilleuls/edit", f"{name}/edit", f"{name}/end"))]
    for path in ("/admin/places/tilleuls/edit", f"/admin/places/tilleuls/zones/{name}/edit", f"/admin/places/tilleuls/zones/{name}/end"):
        page = admin.get(path)
        assert page.status == 409
        assert "changes" not in page.forms
    # The form of before, sent all the same.
    with world.arranging() as tx:
        tx.establishments.change(world.establishment("tilleuls").id, {"source": "operator"})
    admin.get("/admin/places/tilleuls/edit")
    admin.submit("place-form", contact_phone="1")
    with world.arranging() as tx:
        tx.establishments.change(world.establishment("tilleuls").id, {"source": "config"})
    assert admin.submit("changes", button="confirm").status == 409
    assert world.establishment("tilleuls").contact_phone != "1"


def test_an_administrator_adds_an_establishment_and_a_contact_cannot(world: World, admin: ConsoleAgent) -> None:
    admin.get("/admin/places/+new")
    admin.confirm("place-form", slug="les-pins", name="Les Pins", contact_phone="04 12 34 56 78")
    assert world.establishment("les-pins").name == "Les Pins"
    assert "Les Pins" in admin.page.text
    admin.get("/admin/places/+new")
    assert admin.submit("place-form", slug="les-pins", name="Encore").status == 422
    contact = console_agent(world, "claire", "it_contact", "tilleuls")
    assert contact.get("/admin/places/+new").status == 403


def test_an_auditor_looks_and_changes_nothing(world: World) -> None:
    auditor = console_agent(world, "claire", "auditor")
    page = auditor.get("/admin/places/tilleuls")
    assert page.status == 200
    assert not {"place-edit", "zone-add", "workstation-add"} & set(page.document.ids)
    assert auditor.get("/admin/places/tilleuls/edit").status == 403


def test_a_contact_makes_a_pass_that_enrols_one_computer_once_and_takes_it_out(world: World, contact: ConsoleAgent) -> None:
    contact.get("/admin/places/tilleuls/workstations/new")
    name = next(iter(contact.page.forms["workstation-pass-form"].choices["zone"]))
    page = contact.confirm("workstation-pass-form", zone=name, name="Poste de soins 9")
    shown = page.markup.partition('id="secret" tabindex="0">')[2].partition("<")[0]
    assert len(shown) >= 15
    assert page.headers["Cache-Control"] == "no-store"
    assert shown not in "".join(map(str, world.events()))
    computer = world.browser()
    computer.get("/workstation")
    assert "Poste de soins 9" in computer.submit("workstation-form", workstation_pass=shown).text
    other = world.browser()
    other.get("/workstation")
    assert other.submit("workstation-form", workstation_pass=shown).status == 422
    page = contact.get("/admin/places/tilleuls")
    assert "Poste de soins 9" in page.text
    path = next(href for href, _text in page.document.links if "/workstations/" in href and href.endswith("/end"))
    contact.get(path)
    contact.submit("changes", button="confirm")
    assert "Poste de soins 9" not in contact.page.text
    assert world.last_event("workstation.ended")["actor"] == f"account:{world.account('claire').id}"
    assert contact.get(path).status == 403


def test_a_contact_makes_no_pass_for_a_zone_of_another_establishment(world: World, contact: ConsoleAgent) -> None:
    contact.get("/admin/places/tilleuls/workstations/new")
    elsewhere = next(iter(zones(world, "glycines")))
    if elsewhere in zones(world):
        elsewhere = "nulle-part"
    assert contact.submit("workstation-pass-form", zone=elsewhere, name="Poste").status == 422
    assert world.events("pass.issued") == []


def test_a_contact_proves_again_that_they_are_there_when_some_time_has_passed(world: World, contact: ConsoleAgent) -> None:
    contact.get("/admin/places/tilleuls/edit")
    world.clock.advance(timedelta(minutes=6))
    page = contact.browser.submit("place-form", contact_phone="04 99 99 99 99")
    assert "factor-form" in page.forms
    assert world.establishment("tilleuls").contact_phone == "04 00 00 01 23"


def test_a_role_that_is_taken_away_between_the_differences_and_the_button_changes_nothing(world: World, contact: ConsoleAgent) -> None:
    contact.get("/admin/places/tilleuls/edit")
    contact.submit("place-form", contact_phone="04 99 99 99 99")
    with world.arranging() as tx:
        take_away(tx, world)
    assert contact.submit("changes", button="confirm").status == 403
    assert world.establishment("tilleuls").contact_phone == "04 00 00 01 23"


def take_away(tx: Transaction, world: World) -> None:
    for role in tx.roles.open_of(world.account("claire").id):
        tx.roles.end(role.id, world.clock.now())


def test_a_form_without_its_token_changes_nothing(world: World, contact: ConsoleAgent) -> None:
    contact.get("/admin/places/tilleuls/edit")
    page = contact.browser.post("/admin/places/tilleuls/edit", {"confirm": "yes", "name": "X", "contact_phone": "1"})
    assert page.status == 400
    assert world.establishment("tilleuls").name == "Les Tilleuls"


def test_an_establishment_that_has_ended_is_as_if_it_were_not_there(world: World, contact: ConsoleAgent) -> None:
    contact.get("/admin/places/tilleuls/zones/new")
    with world.arranging() as tx:
        tx.establishments.change(world.establishment("glycines").id, {"ended_at": world.clock.now()})
    admin = console_agent(world)
    assert admin.get("/admin/places/glycines").status == 403
    admin.get("/admin/places/glycines/zones/new")
    admin.submit("zone-form", name="annexe", networks="10.99.4.0/24")
    assert admin.submit("changes", button="confirm").status == 403
    assert "annexe" not in zones(world, "glycines")
