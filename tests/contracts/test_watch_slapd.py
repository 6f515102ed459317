"""Listening to a real OpenLDAP: who changed, who is gone and whom a group's change concerns, at once, and nothing lost while we or it were away."""

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from connectors.base import SourceMisbehaved, SourceUnreachable, State
from connectors.ldap.directory import LdapDirectory
from connectors.ldap.wire import ldap3
from idp.clock import SystemClock
from tests.support.ears import Ears, listening
from tests.support.processes import wait_until
from tests.support.relay import relayed
from tests.support.slapd import GROUPS, PEOPLE, READABLE, ROOT, ROOT_PASSWORD, SUFFIX, Slapd
from tests.support.slapd_cast import person_ldif

Open = Callable[..., LdapDirectory]
ELSEWHERE = f"ou=elsewhere,{SUFFIX}"


@pytest.fixture
def opened(slapd: Slapd) -> Iterator[Open]:
    made: list[LdapDirectory] = []

    def make(**override: Any) -> LdapDirectory:
        made.append(slapd.directory(SystemClock(), **{"watch": {"heartbeat": "1s"}, "receive_timeout": "10s", **override}))
        return made[-1]

    yield make
    for directory in made:
        directory.close()


@pytest.fixture
def directory(opened: Open) -> LdapDirectory:
    return opened()


@pytest.fixture
def ears(directory: LdapDirectory) -> Iterator[Ears]:
    """Somebody who has heard the first word, "lost"."""
    with listening(directory) as ears:
        assert ears.next().kind == "lost"
        yield ears


def everybody(directory: LdapDirectory) -> list[str]:
    return [identity.subject for identity in directory.people()]


def test_disabled_person_is_heard_of_at_once_with_a_cursor(slapd: Slapd, directory: LdapDirectory, ears: Ears) -> None:
    subject = slapd.subject("d.hugo")
    slapd.disable("d.hugo")
    heard = ears.word()
    assert (heard.kind, heard.subject) == ("person", subject)
    assert heard.cursor is not None
    assert heard.written_at is not None
    assert heard.written_at <= heard.heard_at
    found = directory.find(subject)
    assert found is not None
    assert found.state is State.DISABLED
    slapd.enable("d.hugo")
    assert (ears.word().kind, ears.cursor == heard.cursor) == ("person", False)


def test_everything_that_happens_to_a_person_is_heard(slapd: Slapd, ears: Ears) -> None:
    subject = slapd.subject("d.paul")
    slapd.change_password("d.paul", "Autre-Bruyere-22-Renard")
    assert (heard := ears.word()).kind == "person"
    assert heard.subject == subject
    dn = slapd.rename(slapd.dn("d.paul"), "uid=d.paolo")
    assert ears.word().subject == subject
    dn = slapd.rename(dn, "uid=d.paolo", under=f"ou=nights,{PEOPLE}")
    assert (ears.word().kind, ears.cursor is not None) == ("person", True)
    slapd.modify(dn, {"employeeType": "prestataire"})
    assert (heard := ears.word()).kind == "gone", "out of scope"
    assert heard.subject == subject
    slapd.modify(dn, {"employeeType": None})
    assert (ears.word().kind, ears.words()) == ("person", [])
    dn = slapd.rename(dn, "uid=d.paolo", under=ELSEWHERE)
    assert (heard := ears.word()).kind == "gone", "to where we see nothing: slapd says so when it is asked again"
    assert (heard.subject, ears.words()) == (subject, [])
    slapd.rename(dn, "uid=d.paul", under=PEOPLE)
    assert (heard := ears.word()).kind == "person"
    assert heard.subject == subject
    slapd.delete(f"uid=d.paul,{PEOPLE}")
    assert (heard := ears.word()).kind == "gone"
    assert heard.subject == subject
    slapd.add_person("d.new")
    assert (heard := ears.word()).kind == "person"
    assert heard.subject == slapd.subject("d.new")


