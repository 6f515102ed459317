"""Passwords in a real Active Directory domain (Samba): states and sub-codes, changes, the former password that still binds, the domain's own lock."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from connectors.active_directory.bind import judge_bind
from connectors.active_directory.change import refuse_unless_changed
from connectors.active_directory.directory import ActiveDirectory
from connectors.active_directory.state import DOMAIN_POLICY, Policy, exposure_of, read_policy, state_of
from connectors.base import (
    ChangeProblem,
    ChangeRefused,
    ChangeRequired,
    CredentialsRefused,
    Exposure,
    PersonNotUsable,
    SourceMisbehaved,
    State,
    TryWithheld,
)
from connectors.ldap.policy_control import PolicyAnswer
from connectors.ldap.wire import Answer, Entry
from tests.support.fixed_clock import FixedClock
from tests.support.processes import free_port
from tests.support.samba import Samba
from tests.support.samba_cast import PASSWORD, PEOPLE
from tests.support.samba_people import filetime

WRONG = "Sans-Doute-47-Faux"
NEW = "Hamac-Cerfeuil-83-Tournesol"
NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
MINUTES = 60 * 10**7
SAID = "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data {}, v1db1"
pytestmark = pytest.mark.slow


class RecordingGate:
    """Lets everything pass, or nothing; keeps what it was told."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.is_open = is_open
        self.told: list[tuple[str | None, Exposure, Exposure]] = []

    @contextmanager
    def passage(self, source: str, subject: str | None, *, seen: Exposure, look: Callable[[], Exposure]) -> Iterator[bool]:
        self.told.append((subject, seen, look()))
        yield self.is_open


@pytest.fixture
def directory(samba: Samba) -> Iterator[ActiveDirectory]:
    directory = samba.directory()
    yield directory
    directory.close()


def barred(directory: ActiveDirectory, login: str, password: str = PASSWORD) -> tuple[State, bool]:
    with pytest.raises(PersonNotUsable) as caught:
        directory.authenticate(login, password)
    assert password not in caught.value.detail
    return caught.value.state, caught.value.is_proven


def state(directory: ActiveDirectory, samba: Samba, login: str) -> State:
    found = directory.find(samba.subject(login))
    assert found is not None
    return found.state


def refused(directory: ActiveDirectory, login: str, password: str = WRONG) -> None:
    with pytest.raises(CredentialsRefused) as caught:
        directory.authenticate(login, password)
    assert caught.value.subject is not None
    assert password not in caught.value.detail


def problem(directory: ActiveDirectory, samba: Samba, new: str, *, current: str = PASSWORD, login: str = "a.claire") -> ChangeProblem:
    with pytest.raises(ChangeRefused) as caught:
        directory.change_password(samba.subject(login), current, new=new)
    assert not new or new not in caught.value.detail
    assert not current or current not in caught.value.detail
    return caught.value.problem


# States


def test_disabled_expired_locked_and_must_change_are_told_apart(directory: ActiveDirectory, samba: Samba) -> None:
    samba.disable("a.claire")
    samba.expire_account("a.hugo")
    samba.must_change("a.zoe")
    samba.lock("a.amina")
    samba.expire_password("a.paul")
    assert barred(directory, "a.claire") == (State.DISABLED, True)
    assert barred(directory, "a.hugo") == (State.EXPIRED, True)
    assert barred(directory, "a.amina") == (State.LOCKED, False)
    assert barred(directory, "a.amina", WRONG) == (State.LOCKED, False)
    for login in ("a.zoe", "a.paul"):
        with pytest.raises(ChangeRequired) as caught:
            directory.authenticate(login, PASSWORD)
        assert (caught.value.identity.username, caught.value.identity.state) == (login, State.MUST_CHANGE)
    for login in ("a.claire", "a.hugo", "a.zoe", "a.paul"):
        refused(directory, login)  # with a wrong password nothing is told
    expected = {
        "a.claire": State.DISABLED,
        "a.hugo": State.EXPIRED,
        "a.amina": State.LOCKED,
        "a.zoe": State.MUST_CHANGE,
        "a.paul": State.MUST_CHANGE,
        "a.lea": State.USABLE,
    }
    assert {login: state(directory, samba, login) for login in expected} == expected
    assert {one.username: one.state for one in directory.people() if one.username != "a.noa"} == expected
    samba.enable("a.claire")
    samba.unlock("a.amina")
    assert directory.authenticate("a.claire", PASSWORD).state is directory.authenticate("a.amina", PASSWORD).state is State.USABLE


