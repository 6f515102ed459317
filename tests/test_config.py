"""The configuration as operators meet it: every finding at once, with its place; and the example that they copy."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from docs.generate import settings
from idp.cli import vestibule
from idp.config import ClientSettings, Config, Finding, check, format_duration, load, parse_duration
from idp.errors import ConfigurationError

EXAMPLE = Path(__file__).parents[1] / "config.example.yaml"
BASE = {"issuer": "https://connexion.example", "master_key": "env:TEST_MASTER_KEY", "server": {"trusted_proxies": ["127.0.0.1"]}}


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_MASTER_KEY", "k" * 43)
    monkeypatch.setenv("CARNET_CLIENT_SECRET", "s" * 43)
    monkeypatch.setenv("LDAP_BIND_PASSWORD", "s" * 43)
    monkeypatch.setenv("LDAP_DESK_PASSWORD", "s" * 43)
    monkeypatch.setenv("SMS_GATEWAY_SECRET", "s" * 43)
    monkeypatch.setenv("SMTP_PASSWORD", "s" * 43)
    monkeypatch.setenv("ENTRA_SECRET", "s" * 43)
    monkeypatch.setenv("SCIM_TOKEN", "s" * 43)
    monkeypatch.setenv("SIEGE_OIDC_SECRET", "s" * 43)
    monkeypatch.setenv("PSC_CLIENT_SECRET", "s" * 43)
    monkeypatch.setenv("AD_BIND_PASSWORD", "s" * 20)
    monkeypatch.setenv("AD_DESK_PASSWORD", "s" * 20)


def put(folder: Path, *, name: str = "vestibule.yaml", **values: Any) -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump({**BASE, **values} if name == "vestibule.yaml" else values), encoding="utf-8")
    return path


def found(path: Path) -> list[str]:
    return [str(finding) for finding in check(path)[1]]


def run(path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(vestibule, ["--config", str(path), "check-config", *arguments])


def test_operator_loads_the_example_when_its_secrets_are_there(tmp_path: Path) -> None:
    copy = tmp_path / "vestibule.yaml"
    copy.write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "master.key").write_text("k" * 43)
    (tmp_path / "http.keytab").write_bytes(b"\x05\x02")
    config, findings = check(copy)
    assert findings == ()
    assert config is not None
    assert {client.client_id for client in config.clients} == {"carnet-de-soins", "planning-mobile", "laboratoire"}


def test_example_shows_every_setting() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")

    def shown(value: Any, prefix: str) -> set[str]:
        if isinstance(value, list):
            return set().union(*(shown(item, f"{prefix}[]") for item in value), {prefix})
        if isinstance(value, dict):
            return set().union(*(shown(item, f"{prefix}.{key}" if prefix else key) for key, item in value.items()), {prefix})
        return {prefix}

    assert {path for path, _ in settings()} - set().union(*(shown(raw, "") for raw in (yaml.safe_load(text), *commented(text)))) == set()


def commented(text: str) -> list[dict[str, Any]]:
    """What the example shows in comments, since whoever copies it must write their own."""
    blocks = re.findall(r"^#   \w+:\n(?:#     .*\n)+", text, re.MULTILINE)
    return [yaml.safe_load(block.replace("\n#   ", "\n").removeprefix("#   ")) for block in blocks]


def test_example_leaves_the_commands_open_and_its_list_of_operators_is_right(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    assert yaml.safe_load(text)["operators"] == []
    (shown,) = commented(text)
    assert {one["user"] for one in shown["operators"]} == {"jperrin", "nferrand"}
    place = {"slug": "les-tilleuls", "name": "Les Tilleuls"}
    assert not [finding for finding in found(put(tmp_path, **shown, establishments=[place])) if "operators" in finding]


@pytest.mark.parametrize(
    ("settings", "is_told"),
    [
        ({"establishments": [{"slug": "les-tilleuls", "name": "Les Tilleuls", "contact": {"email": "it@tilleuls.example"}}]}, True),
        ({"alerts": {"dpo": "dpo@groupe.example"}}, True),
        ({"establishments": [{"slug": "les-tilleuls", "name": "Les Tilleuls"}]}, False),
        (
            {
                "alerts": {"kinds": []},
                "establishments": [{"slug": "les-tilleuls", "name": "Les Tilleuls", "contact": {"email": "it@tilleuls.example"}}],
            },
            False,
        ),
    ],
)
def test_operator_is_told_of_a_missing_mail_server_when_somebody_would_be_alerted(
    tmp_path: Path, settings: dict[str, Any], is_told: bool
) -> None:
    assert any("no mail server" in finding for finding in found(put(tmp_path, **settings))) is is_told


def test_example_says_the_defaults_where_it_says_nothing_of_its_own() -> None:
    raw = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    sections = ("database", "ephemeral", "tokens", "sessions", "lockout", "passwords", "attachments", "keys", "retention", "logout")
    config = Config.model_validate({**BASE, **{name: raw[name] for name in sections}})
    for name in sections:
        assert getattr(config, name) == type(getattr(config, name))(), name


def test_operator_sees_every_error_and_warning_at_once_with_its_path(tmp_path: Path) -> None:
    path = put(
        tmp_path,
        issuer="http://connexion.example/",
        sessions={"idle": "15h", "absolut": "1h"},
        server={"trusted_proxies": ["10.0.0.1/8"], "workers": 0},
        clients=[
            {"client_id": "a", "name": "A", "redirect_uri": "x"},
            {
                "client_id": "b",
                "name": "B",
                "token_endpoint_auth_method": "none",
                "redirect_uris": ["http://b.example/*"],
                "profiles": ["king"],
            },
        ],
        establishments=[{"slug": "Lilas", "name": ""}],
    )
    lines = found(path)
    for expected in (
        "error: server.trusted_proxies[0]: '10.0.0.1/8' is not a network",
        "error: server.workers: ",
        "error: sessions.absolut: this setting does not exist; absolute?",
        "error: clients[0].redirect_uri: this setting does not exist; redirect_uris?",
        "error: clients[1].redirect_uris[0]: must be one exact URL",
        "error: clients[1].redirect_uris[0]: must use https",
        "error: clients[1].profiles[0]: king is not one of `profiles`",
        "error: establishments[0].slug: ",
        "error: establishments[0].name: ",
        "error: issuer: must use https",
        "error: issuer: must be in lower case, with no path",
    ):
        assert any(line.startswith(expected) for line in lines), (expected, lines)
    result = run(path)
    assert result.exit_code == 1
    assert all(line in result.output for line in lines)


def test_operator_gets_exit_code_0_and_the_warnings_when_nothing_is_wrong(tmp_path: Path) -> None:
    result = run(put(tmp_path, establishments=[{"slug": "lilas", "name": "Lilas", "regulatory_level": "psc"}]), "--json")
    assert result.exit_code == 0
    (warning,) = json.loads(result.output)
    assert (warning["severity"], warning["path"]) == ("warning", "establishments[0].contact")


def test_operator_splits_the_file_and_findings_name_the_file_they_are_in(tmp_path: Path) -> None:
    put(tmp_path, name="clients.yaml", clients=[{"client_id": "b", "name": "B", "redirect_uris": []}])
    path = put(tmp_path, include=["clients.yaml"], establishments=[])
    config, findings = check(path)
    assert config is not None
    assert [client.client_id for client in config.clients] == ["b"]
    assert Finding("error", "clients[0].redirect_uris", "authorization_code needs at least one redirect URI", "clients.yaml") in findings


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("issuer: [", "is not valid YAML"),
        ("- a", "must hold a mapping"),
        ("issuer: a\nissuer: b\n", "the key 'issuer' is written twice"),
        ("include: [missing.yaml]", "cannot read"),
    ],
)
def test_operator_is_told_when_a_file_cannot_be_read(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "vestibule.yaml"
    path.write_text(text)
    assert any(says in line for line in found(path))


def test_operator_keeps_each_home_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "homes").mkdir()
    for slug in ("roses", "acacias", "lilas"):
        put(tmp_path / "homes", name=f"{slug}.yaml", establishments=[{"slug": slug, "name": slug.title(), "regulatory_level": "rie-2026"}])
    config, findings = check(put(tmp_path, include=["homes/*.yaml"]))
    assert config is not None
    assert [home.slug for home in config.establishments] == ["acacias", "lilas", "roses"]
    assert [(finding.path, finding.file) for finding in findings] == [
        ("establishments[0].contact", f"homes/{slug}.yaml") for slug in ("acacias", "lilas", "roses")
    ]


def test_operator_is_told_when_a_pattern_fits_no_file(tmp_path: Path) -> None:
    (tmp_path / "homes.yaml").mkdir()
    (line,) = found(put(tmp_path, include=["homes*.yaml"]))
    assert line == f"error: include[0]: no file is called homes*.yaml in {tmp_path}"


def test_a_file_is_read_once_and_the_main_one_is_never_included(tmp_path: Path) -> None:
    put(
        tmp_path,
        name="lilas.yaml",
        establishments=[{"slug": "lilas", "name": "Lilas", "contact": {"phone": "01"}, "regulatory_level": "rie-2026"}],
    )
    assert found(put(tmp_path, include=["lilas.yaml", "*.yaml"])) == []
    assert found(put(tmp_path, include=["*.yaml", "lilas.yaml"])) == ["error: include[1]: lilas.yaml is read already"]


def test_operator_is_told_when_an_include_repeats_a_setting(tmp_path: Path) -> None:
    put(tmp_path, name="more.yaml", demo=True)
    assert found(put(tmp_path, include=["more.yaml"], demo=False)) == ["error: include[0]: more.yaml sets demo, which is already set"]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("plain text secret", "never in the configuration itself"),
        ("env:NOT_SET_ANYWHERE", "is empty or not set"),
        ("file:missing", "cannot read the secret file"),
        ("vault:x", "file:<path> or env:<NAME>"),
        ("file:short", "at least 32 characters"),
    ],
)
def test_operator_is_refused_a_secret_that_is_written_or_missing(tmp_path: Path, value: str, says: str) -> None:
    (tmp_path / "short").write_text("short")
    lines = found(put(tmp_path, master_key=value))
    assert any(line.startswith("error: master_key") and says in line for line in lines)
    assert not any("plain text secret" in line for line in lines)


def test_paths_are_relative_to_the_file_and_not_to_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    (tmp_path / "key").write_text("k" * 43)
    config = load(put(tmp_path, master_key="file:key", database={"url": "sqlite:///data/a.db"}))
    assert config.database.url == f"sqlite:///{tmp_path}/data/a.db"
    assert config.ephemeral.url == f"sqlite:///{tmp_path}/vestibule-ephemeral.db"
    assert config.master_key == "k" * 43


def test_load_raises_with_every_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(put(tmp_path, demo="maybe", log_level="loud"))
    assert caught.value.detail.count("error:") == 2


def test_secrets_are_not_in_the_representation(tmp_path: Path) -> None:
    assert "k" * 43 not in repr(load(put(tmp_path)))


@pytest.mark.parametrize(
    ("client", "path"),
    [
        ({"token_endpoint_auth_method": "none", "require_pkce": False}, "require_pkce"),
        ({"token_endpoint_auth_method": "none", "grant_types": ["client_credentials"]}, "grant_types"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "jwks"),
        ({"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [{"kty": "EC", "d": "x"}]}}, "jwks.keys[0]"),
        ({"grant_types": ["refresh_token"]}, "grant_types"),
        ({"scopes": ["openid", "offline_access"]}, "scopes"),
        ({"redirect_uris": ["https://a.example/#x"]}, "redirect_uris[0]"),
        ({"redirect_uris": ["javascript:alert(1)"]}, "redirect_uris[0]"),
        ({"redirect_uris": ["com.example:/cb"]}, "redirect_uris[0]"),
        ({"backchannel_logout_uri": "http://a.example/"}, "backchannel_logout_uri"),
    ],
)
def test_operator_is_refused_an_unsafe_client(tmp_path: Path, client: dict[str, Any], path: str) -> None:
    settings = {"client_id": "a", "name": "A", "redirect_uris": ["https://a.example/"], **client}
    findings = check(put(tmp_path, clients=[settings]))[1]
    assert f"clients[0].{path}" in {finding.path for finding in findings if finding.severity == "error"}


@pytest.mark.parametrize("text", ["500ms", "30s", "90s", "30m", "14h", "7d"])
def test_durations_are_written_as_they_are_read(text: str) -> None:
    assert format_duration(parse_duration(text)) == text


def test_a_client_survives_the_store(tmp_path: Path) -> None:
    client = ClientSettings(client_id="a", name="A", default_max_age=timedelta(minutes=30), offline_life=timedelta(days=1))
    assert ClientSettings.model_validate(client.model_dump(mode="json", exclude={"secret"})) == client


def directory(**changes: Any) -> dict[str, Any]:
    """A directory that nothing is wrong with, but for `changes`."""
    return {
        "name": "siege",
        "type": "ldap",
        "servers": ["ldaps://ldap.example.fr"],
        "bind_dn": "cn=vestibule,dc=example,dc=fr",
        "bind_password": "env:LDAP_BIND_PASSWORD",
        "base": "ou=people,dc=example,dc=fr",
        "groups": {"base": "ou=groups,dc=example,dc=fr"},
        "mapping": [rule()],
        **changes,
    }


def rule(**changes: Any) -> dict[str, Any]:
    return {"group": "{establishment}-ide", "establishment": "{establishment}", "profile": "nurse", **changes}


GROUPED = {"base": "ou=groups,dc=example,dc=fr"}
DESK = {"bind_dn": "cn=desk,dc=example,dc=fr", "bind_password": "env:LDAP_DESK_PASSWORD"}
OFFICE = {"attributes": {"others": ["l"]}}
ENTRA = {
    "name": "office",
    "type": "entra",
    "groups": "graph",
    "label": "Office 365",
    "tenants": ["72f988bf-0000-4000-8000-00000000beef"],
    "client_id": "6731de76-14a6-49ae-97bc-6eba6914391e",
    "client_secret": "env:TEST_MASTER_KEY",
    "mfa_context": "c1",
}
OIDC = {
    "name": "autre",
    "type": "oidc",
    "label": "Autre",
    "issuer": "https://login.example.fr",
    "client_id": "vestibule",
    "client_secret": "env:TEST_MASTER_KEY",
}


@pytest.mark.parametrize(
    ("changes", "severity", "path", "says"),
    [
        ({"servers": ["ldap://ldap.example.fr"], "start_tls": False}, "error", "servers[0]", "in clear"),
        ({"servers": ["ldaps://a.example.fr", "http://b.example.fr"]}, "error", "servers[1]", "ldaps://host"),
        ({"scope": "objectClass=person"}, "error", "scope", "parenthesis"),
        ({"scope": "(&(objectClass=person)"}, "error", "scope", "parenthesis"),
        ({"groups": {**GROUPED, "filter": "(member={dn}"}}, "error", "groups.filter", "never closed"),
        ({"groups": {**GROUPED, "filter": "(cn=everybody)"}}, "error", "groups.filter", "{dn} or {username}"),
        ({"identifiers": []}, "error", "identifiers", "at least one"),
        ({"ca_file": "missing.pem"}, "error", "ca_file", "cannot read"),
        ({"mapping": []}, "warning", "mapping", "no rule"),
        ({"desk": {}}, "warning", "desk.bind_dn", "one of its own"),
        ({"desk": {**DESK, "protected": "employeeType=x"}}, "error", "desk.protected", "parenthesis"),
        ({"desk": {**DESK, "bases": ["ou=people, dc=example,dc=fr", "ou=x,dc=example,dc=fr"]}}, "error", "desk.bases[1]", "not under"),
        (
            {
                "desk": {**DESK, "protected_groups": ["chefs"]},
                "groups": {"base": None},
                **OFFICE,
                "mapping": [rule(group=None, attributes={"l": "x"}, establishment="tilleuls")],
            },
            "error",
            "desk.protected_groups",
            "write groups.base",
        ),
        ({"groups": {"base": None}}, "error", "mapping[0].group", "groups.base is null"),
        ({"mapping": [rule(profile="astronaut")]}, "error", "mapping[0].profile", "not one of `profiles`"),
        ({"mapping": [rule(group=None, establishment="tilleuls")]}, "error", "mapping[0]", "neither a group nor a role nor attributes"),
        ({"mapping": [rule(group="ide")]}, "error", "mapping[0].establishment", "none of them holds {establishment}"),
        (
            {"mapping": [rule(group="ide", establishment="{siret}")]},
            "error",
            "mapping[0].establishment",
            "none of them holds {establishment}",
        ),
        ({"mapping": [rule(role="ide")]}, "error", "mapping[0].role", "no application roles"),
        ({"mapping": [rule(sector="{attribute:floor}")]}, "error", "mapping[0].sector", "floor is not read: add it to attributes.others"),
        (
            {"mapping": [rule(group="{finess}-ide", establishment="{finess}")]},
            "warning",
            "mapping[0]",
            "finess, which tilleuls do not have",
        ),
        (
            {**OFFICE, "mapping": [rule(attributes={"l": "{establishment}-*"})]},
            "error",
            "mapping[0].attributes.l",
            "begins with a separator",
        ),
        ({"mapping": [rule(establishment="ehpad-{establishment}")]}, "error", "mapping[0].establishment", "not both"),
        ({"mapping": [rule(), rule(establishment="roses")]}, "warning", "mapping[1].establishment", "only if added by command"),
        ({"mapping": [rule(attributes={"title": "IDE"})]}, "error", "mapping[0].attributes.title", "attributes.others"),
    ],
)
def test_operator_is_told_what_is_wrong_with_a_directory(
    tmp_path: Path, changes: dict[str, Any], severity: str, path: str, says: str
) -> None:
    homes = [{"slug": "tilleuls", "name": "Les Tilleuls", "contact": {"phone": "01 02 03 04 05"}, "regulatory_level": "rie-2026"}]
    (finding,) = found(put(tmp_path, directories=[directory(**changes)], establishments=homes))
    assert finding.startswith(f"{severity}: directories[0].{path}: ")
    assert says in finding


def test_directory_that_is_right_has_nothing_to_say(tmp_path: Path) -> None:
    for changes in (
        {"servers": ["ldap://ldap.example.fr", "ldaps://ldap2.example.fr:6360"]},
        {"servers": ["ldap://127.0.0.1", "ldap://[::1]:3890"], "start_tls": False},
        {"attributes": {"others": ["title"]}, "mapping": [rule(group=None, attributes={"TITLE": "IDE*"}, establishment="roses")]},
    ):
        assert found(put(tmp_path, directories=[directory(**changes)])) == []


def test_operator_is_warned_when_hung_directories_could_hold_every_thread(tmp_path: Path) -> None:
    directories = [directory(concurrency=4), directory(name="nord", concurrency=4)]
    (finding,) = found(put(tmp_path, directories=directories))
    assert finding.startswith("warning: directories: together they may hold 8 of the 8 threads")


def test_operator_is_warned_when_the_button_of_pro_sante_connect_says_something_else(tmp_path: Path) -> None:
    psc = {name: value for name, value in OIDC.items() if name != "issuer"} | {"preset": "pro-sante-connect", "creates_accounts": False}
    (line,) = [line for line in found(put(tmp_path, providers=[psc])) if "providers[0].label" in line]
    assert line.startswith("warning: providers[0].label: the button must say Pro Santé Connect")
    assert not [line for line in found(put(tmp_path, providers=[{**psc, "label": "Pro Santé Connect"}])) if "providers" in line]


def test_operator_is_warned_when_another_issuer_speaks_for_pro_sante_connect(tmp_path: Path) -> None:
    psc = {**OIDC, "label": "Pro Santé Connect", "preset": "pro-sante-connect", "creates_accounts": False}
    (line,) = [line for line in found(put(tmp_path, providers=[psc])) if "providers[0].issuer" in line]
    assert line.startswith("warning: providers[0].issuer: is not Pro Santé Connect's")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"joined_tenants": []}, "say which of the tenants are synchronised"),
        ({"joined_tenants": ["0a1b2c3d-0000-4000-8000-0000000000ff"]}, "must be among `tenants`"),
        ({"joined_tenants": ["0a1b2c3d-0000-4000-8000-00000000cafe"], "joins": None}, "goes with `joins`"),
    ],
)
def test_operator_must_say_which_tenant_is_synchronised_when_there_are_several(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    domain = {
        "name": "siege",
        "type": "active-directory",
        "domain": "ad.example.fr",
        "netbios_name": "EXEMPLE",
        "servers": ["ldaps://dc1.ad.example.fr"],
        "bind_dn": "CN=vestibule,DC=ad,DC=example,DC=fr",
        "bind_password": "env:TEST_MASTER_KEY",
        "base": "DC=ad,DC=example,DC=fr",
        "groups": {"base": "OU=Groupes,DC=ad,DC=example,DC=fr"},
        "mapping": [rule()],
    }
    tenants = [*ENTRA["tenants"], "0a1b2c3d-0000-4000-8000-00000000cafe"]
    office = {**ENTRA, "tenants": tenants, "joins": "siege", **changes}
    lines = found(put(tmp_path, directories=[domain], providers=[office]))
    assert [line for line in lines if line.startswith("error: providers[0].joined_tenants: ") and says in line], lines


@pytest.mark.parametrize("key", ["ca_file", "client_key"])
def test_operator_is_told_of_a_file_of_an_openid_provider_that_is_not_there(tmp_path: Path, key: str) -> None:
    settings = {name: value for name, value in OIDC.items() if key != "client_key" or name != "client_secret"}
    lines = found(put(tmp_path, providers=[{**settings, key: "missing.pem"}]))
    assert [line for line in lines if line.startswith(f"error: providers[0].{key}: cannot read ")], lines


@pytest.mark.parametrize(
    ("provider", "asked", "path", "says"),
    [
        (ENTRA, {"group": None, "role": "{establishment}.ide"}, None, None),
        (ENTRA, {"attributes": {"department": "x"}}, "attributes.department", "department is not read: add it to attributes"),
        (ENTRA, {"attributes": {"userType": "Member"}}, None, None),
        ({**ENTRA, "attributes": ["department"]}, {"sector": "{attribute:Department}"}, None, None),
        (OIDC, {"role": "ide"}, None, None),
        ({**OIDC, "claims": {"roles": []}}, {"role": "ide"}, "role", "claims.roles is empty"),
        (OIDC, {"attributes": {"department": "x"}}, "attributes.department", "add it to claims.attributes"),
        ({**OIDC, "claims": {"attributes": ["roles", "department"]}}, {"role": "ide", "attributes": {"department": "x"}}, None, None),
    ],
)
def test_operator_is_told_when_a_rule_asks_what_a_provider_never_says(
    tmp_path: Path, provider: dict[str, Any], asked: dict[str, Any], path: str | None, says: str | None
) -> None:
    lines = [line for line in found(put(tmp_path, providers=[{**provider, "mapping": [rule(**asked)]}])) if "mapping" in line]
    assert len(lines) == (0 if path is None else 1), lines
    assert path is None or lines[0].startswith(f"error: providers[0].mapping[0].{path}: ")
    assert says is None or says in lines[0]


def test_operator_is_told_of_two_homes_of_one_number_when_a_rule_goes_by_it(tmp_path: Path) -> None:
    homes = [{"slug": slug, "name": slug, "finess": "690012345", "contact": {"phone": "01"}} for slug in ("lilas", "roses")]
    numbered = [rule(group="{finess}-ide", establishment="{finess}")]
    lines = found(put(tmp_path, directories=[directory(mapping=numbered)], establishments=homes))
    assert [line for line in lines if "directories" in line] == [
        "error: directories[0].mapping[0]: goes by finess, and 690012345 is that of lilas and roses: it would name neither"
    ]
    assert not [line for line in found(put(tmp_path, directories=[directory()], establishments=homes)) if "directories" in line]


@pytest.mark.parametrize(
    ("client", "line"),
    [
        ({"roles": {"reception": ["nurse"]}}, "error: clients[0].roles.reception[0]: nurse is another profile"),
        ({"roles": {"reception": ["accueil", "Nurse"]}}, "error: clients[0].roles.reception[1]: Nurse is another profile"),
        ({"roles": {"nurse": ["nurse", "lecture"]}}, None),
        ({"roles": {"king": ["roi"]}}, "error: clients[0].roles.king: king is not one of `profiles`"),
        ({"roles": {"nurse": ["a"]}, "profiles": ["nurse", "aide"]}, "warning: clients[0].roles: aide has no role there"),
        ({"roles": {"nurse": ["a"], "aide": []}, "profiles": ["nurse", "aide"]}, None),
        (
            {"roles": {"nurse": ["a"], "aide": ["b"]}, "profiles": ["nurse"]},
            "warning: clients[0].roles.aide: the application is not open to aide",
        ),
        ({"roles": {"nurse": [""]}}, "error: clients[0].roles.nurse[0]: "),
    ],
)
def test_operator_is_told_when_a_role_could_be_taken_for_another_profile(tmp_path: Path, client: dict[str, Any], line: str | None) -> None:
    settings = {"client_id": "a", "name": "A", "secret": "env:CARNET_CLIENT_SECRET", "redirect_uris": ["https://a.example/"], **client}
    lines = found(put(tmp_path, clients=[settings]))
    assert len(lines) == (0 if line is None else 1), lines
    assert line is None or lines[0].startswith(line)


def test_two_directories_of_one_name_are_refused(tmp_path: Path) -> None:
    (finding,) = found(put(tmp_path, directories=[directory(), directory()]))
    assert finding == "error: directories[1].name: siege is already used"


@pytest.mark.parametrize(
    ("ephemeral", "says"),
    [
        ({}, "a file is for one host"),
        ({"url": "redis://cache.example.fr/0"}, "in clear"),
        ({"url": "redis+sentinel://127.0.0.1,cache.example.fr/main/0"}, "in clear"),
        ({"url": "rediss://cache.example.fr/0"}, None),
        ({"url": "redis://127.0.0.1/0"}, None),
    ],
)
def test_operator_is_warned_of_an_ephemeral_store_that_does_not_suit(tmp_path: Path, ephemeral: dict[str, Any], says: str | None) -> None:
    findings = found(put(tmp_path, database={"url": "postgresql://db.example.fr/vestibule?sslmode=verify-full"}, ephemeral=ephemeral))
    said = [finding for finding in findings if "ephemeral.url" in finding]
    assert [says in finding and finding.startswith("warning") for finding in said] == ([True] if says else [])


def test_operator_sees_every_mistake_in_the_rules_and_their_cases_with_its_place(tmp_path: Path) -> None:
    rules = [{"name": "Inside", "effect": "allow", "when": {"zone_kind": ["trused"]}}, {"name": "b", "effect": "requir"}]
    lines = found(put(tmp_path, policy={"rules": rules, "tests": [{"name": "c", "given": {"zon": 1}, "expect": "allow"}]}))
    for expected in (
        "error: policy.rules[0].name: must be lower-case words",
        "error: policy.rules[0].when.zone_kind[0]: 'trused' is not one of",
        "error: policy.rules[1].effect: must be one of allow, require, deny; did you mean require?",
        "error: policy.tests[0].given.zon: no such key",
    ):
        assert any(line.startswith(expected) for line in lines), (expected, lines)


def test_a_case_of_the_rules_that_fails_is_an_error_and_nothing_starts_on_it(tmp_path: Path) -> None:
    case = {"name": "nobody is asked", "given": {"zone_kind": "outside", "administrator": False, "break_glass": False}, "expect": "allow"}
    path = put(tmp_path, policy={"tests": [case]})
    (line,) = found(path)
    assert line.startswith("error: policy.tests[0]: nobody is asked: allow was expected and the rules say require")
    with pytest.raises(ConfigurationError, match="nobody is asked"):
        load(path)
    assert run(path).exit_code == 1


def test_operator_is_warned_of_rules_that_name_what_is_not_there_or_that_never_matter(tmp_path: Path) -> None:
    contact = {"phone": "01"}
    asked = {"name": "asked", "effect": "require", "require": ["second_factor"], "when": {"administrator": True, "break_glass": False}}
    rules = [
        {"name": "all", "effect": "allow"},
        {"name": "here", "effect": "allow", "when": {"establishment": ["tilleul"], "client": ["carnet"], "profile": ["nurse", "nurze"]}},
        {"name": "place", "effect": "deny", "when": {"zone": ["tilleuls/lann", "outside"], "connector": ["local", "siege"]}},
    ]
    zones = [{"name": "lan", "kind": "trusted", "networks": ["10.0.0.0/16"]}]
    establishments = [{"slug": "tilleuls", "name": "T", "contact": contact, "zones": zones, "regulatory_level": "rie-2026"}]
    lines = found(put(tmp_path, policy={"rules": [*rules, asked]}, establishments=establishments))
    assert sorted(lines) == [
        "warning: policy.rules[1].when.establishment[0]: there is no establishment 'tilleul'; did you mean tilleuls?"
        " (not in this file: right only if added by command)",
        "warning: policy.rules[1].when.profile[1]: there is no profile 'nurze'; did you mean nurse?",
        "warning: policy.rules[1]: here never matters: all allows all that it speaks of",
        "warning: policy.rules[2].when.connector[1]: there is no connector 'siege'",
        "warning: policy.rules[2].when.zone[0]: there is no zone 'tilleuls/lann'; did you mean tilleuls/lan?"
        " (not in this file: right only if added by command)",
    ]


@pytest.mark.parametrize(
    ("when", "spared"),
    [
        (None, "shared_workstation, trusted, outside"),
        ({"zone_kind": ["outside"]}, "shared_workstation, trusted"),
        ({"administrator": True, "profile": ["it"]}, "shared_workstation, trusted, outside"),
        ({"client": ["carnet"]}, "shared_workstation (planning), trusted (planning), outside (planning)"),
        ({"administrator": True, "break_glass": False}, None),
    ],
)
def test_operator_is_warned_when_their_rules_spare_administrators_the_second_factor(
    tmp_path: Path, when: dict[str, Any] | None, spared: str | None
) -> None:
    clients = [
        {"client_id": name, "name": name, "token_endpoint_auth_method": "none", "redirect_uris": ["https://app.example.fr/r"]}
        for name in ("carnet", "planning")
    ]
    rules: list[dict[str, Any]] = [{"name": "all", "effect": "allow"}]
    rules += [{"name": "asked", "effect": "require", "require": ["second_factor"], "when": when}] if when else []
    said = [line for line in found(put(tmp_path, policy={"rules": rules}, clients=clients)) if "an administrator" in line]
    expected = f"warning: policy.rules: an administrator comes in with a password alone where zone_kind is {spared};"
    assert [line.startswith(expected) for line in said] == ([True] if spared else [])


def test_rules_may_stand_in_an_included_file(tmp_path: Path) -> None:
    put(tmp_path, name="rules.yaml", policy={"rules": [{"name": "all", "effect": "alow"}]})
    (line,) = found(put(tmp_path, include=["rules.yaml"]))
    assert line.startswith("error: rules.yaml: policy.rules[0].effect: ")
