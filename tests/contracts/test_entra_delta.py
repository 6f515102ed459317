"""Listening to Entra ID by Graph's delta queries, on the stand-in over real HTTPS: who is told of, what may have been missed, and what goes wrong."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Heard, SourceMisbehaved, SourceUnreachable, State
from connectors.entra.people import EntraPeople
from connectors.entra.settings import EntraSettings
from connectors.entra.subscription import Notifications
from tests.support.ears import Ears, listening
from tests.support.entra import Entra
from tests.support.entra_credential import make_certificate
from tests.support.entra_people import OTHER_TENANT, SECRET, TENANT, Group, Person
from tests.support.fixed_clock import FixedClock

EVERY = timedelta(seconds=30)
NURSES, CLOUD, CARERS = (f"9a1d0000-0000-4000-8000-00000000000{number}" for number in (1, 2, 3))
Open = Callable[..., EntraPeople]


@pytest.fixture
def opened(entra: Entra, clock: FixedClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """The people of the stand-in, with other settings."""
    monkeypatch.setenv("ENTRA_SECRET", SECRET)
    made: list[EntraPeople] = []

    def make(notifications: Notifications | None = None, **override: Any) -> EntraPeople:
        given = {"client_secret": "env:ENTRA_SECRET", "groups": "graph", "watch": {"every": "30s"}, **override}
        settings = EntraSettings.model_validate(entra.settings(**given))
        made.append(EntraPeople("office", settings, clock, notifications=notifications))
        return made[-1]

    yield make
    for people in made:
        people.close()


def first_round(ears: Ears) -> Heard:
    """Nobody knows what was before: it is lost, from a place that is kept."""
    lost = ears.word()
    assert lost.kind == "lost"
    assert lost.cursor
    return lost


def next_round(ears: Ears, clock: FixedClock) -> list[Heard]:
    """What is said in the next round of asking, but that nothing is."""
    clock.advance(EVERY)
    found: list[Heard] = []
    while True:
        heard = ears.next()
        if heard.kind != "quiet":
            found.append(heard)
        if heard.cursor:
            return found
        if heard.kind == "quiet":
            clock.advance(EVERY)  # it had not begun to wait when time passed


def group_of(person: Person, oid: str) -> Group:
    return next(one for one in (*person.groups, *person.nested) if one.id == oid)


def told(words: list[Heard]) -> list[tuple[str, str]]:
    return [(one.kind, one.subject) for one in words]


# Who is told of


def test_who_is_disabled_enabled_or_deleted_is_told_once_and_once_more_a_round_later(entra: Entra, opened: Open, clock: FixedClock) -> None:
    nadia, omar = entra.person("nadia"), entra.person("omar")
    with listening(opened()) as ears:
        first_round(ears)
        entra.directory.disable(nadia)
        entra.directory.bin(omar)
        assert told(next_round(ears, clock)) == [("person", nadia.subject), ("gone", omar.subject)]
        # Another of Graph's servers may have answered as before.
        assert told(next_round(ears, clock)) == [("person", nadia.subject), ("person", omar.subject)]
        assert next_round(ears, clock) == []
        entra.directory.enable(nadia)
        entra.directory.restore(omar)
        assert told(next_round(ears, clock)) == [("person", nadia.subject), ("person", omar.subject)]


def test_who_comes_or_leaves_a_group_is_told_and_nobody_else(entra: Entra, opened: Open, clock: FixedClock) -> None:
    nadia, omar = entra.person("nadia"), entra.person("omar")
    with listening(opened()) as ears:
        first_round(ears)
        entra.directory.leave(nadia, group_of(nadia, NURSES))
        assert told(next_round(ears, clock)) == [("person", nadia.subject)]
        next_round(ears, clock)
        entra.directory.join(omar, group_of(nadia, CLOUD))
        assert told(next_round(ears, clock)) == [("person", omar.subject)]


def test_group_that_is_renamed_or_gone_is_told_by_its_names_before_and_after(entra: Entra, opened: Open, clock: FixedClock) -> None:
    nadia = entra.person("nadia")
    nurses = group_of(nadia, NURSES)
    with listening(opened(group_names="all")) as ears:
        first_round(ears)
        entra.directory.rename(nurses, "Infirmiers de nuit")
        (renamed,) = next_round(ears, clock)
        assert (renamed.kind, renamed.subjects) == ("members", None)
        assert {NURSES, "tilleuls-ide", "infirmiers de nuit"} <= renamed.groups
        entra.directory.delete_group(nurses)
        (gone,) = next_round(ears, clock)
        assert {NURSES, "infirmiers de nuit"} <= gone.groups


def test_group_within_a_group_that_leaves_it_is_told_by_its_people(entra: Entra, opened: Open, clock: FixedClock) -> None:
    nadia = entra.person("nadia")
    inner = {"@odata.type": "#microsoft.graph.group", "id": CARERS, "@removed": {"reason": "deleted"}}
    with listening(opened()) as ears:
        first_round(ears)
        entra.directory.changes["groups"].append({"id": NURSES, "members@delta": [inner]})
        assert told(next_round(ears, clock)) == [("person", nadia.subject)]


def test_changes_of_many_pages_are_all_told(entra: Entra, opened: Open, clock: FixedClock) -> None:
    entra.directory.page_size = 2
    nadia, omar = entra.person("nadia"), entra.person("omar")
    with listening(opened()) as ears:
        first_round(ears)
        entra.directory.changes["users"] += [nadia.shown() for _ in range(5)] + [omar.shown()]
        assert told(next_round(ears, clock)) == [("person", nadia.subject), ("person", omar.subject)], "each once a round"


def test_people_of_two_tenants_are_told_of_each_by_its_own(entra: Entra, opened: Open, clock: FixedClock) -> None:
    nadia, paula = entra.person("nadia"), entra.person("paula")
    with listening(opened(tenants=[TENANT, OTHER_TENANT])) as ears:
        first_round(ears)
        entra.directory.disable(paula)
        entra.directory.disable(nadia)
        assert told(next_round(ears, clock)) == [("person", nadia.subject), ("person", paula.subject)]


# What may have been missed


def test_what_happened_while_nobody_listened_is_told_from_the_cursor(entra: Entra, opened: Open, clock: FixedClock) -> None:
    people = opened()
    with listening(people) as ears:
        kept = first_round(ears).cursor
    entra.directory.disable(entra.person("nadia"))
    with listening(people, kept) as ears:
        assert told([ears.word()]) == [("person", entra.person("nadia").subject)]


@pytest.mark.parametrize("cursor", [b"", b"{", b"[]", b"null", b'{"another": "link"}', b"\xff\xfe"])
def test_cursor_of_something_else_is_a_beginning(entra: Entra, opened: Open, cursor: bytes) -> None:
    with listening(opened(), cursor) as ears:
        first_round(ears)


def test_link_that_graph_does_not_go_on_from_is_lost_and_another_one_is_kept(entra: Entra, opened: Open, clock: FixedClock) -> None:
    nadia = entra.person("nadia")
    with listening(opened()) as ears:
        first_round(ears)
        entra.directory.is_expired = True
        entra.directory.disable(nadia)
        assert [one.kind for one in next_round(ears, clock)] == ["lost"]
        entra.directory.is_expired = False
        entra.directory.enable(nadia)
        assert ("person", nadia.subject) in told(next_round(ears, clock))


def test_change_that_is_told_twice_names_the_same_person_again(entra: Entra, opened: Open, clock: FixedClock) -> None:
    nadia = entra.person("nadia")
    entra.directory.replays = True
    with listening(opened()) as ears:
        first_round(ears)
        entra.directory.disable(nadia)
        for _ in range(3):
            assert ("person", nadia.subject) in told(next_round(ears, clock))


# What goes wrong


@pytest.mark.parametrize(("status", "headers"), [(429, {"Retry_After": "7"}), (503, {"Retry_After": "7"}), (500, {}), (0, {})])
def test_graph_that_does_not_answer_is_unreachable_and_nobody_is_told_of(
    entra: Entra, opened: Open, clock: FixedClock, status: int, headers: dict[str, str]
) -> None:
    people = opened()
    with listening(people) as ears:
        first_round(ears)
        entra.fail("users/delta", status, times=50, **headers)
        with pytest.raises(SourceUnreachable):
            next_round(ears, clock)


def test_throttled_question_is_not_asked_again_before_microsoft_says(entra: Entra, opened: Open, clock: FixedClock) -> None:
    people, nadia = opened(), entra.person("nadia")
    assert people.find(nadia.subject) is not None
    entra.fail(nadia.oid, 429, Retry_After="20")
    with pytest.raises(SourceUnreachable):
        people.find(nadia.subject)
    asked = entra.asked(nadia.oid)
    with pytest.raises(SourceUnreachable, match="left alone"):
        people.find(nadia.subject)
    assert entra.asked(nadia.oid) == asked
    clock.advance(timedelta(seconds=21))
    assert people.find(nadia.subject) is not None


@pytest.mark.parametrize("path", ["users/delta", "groups/delta", "groups"])
def test_missing_permission_is_named_and_nobody_is_told_of(entra: Entra, opened: Open, path: str) -> None:
    entra.directory.forbids = {path}
    with listening(opened()) as ears, pytest.raises(SourceUnreachable, match=r"GroupMember\.Read\.All") as caught:
        ears.word()
    assert caught.value.trouble == "service_account"


def test_next_page_on_another_host_gets_no_token(entra: Entra, opened: Open, clock: FixedClock) -> None:
    with listening(opened()) as ears:
        first_round(ears)
        entra.graph.next_link_host = "https://graph.evil.example"
        entra.directory.disable(entra.person("nadia"))
        next_round(ears, clock)  # the link of the next round is the liar's
        with pytest.raises(SourceMisbehaved, match="another host"):
            next_round(ears, clock)


def test_token_of_ours_that_ended_is_asked_for_again(entra: Entra, opened: Open, clock: FixedClock) -> None:
    people, nadia = opened(), entra.person("nadia")
    assert people.find(nadia.subject) is not None
    entra.graph.tokens.clear()
    assert people.find(nadia.subject) is not None
    assert len(entra.graph.tokens) == 1


def test_certificate_gets_our_token_and_no_secret_is_sent(entra: Entra, opened: Open, clock: FixedClock, tmp_path: Path) -> None:
    made = make_certificate(tmp_path, ends_at=clock.now() + timedelta(days=200))
    entra.registration.secrets.clear()
    entra.registration.certificates[made.thumbprint] = made.public_key
    with listening(opened(client_secret=None, certificate=str(made.file))) as ears:
        first_round(ears)
    forms = [form for _, path, form in entra.requests if path.endswith("/token")]
    assert forms
    assert all("client_assertion" in form and "client_secret" not in form for form in forms)


def test_application_that_is_refused_is_told(entra: Entra, opened: Open) -> None:
    entra.registration.secrets.clear()
    with listening(opened()) as ears, pytest.raises(SourceUnreachable) as caught:
        ears.word()
    assert caught.value.trouble == "service_account"
    assert SECRET not in str(caught.value)


# Who somebody is


def test_person_is_found_as_a_sign_in_would_find_them(entra: Entra, opened: Open) -> None:
    nadia = entra.person("nadia")
    found = opened(watch={"every": "30s", "roles": True}, attributes=["department"]).find(nadia.subject)
    assert found is not None
    assert (found.subject, found.state, found.username, found.email) == (nadia.subject, State.USABLE, nadia.upn, nadia.mail)
    assert (found.given_name, found.family_name, found.number, found.phone_number) == ("Nadia", "Petit", "E-1007", "+33 6 12 34 56 78")
    assert {NURSES, CLOUD, CARERS, "tilleuls-ide", "soignants", "tilleuls.ide"} <= found.groups
    assert found.attributes["department"] == ("Soins",)
    assert found.attributes["roles"] == ("Tilleuls.IDE",)


def test_person_who_is_disabled_a_guest_or_gone_is_that(entra: Entra, opened: Open) -> None:
    people, nadia, guest = opened(), entra.person("nadia"), entra.person("invite")
    nadia.enabled = False
    for subject, state in ((nadia.subject, State.DISABLED), (guest.subject, State.OUT_OF_SCOPE), (f"{OTHER_TENANT}/x", State.OUT_OF_SCOPE)):
        found = people.find(subject)
        assert found is not None
        assert found.state is state
    nadia.deleted = True
    assert people.find(nadia.subject) is None


def test_check_says_what_is_missing(entra: Entra, opened: Open) -> None:
    people = opened()
    assert [step.outcome for step in people.check()] == ["ok"]
    entra.directory.forbids = {"groups"}
    (step,) = people.check()
    assert (step.outcome, "GroupMember.Read.All" in step.explanation) == ("failed", True)


# Microsoft tells us


class Mailbox:
    """Where notices arrive: it repeats a validation token, and remembers that something came."""

    def __init__(self, entra: Entra) -> None:
        self.came = 0
        self.warned: list[str] = []
        self.is_reachable = True
        entra.directory.reach = self._reach

    def notifications(self) -> Notifications:
        return Notifications("https://connexion.example/graph/notifications/office", "a-secret", self._were_heard, self.warned.append)

    def _reach(self, url: str, body: Any) -> tuple[int, str]:
        if not self.is_reachable:
            return 502, ""
        if body is None:
            return 200, url.partition("validationToken=")[2].replace("+", " ")
        self.came += 1
        return 202, ""

    def _were_heard(self) -> bool:
        came, self.came = self.came, 0
        return came > 0


def test_notice_is_followed_at_once_and_subscriptions_are_renewed(entra: Entra, opened: Open, clock: FixedClock) -> None:
    mailbox, nadia = Mailbox(entra), entra.person("nadia")
    with listening(opened(mailbox.notifications(), watch={"every": "5m", "subscriptions": True})) as ears:
        first_round(ears)
        assert {one["resource"] for one in entra.directory.subscriptions.values()} == {"users", "groups"}
        entra.directory.disable(nadia)  # no time passes
        assert told([ears.word()]) == [("person", nadia.subject)]
        before = {key: one["expirationDateTime"] for key, one in entra.directory.subscriptions.items()}
        while (heard := ears.next()).kind != "quiet" or heard.cursor:
            pass  # until it waits: no question is under way when half a day passes
        clock.advance(timedelta(hours=13))
        next_round(ears, clock)
        after = {key: one["expirationDateTime"] for key, one in entra.directory.subscriptions.items()}
        assert after.keys() == before.keys(), "renewed, and not made again"
        assert all(after[key] > before[key] for key in before)


def test_listening_goes_on_without_notices_when_microsoft_cannot_reach_us(entra: Entra, opened: Open, clock: FixedClock) -> None:
    mailbox, nadia = Mailbox(entra), entra.person("nadia")
    mailbox.is_reachable = False
    with listening(opened(mailbox.notifications(), watch={"every": "30s", "subscriptions": True})) as ears:
        first_round(ears)
        assert mailbox.warned
        assert not entra.directory.subscriptions
        entra.directory.disable(nadia)
        assert told(next_round(ears, clock)) == [("person", nadia.subject)]
