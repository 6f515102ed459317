"""What is offered here, as SCIM clients discover it (RFC 7644 section 4): /ServiceProviderConfig, /ResourceTypes and /Schemas.

Made of schema.py once; the same for every source.
"""

from collections.abc import Iterable
from typing import Any

from idp.scim.described import CONFIG, DESCRIBED, RESOURCE_TYPE, SCHEMA
from idp.scim.errors import not_there
from idp.scim.schema import KINDS, Schema

LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
MOST_RESULTS = 200


class Discovery:
    """The discovery documents. `base`: the address before /Users."""

    def __init__(self, base: str, documentation: str) -> None:
        self._config = _config(base, documentation)
        self._types = {one["id"]: one for one in _resource_types(base)}
        schemas = (*(schema for kind in KINDS for schema in kind.schemas()), *DESCRIBED)
        self._schemas = {schema.urn: _schema(schema, base) for schema in schemas}

    def answer(self, name: str, wanted: str | None) -> dict[str, Any]:
        """`name` is ServiceProviderConfig, ResourceTypes or Schemas; `wanted` one of the latter two by its id. Raises ScimError (404)."""
        if name == "ServiceProviderConfig":
            if wanted is not None:
                raise not_there()
            return self._config
        held = self._types if name == "ResourceTypes" else self._schemas
        if wanted is None:
            return listed(held.values(), total=len(held), start=1)
        if wanted not in held:
            raise not_there()
        return held[wanted]


def listed(resources: Iterable[dict[str, Any]], *, total: int, start: int) -> dict[str, Any]:
    """A ListResponse (RFC 7644 section 3.4.2)."""
    found = list(resources)
    return {"schemas": [LIST], "totalResults": total, "startIndex": start, "itemsPerPage": len(found), "Resources": found}


def _config(base: str, documentation: str) -> dict[str, Any]:
    schemes = [
        {
            "type": "oauthbearertoken",
            "name": "Bearer token",
            "description": "A secret of the source, in the Authorization header.",
            "specUri": "https://www.rfc-editor.org/info/rfc6750",
            "primary": True,
        },
        {
            "type": "oauth2",
            "name": "OAuth 2.0",
            "description": "An access token of client_credentials, with the scope scim.",
            "specUri": "https://www.rfc-editor.org/info/rfc6749",
            "primary": False,
        },
    ]
    return {
        "schemas": [CONFIG],
        "documentationUri": documentation,
        "patch": {"supported": True},
        "bulk": {"supported": False, "maxOperations": 0, "maxPayloadSize": 0},
        "filter": {"supported": True, "maxResults": MOST_RESULTS},
        "changePassword": {"supported": False},
        "sort": {"supported": False},
        "etag": {"supported": True},
        "authenticationSchemes": schemes,
        "meta": {"resourceType": "ServiceProviderConfig", "location": f"{base}/ServiceProviderConfig"},
    }


def _resource_types(base: str) -> Iterable[dict[str, Any]]:
    for kind in KINDS:
        yield {
            "schemas": [RESOURCE_TYPE],
            "id": kind.name,
            "name": kind.name,
            "description": kind.core.description,
            "endpoint": kind.endpoint,
            "schema": kind.core.urn,
            "schemaExtensions": [{"schema": one.urn, "required": False} for one in kind.extensions],
            "meta": {"resourceType": "ResourceType", "location": f"{base}/ResourceTypes/{kind.name}"},
        }


def _schema(schema: Schema, base: str) -> dict[str, Any]:
    return {
        "schemas": [SCHEMA],
        "id": schema.urn,
        "name": schema.name,
        "description": schema.description,
        "attributes": [one.described() for one in schema.attributes],
        "meta": {"resourceType": "Schema", "location": f"{base}/Schemas/{schema.urn}"},
    }
