"""What a person says on the pages of a sign-in: which Session, which establishment, whether it is they; each kept in the Interaction.

Owns no proof and no rule: an answer says what was chosen, and the dispatcher what that leads to. Called by the web layer.
"""

from dataclasses import replace

from idp.signin.factor import FactorProof
from idp.signin.interaction import Interaction, Interactions
from idp.signin.step import Step


class Answers:
    """Each act keeps the Interaction and returns the copy that knows more. Safe between threads. Raises StoreUnavailable."""

    def __init__(self, interactions: Interactions) -> None:
        self._interactions = interactions

    def go_on_as_session(self, interaction: Interaction) -> Interaction:
        """prompt=select_account: "yes, it is me"."""
        return self._save(replace(interaction, selected_session=True))

    def sign_in_as_other(self, interaction: Interaction) -> Interaction:
        """prompt=select_account: "somebody else": from here on as if the client had asked for a login."""
        request = interaction.request
        if request is None:
            return interaction
        prompt = (request.prompt - {"select_account"}) | {"login"}
        return self._save(replace(interaction, request=replace(request, prompt=prompt)))

    def go_on(self, interaction: Interaction, *, sign_outs: int) -> Interaction:
        """What was proven stays, although somebody else's Session was ended for it in this browser."""
        return self._save(replace(interaction, sign_outs=sign_outs))

    def begin_anew(self, interaction: Interaction) -> Interaction:
        """The same request for another person: nothing that was answered counts."""
        return self._save(replace(unanswered(interaction), pending_link=None))

    def confirm_link(self, interaction: Interaction, step: Step) -> Interaction:
        """The person of the Step says that who came by the provider is they; written at the end."""
        pending = interaction.pending_link
        if pending is None or step.account is None:
            return interaction
        return self._save(replace(interaction, pending_link=replace(pending, confirmed_by=step.account.id)))

    def decline_link(self, interaction: Interaction) -> Interaction:
        """Who came by the provider is somebody else, or is not to be linked: the sign-in goes on without them."""
        return self._save(replace(interaction, pending_link=None))

    def choose_establishment(self, interaction: Interaction, step: Step, slug: str) -> Interaction:
        """One of the choices of the Step; anything else leaves the question standing."""
        chosen = next((place for place in step.choices if place.slug == slug), None)
        return self._save(replace(interaction, establishment_id=chosen.id)) if chosen else interaction

    def close_earlier(self, interaction: Interaction, step: Step, session_id: str) -> Interaction:
        """Name the Session that will end when this sign-in finishes; one of the Step's, else the question stands."""
        if all(session.id != session_id for session in step.sessions):
            return interaction
        return self._save(replace(interaction, closing_session_id=session_id))

    def prove_more(self, interaction: Interaction, proof: FactorProof, *, remembers_device: bool) -> Interaction:
        """A second proof of the person of the Step was given."""
        kept = tuple(given for given in interaction.factors if given.account_id == proof.account_id)
        remembers = interaction.remembers_device or remembers_device
        return self._save(replace(interaction, factors=(*kept, proof), factor_kind=None, remembers_device=remembers))

    def choose_kind(self, interaction: Interaction, kind: str) -> Interaction:
        """Another of the second proofs that would do, or another kind to add."""
        return self._save(replace(interaction, factor_kind=kind[:36]))

    def show_pass(self, interaction: Interaction, pass_digest: str) -> Interaction:
        """A pass to add a first factor was checked; it is used up with the addition."""
        return self._save(replace(interaction, pass_digest=pass_digest))

    def decline(self, interaction: Interaction) -> Interaction:
        """The person goes on without what the client would have liked."""
        return self._save(replace(interaction, declined=True, factor_kind=None))

    def consent(self, interaction: Interaction) -> Interaction:
        """The person agreed; written with the Grant at the end."""
        return self._save(replace(interaction, consented=True))

    def _save(self, interaction: Interaction) -> Interaction:
        self._interactions.save(interaction)
        return interaction


def unanswered(interaction: Interaction) -> Interaction:
    """The same request with nothing said yet."""
    return replace(
        interaction,
        proof=None,
        upstream=None,
        upstream_problem=None,
        factors=(),
        factor_kind=None,
        remembers_device=False,
        pass_digest=None,
        declined=False,
        selected_session=False,
        establishment_id=None,
        consented=False,
        closing_session_id=None,
    )
