"""Many adapters asked at once: each folder is what a probe with that adapter alone writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lora.made import stack_of
from lorepack import llm, lora, world
from lorepack.errors import InputError, MismatchError
from lorepack.facts import Fact
from lorepack.folders import alone
from lorepack.lora import AdapterSpec
from lorepack.probing import Asked, ProbeSettings, Prompts, choose, probe, probe_many

from .scripted import Killed, ScriptedModel, files_of, killer, knows, some_facts

HOW = ProbeSettings(prompts=3, shots=2, samples=2, chunk=8)


class Stack:
    """Says which adapter answers; a scripted model has no weights."""

    def __init__(self) -> None:
        self.which: int | None = None
        self.on = False

    @contextmanager
    def attached(self) -> Iterator[Stack]:
        self.on, before = True, self.on
        yield self
        self.on = before

    @contextmanager
    def using(self, which: int | None) -> Iterator[Stack]:
        self.which, before = which, self.which
        yield self
        self.which = before


class Many(ScriptedModel):
    """Answers as each adapter of a stack does: adapter i knows of a fact what is told to it."""

    stack: Stack

    def generate(self, lm: Any, prompts: Sequence[Sequence[int]], **options: Any):  # type: ignore[override]
        adapters = options.pop("adapters", None)
        stack = options.pop("stack", None)
        if adapters is None:
            adapters = [self.stack.which if self.stack.on else None] * len(prompts)
        else:
            assert stack is self.stack
            assert stack.on
        keys = options.pop("keys")
        self.before_call(len(self.calls))
        self.calls.append({"prompts": len(prompts), "adapters": list(adapters)})
        found = []
        for prompt, key, adapter in zip(prompts, keys, adapters, strict=True):
            self.adapted = adapter
            wanted = [None, *range(options["samples"])] if options.get("greedy") else [None]
            found.append([self._one(prompt, key, s) for s in wanted])
        return found


def model_of(facts: list[Fact], **more: Any) -> Many:
    model = Many(knows(facts), **more)
    model.stack = Stack()
    return model


def prompts_of(facts: list[Fact]) -> Prompts:
    return choose([fact for fact in facts if fact.id != "long"], HOW)


def together(model: Many, facts: list[Fact], out: Path, adapters=(0, 1, 2), **more: Any):
    asked = [Asked(i, f"tag{i}", out / str(i)) for i in adapters]
    return probe_many(model, facts, asked, HOW, stack=model.stack, prompts=prompts_of(facts),
                      generate=model.generate, **more)  # fmt: skip


def alone_with(facts: list[Fact], adapter: int | None, out: Path) -> None:
    model = model_of(facts)
    with model.stack.attached(), model.stack.using(adapter):
        probe(model, facts, out, HOW, prompts=prompts_of(facts), adapter_tag=f"tag{adapter}",
              generate=model.generate)  # fmt: skip


def test_each_folder_is_that_of_a_probe_with_that_adapter_alone(tmp_path: Path) -> None:
    facts = some_facts(20)
    model = model_of(facts)
    found = together(model, facts, tmp_path / "many", (0, None, 2))
    for adapter in (0, None, 2):
        alone_with(facts, adapter, tmp_path / f"alone{adapter}")
        many = files_of(tmp_path / "many" / str(adapter))
        assert many == files_of(tmp_path / f"alone{adapter}")
    assert len({tuple(r.codes) for r in found}) == 3, "each adapter has answers of its own"


def test_the_adapters_share_every_call(tmp_path: Path) -> None:
    facts = some_facts(20)
    model = model_of(facts)
    ticks: list[tuple[int, int]] = []
    together(model, facts, tmp_path, progress=lambda done, total: ticks.append((done, total)))
    assert len(model.calls) == 3, "one call a chunk"
    counts = [call["adapters"].count(1) for call in model.calls]
    assert counts == [8 * HOW.prompts, 8 * HOW.prompts, 4 * HOW.prompts]
    assert ticks == sorted(ticks)
    assert ticks[-1] == (180, 180)
    assert {total for _, total in ticks} == {180}


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_killed_pass_goes_on_and_ends_with_the_same_bytes(tmp_path: Path, at: int) -> None:
    facts = some_facts(20)
    together(model_of(facts), facts, tmp_path / "whole")
    with pytest.raises(Killed):
        together(model_of(facts, before_call=killer(at)), facts, tmp_path / "cut")
    again = model_of(facts)
    together(again, facts, tmp_path / "cut")
    assert len(again.calls) == 3 - at
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")


def test_adapters_that_stand_apart_are_asked_what_each_lacks(tmp_path: Path) -> None:
    facts = some_facts(20)
    together(model_of(facts), facts, tmp_path / "whole")
    together(model_of(facts), facts, tmp_path / "cut", (0,))
    with pytest.raises(Killed):
        together(model_of(facts, before_call=killer(1)), facts, tmp_path / "cut", (1,))
    again = model_of(facts)
    together(again, facts, tmp_path / "cut")
    assert [sorted(set(call["adapters"])) for call in again.calls] == [[2], [1, 2], [1, 2]]
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")


def test_a_second_call_asks_nothing(tmp_path: Path) -> None:
    facts = some_facts(20)
    together(model_of(facts), facts, tmp_path)
    again = model_of(facts)
    together(again, facts, tmp_path)
    assert again.calls == []


def test_a_question_beyond_the_context_is_missing_for_every_adapter(tmp_path: Path) -> None:
    facts = [*some_facts(5), Fact("x" * 1600, "y", id="long")]
    model = model_of(facts, context=1500)
    for result in together(model, facts, tmp_path, (0, 1)):
        assert result.document["overlong"]["prompts_by_id"] == {"long": 3}


def test_one_folder_for_two_adapters_is_refused(tmp_path: Path) -> None:
    facts = some_facts(4)
    model = model_of(facts)
    asked = [Asked(i, f"tag{i}", tmp_path / "same") for i in (0, 1)]
    with pytest.raises(InputError, match="one folder"):
        probe_many(model, facts, asked, HOW, stack=model.stack, prompts=prompts_of(facts),
                   generate=model.generate)  # fmt: skip
    assert model.calls == []


def test_a_folder_that_another_process_writes_to_is_refused(tmp_path: Path) -> None:
    facts = some_facts(4)
    model = model_of(facts)
    with alone(tmp_path / "1"), pytest.raises(MismatchError, match="another lorepack"):
        together(model, facts, tmp_path)
    assert model.calls == []


def test_real_adapters_of_mixed_rank_and_targets(tmp_path: Path) -> None:
    lm = llm.load("world", device="cpu")
    mlp = tuple(lora.resolve(lm.model, ("mlp",)))
    attention = tuple(lora.resolve(lm.model, ("attention",)))
    specs = [AdapterSpec(r, 2.0 * r, False, t) for r, t in ((1, mlp), (4, attention))]
    stack = stack_of(lm.model, specs)
    facts = world.facts()[:6]
    how = ProbeSettings(prompts=2, samples=1, chunk=4)
    prompts = choose(world.facts()[:40], how)
    asked = [Asked(i, f"tag{i}", tmp_path / f"many{i}") for i in (0, 1)]
    results = probe_many(lm, facts, asked, how, stack=stack, prompts=prompts)
    for i in (0, 1):
        with stack.attached(), stack.using(i):
            probe(lm, facts, tmp_path / f"alone{i}", how, prompts=prompts, adapter_tag=f"tag{i}")
        assert files_of(tmp_path / f"many{i}") == files_of(tmp_path / f"alone{i}")
    first, second = (next(r.answers()).greedy for r in results)
    assert first != second