def test_person_who_came_or_left_a_group_is_named(slapd: Slapd, ears: Ears) -> None:
    claire, hugo, amina = (slapd.subject(uid) for uid in ("d.claire", "d.hugo", "d.amina"))
    slapd.leave("tilleuls-infirmiers", slapd.dn("d.claire"))
    heard = ears.word()
    assert (heard.kind, heard.subjects) == ("members", {claire})
    assert heard.groups == {"tilleuls-infirmiers", f"cn=tilleuls-infirmiers,{GROUPS}"}
    assert heard.written_at is not None
    slapd.join("tilleuls-infirmiers", slapd.dn("d.hugo"))
    assert ears.word().subjects == {hugo}
    slapd.modify(f"cn=tilleuls-infirmiers,{GROUPS}", {"description": "autre chose"})
    assert ears.words() == []
    slapd.join("glycines-nuit", slapd.dn("d.claire"))
    heard = ears.word()
    assert heard.subjects == {claire}
    assert {"glycines-nuit", "glycines-aides"} <= heard.groups, "the groups that it is in, too"
    slapd.join("boucle-b", slapd.dn("d.hugo"))
    heard = ears.word()
    assert heard.subjects == {hugo}
    assert {"boucle-a", "boucle-b"} <= heard.groups
    slapd.join("glycines-aides", slapd.dn("d.amina"))
    assert ears.word().subjects == {amina}
    slapd.leave("glycines-aides", f"cn=glycines-nuit,{GROUPS}")
    assert ears.word().subjects == {claire, hugo}, "those of a group within it"


def test_group_that_is_renamed_emptied_made_or_deleted_concerns_its_members(slapd: Slapd, ears: Ears) -> None:
    claire, hugo = slapd.subject("d.claire"), slapd.subject("d.hugo")
    dn = slapd.add_group("soir", slapd.dn("d.claire"), slapd.dn("d.hugo"))
    assert ears.word().subjects == {claire, hugo}
    dn = slapd.rename(dn, "cn=matin")
    heard = ears.word()
    assert heard.subjects == {claire, hugo}
    assert {"soir", "matin"} <= heard.groups
    slapd.delete(dn)
    heard = ears.word()
    assert heard.subjects == {claire, hugo}
    assert "matin" in heard.groups


def test_member_who_is_nobody_there_does_not_silence_a_group(slapd: Slapd, ears: Ears) -> None:
    claire = slapd.subject("d.claire")
    for odd in (f"cn=personne,{PEOPLE}", f"cn=\\#1,{PEOPLE}", "cn=ailleurs,dc=other"):
        slapd.join("glycines-nuit", odd)
        assert (ears.word().subjects or frozenset()) == frozenset()
    slapd.join("glycines-nuit", slapd.dn("d.claire"))
    assert ears.word().subjects == {claire}
    slapd.leave("tilleuls-infirmiers", slapd.dn("d.zoe"))
    assert ears.word().subjects == {slapd.subject("d.zoe")}, "whose name is written with escapes"


def test_group_of_too_many_to_ask_for_names_nobody_but_itself(slapd: Slapd, directory: LdapDirectory) -> None:
    slapd.load("".join(person_ldif(f"many{number:03}", "Une", "Personne") for number in range(80)))
    with listening(directory) as ears:
        assert ears.next().kind == "lost"
        dn = slapd.add_group("tous", *(f"uid=many{number:03},{PEOPLE}" for number in range(80)))
        heard = ears.word()
        assert (heard.kind, heard.subjects) == ("members", None)
        assert "tous" in heard.groups
        slapd.modify(dn, {"member": [f"uid=many{number:03},{PEOPLE}" for number in range(78)]})
        assert ears.word().subjects == {slapd.subject("many078"), slapd.subject("many079")}


def test_members_by_login_are_named(slapd: Slapd, opened: Open) -> None:
    directory = opened(groups={"base": GROUPS, "filter": "(&(objectClass=posixGroup)(memberUid={username}))"})
    slapd.add_entry(f"cn=unix,{GROUPS}", ["posixGroup"], {"cn": "unix", "gidNumber": "500", "memberUid": ["d.hugo"]})
    with listening(directory) as ears:
        assert ears.next().kind == "lost"
        slapd.modify(f"cn=unix,{GROUPS}", {"memberUid": ["d.hugo", "d.claire", "ghost"]})
        assert ears.word().subjects == {slapd.subject("d.claire")}


def test_wrong_passwords_are_heard_once_and_the_lock_is(slapd: Slapd, directory: LdapDirectory, ears: Ears) -> None:
    subject = slapd.subject("d.hugo")
    slapd.lock("d.hugo")  # three wrong passwords
    assert [(heard.kind, heard.subject) for heard in (ears.word(), ears.word())] == [("person", subject)] * 2
    found = directory.find(subject)
    assert found is not None
    assert found.state is State.LOCKED
    assert ears.words() == []
    slapd.disable("d.hugo")
    assert ears.word().subject == subject
    slapd.change_password("d.hugo", "Autre-Bruyere-22-Renard")
    assert ears.word().subject == subject


