"""The schemas of discovery itself (RFC 7643 sections 5 to 7, and 8.7.2): what /ServiceProviderConfig, /ResourceTypes and /Schemas answer.

They are described as they describe everything else. Constants only; all is read-only.
"""

from dataclasses import replace

from idp.scim.schema import Attribute, Schema, Type

CONFIG = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"
RESOURCE_TYPE = "urn:ietf:params:scim:schemas:core:2.0:ResourceType"
SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:Schema"


def _one(name: str, description: str, kind: Type = "string", *subs: Attribute) -> Attribute:
    return Attribute(name=name, description=description, type=kind, mutability="readOnly", subs=subs)


def _must(attribute: Attribute) -> Attribute:
    return replace(attribute, is_required=True)


def _many(attribute: Attribute) -> Attribute:
    return replace(attribute, is_multi_valued=True)


def _offer(name: str, description: str, *more: Attribute) -> Attribute:
    supported = _must(_one("supported", "Whether it is offered.", "boolean"))
    return _must(_one(name, description, "complex", supported, *more))


_FLAGS = (
    _many(_one("canonicalValues", "Values that are usual.")),
    _one("caseExact", "Whether capitals are told apart.", "boolean"),
    _one("mutability", "Who may change it, and when."),
    _one("returned", "When it is shown."),
    _one("uniqueness", "Among what it is unique."),
    _many(_one("referenceTypes", "What may be referred to.")),
)
_NAMED = (
    _must(_one("name", "Its name.")),
    _must(_one("type", "The type of its values.")),
    _must(_one("multiValued", "Whether it has several values.", "boolean")),
    _one("description", "What it says."),
    _must(_one("required", "Whether it is required.", "boolean")),
)
DESCRIBED = (
    Schema(
        CONFIG,
        "ServiceProviderConfig",
        "What is offered of SCIM.",
        (
            _one("documentationUri", "Where it is explained.", "reference"),
            _offer("patch", "PATCH."),
            _offer(
                "bulk",
                "Several operations at once.",
                _must(_one("maxOperations", "At most so many.", "integer")),
                _must(_one("maxPayloadSize", "At most so many bytes.", "integer")),
            ),
            _offer("filter", "Filters.", _must(_one("maxResults", "At most so many in an answer.", "integer"))),
            _offer("changePassword", "Changing passwords."),
            _offer("sort", "Sorted answers."),
            _offer("etag", "Versions of resources."),
            _must(
                _many(
                    _one(
                        "authenticationSchemes",
                        "How a caller shows who it is.",
                        "complex",
                        _must(_one("type", "The scheme.")),
                        _must(_one("name", "Its name.")),
                        _must(_one("description", "How it works.")),
                        _one("specUri", "Its specification.", "reference"),
                        _one("documentationUri", "Where it is explained.", "reference"),
                        _one("primary", "Whether it is the preferred one.", "boolean"),
                    )
                )
            ),
        ),
    ),
    Schema(
        RESOURCE_TYPE,
        "ResourceType",
        "A kind of resource.",
        (
            _must(_one("name", "Its name.")),
            _one("description", "What it is."),
            _must(_one("endpoint", "Where its resources are.", "reference")),
            _must(_one("schema", "Its schema.", "reference")),
            _many(
                _one(
                    "schemaExtensions",
                    "What extends it.",
                    "complex",
                    _must(_one("schema", "The extension's schema.", "reference")),
                    _must(_one("required", "Whether every resource has it.", "boolean")),
                )
            ),
        ),
    ),
    Schema(
        SCHEMA,
        "Schema",
        "What a kind of resource holds.",
        (
            _must(_one("name", "Its name.")),
            _one("description", "What it is."),
            _must(
                _many(
                    _one(
                        "attributes",
                        "What it holds.",
                        "complex",
                        *_NAMED,
                        *_FLAGS,
                        _many(_one("subAttributes", "The parts of a complex value.", "complex", *_NAMED, *_FLAGS)),
                    )
                )
            ),
        ),
    ),
)
