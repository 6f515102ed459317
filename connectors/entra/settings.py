"""What an operator writes of an Entra ID application. The docstring under a field is its documentation."""

from datetime import date, timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from connectors.settings import Duration, LocalPath, Secret, Settings

GUID = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
HTTPS = r"^https://[^/?#@\s]+(/[^?#\s]*)?$"


def _lower(value: str) -> str:
    return value.lower()


def _without_slash(value: str) -> str:
    return value.rstrip("/")


Guid = Annotated[str, Field(pattern=GUID), AfterValidator(_lower)]
Address = Annotated[str, Field(pattern=HTTPS), AfterValidator(_without_slash)]


class EntraWatchSettings(Settings):
    """Asking Graph, with a right of the application's own, who was disabled, deleted or moved to another group."""

    every: Duration = Field(default=timedelta(seconds=30), ge=timedelta(seconds=5), le=timedelta(minutes=5))
    """How often. It is the time within which a departure is known."""
    subscriptions: bool = False
    """Let Microsoft tell us at once that there is something to ask for: it must be able to reach `issuer` from the Internet over HTTPS. What it says
    is never believed, only asked for; without it, or when it stops, `every` holds."""
    roles: bool = False
    """Ask for application roles too: must be true where a mapping rule names one."""


class EntraSettings(Settings):
    """Microsoft Entra ID (Office 365)."""

    tenants: tuple[Guid, ...] = Field(min_length=1)
    """Tenant ids (GUIDs) whose people may come; nobody of another tenant is let in. With one, people are sent to it; with several, to their own."""
    client_id: Guid
    """Application (client) id of our registration in Entra."""
    client_secret: Secret | None = Field(default=None, repr=False)
    """Its secret: file:<path> or env:<NAME>. Or a certificate."""
    client_secret_expires: date | None = None
    """The day on which the secret ends, as Entra showed it (2027-03-31): nobody else tells us. It is in the metrics, and `connector check` warns."""
    certificate: LocalPath | None = None
    """PEM file with our certificate and its private key, registered in Entra: better than a secret."""
    authority: Address = "https://login.microsoftonline.com"
    """Where Entra answers. A national cloud has another."""
    graph: Address = "https://graph.microsoft.com/v1.0"
    """Where Microsoft Graph answers."""
    ca_file: LocalPath | None = None
    """PEM file of the authority that signed these servers' certificates. null: this machine's authorities."""
    proxy: str | None = Field(default=None, repr=False)
    """Proxy to reach them through: http://proxy.example.fr:3128. Proxies of the environment are not used."""
    mfa_context: str | None = Field(default=None, pattern=r"^c([1-9]|[1-9][0-9])$")
    """Authentication context (c1 to c99) that asks for two factors in Entra (Conditional Access). null: Entra's proof counts as one factor."""
    guests: bool = False
    """Whether people of another tenant who are guests of an allowed one may come in. They are their own tenant's to dismiss, not yours."""
    groups: Literal["token", "graph"] = "token"
    """Where groups are read. token: the `groups` claim, and Graph for somebody of too many groups to be in it. graph: always Graph, nested ones
    too."""
    group_names: Literal["synchronised", "all"] = "synchronised"
    """Which groups may be named in mapping rules; every group may be written by its id. synchronised: those that come from your Active Directory.
    all: every group by its display name: only where people cannot create groups themselves, which Entra lets them do by default."""
    attributes: tuple[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")], ...] = ()
    """Further properties of the person in Graph for mapping rules: department, jobTitle, officeLocation."""
    auth_time_required: bool = True
    """Refuse a sign-in that was to be a fresh one when Entra does not say when the person was there (optional claim auth_time). false: believe it."""
    watch: EntraWatchSettings | None = None
    """Be told who leaves without waiting for them: needs the application permissions User.Read.All and GroupMember.Read.All, and `groups: graph`.
    null: a departure is known at the next question about the person (`standing.staleness_bound`)."""
    timeout: Duration = timedelta(seconds=5)
    """How long Entra and Graph may take to accept a connection, and again to answer."""
    concurrency: int = Field(default=4, ge=1, le=64)
    """How many sign-ins and questions may wait for Entra at once in one server process, and as many for Graph. Keep it well below `server.threads`:
    when Entra hangs, applications must not wait too."""
    failures: int = Field(default=5, ge=1)
    """After this many failures in a row it is left alone for `pause`."""
    pause: Duration = timedelta(seconds=15)
    """How long it is left alone."""

    @model_validator(mode="after")
    def _one_credential(self) -> Self:
        if (self.client_secret is None) == (self.certificate is None):
            raise ValueError("give a client_secret or a certificate, one of the two")
        return self

    @model_validator(mode="after")
    def _asks_for_groups_at_one_place(self) -> Self:
        if self.watch is not None and self.groups != "graph":
            # A sign-in by the token and a question to Graph would take each other's attachments away.
            raise ValueError("watch goes with groups: graph, or a person would have other groups at each word")
        return self
