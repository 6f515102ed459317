"""From files to a Config: reading YAML, joining the included files, collecting every finding with its place.

`load` is for whoever needs a configuration and refuses a wrong one; `check` is for whoever tells a person what is wrong with it.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

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
        for index, name in self._included(includes, path):
            extra = self._read_one(self.directory / name, name) or {}
            if "include" in extra:
                self.findings.append(Finding("error", "include", "an included file includes no other", name))
                extra = {key: value for key, value in extra.items() if key != "include"}
            self._join(raw, extra, index=index, name=name)
        return raw

    def _included(self, includes: Iterable[object], main: Path) -> Iterator[tuple[int, str]]:
        """Each file once, with the place that names it; those of a pattern in the order of their names, and never the main file itself."""
        seen = {main.resolve()}
        for index, written in enumerate(map(str, includes)):
            is_pattern = any(character in written for character in "*?[")
            found = sorted(glob(written, root_dir=self.directory, recursive=True)) if is_pattern else [written]
            files = [name for name in found if not is_pattern or (self.directory / name).is_file()]
            if not files:
                self.findings.append(Finding("error", f"include[{index}]", f"no file is called {written} in {self.directory.absolute()}"))
            for name in files:
                file = (self.directory / name).resolve()
                if file not in seen:
                    yield index, name
                elif not is_pattern:
                    self.findings.append(Finding("error", f"include[{index}]", f"{name} is read already"))
                seen.add(file)

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


# Written in C where the library was built with it: a group of 400 files is read in a tenth of the time.
if TYPE_CHECKING:
    from yaml import SafeLoader as _Safe
else:
    _Safe = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Safe):
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
    for part in _untagged(location):
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
    (model, *_), _ = _walk(location)
    return list(model.model_fields)


def _untagged(location: Iterable[int | str]) -> list[int | str]:
    """The location as the file writes it: pydantic adds the `type` by which it chose among several models."""
    _, parts = _walk(location)
    return parts


def _walk(location: Iterable[int | str]) -> tuple[list[type[Settings]], list[int | str]]:
    models: list[type[Settings]] = [Config]
    parts: list[int | str] = []
    for part in location:
        tagged = [model for model in models if part in get_args(model.model_fields["type"].annotation)] if len(models) > 1 else []
        if tagged:
            models = tagged
            continue
        parts.append(part)
        if isinstance(part, str):
            fields = [model.model_fields[part].annotation for model in models if part in model.model_fields]
            models = list(_sections(fields[0])) if fields else []
    return models, parts


def _sections(annotation: Any) -> Iterator[type[Settings]]:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        yield annotation
    for part in get_args(annotation):
        yield from _sections(part)