def test_account_that_ends_later_is_still_usable(directory: ActiveDirectory, samba: Samba) -> None:
    samba.expire_account("a.claire", datetime.now(UTC) + timedelta(hours=1))
    assert directory.authenticate("a.claire", PASSWORD).state is State.USABLE


def test_person_outside_the_hours_may_not_now(directory: ActiveDirectory, samba: Samba) -> None:
    samba.modify(samba.dn("a.claire"), {"logonHours": bytes(21)})
    assert barred(directory, "a.claire") == (State.NOT_NOW, True)
    assert state(directory, samba, "a.claire") is State.USABLE, "nobody is signed out for that"
    refused(directory, "a.claire")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("530", State.NOT_NOW),
        ("531", State.NOT_NOW),
        ("533", State.DISABLED),
        ("701", State.EXPIRED),
        ("775", State.LOCKED),
    ],
)
def test_sub_codes_of_a_windows_controller_are_told_apart(code: str, expected: State) -> None:
    with pytest.raises(PersonNotUsable) as caught:
        judged(49, SAID.format(code))
    assert (caught.value.state, caught.value.is_proven) == (expected, code != "775")


@pytest.mark.parametrize(("code", "message"), [(49, SAID.format("52e")), (49, SAID.format("525")), (49, SAID.format("999")), (49, "")])
def test_other_refusals_are_of_the_password(code: int, message: str) -> None:
    with pytest.raises(CredentialsRefused):
        judged(code, message)


@pytest.mark.parametrize("code", [8, 10, 14, 53])
def test_answers_that_prove_nothing_are_not_believed(code: int) -> None:
    with pytest.raises(SourceMisbehaved):
        judged(code, "")


@pytest.mark.parametrize("code", ["532", "773", "773 ", "532, v1"])
def test_must_change_is_read_from_the_sub_code(code: str) -> None:
    assert judged(49, SAID.format(code)) is State.MUST_CHANGE


def judged(code: int, message: str) -> State:
    return judge_bind("domaine", Entry("CN=x", {}), "subject", answer=Answer(code, message, PolicyAnswer()), said=State.USABLE)


@pytest.mark.parametrize("missing", ["userAccountControl", "msDS-User-Account-Control-Computed"])
def test_nobody_whose_state_is_hidden_is_let_in(missing: str) -> None:
    values = {"useraccountcontrol": (b"512",), "msds-user-account-control-computed": (b"0",), "pwdlastset": (b"134397967460887200",)}
    assert state_of(Entry("CN=x", values), NOW) is State.USABLE
    del values[missing.lower()]
    with pytest.raises(SourceMisbehaved, match=missing):
        state_of(Entry("CN=x", values), NOW)
    with pytest.raises(SourceMisbehaved):
        state_of(Entry("CN=x", {**values, missing.lower(): (b"many",)}), NOW)


# Changes


def test_person_changes_the_password(directory: ActiveDirectory, samba: Samba) -> None:
    changed = directory.change_password(samba.subject("a.claire"), PASSWORD, new=NEW)
    assert changed.username == "a.claire"
    assert directory.authenticate("a.claire", NEW).username == "a.claire"
    refused(directory, "a.claire", PASSWORD)


