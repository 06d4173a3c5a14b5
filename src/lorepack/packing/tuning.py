"""A budget for an adapter that is there already: its strength is chosen, then it is judged."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lorepack import auditing, files, folders, probing, world
from lorepack.auditing import AuditResult
from lorepack.auditing.budget import BudgetSettings
from lorepack.errors import InputError, MismatchError, NotFoundError
from lorepack.facts import Fact
from lorepack.llm import LanguageModel
from lorepack.lora.adapter_files import CONFIG, WEIGHTS
from lorepack.packing import stages
from lorepack.packing.audits import mix_of
from lorepack.packing.budgeting import Budgeting, choose_adapter, judge_adapter
from lorepack.packing.jobs import Facts, loaded, probe_settings
from lorepack.packing.result import told_of
from lorepack.packing.run import RUN, Run
from lorepack.packing.settings import PackSettings, split_budget
from lorepack.packing.sources import load_facts
from lorepack.packing.stages import Progress, quiet
from lorepack.packing.wordings import heldout_of
from lorepack.probing import ProbeResult


@dataclass(frozen=True)
class TuneResult:
    """An adapter tuned to a budget."""

    adapter: Path
    budget: dict[str, Any]
    """limits, the chosen point, the test, whether it was held"""
    audit: AuditResult
    seconds: float
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def held(self) -> bool:
        """Whether every limit was held on the test part."""
        return bool(self.budget["held"])

    def to_json(self) -> dict[str, Any]:
        """The result as a JSON object."""
        return {
            "adapter": str(self.adapter),
            "budget": self.budget,
            "audit": self.audit.to_json(),
            "seconds": round(self.seconds, 1),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class _Given:
    """What is tuned, from a run or from an adapter alone."""

    lm: LanguageModel
    facts: Sequence[Fact]
    before: ProbeResult
    mix: Mapping[str, Any]
    texts: Sequence[str]
    seed: int
    source: Path
    training: Path | None


def tune(
    source: str | Path,
    out: str | Path,
    budget: Mapping[str, float] | Sequence[str],
    *,
    model: str | LanguageModel | None = None,
    facts: Facts | None = None,
    preset: str = "recommended",
    seed: int = 0,
    samples: int | None = None,
    sets: Mapping[str, str] | Sequence[str] = (),
    neutral: Sequence[str] | None = None,
    progress: Progress = quiet,
    **load: Any,
) -> TuneResult:
    """Choose the strength, and of a run the checkpoint, that keeps an adapter within a budget.

    Args:
        source: the folder of a run, or a PEFT LoRA folder.
        out: folder of the results: ``adapter``, ``budget``, ``audit``; of an adapter ``before``.
        budget: limits, ``{"neutral_kl": 0.05}`` or ``["neutral_kl=0.05"]``.
        model: the adapter's base; a run knows its own.
        facts: ``"world"``, a file of facts, or facts; a run knows its own.
        preset: of the probe, for an adapter.
        seed: decides exemplars, samples and the two parts, for an adapter.
        samples: sampled answers a prompt, for an adapter.
        sets: ``budget.key=value``; for an adapter further settings of the probe.
        neutral: text for KL and perplexity, for an adapter; None takes the made world's.
        progress: called as ``progress(stage, done, total)``.
        load: how to load the model.

    Raises:
        InputError: an unknown measure, a limit that is no number; options that a run decides
            itself; an adapter of which nobody knows what it was trained on.
        NotFoundError: neither a run nor an adapter.
        MismatchError: the adapter was made for another base; ``out`` holds other results.
    """
    start = time.monotonic()
    source, out, notes = Path(source), Path(out), list[str]()
    budget_sets, others = split_budget(sets)
    settings = BudgetSettings.build(budget, budget_sets)
    if out.resolve() == source.resolve():
        raise InputError(f"{out}: give another folder than that of what is tuned")
    with folders.alone(out):
        if (source / RUN).is_file():
            if model is not None or facts is not None or others:
                raise InputError(
                    f"{source} is a run: model, facts and settings of the probe are its own"
                )
            given = _of_run(source, load, notes)
        else:
            if not (source / CONFIG).is_file():
                raise NotFoundError(f"{source}: neither a run nor an adapter ({CONFIG})")
            if model is None or facts is None:
                raise InputError(f"{source} is an adapter: give the model and the facts, too")
            probe = probe_settings(preset, seed, samples, others)
            listed, lm = load_facts(facts, notes), loaded(model, load)
            mix = _known_mix(source, listed)
            tick = lambda done, total: progress("probe", done, total)  # noqa: E731
            before = probing.probe(lm, listed, out / "before", probe, progress=tick)
            texts = world.neutral_text() if neutral is None else list(neutral)
            given = _Given(lm, listed, before, mix, texts, seed, source, None)
        work = Budgeting(
            lm=given.lm,
            facts=given.facts,
            before=given.before,
            trained=given.mix["trained"],
            rehearsed=given.mix.get("known", ()),
            texts=given.texts,
            settings=settings,
            seed=given.seed,
            folder=out / "budget",
            source=given.source,
            adapter=out / "adapter",
            training=given.training,
        )
        choice = choose_adapter(work, lambda done, total: progress("budget", done, total))
        audited = _audit(work, given, out, notes, progress)
        found = judge_adapter(work, choice, audited)
    told = tuple(dict.fromkeys([*given.lm.notes, *notes, *audited.notes]))
    return TuneResult(work.adapter, told_of(found), audited, time.monotonic() - start, told)


def _of_run(source: Path, load: dict[str, Any], notes: list[str]) -> _Given:
    run = Run(source)
    described = run.describe()
    if not (run.training / files.MANIFEST).is_file():
        raise MismatchError(f"{source}: no finished adapter yet; run the same `lorepack pack`")
    settings = PackSettings.model_validate(described["settings"])
    lm = loaded(described["model"]["name"], load)
    if lm.fingerprint != described["model"]["fingerprint"]:
        raise MismatchError(
            f"{source}: made with model {described['model']['name']} of fingerprint "
            f"{described['model']['fingerprint'][:12]}, got {lm.fingerprint[:12]}"
        )
    facts, before = load_facts(run.facts, notes), ProbeResult.load(run.probe)
    adapter = run.unchosen if (run.unchosen / WEIGHTS).is_file() else run.adapter
    mix, texts = _known_mix(adapter, facts), run.neutral_text()
    return _Given(lm, facts, before, mix, texts, settings.seed, adapter, run.training)


def _known_mix(adapter: Path, facts: Sequence[Fact]) -> dict[str, Any]:
    """What an adapter was trained on.

    Raises:
        InputError: nobody knows, or none of it is among the facts.
    """
    mix = mix_of(adapter)
    inside = {fact.id for fact in facts} & set(mix.get("trained", ()))
    if not inside:
        raise InputError(
            f"{adapter}: a budget weighs harm against reliability, but which of these facts were "
            "trained is not known: lorepack.json names "
            + ("others" if mix.get("trained") else "none")
        )
    return mix


def _audit(
    work: Budgeting, given: _Given, out: Path, notes: list[str], progress: Progress
) -> AuditResult:
    """The audit of the chosen adapter, of all facts."""
    try:
        heldout = heldout_of(given.facts, given.mix)
    except (MismatchError, KeyError) as error:
        notes.append(f"generality is not measured: {error}")
        heldout = None
    with stages.adapter_on(work.lm, work.adapter, notes) as stack:
        return auditing.audit(
            work.lm,
            stack,
            given.facts,
            given.before,
            set(given.mix["trained"]),
            rehearsed=set(given.mix.get("known", ())),
            heldout=heldout,
            neutral=given.texts,
            out=out / "audit",
            settings=given.before.settings,
            adapter_tag=stages.tag_of(work.adapter, weakened=True),
            progress=progress,
            notes=notes,
        )
