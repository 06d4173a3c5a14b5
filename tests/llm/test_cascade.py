"""Attention over a prefix and a row, joined, is attention over both: against fp64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lorepack.llm.engine.attention import Form, Stretch, joined, over_prefix, over_rows


def plain(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, form: Form
) -> torch.Tensor:
    """Queries (n, H, D) at the places behind P shared keys: softmax in fp64."""
    count, heads, _ = query.shape
    rep = heads // keys.shape[0]
    k, v = (x.double().repeat_interleave(rep, 0) for x in (keys, values))  # (H, S, D)
    scores = torch.einsum("nhd,hsd->nhs", query.double(), k) * form.scaling
    if form.softcap:
        scores = form.softcap * torch.tanh(scores / form.softcap)
    back = (keys.shape[1] - count + torch.arange(count))[:, None] - torch.arange(keys.shape[1])
    hidden = back < 0
    if form.window is not None:
        hidden |= back >= form.window
    weights = torch.softmax(scores.masked_fill(hidden[:, None], -torch.inf), -1)
    return torch.einsum("nhs,hsd->nhd", weights, v)


@given(
    shared=st.integers(1, 30),
    own=st.integers(1, 12),
    groups=st.sampled_from([1, 2, 3]),
    rep=st.sampled_from([1, 2, 4]),
    window=st.one_of(st.none(), st.integers(1, 45)),
    softcap=st.one_of(st.none(), st.just(5.0)),
    seed=st.integers(0, 9),
)
def test_two_stretches_are_one_softmax(
    shared: int,
    own: int,
    groups: int,
    rep: int,
    window: int | None,
    softcap: float | None,
    seed: int,
) -> None:
    draw = torch.Generator().manual_seed(seed)
    make = lambda *shape: 3 * torch.randn(*shape, generator=draw)  # noqa: E731
    query = make(own, groups * rep, 8)
    keys, values = make(groups, shared + own, 8), make(groups, shared + own, 8)
    form = Form(0.3, window, softcap)
    before = Stretch.empty(query)
    places = shared + torch.arange(own)
    over_prefix(query, keys[:, :shared], values[:, :shared], places, form, before, 0)
    back = torch.arange(own)[:, None] - torch.arange(own)
    hidden = (back < 0) if window is None else (back < 0) | (back >= window)
    mine = over_rows(
        query[None], keys[None, :, shared:], values[None, :, shared:], hidden[None], form
    )
    found = joined(mine, before)
    expected = plain(query, keys, values, form)
    torch.testing.assert_close(found.double(), expected, atol=2e-5, rtol=1e-4)


def test_scores_of_hundreds_neither_overflow_nor_vanish() -> None:
    query = torch.full((1, 1, 4), 30.0)
    keys = torch.stack([torch.full((4,), s) for s in (30.0, -30.0, 30.0)])[None]
    values = torch.tensor([[[1.0], [2.0], [3.0]]]).expand(1, 3, 4)
    before = Stretch.empty(query)
    over_prefix(query, keys[:, :2], values[:, :2], torch.tensor([2]), Form(1.0), before, 0)
    mine = over_rows(query[None], keys[None, :, 2:], values[None, :, 2:], None, Form(1.0))
    assert joined(mine, before)[0, 0].tolist() == pytest.approx([2.0] * 4)