def test_nothing_is_heard_twice_when_it_goes_on_from_a_cursor(slapd: Slapd, directory: LdapDirectory, ears: Ears) -> None:
    slapd.disable("d.hugo")
    assert ears.word().kind == "person"
    slapd.leave("tilleuls-infirmiers", slapd.dn("d.claire"))
    assert ears.word().kind == "members"
    assert ears.words() == []
    ears.close()
    with listening(directory, ears.cursor, everybody(directory)) as again:
        assert again.words() == []


@pytest.mark.parametrize("is_restarted", [False, True], ids=["it stayed", "it restarted"])
def test_whatever_happened_while_away_is_heard(slapd: Slapd, directory: LdapDirectory, *, is_restarted: bool) -> None:
    slapd.add_person("d.leaving")
    with listening(directory) as ears:
        assert ears.next().kind == "lost"
    known = everybody(directory)
    changed, gone, moved = slapd.subject("d.hugo"), slapd.subject("d.leaving"), slapd.subject("d.paul")
    slapd.disable("d.hugo")
    slapd.delete(slapd.dn("d.leaving"))
    slapd.rename(slapd.dn("d.paul"), "uid=d.paul", under=ELSEWHERE)
    slapd.leave("tilleuls-infirmiers", slapd.dn("d.claire"))
    slapd.add_person("d.new")
    if is_restarted:
        slapd.restart()
    with listening(directory, ears.cursor, known) as again:
        heard = again.words()
        assert {word.subject for word in heard if word.kind == "person"} == {changed, slapd.subject("d.new")}
        # What slapd remembers, it says of everything below its suffix.
        said_gone = {word.subject for word in heard if word.kind == "gone"}
        assert {gone, moved} <= said_gone
        assert said_gone & set(known) == {gone, moved}
        (members,) = [word for word in heard if word.kind == "members"]
        assert (members.subjects, "tilleuls-infirmiers" in members.groups) == (None, True)
        assert all(word.cursor is None for word in heard), "not before everything was acted on"
        cursor = again.cursor
    with listening(directory, cursor, everybody(directory)) as third:
        assert third.words() == []


@pytest.mark.parametrize("what", ["deleted", "renamed", "made"])
def test_everything_is_read_again_when_a_group_came_or_went_while_away(slapd: Slapd, directory: LdapDirectory, what: str) -> None:
    with listening(directory) as ears:
        assert ears.next().kind == "lost"
    if what == "made":
        slapd.add_group("soir", slapd.dn("d.claire"))
    elif what == "renamed":
        slapd.rename(f"cn=glycines-nuit,{GROUPS}", "cn=glycines-jour")
    else:
        slapd.delete(f"cn=glycines-nuit,{GROUPS}")
    with listening(directory, ears.cursor) as again:
        assert again.next().kind == "lost"
        slapd.disable("d.hugo")
        assert again.word().subject == slapd.subject("d.hugo")


def test_what_happens_while_everything_is_read_is_kept(slapd: Slapd, directory: LdapDirectory) -> None:
    watcher = directory.watcher()
    assert watcher is not None
    words = watcher.listen(None, lambda: iter(()))
    assert next(words).kind == "lost"
    for _ in range(50):
        slapd.disable("d.hugo")
        slapd.enable("d.hugo")
    assert [next(words).subject for _ in range(100)] == [slapd.subject("d.hugo")] * 100
    watcher.close()
    assert list(words) == []


def test_cursor_that_the_directory_does_not_take_is_lost_and_no_error(slapd: Slapd, directory: LdapDirectory) -> None:
    with listening(directory) as ears:
        assert ears.next().kind == "lost"
    assert ears.cursor is not None
    newer = json.loads(ears.cursor)
    newer["people"] = "rid=000,csn=20361122044144.828973Z#000000#000#000000"
    for cursor in (json.dumps(newer).encode(), b"not one of ours", b'{"people": 3}', b"[]", b""):
        with listening(directory, cursor) as again:
            heard = again.next()
            assert (heard.kind, heard.cursor is not None) == ("lost", True)
            slapd.disable("d.hugo")
            assert again.word().subject == slapd.subject("d.hugo")


def test_directory_that_was_brought_back_from_an_older_copy_is_read_again(slapd: Slapd, directory: LdapDirectory, ears: Ears) -> None:
    slapd.disable("d.hugo")
    assert ears.word().kind == "person"
    slapd.reset()
    with listening(directory, ears.cursor, everybody(directory)) as again:
        assert again.next().kind == "lost"


