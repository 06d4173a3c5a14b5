"""Scores are sums of the model's own log-softmax."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable

import pytest
import torch

from lora.made import stack_of
from lorepack.errors import InputError
from lorepack.llm import (
    LanguageModel,
    score,
    score_pairs,
    text_logprobs,
    text_windows,
    token_logprobs,
)
from lorepack.lora import AdapterSpec
from tiny_models import FAMILIES, tiny

from .conftest import wrap

Models = Callable[[str], LanguageModel]


def direct(lm: LanguageModel, context: list[int], continuation: list[int]) -> float:
    """One pair alone, without padding, in fp64 from the model's logits."""
    ids = torch.tensor([context + continuation])
    table = torch.log_softmax(lm.model(ids).logits[0].double(), -1)
    places = range(len(context) - 1, len(context) + len(continuation) - 1)
    return sum(float(table[t, ids[0, t + 1]]) for t in places)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_score_is_the_summed_log_probability(tiny_lm: Models, family: str) -> None:
    lm, rng = tiny_lm(family), random.Random(0)
    draw = lambda low, high: [rng.randrange(3, 256) for _ in range(rng.randrange(low, high))]  # noqa: E731
    pairs = [(draw(1, 40), draw(0, 8)) for _ in range(20)]
    expected = [direct(lm, *pair) for pair in pairs]
    contexts, continuations = zip(*pairs, strict=True)
    for budget in (None, 100):
        found = score(lm, contexts, continuations, batch_tokens=budget)
        assert found == pytest.approx(expected, abs=2e-4)


def test_texts_are_scored_as_their_ids(stories: LanguageModel) -> None:
    contexts, ends = ["Once upon a", "Once upon a"], [" time", " brick"]
    found = score(stories, contexts, ends)
    start = stories.chat.text_ids("Once upon a")
    whole = [stories.chat.text_ids(c + e) for c, e in zip(contexts, ends, strict=True)]
    for total, ids in zip(found, whole, strict=True):
        assert ids[: len(start)] == start
        assert total == pytest.approx(direct(stories, start, ids[len(start) :]), abs=1e-4)
    assert found[0] > found[1]


def test_a_pair_that_cannot_be_scored_is_named(tiny_lm: Models) -> None:
    lm = tiny_lm("llama")
    with pytest.raises(InputError, match="2 contexts for 1"):
        score(lm, [[5], [6]], [[7]])
    with pytest.raises(InputError, match="pair 1: 0 and 1"):
        score(lm, [[5], []], [[7], [8]])
    with pytest.raises(InputError, match="pair 0: 250 and 7"):
        score(lm, [[5] * 250], [[7] * 7])


def test_running_text_gives_every_tokens_distribution(tiny_lm: Models) -> None:
    lm = tiny_lm("qwen2")
    texts = ["A short text.", "x" * 100, ""]
    windows = text_windows(lm, texts, window=40)
    assert [len(w) for w in windows] == [13, 40, 40, 20]
    assert lm.tokenizer.decode([i for w in windows[1:] for i in w]) == texts[1]
    for ids, (same, table) in zip(windows, text_logprobs(lm, texts, 40), strict=True):
        assert same.tolist() == ids
        expected = torch.log_softmax(lm.model(torch.tensor([ids])).logits[0, :-1], -1)
        assert table.shape == (len(ids) - 1, 256)
        torch.testing.assert_close(table, expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(table.exp().sum(-1), torch.ones(len(ids) - 1))


def test_every_window_opens_with_bos_and_none_outgrows_the_context(stories: LanguageModel) -> None:
    text = "Lily went to the park. " * 200
    windows = text_windows(stories, [text], window=10_000)
    assert all(w[0] == stories.tokenizer.bos_token_id for w in windows)
    assert max(len(w) for w in windows) == stories.context
    inner = [i for w in windows for i in w[1:]]
    assert inner == stories.chat.text_ids(text)[1:]
    assert token_logprobs(stories, windows[0]).shape == (511, 512)
    with pytest.raises(InputError, match="window: got 1"):
        text_windows(stories, [text], window=1)


@pytest.mark.parametrize("family", FAMILIES)
def test_choices_behind_shared_contexts_are_plain_log_softmax_sums(
    tiny_lm: Models, family: str
) -> None:
    """Few-shot contexts, questions with four choices, letters and phrases; windows are shorter."""
    lm, rng = tiny_lm(family), random.Random(1)
    draw = lambda count: [rng.randrange(3, 256) for _ in range(count)]  # noqa: E731
    shots = draw(50)
    contexts = [c for _ in range(5) for c in [[*shots, *draw(rng.randrange(5, 20))]] * 4]
    continuations = [draw(1) if i < 8 else draw(rng.randrange(1, 7)) for i in range(20)]
    expected = [direct(lm, *pair) for pair in zip(contexts, continuations, strict=True)]
    for budget in (None, 60):
        pairs = score_pairs(lm, contexts, continuations, batch_tokens=budget)
        assert [total for total, _ in pairs] == pytest.approx(expected, abs=1e-5, rel=1e-5)


def test_a_greedy_continuation_is_told_from_others(stories: LanguageModel) -> None:
    context = stories.chat.text_ids("Once upon a time, there was a")
    whole = stories.model.generate(torch.tensor([context]), max_new_tokens=5, do_sample=False)
    said = whole[0, len(context) :].tolist()
    wrong = [*said[:4], (said[4] + 1) % 500]
    found = score_pairs(stories, [context] * 4, [said, wrong, said[:2], []])
    assert [greedy for _, greedy in found] == [True, False, True, True]
    assert found[3] == (0.0, True)


@pytest.mark.parametrize("engine", [True, False])
def test_each_pair_is_scored_by_its_own_adapter(
    engine: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = wrap(tiny("qwen3"))
    names = tuple(n for n, _ in lm.model.named_modules() if n.endswith(("v_proj", "up_proj")))
    stack = stack_of(lm.model, [AdapterSpec(2, 4, False, names)] * 2)
    contexts, ends = [[*range(40, 70), 5 + i] for i in range(4)], [[9, 8], [7], [30], [31, 3]]
    adapters = [None, 0, 1]
    if not engine:
        monkeypatch.setattr(sys.modules["lorepack.llm.score"], "fits", lambda _: False)
    with stack.attached():
        stack.use(None)
        found = score(
            lm, contexts * 3, ends * 3, stack=stack, adapters=[a for a in adapters for _ in ends]
        )
        expected = []
        for adapter in adapters:
            with stack.using(adapter):
                expected += [direct(lm, *pair) for pair in zip(contexts, ends, strict=True)]
    assert found == pytest.approx(expected, abs=1e-4)
    assert len({round(x, 3) for x in found}) == 12
    with pytest.raises(InputError, match="1 adapters for 4"):
        score(lm, contexts, ends, adapters=[0])


def test_memory_that_runs_out_scores_fewer_at_once(tiny_lm: Models) -> None:
    lm = tiny_lm("gemma2")
    contexts, ends = [[*range(40, 70), 5 + i] for i in range(20)], [[7, 8]] * 20
    expected, refused = score(lm, contexts, ends), []

    def small(_module: object, _args: object, kwargs: dict) -> None:
        if kwargs["input_ids"].numel() > 33:
            refused.append(kwargs["input_ids"].numel())
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    hook = lm.model.register_forward_pre_hook(small, with_kwargs=True)
    try:
        assert score(lm, contexts, ends) == pytest.approx(expected, abs=1e-5)
    finally:
        hook.remove()
    assert refused
