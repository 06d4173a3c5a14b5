"""The jobs a user starts: probe facts, and pack them into an adapter."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lorepack import llm, probing, training, world
from lorepack.facts import Fact
from lorepack.llm import LanguageModel
from lorepack.packing import stages
from lorepack.packing.result import PackResult
from lorepack.packing.run import open_run
from lorepack.packing.settings import PackSettings, put, split_sets
from lorepack.packing.sources import load_facts, replayed_texts
from lorepack.packing.stages import Job, Progress, quiet
from lorepack.probing import ProbeResult, ProbeSettings
from lorepack.training import sinks

Facts = str | Path | Sequence[Fact]


def pack(
    model: str | LanguageModel,
    facts: Facts,
    run: str | Path,
    *,
    unknown: int | str = "all",
    known: int = 0,
    paraphrases: int = 0,
    rank: int | None = None,
    recipe: str = "recommended",
    preset: str = "recommended",
    seed: int = 0,
    sets: Mapping[str, str] | Sequence[str] = (),
    samples: int | None = None,
    epoch_curve: bool = False,
    answer_cap: float | None = None,
    allow_lucky: bool = False,
    neutral: Sequence[str] | None = None,
    replay: Sequence[str] | None = None,
    budget: Mapping[str, float] | Sequence[str] = (),
    log_to: Sequence[str] = (),
    progress: Progress = quiet,
    **load: Any,
) -> PackResult:
    """Write facts into an adapter, and prove what was learned and what it cost.

    Args:
        model: ``"world"``, a model folder, a hub id, or a model already loaded.
        facts: ``"world"``, a file of facts, or facts.
        run: the folder of the run; the same call again goes on where it stopped.
        unknown: how many Unknown facts to train, or ``"all"``.
        known: HighlyKnown facts added per Unknown fact.
        paraphrases: other wordings added per Unknown fact.
        rank: the adapter's rank; None keeps the recipe's.
        recipe: ``recommended``, ``paper``, or a YAML file.
        preset: of the probe, ``recommended`` or ``paper``.
        seed: decides the selection, the initial weights, the order and the exemplars.
        sets: further settings, ``key=value`` of the recipe or ``probe.key=value``.
        samples: sampled answers a prompt; 0 is greedy only, None keeps the preset's.
        epoch_curve: measure reliability after every epoch.
        answer_cap: largest share of the trained facts that one answer may have.
        allow_lucky: whether facts known by luck may be among the known ones, where the probe
            asked controls (``probe.controls``).
        neutral: text for KL and perplexity; None takes the made world's.
        replay: text that training replays where the recipe says so; None takes the made world's,
            without what is in ``neutral``.
        budget: limits of harm, ``{"neutral_kl": 0.05}`` or ``["neutral_kl=0.05"]``: checkpoint and
            strength of the adapter are chosen to keep to them, see docs/budgets.md.
        log_to: where training's values go besides its files: ``wandb``, ``trackio``,
            ``tensorboard``.
        progress: called as ``progress(stage, done, total)``.
        load: how to load the model: ``device``, ``dtype``, ``quantize``, ``revision``,
            ``trust_remote_code``.

    Returns:
        The figures of the run.

    Raises:
        LorepackError: what cannot be read, fitted, trained or written; finished stages are kept.
    """
    start = time.monotonic()
    settings = PackSettings.build(
        unknown=unknown, known=known, paraphrases=paraphrases, rank=rank, recipe=recipe,
        preset=preset, seed=seed, sets=sets, epoch_curve=epoch_curve, answer_cap=answer_cap,
        samples=samples, allow_lucky=allow_lucky, budget=budget,
    )  # fmt: skip
    taken = [sinks.named(name, project=Path(run).resolve().name, folder=run) for name in log_to]
    notes: list[str] = []
    listed = load_facts(facts, notes)
    with open_run(run) as opened:
        text = world.neutral_text() if neutral is None else list(neutral)
        job = Job(
            opened, loaded(model, load), listed, settings, text, progress, notes, taken,
            replay=replayed_texts(replay, text) if settings.recipe.replay_ratio else (),
        )  # fmt: skip
        training.check(job.lm, settings.recipe)  # before hours of probing, not after
        opened.begin(job.describe(), listed, text)
        return stages.carry_out(job, start)


def probe_facts(
    model: str | LanguageModel,
    facts: Facts,
    out: str | Path,
    *,
    preset: str = "recommended",
    seed: int = 0,
    samples: int | None = None,
    sets: Mapping[str, str] | Sequence[str] = (),
    progress: Progress = quiet,
    **load: Any,
) -> ProbeResult:
    """Measure what a model knows of every fact (SliCK categories).

    Args:
        model: ``"world"``, a model folder, a hub id, or a model already loaded.
        facts: ``"world"``, a file of facts, or facts.
        out: folder of the results; the same call again goes on where it stopped.
        preset: ``recommended``, or ``paper`` for the published choices.
        seed: decides exemplars and samples.
        samples: sampled answers a prompt; 0 is greedy only, None keeps the preset's.
        sets: further settings of the probe, ``key=value``.
        progress: called as ``progress(stage, done, total)``.
        load: how to load the model.

    Returns:
        Categories, counts and stored generations.
    """
    settings = probe_settings(preset, seed, samples, sets)
    notes: list[str] = []
    listed = load_facts(facts, notes)
    lm = loaded(model, load)
    tick = lambda done, total: progress("probe", done, total)  # noqa: E731
    found = probing.probe(lm, listed, Path(out), settings, notes=notes, progress=tick)
    return replace(found, notes=(*lm.notes, *found.notes))


def loaded(model: str | LanguageModel, options: dict[str, Any]) -> LanguageModel:
    return llm.load(model, **options) if isinstance(model, str | Path) else model


def probe_settings(
    preset: str, seed: int, samples: int | None, sets: Mapping[str, str] | Sequence[str]
) -> ProbeSettings:
    probe_sets, others = split_sets(sets)
    changed = {**probe_sets, **others}
    put(changed, "samples", samples, "samples")
    return ProbeSettings.named(preset).override({"seed": str(seed), **changed})
