"""Whether the desk has taken a person's second factors, and nothing has come in their place yet.

Owns one question, for all who hand something out: then the next factor is only brought by the two halves of a reset (requests may be asked for it
though no factor is there), by no pass of an agent's and by no sign-in with the password alone. Reads the store; changes nothing.
"""

from idp.signin.enrolment import has_strong
from idp.store.database import Transaction


def were_taken(tx: Transaction, account_id: str) -> bool:
    """Whether they hold no second factor because somebody at the console ended it, and have enrolled none since."""
    return not has_strong(tx.factors.open_of(account_id)) and tx.events.were_factors_taken(account_id)
