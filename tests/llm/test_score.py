"""Scores are sums of the model's own log-softmax."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch

from lorepack.errors import InputError
from lorepack.llm import LanguageModel, score, text_logprobs, text_windows, token_logprobs
from tiny_models import FAMILIES

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
