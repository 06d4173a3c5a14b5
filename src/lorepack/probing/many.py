"""Many adapters asked the same questions at once; each one's answers go to a probe of its own."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorepack import files, folders, llm
from lorepack.errors import InputError, LorepackError
from lorepack.facts import Fact
from lorepack.llm import LanguageModel
from lorepack.lora import Stack
from lorepack.probing import controls
from lorepack.probing.asking import Answers, Generate, Progress, collect
from lorepack.probing.probe import _check, _describe, _Job, probe
from lorepack.probing.prompts import Prompts
from lorepack.probing.result import ProbeResult
from lorepack.probing.settings import ProbeSettings


@dataclass(frozen=True)
class Asked:
    """One adapter of a stack, and where its probe goes."""

    adapter: int | None
    """its place in the stack; None for the base"""
    tag: str
    """names it, for example the hash of its file; empty for the base"""
    out: Path


def ask_together(
    lm: LanguageModel,
    facts: Sequence[Fact],
    asked: Sequence[Asked],
    settings: ProbeSettings,
    *,
    stack: Stack,
    prompts: Prompts,
    generate: Generate | None = None,
    progress: Progress | None = None,
) -> None:
    """Ask every fact of many adapters in one pass, and keep the answers where `probe` finds them.

    The chunks of each folder are those that ``probe`` with that adapter alone would write, so
    that such a call afterwards has nothing left to ask. A chunk is asked of those adapters that
    lack it: a killed pass goes on where it stopped, also where the adapters stand apart.

    Args:
        lm: the base model.
        facts: what is asked; ids must differ.
        asked: the adapters and their folders.
        settings: of all probes.
        stack: holds the adapters; it is attached for the call.
        prompts: the exemplars, the same for all.
        generate: the engine, which takes ``stack`` and ``adapters``; `lorepack.llm.generate`
            when None.
        progress: called with questions done and questions in all (facts × prompts × adapters).

    Raises:
        InputError: no facts, an id given twice, or one folder for two adapters.
        MismatchError: another process writes to one of the folders.
    """
    _check(facts)
    if len({one.out for one in asked}) < len(asked):
        raise InputError("two adapters have one folder; give each its own")
    jobs = _jobs(lm, facts, asked, settings, prompts)
    with ExitStack() as held:
        for job in jobs:
            held.enter_context(folders.alone(job.out))
        pairs = [
            (job, one.adapter)
            for job, one in zip(jobs, asked, strict=True)
            if not files.is_complete(job.out, job.inputs_hash)
        ]
        total = sum(job.total for job in jobs)
        done = total - sum(job.total for job, _ in pairs)
        held.enter_context(stack.attached())
        for number, part in enumerate(jobs[0].cut(jobs[0].facts) if pairs else ()):
            lacking = [pair for pair in pairs if pair[0].kept(number, len(part)) is None]
            done += len(part) * len(prompts) * (len(pairs) - len(lacking))
            if lacking:
                tick = _within(progress, done, total)
                _one_chunk(number, part, lacking, stack, generate or llm.generate, tick)
                done += len(part) * len(prompts) * len(lacking)
    if progress is not None:
        progress(total, total)


def probe_many(
    lm: LanguageModel,
    facts: Sequence[Fact],
    asked: Sequence[Asked],
    settings: ProbeSettings,
    *,
    stack: Stack,
    prompts: Prompts,
    generate: Generate | None = None,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> list[ProbeResult]:
    """Probe many adapters at once: each folder as `probe` with that adapter alone writes it.

    Args:
        lm: the base model.
        facts: what is asked; ids must differ.
        asked: the adapters and their folders.
        settings: of all probes.
        stack: holds the adapters.
        prompts: the exemplars, such as those of the probe of the base.
        generate: the engine; `lorepack.llm.generate` when None.
        progress: called with questions done and questions in all (facts × prompts × adapters).
        overwrite: replace finished probes of other inputs.

    Returns:
        One result an adapter.

    Raises:
        InputError: as `ask_together`.
        MismatchError: a folder holds the finished probe of other inputs, or another process
            writes to it.
    """
    engine = generate or llm.generate
    how: dict[str, Any] = {"prompts": prompts, "overwrite": overwrite}
    ask_together(
        lm, facts, asked, settings, stack=stack, prompts=prompts, generate=engine, progress=progress
    )
    found = []
    for one in asked:
        with stack.attached(), stack.using(one.adapter):
            found.append(probe(lm, facts, one.out, settings, adapter_tag=one.tag,
                               generate=generate, **how))  # fmt: skip
    return found


def has_answers(folder: Path, inputs: dict[str, Any]) -> bool:
    """Whether a folder holds the finished probe, or an audit's, of exactly these inputs."""
    try:
        described = files.read_json(folder / "probe.json")["inputs"]
        whole = files.is_complete(folder, files.read_json(folder / files.MANIFEST)["inputs"])
    except (LorepackError, KeyError, TypeError):
        return False
    return bool(whole and described == inputs)


def inputs_of(
    lm: LanguageModel,
    facts: Sequence[Fact],
    prompts: Prompts,
    settings: ProbeSettings,
    adapter_tag: str = "",
) -> dict[str, Any]:
    """Everything that decides a probe's results, as ``probe.json`` keeps it."""
    asked = controls.make(facts, settings.controls, settings.seed)
    return _describe(lm, facts, prompts, settings, adapter_tag, asked)


def _jobs(
    lm: LanguageModel,
    facts: Sequence[Fact],
    asked: Sequence[Asked],
    settings: ProbeSettings,
    prompts: Prompts,
) -> list[_Job]:
    extra = controls.make(facts, settings.controls, settings.seed)
    return [
        _Job(
            lm, facts, prompts, settings, one.out,
            _describe(lm, facts, prompts, settings, one.tag, extra),
            generate=None, progress=None, controls=extra,
        )
        for one in asked
    ]  # fmt: skip


def _one_chunk(
    number: int,
    part: Sequence[Fact],
    lacking: Sequence[tuple[_Job, int | None]],
    stack: Stack,
    generate: Generate,
    progress: Progress | None,
) -> None:
    """Ask a chunk of facts of several adapters in one call, and keep each one's answers."""
    job, places = lacking[0][0], [place for _, place in lacking]

    def engine(
        lm: LanguageModel, prompts: Sequence[list[int]], *, keys: Sequence[str], **how: Any
    ) -> list[list[str]]:
        return generate(
            lm, prompts, keys=keys, stack=stack, adapters=_adapters(keys, places), **how
        )

    start = time.monotonic()
    repeated = [fact for _ in lacking for fact in part]
    answers = collect(job.lm, repeated, job.prompts, job.settings, engine, progress)
    seconds = round((time.monotonic() - start) / len(lacking), 3)
    for place, (one, _) in enumerate(lacking):
        rows = slice(place * len(part), (place + 1) * len(part))
        mine = Answers(answers.ids[rows], answers.greedy[rows], answers.sampled[rows])
        one.keep(number, mine, seconds)


def _adapters(keys: Sequence[str], places: Sequence[int | None]) -> list[int | None]:
    """Whose each prompt is: the facts come once an adapter, so a key's n-th is the n-th one's.

    Keys are those of one adapter alone, since an answer's draws depend on them.
    """
    seen: Counter[str] = Counter()
    found = []
    for key in keys:
        found.append(places[seen[key]])
        seen[key] += 1
    return found


def _within(progress: Progress | None, base: int, total: int) -> Progress | None:
    return None if progress is None else lambda done, _: progress(base + done, total)
