"""KL and perplexity agree with the textbook in fp64."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from lorepack.auditing import divergence, neutral_drift
from lorepack.errors import NumericError
from probing.scripted import ScriptedModel

VOCABULARY = 128
STORIES = Path(__file__).parents[3] / "shared/data/models/stories260K"


def logits_of(model: ScriptedModel, ids: list[int]) -> torch.Tensor:
    """Random predictions that depend on the token and on whether the adapter is on."""
    rows = [np.random.default_rng([i, model.adapted]).normal(size=VOCABULARY) for i in ids[:-1]]
    return torch.tensor(np.array(rows), dtype=torch.float32)


def logprobs(model: ScriptedModel, ids: list[int]) -> torch.Tensor:
    return torch.log_softmax(logits_of(model, ids), -1)


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel(lambda asked: "")


def test_figures_are_those_of_fp64(model: ScriptedModel) -> None:
    texts = ["A quiet morning by the river.", "Two hundred", "x"]
    found = neutral_drift(model, model.adapter_on, texts, window=10, logprobs=logprobs)
    kl, before, after, tokens = 0.0, 0.0, 0.0, 0
    for text in texts:
        for start in range(0, len(text), 10):
            ids = [ord(c) for c in text[start : start + 10]]
            for i, j in pairwise(ids):
                p, q = (
                    np.exp(z) / np.exp(z).sum()
                    for z in (
                        np.random.default_rng([i, on]).normal(size=VOCABULARY) for on in (0, 1)
                    )
                )
                kl += float((p * np.log(p / q)).sum())
                before, after, tokens = before - np.log(p[j]), after - np.log(q[j]), tokens + 1
    assert found is not None
    assert found["tokens"] == tokens == 35
    assert found["kl"] == pytest.approx(kl / tokens, rel=1e-5)
    assert found["perplexity_before"] == pytest.approx(np.exp(before / tokens), rel=1e-5)
    assert found["perplexity_after"] == pytest.approx(np.exp(after / tokens), rel=1e-5)


def test_an_adapter_that_does_nothing_drifts_nowhere(model: ScriptedModel) -> None:
    @contextmanager
    def nothing():
        yield

    found = neutral_drift(model, nothing, ["some text"], logprobs=logprobs)
    assert found is not None
    assert found["kl"] == 0
    assert found["perplexity_before"] == found["perplexity_after"]


def test_tokens_that_the_base_rules_out_add_nothing() -> None:
    base = torch.log(torch.tensor([[0.5, 0.5, 0.0]]))
    adapted = torch.log(torch.tensor([[0.25, 0.5, 0.25]]))
    assert divergence(base, adapted) == pytest.approx(0.5 * np.log(2))
    both = torch.log(torch.tensor([[1.0, 0.0]]))
    assert divergence(both, both) == 0


def test_no_text_is_no_figure(model: ScriptedModel) -> None:
    assert neutral_drift(model, model.adapter_on, [], logprobs=logprobs) is None
    assert neutral_drift(model, model.adapter_on, ["x"], logprobs=logprobs) is None


def test_nan_is_an_error_that_says_where(model: ScriptedModel) -> None:
    def broken(lm: ScriptedModel, ids: list[int]) -> torch.Tensor:
        return logprobs(lm, ids) * (float("nan") if lm.adapted else 1.0)

    with pytest.raises(NumericError, match="window 0"):
        neutral_drift(model, model.adapter_on, ["some text"], logprobs=broken)


@pytest.mark.skipif(not STORIES.is_dir(), reason="needs shared/data/models/stories260K")
def test_a_stack_drifts_as_its_merged_weights_do() -> None:
    from lorepack import lora
    from lorepack.auditing.audit import _switch
    from lorepack.llm import load
    from lorepack.llm.score import text_logprobs

    lm = load(STORIES, device="cpu")
    targets = tuple(lora.resolve(lm.model, ("mlp",)))
    spec = lora.AdapterSpec(rank=2, alpha=4, rslora=True, targets=targets, dropout=0.0)
    stack = lora.Stack(lm.model, [spec], [0])
    with torch.no_grad():
        for factor in stack.B.values():
            factor.normal_(0, 0.1, generator=torch.Generator().manual_seed(0))
    text = ["Once upon a time there was a little girl who lived by the sea."]
    found = neutral_drift(lm, _switch(stack), text)
    [(_, base)] = list(text_logprobs(lm, text))
    with lora.merged(lm.model, spec, stack.factors(0)):
        [(ids, merged)] = list(text_logprobs(lm, text))
    assert found is not None
    expected = (base.double().exp() * (base.double() - merged.double())).sum(-1).mean()
    assert found["kl"] == pytest.approx(float(expected), rel=1e-3)
    assert found["kl"] > 0.01
    loss = -merged.gather(-1, ids[1:, None]).double().mean()
    assert found["perplexity_after"] == pytest.approx(float(loss.exp()), rel=1e-4)


def batched(model: ScriptedModel, texts: list[str]) -> dict:
    found = neutral_drift(model, model.adapter_on, texts, window=10, logprobs=logprobs)
    assert found is not None
    return found


def test_the_most_changed_tokens_are_those_of_fp64(model: ScriptedModel) -> None:
    texts = ["A quiet morning by the river.", "Two hundred"]
    by_token: dict[str, list[float]] = {}
    for text in texts:
        for start in range(0, len(text), 10):
            for i, j in pairwise(text[start : start + 10]):
                p, q = (
                    np.exp(z) / np.exp(z).sum()
                    for z in (
                        np.random.default_rng([ord(i), on]).normal(size=VOCABULARY) for on in (0, 1)
                    )
                )
                by_token.setdefault(j, []).append(float((p * np.log(p / q)).sum()))
    whole = sum(map(sum, by_token.values()))
    rows = batched(model, texts)["most_changed"]
    assert len(rows) == min(20, len(by_token))
    assert [row["share"] for row in rows] == sorted((r["share"] for r in rows), reverse=True)
    for row in rows:
        values = by_token[row["token"]]
        assert row["count"] == len(values)
        assert row["kl"] == pytest.approx(np.mean(values), rel=1e-5)
        assert row["share"] == pytest.approx(sum(values) / whole, rel=1e-5)


def test_a_token_that_nothing_changed_before_is_not_listed(model: ScriptedModel) -> None:
    @contextmanager
    def nothing():
        yield

    found = neutral_drift(model, nothing, ["some text"], logprobs=logprobs)
    assert found is not None
    assert found["most_changed"] == []


@pytest.fixture(scope="module")
def adapted():
    from lorepack import lora
    from lorepack.llm import load

    lm = load("world", device="cpu", dtype="float32")
    spec = lora.AdapterSpec(2, 4.0, False, tuple(lora.resolve(lm.model, ("mlp",))))
    stack = lora.Stack(lm.model, [spec] * 3, [0, 1, 2])
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for factor in stack.B.values():
            factor[1:].normal_(0, 0.02, generator=draw)  # the first changes nothing
    return lm, stack


NEUTRAL = ["The river was high that spring. " * n for n in (1, 3, 9, 2, 40)]


def test_batches_change_no_figure(adapted, monkeypatch) -> None:
    from lorepack.auditing import drift

    lm, stack = adapted
    with stack.attached(), stack.using(None):
        switch = lambda: stack.using(1)  # noqa: E731
        together = neutral_drift(lm, switch, NEUTRAL, window=64)
        with monkeypatch.context() as patch:
            patch.setattr(drift, "_LOGITS", {"cpu": 1, "cuda": 1})
            alone = neutral_drift(lm, switch, NEUTRAL, window=64)
        engine = drift.token_logprobs
        seam = neutral_drift(
            lm, switch, NEUTRAL, window=64, logprobs=lambda lm, ids: engine(lm, ids)
        )
    assert together is not None
    for other in (alone, seam):
        assert other is not None
        for name in ("kl", "perplexity_before", "perplexity_after"):
            assert together[name] == pytest.approx(other[name], rel=1e-5)
        assert together["tokens"] == other["tokens"]
        assert [r["token"] for r in together["most_changed"][:5]] == [
            r["token"] for r in other["most_changed"][:5]
        ]
    assert together["kl"] > 1e-3


def test_several_adapters_in_a_pass_drift_as_each_alone(adapted) -> None:
    from lorepack.auditing import neutral_drifts

    lm, stack = adapted
    seen: list[tuple[int, int]] = []
    rows = neutral_drifts(
        lm, stack, [2, 0, 1], NEUTRAL, window=64, progress=lambda *step: seen.append(step)
    )
    for index, row in zip([2, 0, 1], rows, strict=True):
        with stack.attached(), stack.using(None):
            alone = neutral_drift(lm, lambda i=index: stack.using(i), NEUTRAL, window=64)
        assert row == alone
    assert rows[1] is not None
    assert rows[1]["kl"] == 0
    assert rows[0] != rows[2]
    assert seen[-1][0] == seen[-1][1]
    assert neutral_drifts(lm, stack, [0, 1], []) == [None, None]


def test_nan_in_one_adapter_is_an_error(adapted) -> None:
    from lorepack import lora
    from lorepack.auditing import neutral_drifts

    lm, stack = adapted
    broken = lora.Stack(lm.model, [stack.specs[0]], [0])
    with torch.no_grad():
        next(iter(broken.B.values())).fill_(float("nan"))
    with pytest.raises(NumericError, match="not finite"):
        neutral_drifts(lm, broken, [0], NEUTRAL)
