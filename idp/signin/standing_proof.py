"""Whether a first proof still stands: what it was judged by is there as it was, read in the caller's transaction.

Asked at the end of a sign-in (session.py) and when a factor is added in the middle of one (enrolment.py). Decides nothing else.
"""

from idp.signin.interaction import Proof
from idp.store.database import Transaction


def still_stands(tx: Transaction, proof: Proof) -> bool:
    """Whether what a first proof was judged by is still there: the password that was typed, its directory's word, the passkey's account."""
    if proof.is_local:
        password = tx.people.password(proof.account_id)
        if password is None:
            return proof.factor_id is not None and proof.credential_at is None  # a passkey needs no password beside it
        return password.changed_at == proof.credential_at
    links = [link for link in tx.links.of_account(proof.account_id) if link.connector == proof.connector]
    return any(link.password_changed_at == proof.credential_at for link in links)