@pytest.mark.parametrize("how", ["must_change", "expire_password"])
def test_person_who_cannot_bind_changes_the_password_all_the_same(directory: ActiveDirectory, samba: Samba, how: str) -> None:
    """The service account is an ordinary one: it sends the present password with the new one, and the controller verifies it."""
    samba.set_policy(lockoutThreshold="10")
    getattr(samba, how)("a.claire")
    assert problem(directory, samba, NEW, current=WRONG) == "wrong_current"
    assert samba.values("a.claire", "badPwdCount") == ["1"], "the controller has counted it: it was a bind"
    directory.change_password(samba.subject("a.claire"), PASSWORD, new=NEW)
    assert directory.authenticate("a.claire", NEW).state is State.USABLE


@pytest.mark.parametrize("new", ['Guill"emet-92-"', "Élan-Ça-92-où\\", "🦉-Chouette-92", "x" * 100 + "-A9", " Espace-92-autour "])
def test_new_password_may_hold_any_character(directory: ActiveDirectory, samba: Samba, new: str) -> None:
    directory.change_password(samba.subject("a.claire"), PASSWORD, new=new)
    assert directory.authenticate("a.claire", new).username == "a.claire"


def test_words_for_what_the_domain_refuses(directory: ActiveDirectory, samba: Samba) -> None:
    assert problem(directory, samba, "aA1") == "too_short"
    assert problem(directory, samba, "muguetmuguetmuguet") == "too_weak"
    assert problem(directory, samba, PASSWORD) == "reused"
    assert problem(directory, samba, NEW, current=WRONG) == "wrong_current"
    assert problem(directory, samba, NEW, current="") == "wrong_current"
    assert problem(directory, samba, "") == "too_short"
    directory.change_password(samba.subject("a.claire"), PASSWORD, new=NEW)
    assert problem(directory, samba, "Tout-Autre-92-Jonquille", current=NEW) == "too_young"


@pytest.mark.parametrize(
    ("code", "message", "new", "expected"),
    [
        (19, "0000052D: AtrErr: DSID-03191083, #1: 0: 0000052D: DSID-03191083, problem 1005 (CONSTRAINT_ATT_TYPE)", NEW, "too_weak"),
        (19, "0000052D: AtrErr: DSID-03191083, #1", "Court-1", "too_short"),
        (53, "0000052D: SvcErr: DSID-031A12D2, problem 5003 (WILL_NOT_PERFORM), data 0", NEW, "too_weak"),
        (19, "00000056: AtrErr: DSID-03191083, #1: 0: 00000056", NEW, "wrong_current"),
        (53, "0000001F: SvcErr: DSID-031A126C, problem 5003 (WILL_NOT_PERFORM), data 0", NEW, "not_allowed"),
        (50, "00000005: SecErr: DSID-031A1190, problem 4003 (INSUFF_ACCESS_RIGHTS), data 0", NEW, "not_allowed"),
    ],
)
def test_words_of_a_windows_controller_are_understood(code: int, message: str, new: str, expected: str) -> None:
    entry = Entry("CN=x", {"pwdlastset": (str(filetime(NOW - timedelta(days=3))).encode(),)})
    policy = Policy(shortest=12, youngest=timedelta(days=1))
    with pytest.raises(ChangeRefused) as caught:
        refuse_unless_changed("domaine", entry, Answer(code, message, PolicyAnswer()), typed=(PASSWORD, new), policy=policy, now=NOW)
    assert caught.value.problem == expected


def test_a_change_that_windows_refuses_a_moment_after_another_is_too_young() -> None:
    entry = Entry("CN=x", {"pwdlastset": (str(filetime(NOW - timedelta(hours=3))).encode(),)})
    answer = Answer(19, "0000052D: AtrErr", PolicyAnswer())
    with pytest.raises(ChangeRefused) as caught:
        refuse_unless_changed("domaine", entry, answer, typed=(PASSWORD, NEW), policy=Policy(youngest=timedelta(days=1)), now=NOW)
    assert caught.value.problem == "too_young"


