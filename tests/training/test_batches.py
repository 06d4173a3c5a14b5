"""Order, and the rules for examples that do not fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorepack.errors import InputError
from lorepack.training import Example
from lorepack.training.batches import epoch_order, fit


@given(count=st.integers(1, 300), seed=st.integers(0, 2**40), epoch=st.integers(0, 50))
def test_an_epoch_sees_every_example_once(count: int, seed: int, epoch: int) -> None:
    order = epoch_order(count, seed, epoch)
    assert sorted(order) == list(range(count))
    assert epoch_order(count, seed, epoch) == order


def test_orders_differ_between_epochs_and_seeds() -> None:
    orders = {epoch_order(50, seed, epoch) for seed in (0, 1) for epoch in (0, 1, 2)}
    assert len(orders) == 6


LONG = Example(tuple(range(3, 23)), 15, "long")
LATE = Example(tuple(range(3, 23)), 18, "late")
SHORT = Example((5, 6, 7), 2, "short")


def test_rules_for_what_is_too_long() -> None:
    def by(rule: str, limit: int, whole: bool = False):  # type: ignore[no-untyped-def]
        return fit([LONG, SHORT, LATE], limit=limit, rule=rule, whole=whole, vocabulary=256)  # type: ignore[arg-type]

    assert by("error", 20).examples == (LONG, SHORT, LATE)
    with pytest.raises(InputError, match="fact long has 20 tokens, expected at most 19"):
        by("error", 19)
    dropped = by("drop", 19)
    assert (dropped.examples, dropped.cut, dropped.dropped) == ((SHORT,), 0, 2)
    cut = by("cut", 17)  # nothing is left of the late answer
    assert [len(example.ids) for example in cut.examples] == [17, 3]
    assert (cut.cut, cut.dropped) == (1, 1)
    whole = by("cut", 17, whole=True)
    assert (len(whole.examples), whole.cut, whole.dropped) == (3, 2, 0)


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ([], "no training examples"),
        ([Example((5, 6), 2, "bare")], "fact bare has no token in the loss"),
        ([Example((), 0, "void")], "fact void has no token in the loss"),
        ([Example((5,), 0, "one")], "fact one has no token in the loss"),
        ([Example((5, 6), -1, "minus")], "fact minus has no token in the loss"),
        ([Example((5, 256), 1, "alien")], "token 256, but the model knows 0 to 255"),
        ([LONG, LATE], "all 2 examples are longer than 4 tokens"),
    ],
)
def test_what_cannot_be_trained_is_refused(examples: list[Example], message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit(examples, limit=4, rule="drop", whole=False, vocabulary=256)
