"""Limits are read strictly; the chosen point is the one that a plain reading of the rule gives."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorepack.auditing import outside
from lorepack.auditing.budget import (
    BudgetSettings,
    Limit,
    Measured,
    choose,
    parse_limits,
    verdict,
)
from lorepack.auditing.strength import Point
from lorepack.errors import InputError


def test_limits_come_from_text_or_numbers_in_order():
    want = (Limit("mmlu", -0.01), Limit("neutral_kl", 0.05))
    assert parse_limits(["neutral_kl=0.05", "mmlu=-0.01"]) == want
    assert parse_limits({"neutral_kl": 0.05, "mmlu": "-0.01"}) == want
    assert parse_limits(["world-truth = 5e-2"]) == (Limit("world-truth", 0.05),)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["neutral_lk=0.05"], "unknown measure 'neutral_lk'; did you mean neutral_kl?"),
        (["zzz=1"], "unknown measure 'zzz'; known: arc_challenge"),
        (["neutral_kl"], "expected MEASURE=LIMIT"),
        (["=0.1"], "expected MEASURE=LIMIT"),
        (["neutral_kl="], "expected MEASURE=LIMIT"),
        (["neutral_kl=5%"], "neutral_kl=5%: expected a number of 0 or more"),
        (["neutral_kl=nan"], "expected a number"),
        (["neutral_kl=inf"], "expected a number"),
        (["neutral_kl=-0.1"], "expected a number of 0 or more"),
        (["negative_shift=2"], "negative_shift=2: expected a number of 0 to 1"),
        (["mmlu=-1.5"], "mmlu=-1.5: expected a number of -1 to 1"),
        (["refusals=0.1", "refusals=0.2"], "refusals is given twice"),
        ({"neutral_kl": True}, "expected a number"),
        ({"neutral_kl": None}, "expected a number"),
    ],
)
def test_what_is_no_limit_is_refused_in_one_line(given, message):
    with pytest.raises(InputError) as caught:
        parse_limits(given)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ({"margn": "1"}, "no setting 'margn'; did you mean margin?"),
        ({"strengths": "0.5,x"}, "strengths"),
        ({"strengths": "0"}, "strengths"),
        ({"facts": "1"}, "facts"),
    ],
)
def test_settings_are_read_strictly(sets, message):
    with pytest.raises(InputError, match=message):
        BudgetSettings.build(["neutral_kl=1"], sets)
    assert BudgetSettings.build(["neutral_kl=1"], {"strengths": "0.5, 1"}).strengths == (0.5, 1.0)


def test_a_budget_without_a_limit_is_refused():
    with pytest.raises(InputError, match="no limit given"):
        BudgetSettings.build([])


def test_a_limit_on_a_task_holds_from_below_and_others_from_above():
    assert Limit("mmlu", -0.01).holds(-0.01)
    assert not Limit("mmlu", -0.01).holds(-0.011)
    assert not Limit("mmlu", -0.01).holds(-0.005, error=0.006)
    assert Limit("neutral_kl", 0.05).holds(0.05)
    assert not Limit("neutral_kl", 0.05).holds(0.051)
    assert not Limit("neutral_kl", 0.05).holds(0.045, error=0.006)
    assert Limit("refusals", 0.0).excess(0.25) == 0.25  # in units of 1 where the limit is 0


shares = st.sampled_from([0.0, 0.01, 0.02, 0.03, 0.1])
rows = st.lists(st.tuples(st.sampled_from([0.2, 0.9, 1.0]), shares, shares, shares), min_size=1)
LIMITS = (Limit("negative_shift", 0.02), Limit("neutral_kl", 0.02))


def points_of(given: list[tuple[float, float, float, float]]) -> list[Measured]:
    return [
        Measured(
            Point(number, 1.0),
            reliability,
            {"neutral_kl": kl, "negative_shift": shift},
            {"neutral_kl": error / 10},
        )
        for number, (reliability, kl, shift, error) in enumerate(given)
    ]


@given(rows)
def test_the_choice_is_the_most_reliable_that_holds_with_the_margin(given):
    points = points_of(given)
    chosen = points[choose(points, LIMITS, margin=2)]

    def safe(one):
        kl = one.measures["neutral_kl"] + 2 * one.errors["neutral_kl"]
        return kl <= 0.02 and one.measures["negative_shift"] <= 0.02

    held = [one for one in points if safe(one)]
    if held:
        assert safe(chosen)
        best = max(one.reliability for one in held)
        assert chosen.reliability == best
        harm = {one.point: sum(one.measures.values()) for one in held if one.reliability == best}
        assert harm[chosen.point] == pytest.approx(min(harm.values()))
    else:

        def beyond(one):
            kl = one.measures["neutral_kl"] + 2 * one.errors["neutral_kl"]
            shift = one.measures["negative_shift"]
            return max(0, kl - 0.02) / 0.02 + max(0, shift - 0.02) / 0.02

        assert beyond(chosen) == pytest.approx(min(map(beyond, points)))


@given(rows, st.randoms())
def test_the_choice_does_not_depend_on_the_order_but_among_equals(given, draw):
    points = points_of(given)
    shuffled = list(points)
    draw.shuffle(shuffled)
    one, other = points[choose(points, LIMITS)], shuffled[choose(shuffled, LIMITS)]
    assert (one.reliability, sum(one.measures.values())) == pytest.approx(
        (other.reliability, sum(other.measures.values()))
    )


def test_the_verdict_names_value_limit_and_whether_it_held():
    found = verdict({"neutral_kl": 0.01, "negative_shift": 0.021, "perplexity": 1}, LIMITS)
    assert found == {
        "negative_shift": {"value": 0.021, "limit": 0.02, "held": False},
        "neutral_kl": {"value": 0.01, "limit": 0.02, "held": True},
    }


def test_a_point_comes_back_from_its_row():
    for layers in (None, (0.5, 0.25, 1.2)):
        one = Measured(Point("final", 0.5, layers), 0.9, {"neutral_kl": 0.01}, {"neutral_kl": 0.1})
        assert Measured.from_json(one.to_json(LIMITS[1:])) == one


def test_infinite_perplexity_is_beyond_any_limit():
    assert Limit("perplexity", 2.0).excess(math.inf) == math.inf


def test_unknown_tasks_are_told_before_any_work():
    with pytest.raises(InputError, match="world-truth"):
        outside.require(["world-trut"])
    outside.require([])
