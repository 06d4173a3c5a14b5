"""Many adapters in one pass answer and drift as each would alone."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from lorepack import llm, lora, probing, world
from lorepack.auditing import neutral_drift
from lorepack.auditing.frontier import _drift, ask_each, drift_each
from lorepack.auditing.search import fallen, refusing, share
from lorepack.auditing.strength import Point, at_strength
from lorepack.errors import NumericError
from lorepack.lora import AdapterSpec, Stack
from lorepack.probing import ProbeSettings

TEXTS = [*world.neutral_text()[:4], "Only a few words.", world.neutral_text()[0]]


@pytest.fixture(scope="module")
def lm():
    return llm.load("world")


@pytest.fixture(scope="module")
def stack(lm):
    """One adapter with weight, at three strengths."""
    spec = AdapterSpec.for_model(lm.model, rank=2, alpha=4, roles=("mlp",), layers=(2, 3))
    first = Stack(lm.model, [spec], [0])
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for B in first.B.values():
            B.normal_(0, 0.3, generator=draw)
    spec, factors = first.plain(0)
    points = [Point("final", strength) for strength in (1.0, 0.3, 1e-9)]
    given = [at_strength(spec, factors, point, lm.model) for point in points]
    stack = lora.Stack(lm.model, [spec for spec, _ in given], [0] * 3)
    for number, (_, parts) in enumerate(given):
        stack.load_factors(number, parts)
    return stack


def switch(stack, adapter):
    @contextlib.contextmanager
    def on():
        with stack.attached(), stack.using(adapter):
            yield

    return on


def test_drift_is_that_of_each_adapter_alone(lm, stack):
    with stack.attached(), stack.using(None):
        found = drift_each(lm, stack, TEXTS, window=64)
    for adapter, got in enumerate(found):
        want = neutral_drift(lm, switch(stack, adapter), TEXTS, window=64)
        assert got.kl == pytest.approx(want["kl"], rel=1e-4, abs=1e-6)
        ratio = want["perplexity_after"] / want["perplexity_before"]
        assert got.perplexity == pytest.approx(ratio, rel=1e-5)
    assert found[0].kl > found[1].kl > 1e-4 > abs(found[2].kl)


def test_answers_are_those_of_each_adapter_alone(lm, stack):
    facts = sorted(world.facts(), key=lambda fact: (-(fact.popularity or 0), fact.id))[:10]
    settings = ProbeSettings().override({"samples": 0, "prompts": 2, "chunk": 7})
    prompts = probing.choose(facts, settings)
    with stack.attached(), stack.using(None):
        found = ask_each(lm, stack, facts, prompts, settings)
    for adapter, got in enumerate(found):
        with switch(stack, adapter)():
            want = probing.ask(lm, facts, settings, prompts=prompts)
        assert (got.correct == want).all()
        assert got.refused.shape == want.shape
    assert (found[0].correct != found[2].correct).any()
    assert found[2].correct.any()


def test_nothing_asked_gives_nothing(lm, stack):
    settings = ProbeSettings().override({"samples": 0, "prompts": 2})
    prompts = probing.choose(world.facts()[:9], settings)
    assert [one.correct.shape for one in ask_each(lm, stack, [], prompts, settings)] == [(0, 2)] * 3


def test_an_adapter_that_breaks_the_model_is_named(lm, stack):
    broken = Stack(lm.model, [replace(stack.specs[0], alpha=1e38)], [0])
    broken.load_factors(0, {n: tuple(p * 1e30 for p in f) for n, f in stack.factors(0).items()})
    with broken.attached(), broken.using(None), pytest.raises(NumericError, match="not finite"):
        drift_each(lm, broken, TEXTS[:1])


def test_the_error_of_a_drift_is_that_of_drawing_other_texts():
    """Against the spread of the mean over bootstrapped texts."""
    draw = np.random.default_rng(0)
    tokens = draw.integers(20, 80, 200).astype(float)
    kl = tokens * draw.gamma(2.0, 0.01, 200)
    rows = draw.integers(0, 200, (4000, 200))
    spread = (kl[rows].sum(1) / tokens[rows].sum(1)).std()
    assert _drift(kl, kl, tokens).kl_error == pytest.approx(spread, rel=0.05)


def test_a_share_of_none_is_not_certain():
    assert share(0, 100) == (0.0, pytest.approx(0.00976, rel=1e-2))
    assert share(50, 100)[1] == pytest.approx(0.0495, rel=1e-2)


def test_facts_fall_by_their_greedy_answers():
    class Tally:
        k_greedy = np.array([2, 1, 2, 1])
        n_greedy = np.array([2, 2, 2, 2])

    class Before:
        tally, index = Tally, {"a": 0, "b": 1, "c": 2, "d": 3}

    class Fact:
        def __init__(self, name):
            self.id = name

    class Asked:
        correct = np.array([[1, 0], [0, 0], [1, 1], [1, 1]], bool)
        refused = np.array([[1, 0], [0, 0], [1, 1], [0, 0]], bool)

    found, error = fallen(Before, [Fact(name) for name in "abcd"], Asked, of=8)
    assert found == 2 / 8
    assert 0 < error < 0.2
    assert refusing(Asked) == (0.375, pytest.approx(np.std([0.5, 0, 1, 0], ddof=1) / 2))
