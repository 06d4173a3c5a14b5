"""Masks are pure functions of their coordinates, and as random as dropout needs."""

from __future__ import annotations

import pytest
import torch

from lorepack.lora.dropout import keep_mask, mask_key


def draw(key: int, rows: list[int], drop: float, length: int, width: int) -> torch.Tensor:
    keys = torch.full((len(rows),), key)
    drops = torch.full((len(rows),), drop, dtype=torch.float64)
    return keep_mask(keys, torch.tensor(rows), drops, length, width)


@pytest.mark.parametrize("drop", [0.0, 0.1, 0.5, 0.9])
def test_the_share_dropped_is_the_one_asked_for(drop: float) -> None:
    keep = draw(mask_key(0, 1, "m"), list(range(16)), drop, 64, 256).float()
    sigma = (drop * (1 - drop) / keep.numel()) ** 0.5
    assert abs(1 - keep.mean().item() - drop) <= 5 * sigma
    for axis in ((0, 1), (0, 2), (1, 2)):  # no channel, position or row is favoured
        share = keep.mean(axis)
        count = keep.numel() / share.numel()
        assert (share - (1 - drop)).abs().max() <= 5.5 * (drop * (1 - drop) / count) ** 0.5


def test_neighbouring_coordinates_are_uncorrelated() -> None:
    keep = draw(mask_key(3, 5, "m"), list(range(8)), 0.5, 128, 128).double() - 0.5
    for near in (keep[1:] * keep[:-1], keep[:, 1:] * keep[:, :-1], keep[..., 1:] * keep[..., :-1]):
        assert abs(near.mean().item()) <= 5 * 0.25 / near.numel() ** 0.5


def test_a_mask_does_not_depend_on_what_surrounds_it() -> None:
    key = mask_key(7, 2, "m")
    large = draw(key, [0, 1, 2, 3], 0.3, 40, 16)
    assert torch.equal(draw(key, [2], 0.3, 17, 16)[0], large[2, :17])
    assert not torch.equal(draw(mask_key(7, 3, "m"), [2], 0.3, 40, 16)[0], large[2])
    assert not torch.equal(draw(mask_key(7, 2, "n"), [2], 0.3, 40, 16)[0], large[2])


def test_the_values_never_change_between_versions() -> None:
    bits = draw(mask_key(1, 2, "model.layers.0.mlp.up_proj"), [0, 1], 0.5, 2, 8).int().flatten()
    assert "".join(map(str, bits.tolist())) == "00110101011110010000110010010000"