def test_server_that_hangs_is_noticed_and_nothing_is_lost(slapd: Slapd, opened: Open) -> None:
    directory = opened(receive_timeout="5s")
    with listening(directory) as ears:
        assert ears.next().kind == "lost"
        slapd.hang()
        with pytest.raises(SourceUnreachable) as refused:
            ears.word()
    assert refused.value.trouble == "timeout"
    slapd.resume()
    slapd.disable("d.hugo")
    with listening(directory, ears.cursor, everybody(directory)) as again:
        assert {word.subject for word in again.words()} == {slapd.subject("d.hugo")}


def test_server_that_stops_is_noticed_after_what_it_said(slapd: Slapd, directory: LdapDirectory, ears: Ears) -> None:
    slapd.disable("d.hugo")
    assert ears.word().kind == "person"  # before it stops: slapd does not wait to have said everything
    slapd.stop()
    with pytest.raises(SourceUnreachable):
        ears.word()
    with pytest.raises(SourceUnreachable), listening(directory, ears.cursor) as again:
        again.next()
    slapd.start()
    with listening(directory, ears.cursor, everybody(directory)) as again:
        assert again.words() == []
        slapd.enable("d.hugo")
        assert again.word().kind == "person"


@pytest.fixture
def replica(slapd: Slapd, tmp_path: Path) -> Iterator[Slapd]:
    """A copy that follows the server, as it is at the beginning, and tells what changes too."""
    copy = Slapd(tmp_path / "replica")
    copy.stop()
    slapd.stop()
    shutil.copyfile(slapd.folder / "db" / "data.mdb", copy.folder / "db" / "data.mdb")
    slapd.start()
    follows = (
        f'syncrepl rid=001 provider={slapd.ldap} type=refreshAndPersist retry="1 +" searchbase="{SUFFIX}" '
        f'bindmethod=simple binddn="{ROOT}" credentials={ROOT_PASSWORD}\n'
    )
    conf = copy.folder / "slapd.conf"
    conf.write_text(conf.read_text().replace("overlay memberof", f"{follows}overlay memberof"))
    copy.start()
    yield copy
    copy.stop()


def test_replica_is_listened_to_from_where_the_server_was_left(slapd: Slapd, replica: Slapd, opened: Open) -> None:
    directory = opened(servers=[slapd.ldap, replica.ldap], start_tls=False)
    with listening(directory) as ears:
        assert ears.next().kind == "lost"
        slapd.disable("d.hugo")
        assert ears.word().subject == slapd.subject("d.hugo")
        slapd.leave("tilleuls-infirmiers", slapd.dn("d.claire"))
        assert ears.word().kind == "members"
        known, subjects = everybody(directory), {uid: slapd.subject(uid) for uid in ("d.hugo", "d.paul")}
        slapd.enable("d.hugo")
        wait_until(lambda: not replica.values("d.hugo", "pwdAccountLockedTime"), seconds=60)
        cursor = ears.cursor
    slapd.stop()
    with listening(directory, cursor, known) as again:
        assert {(word.kind, word.subject) for word in again.words()} == {("person", subjects["d.hugo"])}
        slapd.start()
        slapd.disable("d.paul")
        heard = again.word()
        assert (heard.kind, heard.subject) == ("person", subjects["d.paul"])
        for _ in range(10):  # meanwhile it goes back to the first server
            assert again.next().kind == "quiet"
        replica.stop()
        slapd.enable("d.paul")
        heard = again.word()
        assert (heard.kind, heard.subject) == ("person", subjects["d.paul"])


def test_thousand_changes_in_a_burst_come_in_order_and_any_cursor_goes_on(slapd: Slapd, directory: LdapDirectory) -> None:
    uids = [f"many{number:04}" for number in range(1000)]
    slapd.load("".join(person_ldif(uid, "Une", "Personne") for uid in uids))
    with slapd.administering() as root:
        found = root.search(PEOPLE, "(uid=many*)", attributes=["uid", "entryUUID"])[2]
    subjects = {one["raw_attributes"]["uid"][0].decode(): one["raw_attributes"]["entryUUID"][0].decode() for one in found}
    with listening(directory) as ears:
        assert ears.next().kind == "lost"
        with slapd.administering() as root:
            for uid in uids:
                root.modify(f"uid={uid},{PEOPLE}", {"pwdAccountLockedTime": [(ldap3.MODIFY_REPLACE, ["000001010000Z"])]})
        heard = [ears.word() for _ in uids]
    assert [word.subject for word in heard] == [subjects[uid] for uid in uids]
    with listening(directory, heard[699].cursor, list(subjects.values())) as again:
        assert {word.subject for word in again.words()} == {subjects[uid] for uid in uids[700:]}


