"""`vestibule break-glass seal`: the last door, and what an operator must know of it."""

from tests.support.operator import Operator

PLACE = ("--establishment", "tilleuls", "--profile", "it")


def test_operator_seals_a_break_glass_account_and_sees_its_password_once(operator: Operator) -> None:
    result = operator.run("break-glass", "seal", "secours", *PLACE)
    assert result.exit_code == 0, result.output
    password = result.stdout.strip()
    assert len(password.replace("-", "")) == 30
    with operator.looking() as tx:
        (account,) = tx.people.matching("secours", None)
        kept = tx.people.password(account.id)
        (attachment,) = tx.people.attachments(account.id)
    assert account.is_break_glass
    assert kept is not None
    assert not kept.must_change
    assert attachment.profile == "it"
    assert operator.last_event("break_glass.sealed")["account_id"] == account.id
    assert password not in str(operator.events())


def test_operator_seals_it_again_and_the_old_password_is_worth_nothing(operator: Operator) -> None:
    first = operator.do("break-glass", "seal", "secours", *PLACE).strip()
    with operator.looking() as tx:
        (account,) = tx.people.matching("secours", None)
        before = tx.people.password(account.id)
    second = operator.do("break-glass", "seal", "Secours", *PLACE).strip()
    with operator.looking() as tx:
        (again,) = tx.people.matching("secours", None)
        after = tx.people.password(account.id)
        assert len(tx.people.attachments(account.id)) == 1
    assert again.id == account.id
    assert first != second
    assert before is not None
    assert after is not None
    assert before.hash != after.hash


def test_operator_cannot_give_it_a_password_of_their_own(operator: Operator) -> None:
    operator.do("break-glass", "seal", "secours", *PLACE)
    assert "break-glass seal" in operator.refused("account", "set-password", "secours", "--generate")


def test_operator_cannot_turn_a_person_into_one(operator: Operator) -> None:
    operator.do("account", "add", "--username", "claire", "--given-name", "Claire", "--family-name", "Dubois")
    assert "no active break-glass account" in operator.refused("break-glass", "seal", "claire", *PLACE)


def test_operator_is_told_of_an_unknown_establishment_or_profile(operator: Operator) -> None:
    assert "no establishment" in operator.refused("break-glass", "seal", "secours", "--establishment", "nulle-part", "--profile", "it")
    assert "not a profile" in operator.refused("break-glass", "seal", "secours", "--establishment", "tilleuls", "--profile", "capitaine")
