"""What a step replays follows from its seed and number, as often as the ratio says."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorepack import llm
from lorepack.errors import InputError
from lorepack.training import own_text as module
from lorepack.training import train
from lorepack.training.batches import epoch_order
from lorepack.training.own_text import own_text, running_text
from lorepack.training.replay import draw, drawn_before
from training.toy import made, recipe, toy

SCHEDULES = ("constant", "rising", "falling")
ratios = st.decimals(0, 3, places=2).map(float)


@given(st.integers(1, 400), ratios, st.sampled_from(SCHEDULES))
def test_counts_follow_the_ratio_and_never_drift(total: int, ratio: float, schedule: Any) -> None:
    counts = [drawn_before(seen, total, ratio, schedule) for seen in range(total + 1)]
    density = {"constant": lambda x: 1, "rising": lambda x: x, "falling": lambda x: 1 - x}[schedule]
    area = 0.0
    for seen, count in enumerate(counts):
        assert area - 1 - 1e-6 <= count <= area + 1e-6
        area += ratio * density((seen + 0.5) / total)
    assert counts == sorted(counts)


def test_twenty_nine_hundredths_of_a_hundred_are_twenty_nine() -> None:
    assert drawn_before(100, 100, 0.29, "constant") == 29


@given(st.integers(1, 9), st.integers(0, 30), st.integers(0, 20), st.integers(0, 3))
def test_each_comes_once_before_any_comes_again(
    size: int, first: int, count: int, seed: int
) -> None:
    pool = made(size)
    whole = draw(pool, 0, first + count, seed)
    assert draw(pool, first, count, seed) == whole[first:]
    if size == 9 and len(whole) >= size:  # a pool as large as the mix does not follow its order
        assert whole[:size] != [pool[i] for i in epoch_order(size, seed, 0)]
    times = Counter(example.fact_id for example in whole)
    assert max(times.values(), default=0) - min(times[e.fact_id] for e in pool) <= 1


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "t" / "train.jsonl").read_text().splitlines()]


def trained(folder: Path, replay: Any = (), **changes: Any) -> list[dict[str, Any]]:
    train(
        toy(),
        made(10),
        recipe(**changes),
        out=folder / "t",
        adapter=folder / "a",
        seed=1,
        replay=replay,
    )
    return rows_of(folder)


def test_the_log_tells_both_means_where_both_are(tmp_path: Path) -> None:
    pool = made(3, seed=9)
    plain = trained(tmp_path / "plain")
    assert not {"replay_loss", "kl"} & set().union(*plain)
    some = trained(tmp_path / "some", pool, replay_ratio=0.25, kl_weight=1.0)
    # 10 examples in steps of 4, 4, 2: one replayed, one, none; then one, one, one.
    assert ["replay_loss" in row for row in some] == [True, True, False, True, True, True]
    assert ["kl" in row for row in some] == ["replay_loss" in row for row in some]
    assert some[0]["loss"] == pytest.approx(plain[0]["loss"], rel=1e-6)
    assert some[0]["kl"] == pytest.approx(0, abs=1e-6)  # B starts at zero


def test_kl_to_the_base_holds_the_adapter_back(tmp_path: Path) -> None:
    pool = made(6, seed=9)
    common = {"replay_ratio": 1.0, "replay_loss": "kl", "epochs": 6, "lr": 1e-2, "batch_size": 10}
    loose = trained(tmp_path / "loose", pool, **common, replay_weight=1e-6)
    tight = trained(tmp_path / "tight", pool, **common, replay_weight=100.0)
    assert 0 < tight[-1]["kl"] < 0.3 * loose[-1]["kl"]


def test_replay_without_anything_to_replay_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"replay_ratio is 0\.5, but there is nothing to replay"):
        trained(tmp_path, replay_ratio=0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kl_weight": 1.0}, "set replay_ratio above 0"),
        ({"kl_weight": 1.0, "replay_ratio": 1.0, "replay_loss": "kl"}, "leave kl_weight 0"),
        ({"distill_kl_weight": 0, "distill_hidden_weight": 0}, "got 0 for both"),
        ({"min_steps": 9, "max_steps": 3}, "got 3, below min_steps 9"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        recipe(**changes)


def test_the_base_writes_its_own_examples() -> None:
    lm = llm.load("world")
    starts = [lm.chat.prompt_ids(f"Question: {q}?") for q in ("Who", "Where")]
    said = own_text(lm, starts, 5, seed=1, max_new_tokens=8)
    assert [e.ids[: e.answer_start] for e in said] == [tuple(starts[n % 2]) for n in range(5)]
    assert all(0 < len(e.ids) - e.answer_start <= 8 for e in said)
    assert len({e.ids for e in said}) == 5
    assert own_text(lm, starts, 3, seed=1, max_new_tokens=8) == said[:3]
    assert own_text(lm, starts, 5, seed=2, max_new_tokens=8) != said
    with pytest.raises(InputError, match="no starts"):
        own_text(lm, [], 1, seed=0)


def test_a_base_that_says_nothing_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = {0, 3}

    def generate_ids(lm: Any, prompts: Any, *, keys: list[int], **_: Any) -> list[Any]:
        return [[[]] if key in quiet else [[key]] for key in keys]

    monkeypatch.setattr(module, "generate_ids", generate_ids)
    said = own_text(SimpleNamespace(name="toy"), [(7, 8)], 3, seed=0)  # type: ignore[arg-type]
    assert [e.ids for e in said] == [(7, 8, 1), (7, 8, 2), (7, 8, 4)]
    quiet |= set(range(99))
    with pytest.raises(InputError, match="toy said something 0 times in 12, expected 3"):
        own_text(SimpleNamespace(name="toy"), [(7, 8)], 3, seed=0)  # type: ignore[arg-type]


def test_running_text_counts_from_its_first_token() -> None:
    chat = SimpleNamespace(text_ids=lambda text: [ord(c) for c in text])
    (one, two) = running_text(SimpleNamespace(chat=chat), ["abcdef", "xy"], 4)  # type: ignore[arg-type]
    assert (one.ids, one.answer_start, two.ids) == (tuple(b"abcd"), 0, tuple(b"xy"))
