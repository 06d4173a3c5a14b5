"""Every adapter is updated as torch.optim.AdamW would update it alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lorepack.lora import AdapterSpec, Stack
from lorepack.training.adamw import AdamW
from lorepack.training.schedule import lr_at
from tiny_models import tiny


def stack() -> Stack:
    model = tiny("llama").double()
    make = AdapterSpec.for_model
    specs = [
        make(model, rank=2, alpha=4, roles="mlp", layers=(0, 0)),
        make(model, rank=5, alpha=4, roles="all-linear", layers=(0, 0)),
    ]
    return Stack(model, specs, [0, 1])


@settings(max_examples=10, deadline=None)
@given(
    lrs=st.lists(
        st.tuples(st.none() | st.floats(1e-5, 1e-1), st.none() | st.floats(1e-5, 1e-1)),
        min_size=1,
        max_size=6,
    ),
    decay=st.floats(0, 0.5),
    limit=st.none() | st.floats(1e-2, 10),
    beta2=st.sampled_from([(0.999, 0.999), (0.9, 0.99), (0.0, 0.95)]),
)
def test_steps_clips_and_pauses_equal_torchs(
    lrs: list[tuple[float | None, float | None]],
    decay: float,
    limit: float | None,
    beta2: tuple[float, float],
) -> None:
    ours = stack()
    optimizer = AdamW(ours, [decay, 0.0], beta2=beta2)
    alone = [
        {name: [h.clone().requires_grad_() for h in pair] for name, pair in ours.factors(i).items()}
        for i in (0, 1)
    ]
    peers = [
        torch.optim.AdamW(
            [h for p in alone[i].values() for h in p],
            lr=1.0,
            weight_decay=d,
            betas=(0.9, beta2[i]),
        )
        for i, d in ((0, decay), (1, 0.0))
    ]
    draw = torch.Generator().manual_seed(1)
    for step in lrs:
        for index in (0, 1):
            for name, (lora_A, lora_B) in alone[index].items():
                site, rank = ours.sites[name], ours.specs[index].rank_of(name)
                slot = site.slots[index]
                for parameter, half in ((site.A, lora_A), (site.B, lora_B)):
                    half.grad = torch.randn(half.shape, generator=draw, dtype=half.dtype)
                    if parameter.grad is None:
                        parameter.grad = torch.zeros_like(parameter)
                    parameter.grad[slot] = 0
                site.A.grad[slot, :, :rank] = lora_A.grad.T
                site.B.grad[slot, :rank] = lora_B.grad.T
        norms = optimizer.clip([limit, None])
        halves = [[h for pair in each.values() for h in pair] for each in alone]
        for index, each in enumerate(halves):
            bound = limit if index == 0 and limit else float("inf")
            norm = torch.nn.utils.clip_grad_norm_(each, bound)
            assert abs(norms[index] - norm.item()) <= 1e-9 * norm.item()
        optimizer.step(step)
        for peer, lr in zip(peers, step, strict=True):
            if lr is not None:
                peer.param_groups[0]["lr"] = lr
                peer.step()
    for index in (0, 1):
        for name, pair in ours.factors(index).items():
            for got, want in zip(pair, alone[index][name], strict=True):
                torch.testing.assert_close(got, want.detach(), rtol=1e-9, atol=1e-12)
    rank = ours.specs[0].rank
    for name in ours.specs[0].targets:
        assert not ours.A[name][0, :, rank:].any()


def test_schedules_begin_at_the_peak_and_fall_to_zero() -> None:
    def rates(kind: str, warmup: int = 0) -> list[float]:
        return [lr_at(s, total=10, peak=2.0, warmup=warmup, kind=kind) for s in range(11)]  # type: ignore[arg-type]

    assert rates("linear") == pytest.approx([2.0 * (10 - s) / 10 for s in range(11)])
    assert rates("constant") == [2.0] * 11
    cosine = rates("cosine")
    assert (cosine[0], round(cosine[5], 12), cosine[10]) == (2.0, 1.0, 0.0)
    assert cosine == sorted(cosine, reverse=True)
    warm = rates("linear", warmup=4)
    assert warm[:5] == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert warm[10] == 0.0
