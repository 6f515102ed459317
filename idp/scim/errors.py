"""The one refusal of the SCIM endpoints (RFC 7644 section 3.12): a status and a scimType for the caller, a reason code for the audit trail.

`detail` is read by the caller: it names attributes and what is wrong with them, never what was sent of a person, and never a secret.
"""

from typing import Any, Literal

from idp.audit import Reason

ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
ScimType = Literal[
    "invalidFilter", "tooMany", "uniqueness", "mutability", "invalidSyntax", "invalidPath", "noTarget", "invalidValue", "invalidVers"
]


class ScimError(Exception):
    """The request is not carried out, and nothing was written."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        scim_type: ScimType | None = None,
        reason: Reason = Reason.INVALID_REQUEST,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.scim_type = scim_type
        self.reason = reason
        self.headers = headers

    @property
    def body(self) -> dict[str, Any]:
        """As JSON; the status is a string there."""
        body: dict[str, Any] = {"schemas": [ERROR], "status": str(self.status), "detail": self.detail}
        return body if self.scim_type is None else {**body, "scimType": self.scim_type}


def invalid(detail: str, scim_type: ScimType = "invalidValue") -> ScimError:
    """400: what was sent is not as RFC 7643 or RFC 7644 has it."""
    return ScimError(400, detail, scim_type=scim_type)


def not_there(detail: str = "There is no such resource") -> ScimError:
    """404."""
    return ScimError(404, detail, reason=Reason.SCIM_UNKNOWN)