def test_barred_person_changes_nothing(directory: ActiveDirectory, samba: Samba) -> None:
    samba.disable("a.claire")
    with pytest.raises(PersonNotUsable):
        directory.change_password(samba.subject("a.claire"), PASSWORD, new=NEW)
    samba.enable("a.claire")
    assert directory.authenticate("a.claire", PASSWORD)


def test_nothing_reaches_the_controller_when_the_gate_is_shut(directory: ActiveDirectory, samba: Samba) -> None:
    gate = RecordingGate(is_open=False)
    samba.must_change("a.claire")
    for password in (WRONG, PASSWORD):
        with pytest.raises(TryWithheld):
            directory.authenticate("a.claire", password, gate=gate)
        with pytest.raises(TryWithheld):
            directory.change_password(samba.subject("a.claire"), password, new=NEW, gate=gate)
        with pytest.raises(TryWithheld):
            directory.authenticate("zz.nemo", password, gate=gate)
    assert samba.values("a.claire", "badPwdCount") == ["0"]
    with pytest.raises(ChangeRequired):
        directory.authenticate("a.claire", PASSWORD)


# The former password


def test_former_password_is_refused_though_the_controller_takes_it(directory: ActiveDirectory, samba: Samba) -> None:
    samba.set_password("a.claire", NEW)
    assert samba.can_bind(samba.dn("a.claire"), PASSWORD), "at the controller's default, for 60 minutes"
    refused(directory, "a.claire", PASSWORD)
    assert problem(directory, samba, "Tout-Autre-92-Jonquille") == "wrong_current"
    assert directory.authenticate("a.claire", NEW).username == "a.claire"
    samba.must_change("a.claire")
    refused(directory, "a.claire", PASSWORD)
    with pytest.raises(ChangeRequired):
        directory.authenticate("a.claire", NEW)


def test_many_at_once_are_each_told_apart(directory: ActiveDirectory, samba: Samba) -> None:
    from concurrent.futures import ThreadPoolExecutor

    samba.set_password("a.claire", NEW)
    samba.set_password("a.hugo", NEW)

    def enters(login: str, password: str) -> bool:
        try:
            return directory.authenticate(login, password).username == login
        except CredentialsRefused:
            return False

    tries = [(login, password) for login in ("a.claire", "a.hugo") for password in (NEW, PASSWORD)] * 3
    with ThreadPoolExecutor(2) as threads:
        came_in = list(threads.map(lambda one: enters(*one), tries))
    assert came_in == [password == NEW for _, password in tries]


def test_kerberos_is_asked_in_the_window_alone(samba: Samba) -> None:
    """Where no controller answers Kerberos, whoever has an older password is not held up; the others are not let in on half a proof."""
    clock = FixedClock(datetime.now(UTC))
    directory = samba.directory(clock, kerberos_servers=[f"127.0.0.1:{free_port()}"])
    assert directory.authenticate("a.hugo", PASSWORD)
    samba.set_password("a.claire", NEW)
    with pytest.raises(SourceMisbehaved, match="no controller answers Kerberos"):
        directory.authenticate("a.claire", NEW)
    clock.advance(timedelta(minutes=64))
    with pytest.raises(SourceMisbehaved):
        directory.authenticate("a.claire", NEW)
    clock.advance(timedelta(minutes=2))
    assert directory.authenticate("a.claire", NEW)
    refused(directory, "a.claire")
    directory.close()


def test_former_password_is_a_matter_of_the_controllers_where_the_window_is_nothing(samba: Samba) -> None:
    directory = samba.directory(old_password_window="0m")
    samba.set_password("a.claire", NEW)
    assert directory.authenticate("a.claire", PASSWORD), "which is what the guide warns of"
    directory.close()


# The domain's own lock


