"""How near a person is to the directory's own lock, as the connector reads it on a real OpenLDAP, and what it does when the gate is shut."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from connectors.base import CredentialsRefused, Exposure, TryWithheld
from connectors.ldap.directory import LdapDirectory
from connectors.ldap.state import Policy, exposure_of, read_policy
from connectors.ldap.wire import Entry
from tests.support.slapd import PASSWORD, Slapd

WRONG = "Sans-Doute-47-Faux"
NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


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
def directory(slapd: Slapd) -> Iterator[LdapDirectory]:
    slapd.set_policy(pwdMaxFailure="5", pwdFailureCountInterval="1800")
    directory = slapd.directory()
    yield directory
    directory.close()


def refused(directory: LdapDirectory, identifier: str, gate: RecordingGate, password: str = WRONG) -> None:
    with pytest.raises(CredentialsRefused):
        directory.authenticate(identifier, password, gate=gate)


def test_wrong_passwords_are_counted_as_the_directory_counts_them(directory: LdapDirectory, slapd: Slapd) -> None:
    gate = RecordingGate()
    for _ in range(3):
        refused(directory, "d.claire", gate)
    subjects, seen, looked = zip(*gate.told, strict=True)
    assert set(subjects) == {slapd.subject("d.claire")}
    assert [one.failures for one in seen] == [one.failures for one in looked] == [None, 1, 2]
    assert {(one.threshold, one.fades_after) for one in (*seen, *looked)} == {(5, timedelta(minutes=30))}
    assert {one.mark for one in seen} == {one.mark for one in looked}, "a wrong password changes nothing"
    assert directory.authenticate("d.claire", PASSWORD, gate=gate)
    refused(directory, "d.claire", gate)
    assert gate.told[-1][1].failures == 0, "once some were seen, none means none"


def test_a_shut_gate_lets_no_password_reach_the_directory(directory: LdapDirectory, slapd: Slapd) -> None:
    gate = RecordingGate(is_open=False)
    for password in (WRONG, PASSWORD):
        with pytest.raises(TryWithheld) as caught:
            directory.authenticate("d.claire", password, gate=gate)
        assert caught.value.subject == slapd.subject("d.claire")
        with pytest.raises(TryWithheld) as caught:
            directory.authenticate("zz.nemo", password, gate=gate)
        assert caught.value.subject is None
        with pytest.raises(TryWithheld):
            directory.change_password(slapd.subject("d.claire"), password, new="Hamac-Cerfeuil-83-Tournesol", gate=gate)
    assert slapd.values("d.claire", "pwdFailureTime") == []
    assert directory.authenticate("d.claire", PASSWORD)


def test_a_new_password_and_a_lock_change_the_mark(directory: LdapDirectory, slapd: Slapd) -> None:
    gate = RecordingGate()
    refused(directory, "d.claire", gate)
    slapd.change_password("d.claire", "Hamac-Cerfeuil-83-Tournesol")
    refused(directory, "d.claire", gate)
    slapd.disable("d.claire")
    with pytest.raises(Exception, match="disabled"):
        directory.authenticate("d.claire", WRONG, gate=gate)
    marks = [looked.mark for _, _, looked in gate.told]
    assert len(set(marks)) == 3
    assert gate.told[-1][2].was_locked


def entry(**values: str | list[str]) -> Entry:
    listed = {name: [value] if isinstance(value, str) else value for name, value in values.items()}
    return Entry("uid=x", {name.lower(): tuple(value.encode() for value in found) for name, found in listed.items()})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"pwdLockout": "TRUE", "pwdMaxFailure": "5"}, 5),
        ({"pwdLockout": "TRUE", "pwdMaxFailure": "0"}, 0),
        ({"pwdLockout": "FALSE", "pwdMaxFailure": "5"}, 0),
        ({"pwdLockout": "TRUE"}, None),
        ({"pwdMaxFailure": "5"}, None),
        ({"pwdLockout": "TRUE", "pwdMaxFailure": "many"}, None),
        ({"passwordLockout": "on", "passwordMaxFailure": "3"}, 3),
        ({"passwordLockout": "off", "passwordMaxFailure": "3"}, 0),
        ({"passwordLockout": "maybe", "passwordMaxFailure": "3"}, None),
        ({}, None),
    ],
)
def test_what_a_policy_does_not_say_is_not_known(values: dict[str, str], expected: int | None) -> None:
    assert read_policy(entry(**values)).max_failures == expected


@pytest.mark.parametrize(
    ("values", "fades_after", "failures", "next_fade"),
    [
        ({}, None, None, None),
        ({"pwdFailureTime": ["20200101000000Z", "20261123075900Z"]}, None, 2, None),
        ({"pwdFailureTime": ["20261123072000Z", "20261123075900.123456Z"]}, 30, 1, 30),
        ({"pwdFailureTime": ["20261123072930Z"]}, 30, 1, 0.5),
        ({"pwdFailureTime": ["20261123072859Z"]}, 30, 0, None),
        ({"pwdFailureTime": ["yesterday"]}, 30, 1, 31),
        ({"passwordRetryCount": "2", "retryCountResetTime": "20261123081000Z"}, 10, 2, 11),
        ({"passwordRetryCount": "2", "retryCountResetTime": "20261123075000Z"}, 10, 0, None),
        ({"passwordRetryCount": "2"}, 10, 2, None),
    ],
)
def test_failures_count_until_the_directory_forgets_them(
    values: dict[str, str | list[str]], fades_after: int | None, failures: int | None, next_fade: float | None
) -> None:
    policy = Policy(failures_fade_after=timedelta(minutes=fades_after) if fades_after else None)
    found = exposure_of(entry(**values), policy, NOW, is_shown=False)
    assert found.failures == failures
    assert found.next_fade_at == (None if next_fade is None else NOW + timedelta(minutes=next_fade))
