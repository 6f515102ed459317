"""From files to a Config: reading YAML, joining the included files, collecting every finding with its place.

`load` is for whoever needs a configuration and refuses a wrong one; `check` is for whoever tells a person what is wrong with it.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from connectors.settings import UNREADABLE, Settings
from idp.config.checks import Parts, cross_check
from idp.config.findings import Finding
from idp.config.models import ClientSettings, Config, EstablishmentSettings
from idp.config.policy import PolicySettings, mistakes
from idp.errors import ConfigurationError

M = TypeVar("M", bound=Settings)


def load(path: Path) -> Config:
    """The configuration in a file; raises ConfigurationError whose detail lists every error, one a line."""
    config, findings = check(path)
    errors = [finding for finding in findings if finding.severity == "error"]
    if config is None or errors:
        raise ConfigurationError("configuration_invalid", "\n".join(map(str, errors)))
    return config


def check(path: Path) -> tuple[Config | None, tuple[Finding, ...]]:
    """The configuration, or None when it cannot be built, and every error and warning found, in the order of the file."""
    source = _Source(path.parent)
    raw = source.read(path)
    if raw is None:
        return None, tuple(source.findings)
    context = {"directory": path.parent.absolute()}
    for section in ("database", "ephemeral"):
        # Said or not, a section is validated, so that its default paths too are relative to the file.
        raw.setdefault(section, {})
    config: Config | None = None
    wrong: list[tuple[int | str, ...]] = []
    try:
        config = Config.model_validate(raw, context=context)
    except ValidationError as error:
        for item in error.errors():
            wrong.append(item["loc"])
            source.add("error", item["loc"], _message(item))
    for finding in cross_check(_parts(raw, config, wrong, context)):
        source.findings.append(source.placed(finding))
    return config, tuple(source.findings)


def load_draft(path: Path) -> PolicySettings:
    """Rules and cases that are not in force: a file of `rules` and `tests`, or a whole configuration, of which only `policy` is read.

    Raises ConfigurationError with every mistake. A case that fails is not one: that is what a draft is tried for.
    """
    source = _Source(path.parent)
    raw = source.read(path) or {}
    held = raw["policy"] if isinstance(raw.get("policy"), dict) else raw
    if not source.findings and not {"rules", "tests"} & held.keys():
        source.add("error", (), "holds neither rules nor tests")
    policy = PolicySettings()
    try:
        policy = PolicySettings.model_validate(held)
    except ValidationError as error:
        for item in error.errors():
            source.add("error", item["loc"], _message(item))
    # Where the file holds nothing else, its author knows no `policy`.
    prefix = "" if held is not raw else "policy."
    source.findings += [Finding("error", item.path.removeprefix(prefix), item.message) for item in mistakes(policy)]
    if source.findings:
        raise ConfigurationError("configuration_invalid", "\n".join(map(str, source.findings)))
    return policy


@dataclass(slots=True)
class _Source:
    """The main file and its includes: what was found wrong, and which file each list item came from."""

    directory: Path
    findings: list[Finding] = field(default_factory=list)
    origins: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)

    def read(self, path: Path) -> dict[str, Any] | None:
        """The joined mapping; None when the main file cannot be read."""
        raw = self._read_one(path, "")
        if raw is None:
            return None
        self._remember(raw, "")
        includes = raw.get("include") or ()
        if not isinstance(includes, list):
            return raw
        for index, name in enumerate(includes):
            extra = self._read_one(self.directory / str(name), str(name)) or {}
            if "include" in extra:
                self.findings.append(Finding("error", "include", "an included file includes no other", str(name)))
                extra = {key: value for key, value in extra.items() if key != "include"}
            self._join(raw, extra, index=index, name=str(name))
        return raw

    def _join(self, raw: dict[str, Any], extra: dict[str, Any], *, index: int, name: str) -> None:
        for key, value in extra.items():
            present = raw.get(key, [])
            if isinstance(value, list) and isinstance(present, list):
                self.origins.setdefault(key, []).extend((name, number) for number in range(len(value)))
                raw[key] = [*present, *value]
            elif key in raw:
                self.findings.append(Finding("error", f"include[{index}]", f"{name} sets {key}, which is already set"))
            else:
                raw[key] = value
                self.owners[key] = name

    def _remember(self, raw: Mapping[str, Any], name: str) -> None:
        for key, value in raw.items():
            if isinstance(value, list):
                self.origins[key] = [(name, number) for number in range(len(value))]

    def add(self, severity: Any, location: Sequence[int | str], message: str) -> None:
        """One finding at a location of the joined mapping."""
        self.findings.append(self.placed(Finding(severity, _yaml_path(location), message)))

    def placed(self, finding: Finding) -> Finding:
        """The finding with the index and the file that the person who reads it knows."""
        key, bracket, rest = finding.path.partition("[")
        number, _, tail = rest.partition("]")
        if bracket and key in self.origins and number.isdecimal() and int(number) < len(self.origins[key]):
            name, index = self.origins[key][int(number)]
            return Finding(finding.severity, f"{key}[{index}]{tail}", finding.message, name)
        return Finding(finding.severity, finding.path, finding.message, self.owners.get(finding.path.partition(".")[0], ""))

    def _read_one(self, path: Path, name: str) -> dict[str, Any] | None:
        try:
            raw = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
        except OSError as error:
            self.findings.append(Finding("error", "", f"cannot read {path}: {error.strerror}", name))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            self.findings.append(Finding("error", "", f"{path} is not valid YAML: {' '.join(str(error).split())}", name))
        else:
            if isinstance(raw, dict) and all(isinstance(key, str) for key in raw):
                return raw
            self.findings.append(Finding("error", "", f"{path} must hold a mapping of settings", name))
        return None


class _Loader(yaml.SafeLoader):
    """YAML where a key written twice is an error: the library keeps the last in silence."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if key.value in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} is written twice", key.start_mark)
        seen.add(key.value)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def _parts(raw: Mapping[str, Any], config: Config | None, wrong: Iterable[tuple[int | str, ...]], context: dict[str, Any]) -> Parts:
    """What could be read, so that the rules between settings still speak when one of them is wrong."""
    if config is not None:
        return Parts(config, frozenset(), dict(enumerate(config.establishments)), dict(enumerate(config.clients)))
    broken = frozenset(str(location[0]) for location in wrong)
    rest = {key: value for key, value in raw.items() if key in Config.model_fields and key not in {*broken, "establishments", "clients"}}
    if "issuer" in broken:
        rest["issuer"] = "https://unknown.invalid"
    if "master_key" in broken:
        rest["master_key"] = UNREADABLE
    return Parts(
        Config.model_validate(rest, context=context),
        broken,
        _items(EstablishmentSettings, raw.get("establishments"), context),
        _items(ClientSettings, raw.get("clients"), context),
    )


def _items(model: type[M], raw: object, context: dict[str, Any]) -> dict[int, M]:
    found: dict[int, M] = {}
    for index, item in enumerate(raw if isinstance(raw, list) else ()):
        try:
            found[index] = model.model_validate(item, context=context)
        except ValidationError:
            continue
    return found


def _yaml_path(location: Iterable[int | str]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def _message(item: Any) -> str:
    if item["type"] == "extra_forbidden":
        *parents, name = item["loc"]
        likely = difflib.get_close_matches(str(name), _settings_at(parents), n=1)
        return f"this setting does not exist{f'; {likely[0]}?' if likely else ' (check its spelling)'}"
    if item["type"] == "missing":
        return "this setting is required"
    return str(item["msg"]).removeprefix("Value error, ")


def _settings_at(location: Iterable[int | str]) -> list[str]:
    model: type[Settings] = Config
    for part in location:
        if isinstance(part, str):
            model = _section(model.model_fields[part].annotation)
    return list(model.model_fields)


def _section(annotation: Any) -> type[Settings]:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return annotation
    return next(found for part in annotation.__args__ if (found := _section(part)))
