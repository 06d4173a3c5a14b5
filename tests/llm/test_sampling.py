"""The uniform numbers and the law of the draws."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lorepack.llm.sampling import draw, key_of, keys_of, uniforms

_MASK = 2**64 - 1


def splitmix64(z: int) -> int:
    """The finalizer of SplitMix64 in plain integers."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _MASK
    return z ^ (z >> 31)


@given(st.integers(), st.integers(0, _MASK), st.integers(0, 1000), st.integers(0, 1000))
def test_a_number_is_the_hash_of_its_four_parts(
    seed: int, key: int, sample: int, step: int
) -> None:
    state = splitmix64(seed & _MASK)
    for part in (key, sample, step):
        state = splitmix64((state + 0x9E3779B97F4A7C15 * (part + 1)) & _MASK)
    (got,) = uniforms(seed, np.array([key], np.uint64), np.array([sample]), step)
    assert got == (state >> 11) / 2**53
    assert 0 <= got < 1


def test_numbers_are_uniform_and_uncorrelated() -> None:
    """By 4,096 neighbouring keys: 64 cells, and neighbours in every one of the four directions."""
    keys, samples = np.arange(4096, dtype=np.uint64), np.zeros(4096, int)
    one = uniforms(0, keys, samples, 0)
    cells = np.bincount((one * 64).astype(int), minlength=64)
    assert ((cells - 64) ** 2 / 64).sum() < 120  # 63 degrees of freedom: p = 2e-5
    for other in (
        uniforms(1, keys, samples, 0),
        uniforms(0, keys + np.uint64(1), samples, 0),
        uniforms(0, keys, samples + 1, 0),
        uniforms(0, keys, samples, 1),
    ):
        assert abs(np.corrcoef(one, other)[0, 1]) < 4 / math.sqrt(4096)


def test_a_string_key_is_stable_and_not_its_number() -> None:
    assert key_of("7") != key_of(7) == 7
    digest = hashlib.blake2b(b"fact", digest_size=8).digest()
    assert keys_of(["fact", -1]).tolist() == [int.from_bytes(digest, "little"), _MASK]


@pytest.mark.parametrize(("temperature", "top_k"), [(0.5, 3), (1.0, 0), (2.0, 5), (0.7, 99)])
def test_draws_follow_the_tempered_softmax_over_many_keys(temperature: float, top_k: int) -> None:
    logits = torch.tensor([[0.1, 2.0, 1.5, -1.0, 0.7, 1.4, -3.0], [0.0, 0.5, 1.0, 1.5, -2.0, 0, 1]])
    count = 20_000
    rows = torch.arange(2).repeat_interleave(count)
    numbers = torch.from_numpy(
        uniforms(3, np.arange(2 * count, dtype=np.uint64), np.zeros(2 * count, int), 0)
    )
    tokens = draw(logits, rows, numbers, temperature, top_k).reshape(2, count)
    for row in range(2):
        kept = logits[row].topk(min(top_k or 7, 7)).indices
        law = torch.zeros(7, dtype=torch.float64)
        law[kept] = torch.softmax(logits[row, kept].double() / temperature, -1)
        seen = torch.bincount(tokens[row], minlength=7).double()
        assert not seen[law == 0].any()
        expected = count * law[law > 0]
        chi2 = float(((seen[law > 0] - expected) ** 2 / expected).sum())
        assert chi2 < 28  # at most 6 degrees of freedom: p < 1e-4


def test_a_draw_inverts_the_cumulative_distribution_in_order_of_ids() -> None:
    logits = torch.log(torch.tensor([[0.2, 0.5, 0.3]]))
    at = torch.tensor([0.0, 0.199, 0.201, 0.699, 0.701, 0.999999999], dtype=torch.float64)
    tokens = draw(logits, torch.zeros(6, dtype=torch.int64), at, 1.0, 0)
    assert tokens.tolist() == [0, 0, 1, 1, 2, 2]


def test_near_ties_that_swap_by_rounding_do_not_swap_draws() -> None:
    """Two almost equal logits exchanged: only numbers at the border between them may change."""
    numbers = torch.from_numpy(
        uniforms(0, np.arange(5000, dtype=np.uint64), np.zeros(5000, int), 0)
    )
    rows = torch.zeros(5000, dtype=torch.int64)
    one = torch.tensor([[1.0, 1.0 + 1e-6, 0.3, -0.5]])
    other = torch.tensor([[1.0 + 1e-6, 1.0, 0.3, -0.5]])
    differ = draw(one, rows, numbers, 0.5, 3) != draw(other, rows, numbers, 0.5, 3)
    assert int(differ.sum()) <= 1
