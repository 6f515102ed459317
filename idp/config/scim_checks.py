"""Sources that write to us by SCIM: tokens that two of them share, joins and rules that lead nowhere.

Pure functions on the models, called by checks.py.
"""

from collections.abc import Collection, Iterable

from idp.config.findings import Finding
from idp.config.mapping_checks import check_rule
from idp.config.models import Config, EstablishmentSettings
from idp.config.scim import ATTRIBUTES, SCOPE, SHORTEST_TOKEN, ScimSettings
from policies.mapping_text import attributes_of


def check_scim(config: Config, establishments: Collection[EstablishmentSettings]) -> Iterable[Finding]:
    """What is wrong with the sources, together and with the rest of the file."""
    seen: dict[str, str] = {}
    writers: dict[str, str] = {}
    for index, source in enumerate(config.scim):
        at = f"scim[{index}]"
        if not source.tokens and not source.clients:
            yield Finding("error", f"{at}.tokens", "nothing lets the source in: give it a token, or name a client")
        for number, token in enumerate(source.tokens):
            if len(token) < SHORTEST_TOKEN:
                yield Finding("error", f"{at}.tokens[{number}]", f"must hold at least {SHORTEST_TOKEN} random characters")
            if token in seen:
                yield Finding(
                    "error", f"{at}.tokens[{number}]", f"is the token of {seen[token]} too: which source writes would not be known"
                )
            seen[token] = source.name
        for number, client in enumerate(source.clients):
            if client in writers:
                yield Finding("error", f"{at}.clients[{number}]", f"{client} already writes as {writers[client]}")
            writers[client] = source.name
            known = next((one for one in config.clients if one.client_id == client), None)
            if known is not None and (SCOPE not in known.scopes or "client_credentials" not in known.grant_types):
                yield Finding("error", f"{at}.clients[{number}]", f"{client} needs the scope {SCOPE} and the grant client_credentials")
        yield from _check_join(config, source, at)
        if not source.mapping:
            yield Finding("warning", f"{at}.mapping", "there is no rule: nobody of this source gets an Account")
        for number, rule in enumerate(source.mapping):
            yield from check_rule(rule, config.profiles, establishments, at=f"{at}.mapping[{number}]")
            asked = [(f"attributes.{name}", name) for name in rule.attributes] + [("sector", name) for name in attributes_of(rule.sector)]
            for path, name in asked:
                if name.lower() not in ATTRIBUTES:
                    yield Finding("error", f"{at}.mapping[{number}].{path}", f"{name} is not kept of a person (docs/connect-scim.md)")


def _check_join(config: Config, source: ScimSettings, at: str) -> Iterable[Finding]:
    if source.joins is None:
        if source.joined_tenant is not None:
            yield Finding("error", f"{at}.joined_tenant", "goes with `joins`")
        return
    joined = next((one for one in (*config.directories, *config.providers) if one.name == source.joins), None)
    if joined is None:
        yield Finding("error", f"{at}.joins", f"{source.joins} is none of `directories` and `providers`")
        return
    if joined.type != "entra":
        if source.joined_tenant is not None:
            yield Finding("error", f"{at}.joined_tenant", "only Entra ID has tenants")
    elif source.joined_tenant is None and len(joined.tenants) > 1:
        yield Finding("error", f"{at}.joined_tenant", "say whose people these are: the provider has several tenants")
    elif source.joined_tenant is not None and source.joined_tenant not in joined.tenants:
        yield Finding("error", f"{at}.joined_tenant", "must be among the provider's `tenants`")
