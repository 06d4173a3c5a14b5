"""Work shared between processes: the answers of one, and no silence when one is lost."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lora.made import stack_of
from lorepack import forks
from lorepack.errors import InputError, NoMemoryError
from lorepack.llm import LanguageModel, generate, generate_ids, generate_stream, score_pairs
from lorepack.llm import workers as sharing
from lorepack.llm.memory import free_bytes
from tiny_models import tiny

from .conftest import wrap
from .test_engine import company, woody

SAMPLES: dict[str, Any] = {"temperature": 0.8, "samples": 5, "greedy": True, "max_new_tokens": 6}


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Two threads, any work is worth it; a list of how many processes each call took."""
    counts: list[int] = []
    run = forks.run

    def counted(count: int, *rest: Any, **more: Any) -> list[Any]:
        counts.append(count)
        return run(count, *rest, **more)

    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(sharing, "WORTH", 0)
    monkeypatch.setattr(forks, "run", counted)
    yield counts
    assert not multiprocessing.active_children()


def both(monkeypatch: pytest.MonkeyPatch, call: Any, *given: Any, **options: Any) -> Any:
    """What a call gives, which is what it gives in one process."""
    with monkeypatch.context() as here:
        here.setattr(sharing, "WORTH", float("inf"))
        expected = call(*given, **options)
    found = call(*given, **options)
    assert found == expected
    return found


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_answers_and_samples_are_those_of_one_process(
    family: str, forked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    lm, prompts = wrap(tiny(family)), woody()
    both(monkeypatch, generate_ids, lm, prompts, max_new_tokens=12)
    both(monkeypatch, generate_ids, lm, prompts, **SAMPLES)
    both(monkeypatch, generate, lm, prompts, keys=[f"k{i}" for i in range(47)], **SAMPLES)
    assert forked == [2, 2, 2]
    stream = list(generate_stream(lm, iter(prompts), window=20, max_new_tokens=4))
    assert [i for i, _ in stream] == list(range(47))
    assert forked == [2] * 6


def test_the_padded_way_is_shared_too(forked: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("lorepack.llm.generate")
    lm = wrap(tiny("olmo2"))
    monkeypatch.setattr(module, "fits", lambda _: False)
    stack = stack_of(lm.model, company(lm)[:2])
    both(monkeypatch, generate_ids, lm, woody(), **SAMPLES)
    with stack.attached(), stack.using(None):
        options: dict[str, Any] = {"stack": stack, "adapters": [None, 1] * 23 + [0]}
        both(monkeypatch, generate_ids, lm, woody(), max_new_tokens=5, **options)
    assert forked == [2, 2]


def test_adapters_of_all_kinds_cross_the_fork(
    forked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = wrap(tiny("llama"))
    stack, prompts = stack_of(lm.model, company(lm)), woody()[:16] * 5
    adapters = [a for a in (None, 0, 1, 2, 3) for _ in range(16)]
    with stack.attached(), stack.using(None):
        named: dict[str, Any] = {"stack": stack, "adapters": adapters}
        found = both(monkeypatch, generate_ids, lm, prompts, max_new_tokens=6, **named)
        assert len({str(found[first : first + 16]) for first in range(0, 80, 16)}) == 5
        with stack.using(2):  # one that acts on all
            both(monkeypatch, generate_ids, lm, prompts[:16], max_new_tokens=6)
        pairs = [p[:-2] for p in prompts if len(p) > 2], [p[-2:] for p in prompts if len(p) > 2]
        named["adapters"] = [a for a, p in zip(adapters, prompts, strict=True) if len(p) > 2]
        close(score_pairs, monkeypatch, lm, *pairs, **named)
    assert forked == [2, 2, 2]


def close(call: Any, monkeypatch: pytest.MonkeyPatch, *given: Any, **options: Any) -> None:
    """Scores are those of one process to rounding; the verdicts are the same."""
    with monkeypatch.context() as here:
        here.setattr(sharing, "WORTH", float("inf"))
        expected = call(*given, **options)
    found = call(*given, **options)
    assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]
    assert [x for x, _ in found] == pytest.approx([x for x, _ in expected], abs=1e-4)


def test_scores_are_those_of_one_process(
    forked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = wrap(tiny("qwen2"))
    contexts = [p for p in woody() for _ in range(4)]
    choices = [[65 + i % 4] * (i % 3) for i in range(len(contexts))]  # some are empty
    told: list[tuple[int, int]] = []
    close(score_pairs, monkeypatch, lm, contexts, choices)
    score_pairs(lm, contexts, choices, progress=lambda *tick: told.append(tick))
    asked = sum(map(bool, choices))
    assert told == [(done, asked) for done in range(1, asked + 1)]
    assert forked == [2, 2]


def test_callbacks_come_here_and_once_a_prompt(forked: list[int]) -> None:
    here, heard, ticks = os.getpid(), [], []

    def answered(index: int, ids: list[list[int]]) -> None:
        assert os.getpid() == here
        heard.append((index, ids))

    found = generate_ids(
        wrap(tiny("llama")),
        woody(),
        max_new_tokens=4,
        answered=answered,
        progress=lambda *tick: ticks.append(tick),
    )
    assert sorted(heard) == list(enumerate(found))
    assert ticks == [(done, 47) for done in range(1, 48)]
    assert forked == [2]


def test_an_error_of_a_callback_ends_the_processes(forked: list[int]) -> None:
    def full(*_: object) -> None:
        raise InputError("no room")

    with pytest.raises(InputError, match="no room"):
        generate_ids(wrap(tiny("llama")), woody(), answered=full)
    assert not multiprocessing.active_children()


def in_children(model: nn.Module, act: Any) -> Any:
    """A hook that acts in forks alone."""
    here = os.getpid()
    return model.register_forward_pre_hook(lambda *_: act() if os.getpid() != here else None)


def test_an_error_of_a_process_is_raised_as_itself(forked: list[int]) -> None:
    def wrong() -> None:
        raise InputError("fact 7: no")

    lm = wrap(tiny("gemma3"))
    hook = in_children(lm.model, wrong)
    descriptors = len(os.listdir("/proc/self/fd"))
    with pytest.raises(InputError, match="fact 7: no"):
        generate_ids(lm, woody())
    hook.remove()
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert forked == [2]


def test_a_killed_process_is_one_line(forked: list[int]) -> None:
    lm = wrap(tiny("gemma3"))
    hook = in_children(lm.model, lambda: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(NoMemoryError, match=r"by signal 9.*batch_tokens") as caught:
        generate_ids(lm, woody())
    hook.remove()
    assert "\n" not in str(caught.value)


def test_a_system_that_starts_no_process_is_one_line(
    forked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> int:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(os, "fork", refuse)
    with pytest.raises(NoMemoryError, match="OMP_NUM_THREADS=1"):
        generate_ids(wrap(tiny("llama")), woody())


def test_nothing_forks_with_one_thread_or_little_work_or_off_the_main_thread(
    forked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = wrap(tiny("llama"))
    with monkeypatch.context() as here:
        here.setattr(sharing, "WORTH", 5e10)
        generate_ids(lm, woody(), max_new_tokens=2)
    with monkeypatch.context() as here:
        here.setattr(torch, "get_num_threads", lambda: 1)
        generate_ids(lm, woody(), max_new_tokens=2)
    other = threading.Thread(target=generate_ids, args=(lm, woody()))
    other.start()
    other.join()
    assert forked == []


def test_a_worker_does_not_fork_again(forked: list[int]) -> None:
    lm = wrap(tiny("llama"))

    def work(*_: object) -> tuple[int, int]:
        assert torch.get_num_threads() == 2  # as it would be told
        return sharing.processes(lm.device), len(sharing.parts(lm.model, woody(), 8, None))

    assert forks.run(1, work, lambda *_: None) == [(1, 1)]


def test_processes_count_on_their_share_of_the_memory() -> None:
    def work(number: int, *_: object) -> int:
        if number:
            sharing.shared_by(4)
        free = free_bytes(torch.device("cpu"))
        assert free is not None
        return free

    whole, share = forks.run(2, work, lambda *_: None)
    assert share < 0.4 * whole


def slow(lm: LanguageModel, pipe: int, errors: Path) -> None:
    """A program of its own session, whose forks say that they are at work and never end."""
    os.setsid()
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT), 2)
    sys.stderr = os.fdopen(2, "w")
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def stay() -> None:
        os.write(pipe, b"on")
        time.sleep(60)

    in_children(lm.model, stay)
    generate(lm, woody())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_who_is_interrupted_leaves_no_process_behind(
    number: signal.Signals, forked: list[int], tmp_path: Path
) -> None:
    """Signals reach the whole group, as Ctrl-C does, except a kill."""
    lm, errors = wrap(tiny("gemma3")), tmp_path / "errors"
    generate(lm, woody()[:4], max_new_tokens=1)
    ours, theirs = os.pipe()
    context = multiprocessing.get_context("fork")
    program = context.Process(target=slow, args=(lm, theirs, errors))
    program.start()
    os.close(theirs)
    assert [os.read(ours, 2) for _ in range(2)] == [b"on"] * 2
    assert program.pid is not None
    if number == signal.SIGKILL:
        program.kill()
    else:
        os.killpg(program.pid, number)
    program.join(10)
    assert program.exitcode == (1 if number == signal.SIGINT else -number)
    assert os.read(ours, 2) == b""  # the last process that could write is gone
    os.close(ours)
    said = errors.read_text()
    assert said.count("Traceback") == (number == signal.SIGINT), said
    if number == signal.SIGINT:  # nor is one left that nobody has waited for
        with pytest.raises(ProcessLookupError):
            os.killpg(program.pid, 0)


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 3)), min_size=2, max_size=80),
    st.integers(2, 4),
    st.integers(4, 64),
)
def test_every_place_has_one_share(rows: list[tuple[int, int]], count: int, most: int) -> None:
    costs = np.array([cost for cost, _ in rows])
    kinds = np.sort([kind for _, kind in rows])
    shares = sharing._shares(costs, kinds, count, most)
    assert sorted(np.concatenate(shares).tolist()) == list(range(len(rows)))
    assert len(shares) <= count
    assert all((np.diff(share) > 0).all() for share in shares)


def test_even_adapters_stay_whole_and_uneven_ones_are_cut() -> None:
    costs = np.full(120, 5)
    of = lambda kinds: [set(kinds[s].tolist()) for s in sharing._shares(costs, kinds, 2, 32)]  # noqa: E731
    assert not set.intersection(*of(np.repeat(np.arange(6), 20)))
    assert set.intersection(*of(np.repeat(np.arange(3), 40)))
    one, other = sharing._shares(costs, np.zeros(120), 2, 32)
    assert abs(len(one) - len(other)) <= 8
    assert min(other) < 8  # stretches of both run through the whole order