def test_quiet_comes_by_itself_and_close_ends_it_without_leaving_anything_open(slapd: Slapd, directory: LdapDirectory) -> None:
    everybody(directory)
    before = len(os.listdir("/proc/self/fd"))
    with listening(directory) as ears:
        assert ears.next().kind == "lost"
        assert [ears.next().kind for _ in range(2)] == ["quiet", "quiet"]
    assert len(os.listdir("/proc/self/fd")) <= before
    watcher = directory.watcher()
    assert watcher is not None
    watcher.close()
    assert list(watcher.listen(None, lambda: iter(()))) == []
    assert slapd.is_running


def test_whoever_stops_listening_at_any_moment_is_not_told_of_trouble(slapd: Slapd, directory: LdapDirectory) -> None:
    everybody(directory)
    before = len(os.listdir("/proc/self/fd"))
    for number in range(40):
        watcher = directory.watcher()
        assert watcher is not None
        with ThreadPoolExecutor(1) as pool:
            ends = pool.submit(lambda watcher=watcher: [heard.kind for heard in watcher.listen(None, lambda: iter(()))])
            if number % 2:
                threading.Event().wait(number / 2000)  # some milliseconds: sooner, during and after the first words
            watcher.close()
            assert set(ends.result(60)) <= {"lost", "quiet"}
    assert len(os.listdir("/proc/self/fd")) <= before
    assert slapd.is_running


def test_only_the_service_account_is_used_and_in_one_connection(slapd: Slapd, opened: Open) -> None:
    with relayed(slapd.port) as relay:
        directory = opened(servers=[f"ldap://127.0.0.1:{relay.port}"], start_tls=False)
        with listening(directory) as ears:
            assert ears.next().kind == "lost"
            slapd.disable("d.hugo")
            assert ears.word().kind == "person"
            assert len(relay.sent) == 1


def test_directory_that_is_not_to_be_listened_to_has_no_watcher(opened: Open) -> None:
    directory = opened(watch={"enabled": False})
    assert directory.watcher() is None
    (step,) = [step for step in directory.check() if step.title == "Listening"]
    assert step.outcome == "warning"


def test_server_that_does_not_tell_says_so_plainly(tmp_path: Path) -> None:
    server = Slapd(tmp_path / "mute", tells="")
    server.start()
    directory = server.directory(SystemClock())
    try:
        with pytest.raises(SourceMisbehaved, match="syncprov"), listening(directory) as ears:
            ears.next()
        (step,) = [step for step in directory.check() if step.title == "Listening"]
        assert step.outcome == "failed"
        assert "syncprov" in step.explanation
    finally:
        directory.close()
        server.stop()


def test_base_that_is_hidden_is_an_error_and_never_a_departure(slapd: Slapd, opened: Open) -> None:
    directory = opened(base=f"ou=nowhere,{SUFFIX}")
    with pytest.raises(SourceMisbehaved, match="not there"), listening(directory) as ears:
        ears.next()
    assert slapd.is_running


def test_check_says_that_it_can_be_listened_to(slapd: Slapd, directory: LdapDirectory) -> None:
    steps = [step for step in directory.check() if step.title == "Listening"]
    assert [step.outcome for step in steps] == ["ok"]
    assert slapd.is_running


def test_groups_that_hide_when_they_were_changed_cost_a_reading_and_lose_nothing(tmp_path: Path) -> None:
    server = Slapd(tmp_path / "terse", readable=READABLE.replace("entryCSN,", ""), shown_of_groups="entry,objectClass,cn,member")
    server.start()
    directory = server.directory(SystemClock(), watch={"heartbeat": "1s"})
    try:
        steps = [step.outcome for step in directory.check() if step.title == "Listening"]
        assert steps == ["ok", "warning"]
        with listening(directory) as ears:
            assert ears.next().kind == "lost"
            server.disable("d.hugo")
            heard = ears.word()
            assert heard.written_at is not None, "from the cookie"
        with listening(directory, ears.cursor) as again:
            assert again.next().kind == "lost"
    finally:
        directory.close()
        server.stop()
