"""The controllers of an Active Directory domain: TLS, one of two stopped in the middle or hung, a service account that is refused. Real Samba."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.active_directory.directory import ActiveDirectory
from connectors.active_directory.newest import read_controller
from connectors.base import SourceMisbehaved, SourceUnreachable
from connectors.ldap.wire import Wire
from tests.support.certificates import DAY, PrivateAuthority
from tests.support.fixed_clock import FixedClock
from tests.support.samba import Samba
from tests.support.samba_cast import HOST, PASSWORD, SUFFIX

Open = Callable[..., ActiveDirectory]
NEW = "Hamac-Cerfeuil-83-Tournesol"


@pytest.fixture
def open_directory(samba: Samba) -> Iterator[Open]:
    made: list[ActiveDirectory] = []

    def make(**override: object) -> ActiveDirectory:
        made.append(samba.directory(**override))
        return made[-1]

    yield make
    for directory in made:
        directory.close()


def trouble(directory: ActiveDirectory) -> str:
    with pytest.raises(SourceUnreachable) as caught:
        directory.authenticate("a.claire", PASSWORD)
    assert PASSWORD not in str(caught.value)
    return caught.value.trouble


@pytest.mark.parametrize(
    ("certificate", "expected"),
    [
        ({"names": (HOST,), "valid": (-20 * DAY, -DAY)}, "tls_expired"),
        ({"names": ("annuaire.example",), "addresses": ()}, "tls_name"),
        ({"names": (HOST,), "addresses": ()}, "tls_name"),
    ],
    ids=["expired", "another host", "name but not address"],
)
def test_certificate_is_refused_with_its_own_reason(samba: Samba, open_directory: Open, certificate: dict[str, Any], expected: str) -> None:
    samba.present(samba.authority.sign("other", **{"addresses": (samba.address,), **certificate}))
    assert trouble(open_directory(servers=[samba.ldaps])) == expected
    assert trouble(open_directory(servers=[samba.ldap])) == expected


def test_certificate_of_another_authority_is_refused(samba: Samba, open_directory: Open, tmp_path: Path) -> None:
    other = PrivateAuthority(tmp_path / "other", "stranger")
    assert trouble(open_directory(ca_file=str(other.ca_file))) == "tls_untrusted"
    assert trouble(open_directory(ca_file=None)) == "tls_untrusted"


def test_nurse_signs_in_over_start_tls(samba: Samba, open_directory: Open) -> None:
    assert open_directory(servers=[samba.ldap]).authenticate("a.claire", PASSWORD).username == "a.claire"


def test_controller_wants_tls_before_any_password(samba: Samba, open_directory: Open) -> None:
    assert trouble(open_directory(servers=[samba.ldap], start_tls=False)) in {"service_account", "tls_failed"}


def test_service_account_that_is_refused_is_told(samba: Samba, open_directory: Open) -> None:
    samba.disable("vestibule")
    with pytest.raises(SourceUnreachable, match="data 533") as caught:
        open_directory().authenticate("a.claire", PASSWORD)
    assert caught.value.trouble == "service_account"


@pytest.mark.parametrize("name", ["vestibule@ehpad.test", "EHPAD\\vestibule"])
def test_service_account_may_be_written_in_the_domains_own_ways(open_directory: Open, name: str) -> None:
    assert open_directory(bind_dn=name).authenticate("a.claire", PASSWORD).username == "a.claire"


def test_base_that_is_the_domain_itself_is_read_without_following_referrals(open_directory: Open) -> None:
    directory = open_directory(base=SUFFIX, scope="(&(objectCategory=person)(objectClass=user)(employeeID=*))")
    assert directory.authenticate("a.claire", PASSWORD).username == "a.claire"
    assert {"a.claire", "a.remi"} <= {one.username for one in directory.people()}


# Two controllers


def test_people_sign_in_when_one_of_two_controllers_stops(samba: Samba, second_samba: Samba, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(samba.ca_file.read_bytes() + second_samba.ca_file.read_bytes())
    clock = FixedClock(datetime.now(UTC))
    directory = samba.directory(clock, servers=[samba.ldaps, second_samba.ldaps], ca_file=str(both))
    before = directory.authenticate("a.claire", PASSWORD)
    for controller in (samba, second_samba):
        controller.set_password("a.hugo", NEW)
    samba.stop()
    assert directory.authenticate("a.claire", PASSWORD).subject == before.subject
    assert directory.find(before.subject) is not None
    assert directory.authenticate("a.hugo", NEW).username == "a.hugo", "Kerberos of the other is asked too"
    with pytest.raises(Exception, match="former password"):
        directory.authenticate("a.hugo", PASSWORD)
    samba.start()
    clock.advance(timedelta(seconds=11))
    assert directory.authenticate("a.claire", PASSWORD).subject == before.subject
    second_samba.stop()
    assert directory.authenticate("a.claire", PASSWORD).subject == before.subject
    samba.stop()
    with pytest.raises(SourceUnreachable):
        directory.authenticate("a.claire", PASSWORD)
    directory.close()


def test_listing_that_loses_its_controller_in_the_middle_is_no_listing(samba: Samba) -> None:
    directory = samba.directory(page_size=10)
    samba.add_people([f"p{number}" for number in range(25)], "vingt-cinq")
    listing = directory.people()
    assert next(listing)
    samba.stop()
    with pytest.raises((SourceUnreachable, SourceMisbehaved)):
        list(listing)
    directory.close()


def test_people_sign_in_when_one_of_two_controllers_hangs(samba: Samba, second_samba: Samba, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(samba.ca_file.read_bytes() + second_samba.ca_file.read_bytes())
    settings = {"servers": [samba.ldaps, second_samba.ldaps], "ca_file": str(both), "receive_timeout": "4s"}
    directory = samba.directory(FixedClock(datetime.now(UTC)), **settings)
    before = directory.authenticate("a.claire", PASSWORD)
    samba.hang()
    assert directory.authenticate("a.claire", PASSWORD).subject == before.subject
    samba.resume()
    directory.close()


# Changes are made once


def test_change_whose_answer_is_lost_is_not_made_twice(samba: Samba, open_directory: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def loses(self: Wire, dn: str, current: str, *, new: str) -> None:
        asked.append(dn)
        raise SourceUnreachable("lost", trouble="closed")

    monkeypatch.setattr(Wire, "exchange_password", loses)
    with pytest.raises(SourceUnreachable):
        open_directory().change_password(samba.subject("a.claire"), PASSWORD, new=NEW)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("dc1.example.fr", ("dc1.example.fr", 88)),
        ("dc1.example.fr:8888", ("dc1.example.fr", 8888)),
        ("2001:db8::5", ("2001:db8::5", 88)),
        ("[2001:db8::5]:8888", ("2001:db8::5", 8888)),
    ],
)
def test_controller_is_read(written: str, expected: tuple[str, int]) -> None:
    assert read_controller(written) == expected


@pytest.mark.parametrize("written", ["", "dc1:0", "dc1:kdc", "dc1:70000", ":88"])
def test_what_is_no_controller_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="must be a host"):
        read_controller(written)
