"""What this process tells the Kerberos library: the realms of all connectors, in memory, and nothing of this machine's own settings."""

import os
from pathlib import Path

import pytest

from connectors.kerberos.environment import VARIABLE, Realm, add_realm


def told() -> str:
    return Path(os.environ[VARIABLE]).read_text(encoding="utf-8")


def test_realms_of_several_connectors_are_gathered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    of_the_machine = tmp_path / "krb5.conf"
    of_the_machine.write_text("[realms]\n AUTRE.TEST = {\n  kdc = kdc.autre.test\n }\n")
    monkeypatch.setenv(VARIABLE, str(of_the_machine))
    add_realm(Realm("AD.EXAMPLE.FR", ("dc1.ad.example.fr", "[2001:db8::5]:8888")))
    add_realm(Realm("MIT.EXAMPLE.FR", ("kdc.example.fr",)))
    assert "AD.EXAMPLE.FR = {\n  kdc = dc1.ad.example.fr\n  kdc = [2001:db8::5]:8888\n }" in told()
    assert "MIT.EXAMPLE.FR = {\n  kdc = kdc.example.fr\n }" in told()
    assert "AUTRE.TEST" not in told()
    assert "dns_lookup_kdc = false" in told(), "nobody on the network says where controllers are"
    assert of_the_machine.read_text().count("AUTRE.TEST") == 1


def test_realm_keeps_its_controllers_when_it_is_named_without_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    add_realm(Realm("AD.EXAMPLE.FR", ("dc1.ad.example.fr",)))
    before = os.environ[VARIABLE]
    add_realm(Realm("AD.EXAMPLE.FR"))
    add_realm(Realm("AD.EXAMPLE.FR", ("dc1.ad.example.fr",)))
    assert os.environ[VARIABLE] == before, "nothing new was said"
    add_realm(Realm("AD.EXAMPLE.FR", ("dc2.ad.example.fr",)))
    assert os.environ[VARIABLE] != before, "the library keeps what it has read of a path"
    assert "dc2" in told()
    assert "dc1" not in told()


@pytest.mark.parametrize("name", ["", "AD EXAMPLE", "AD\n[libdefaults]", "AD = {", "-AD", "AD.", "{}"])
def test_what_is_no_realm_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="realm"):
        Realm(name)


@pytest.mark.parametrize("controller", ["", "dc1 dc2", "dc1\n}", "dc1 }", "{", "dc1#"])
def test_what_is_no_controller_is_refused(controller: str) -> None:
    with pytest.raises(ValueError, match="host"):
        Realm("AD.EXAMPLE.FR", (controller,))