def test_wrong_passwords_are_counted_as_the_domain_counts_them(directory: ActiveDirectory, samba: Samba) -> None:
    samba.set_policy(lockoutThreshold="5", lockOutObservationWindow=str(-30 * MINUTES))
    gate = RecordingGate()
    for _ in range(3):
        with pytest.raises(CredentialsRefused):
            directory.authenticate("a.claire", WRONG, gate=gate)
    subjects, seen, looked = zip(*gate.told, strict=True)
    assert set(subjects) == {samba.subject("a.claire")}
    assert [one.failures for one in seen] == [one.failures for one in looked] == [0, 1, 2]
    assert {(one.threshold, one.fades_after) for one in (*seen, *looked)} == {(5, timedelta(minutes=30))}
    assert {one.mark for one in seen} == {one.mark for one in looked}, "a wrong password changes nothing"
    assert seen[-1].next_fade_at is not None
    samba.set_password("a.claire", NEW)
    assert directory.authenticate("a.claire", NEW, gate=gate)
    assert gate.told[-1][1].mark != seen[0].mark
    assert gate.told[-1][1].failures in {0, 3}


def test_lock_changes_the_mark_and_is_seen(directory: ActiveDirectory, samba: Samba) -> None:
    gate = RecordingGate()
    directory.authenticate("a.claire", PASSWORD, gate=gate)
    samba.lock("a.claire")
    with pytest.raises(PersonNotUsable):
        directory.authenticate("a.claire", PASSWORD, gate=gate)
    before, after = (seen for _, seen, _ in gate.told)
    assert (before.was_locked, after.was_locked) == (False, True)
    assert before.mark != after.mark


def test_fine_grained_policy_of_a_person_counts_before_the_domains(directory: ActiveDirectory, samba: Samba) -> None:
    samba.set_policy(lockoutThreshold="10")
    pso = f"CN=stricte,CN=Password Settings Container,CN=System,{PEOPLE.partition(',')[2]}"
    arguments = ["--complexity=on", "--account-lockout-threshold=4", "--account-lockout-duration=15", "--reset-account-lockout-after=15"]
    samba.tool("domain", "passwordsettings", "pso", "create", "stricte", "1", *arguments)
    samba.tool("domain", "passwordsettings", "pso", "apply", "stricte", "a.claire")
    samba.tool("dsacl", "set", f"--objectdn={pso}", f"--sddl=(A;;GR;;;{samba.sid('vestibule')})")
    gate = RecordingGate()
    for login in ("a.claire", "a.hugo"):
        directory.authenticate(login, PASSWORD, gate=gate)
    assert [(seen.threshold, seen.fades_after) for _, seen, _ in gate.told] == [(4, timedelta(minutes=15)), (10, timedelta(minutes=30))]


def test_failures_that_the_domain_does_not_count_any_more_are_not_counted() -> None:
    policy = Policy(threshold=5, window=timedelta(minutes=30))
    values = {"badpwdcount": (b"4",), "badpasswordtime": (str(filetime(NOW - timedelta(minutes=20))).encode(),)}
    counting = exposure_of(Entry("CN=x", values), policy, NOW)
    assert (counting.failures, counting.next_fade_at) == (4, NOW + timedelta(minutes=11))
    forgotten = exposure_of(Entry("CN=x", values), policy, NOW + timedelta(minutes=12))
    assert (forgotten.failures, forgotten.next_fade_at) == (0, None)


def test_policy_is_read_as_it_is_written() -> None:
    entry = Entry("DC=x", {"lockoutthreshold": (b"0",), "lockoutobservationwindow": (b"-18000000000",), "minpwdage": (b"0",)})
    assert read_policy(entry, DOMAIN_POLICY) == Policy(threshold=0, window=timedelta(minutes=30), youngest=None, shortest=None)
    assert read_policy(Entry("DC=x", {}), DOMAIN_POLICY) == Policy()
