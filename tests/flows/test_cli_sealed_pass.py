"""`vestibule pass print`: sealed approval passes, shown once, good at one establishment and once."""

import json
from datetime import timedelta

from idp.audit import Author
from idp.desk.approval_passes import ApprovalPasses
from tests.support.operator import Operator
from tests.support.second_factors import ORIGIN
from tests.support.world import World

AUTHOR = Author("operator:test", ORIGIN)


def test_an_operator_prints_passes_once_and_nothing_keeps_them(operator: Operator) -> None:
    made = json.loads(operator.do("pass", "print", "tilleuls", "--count", "2", "--days", "30", "--json"))
    assert [one["establishment"] for one in made] == ["tilleuls", "tilleuls"]
    assert len({one["pass"] for one in made}) == 2
    sheet = operator.do("pass", "print", "tilleuls", "--count", "1")
    assert "LAISSEZ-PASSER D'APPROBATION 1/1" in sheet
    issued = operator.events("pass.issued")
    assert [line["details"]["purpose"] for line in issued] == ["approve"] * 3
    assert not any(one["pass"] in json.dumps(issued) for one in made)


def test_an_operator_is_told_when_there_is_no_such_establishment(operator: Operator) -> None:
    assert "ailleurs" in operator.refused("pass", "print", "ailleurs")
    assert operator.events("pass.issued") == []


def test_a_sealed_pass_serves_once_and_at_its_own_establishment(world: World) -> None:
    passes = ApprovalPasses(world.application.keyring, world.clock)
    tilleuls, glycines = world.establishment("tilleuls"), world.establishment("glycines")
    with world.arranging() as tx:
        code, _ = passes.issue(tx, tilleuls, AUTHOR, label="1/1", life=timedelta(days=1))
    with world.arranging() as tx:
        assert passes.redeem(tx, code, glycines.id, AUTHOR) is None
        assert passes.redeem(tx, code.lower().replace("-", " "), tilleuls.id, AUTHOR) is not None
        assert passes.redeem(tx, code, tilleuls.id, AUTHOR) is None
    assert [line["details"]["purpose"] for line in world.events("pass.used")] == ["approve"]
