"""An Interaction that goes to an upstream provider, and comes back.

Owns what the Interaction keeps of it: where the person went, what went wrong, and whom they proved to be. The journey itself is upstream.py's, below;
called by the web layer.
"""

from dataclasses import replace

from connectors.base import Ask
from idp.audit import Origin, Reason
from idp.signin.answers import unanswered
from idp.signin.interaction import Interaction, Interactions
from idp.signin.recognition import Stranger
from idp.signin.upstream import Purpose, Returned, UpstreamFailed, Upstreams


class Departures:
    """The way there and back. Safe between threads; build one per process."""

    def __init__(self, upstreams: Upstreams, interactions: Interactions) -> None:
        self._upstreams = upstreams
        self._interactions = interactions

    def depart(
        self,
        interaction: Interaction,
        provider: str,
        ask: Ask,
        *,
        purpose: Purpose = "sign_in",
        account_id: str | None = None,
        origin: Origin,
    ) -> str:
        """Where to send the browser, to an upstream provider. `account_id`: whom a second proof must be of.

        Raises UpstreamFailed, which the Interaction keeps for its page, and StoreUnavailable.
        """
        try:
            url = self._upstreams.depart(interaction, provider, ask=ask, purpose=purpose, account_id=account_id, origin=origin)
        except UpstreamFailed as failed:
            self._save(replace(interaction, upstream=provider, upstream_problem=str(failed.reason)))
            raise
        self._save(replace(interaction, upstream=provider, upstream_problem=None))
        return url

    def come_back(self, interaction: Interaction, returned: Returned, *, origin: Origin) -> Interaction:
        """Whom an upstream provider says is there. When nothing comes of it the Interaction keeps why, for its page. Raises StoreUnavailable."""
        journey = returned.journey
        try:
            if interaction.sign_outs != journey.sign_outs:
                # Somebody has signed out in this browser meanwhile: whoever the provider remembers is not who sits there.
                raise self._upstreams.refuse(Reason.UPSTREAM_STATE, journey, origin=origin)
            if journey.purpose == "second_factor" and interaction.proof and interaction.proof.account_id != journey.account_id:
                # Somebody else has signed in on this page meanwhile: what they answered is not for whoever left.
                raise self._upstreams.refuse(Reason.UPSTREAM_SUBJECT, journey, origin=origin)
            arrival = self._upstreams.arrive(returned, origin=origin)
            found = self._upstreams.recognise(journey, arrival, origin=origin)
        except UpstreamFailed as failed:
            return self._save(replace(interaction, upstream=journey.provider, upstream_problem=str(failed.reason)))
        if isinstance(found, Stranger):
            begun_by = journey.account_id if journey.purpose == "link" else None
            pending = replace(found.pending, account_id=begun_by) if found.pending else None
            return self._save(replace(unanswered(interaction), pending_link=pending))
        if journey.purpose == "link":
            return interaction  # linked already: there is nothing to prove or to write
        if journey.purpose == "second_factor":
            # The same person, proven anew and by more: what they answered on the way stays.
            return self._save(replace(interaction, proof=found, factors=(), factor_kind=None))
        return self._save(replace(unanswered(interaction), proof=found))

    def _save(self, interaction: Interaction) -> Interaction:
        self._interactions.save(interaction)
        return interaction
