"""A grid of runs: one probe for all that share it, one training of all, an audit each."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lorepack import files, folders, training, world
from lorepack.errors import InputError, LorepackError, suggest
from lorepack.llm import LanguageModel
from lorepack.packing import stages, summary
from lorepack.packing.axes import MAX_JOBS, cells, label, values_of
from lorepack.packing.compose import Mix
from lorepack.packing.job import check_apart, check_name
from lorepack.packing.jobs import Facts, loaded
from lorepack.packing.result import PackResult
from lorepack.packing.run import GRID, RUN, Run, open_run, refuse_other_kind
from lorepack.packing.settings import PackSettings, split_sets
from lorepack.packing.sources import load_facts, replayed_texts
from lorepack.packing.stages import Note, Progress, quiet, train_together
from lorepack.packing.summary import JobsResult, Row
from lorepack.probing import ProbeResult, ProbeSettings
from lorepack.training import Recipe, TrainResult
from lorepack.training.live import Watch

COUNTS = ("known", "paraphrases", "rank", "samples", "seed")
OPTIONS = frozenset({*COUNTS, "answer_cap", "preset", "recipe", "unknown"})
"""arguments of `lorepack.pack` that a grid can vary, beside every field of recipe and probe"""


def pack_grid(
    model: str | LanguageModel,
    facts: Facts,
    out: str | Path,
    grid: Mapping[str, Any],
    *,
    max_jobs: int = MAX_JOBS,
    slots: int | None = None,
    tokens: int | None = None,
    workers: int | None = None,
    neutral: Sequence[str] | None = None,
    sets: Mapping[str, str] | Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    progress: Progress = quiet,
    note: Note | None = None,
    watch: Watch | None = None,
    **load: Any,
) -> JobsResult:
    """Pack facts once for every combination of settings, all adapters trained in one stack.

    Args:
        model: ``"world"``, a model folder, a hub id, or a model already loaded.
        facts: ``"world"``, a file of facts, or facts.
        out: folder of all runs; each gets one in it, such as ``rank=1,known=0,seed=0``.
        grid: values by key: arguments of `lorepack.pack`, fields of the recipe, ``probe.FIELD``.
        max_jobs: combinations that there may be.
        slots: most adapters in the stack at once; None leaves it to the engine.
        tokens: most tokens of one forward pass; None leaves it to the engine.
        workers: most processes that share the jobs, on a processor; None takes one a CPU thread
            where there is enough to do.
        neutral: text for KL and perplexity; None takes the made world's.
        sets: settings of all cells, ``key=value`` of the recipe or ``probe.key=value``.
        settings: further arguments of `lorepack.pack` for all cells, such as ``unknown``.
        progress: called as ``progress(stage, done, total)``.
        note: called with each remark of the scheduler, such as how many adapters fit at once;
            the result's notes hold them, too.
        watch: called with how every job stands, about four times a second.
        load: how to load the model.

    Returns:
        One row a cell, failed ones with their error. Each cell's folder is a whole run.

    Raises:
        LorepackError: a cell that cannot be, by name, before any training; finished stages are
            kept, and the same call goes on.
    """
    start = time.monotonic()
    axes = {key: values_of(key, values) for key, values in grid.items()}
    asked = _asked(axes, max_jobs, dict(settings or {}), dict(_as_pairs(sets)))
    whole, notes = Run(Path(out)), list[str]()
    check_apart(list(asked), whole.folder)
    listed = load_facts(facts, notes)
    text = world.neutral_text() if neutral is None else list(neutral)
    with folders.alone(whole.folder, GRID):
        refuse_other_kind(whole.folder, GRID)
        lm = loaded(model, load)
        jobs = {
            name: stages.Job(
                Run(whole.folder / name),
                lm,
                listed,
                chosen,
                text,
                progress,
                list(notes),
                replay=replayed_texts(None, text) if chosen.recipe.replay_ratio else (),
            )
            for name, (_, chosen) in asked.items()
        }
        _begin(whole, lm, jobs)
        planned = _planned(jobs, progress)
        orders = [cell.order for cell in planned]
        told = list(lm.notes)
        outcomes = train_together(
            lm, orders, whole, progress, told,
            slots=slots, tokens=tokens, workers=workers, note=note, watch=watch,
        )  # fmt: skip
        with whole.timed("audit", str(lm.device)):
            rows = []
            for cell, outcome in zip(planned, outcomes, strict=True):
                rows.append(_row(cell, asked[cell.name][0], outcome))
                progress("cells", len(rows), len(planned))
        seconds = time.monotonic() - start
        return summary.write(whole.folder, "grid", lm, rows, seconds, [*told, *notes], [*axes])


@dataclass
class _Cell:
    """One run of the grid, probed and mixed."""

    name: str
    job: stages.Job
    before: ProbeResult
    mix: Mix
    order: training.Order


def _as_pairs(sets: Mapping[str, str] | Sequence[str]) -> Mapping[str, str]:
    probe, recipe = split_sets(sets)
    return {**{f"probe.{key}": value for key, value in probe.items()}, **recipe}


def _asked(
    axes: Mapping[str, Sequence[Any]], most: int, shared: dict[str, Any], sets: dict[str, str]
) -> dict[str, tuple[dict[str, Any], PackSettings]]:
    """Every cell by its name: what varies, and all of its settings."""
    known = {*OPTIONS, *Recipe.model_fields, *(f"probe.{n}" for n in ProbeSettings.model_fields)}
    for key in axes:
        if key not in known:
            raise InputError(f"grid: unknown key {key!r}{suggest(key, known)}")
        if key in sets:
            raise InputError(f"grid: {key} varies, but --set {key}={sets[key]} fixes it")
    if not axes:
        raise InputError("an empty grid: expected at least one key with values")
    found: dict[str, tuple[dict[str, Any], PackSettings]] = {}
    for cell in cells(axes, most):
        name = label(cell)
        if name in found:
            raise InputError(f"grid: two cells are called {name!r}; give each value once")
        check_name(name)
        found[name] = cell, _settings(name, cell, shared, sets)
    return found


def _settings(
    name: str, cell: Mapping[str, Any], shared: Mapping[str, Any], sets: Mapping[str, str]
) -> PackSettings:
    options = {key: value for key, value in cell.items() if key in OPTIONS}
    fields = {key: _as_text(value) for key, value in cell.items() if key not in OPTIONS}
    try:
        for key in COUNTS:
            value = options.get(key, 0)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise InputError(f"{key}={value!r}: expected a whole number of 0 or more")
        return PackSettings.build(**{**shared, **options, "sets": {**sets, **fields}})
    except LorepackError as error:
        raise type(error)(f"cell {name}: {error}") from error


def _as_text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return "none" if value is None else str(value)


def _begin(whole: Run, lm: LanguageModel, jobs: Mapping[str, stages.Job]) -> None:
    """Check every cell, then write what each starts from."""
    for name, job in jobs.items():
        try:
            training.check(lm, job.settings.recipe)
            refuse_other_kind(job.run.folder, RUN)
            job.run.check(job.describe())
        except LorepackError as error:
            raise type(error)(f"cell {name}: {error}") from error
    base = {"name": lm.name, "fingerprint": lm.fingerprint}
    files.write_json(whole.folder / GRID, {"schema": 1, "model": base, "cells": list(jobs)})
    for job in jobs.values():
        with open_run(job.run.folder):
            job.run.begin(job.describe(), job.facts, job.neutral)


def _planned(jobs: Mapping[str, stages.Job], progress: Progress) -> list[_Cell]:
    """Probe and mix every cell; cells that are probed alike share one probe."""
    first: dict[str, stages.Job] = {}
    found = []
    for number, (name, job) in enumerate(jobs.items(), 1):
        with open_run(job.run.folder):
            alike = first.setdefault(files.hash_of(job.settings.probe.model_dump(mode="json")), job)
            if alike is not job:
                _take_probe(alike.run.probe, job.run.probe)
            try:
                before = stages.probe_stage(job)
                mix = stages.mix_stage(job, before)
                order = replace(stages.order_of(job, mix), name=name)
                training.check_order(job.lm, order)
            except LorepackError as error:
                raise type(error)(f"cell {name}: {error}") from error
        found.append(_Cell(name, job, before, mix, order))
        progress("mix", number, len(jobs))
    return found


def _take_probe(there: Path, here: Path) -> None:
    """Copy a finished probe, its manifest last; one that is there is checked by its own stage."""
    if (here / files.MANIFEST).is_file():
        return
    here.mkdir(parents=True, exist_ok=True)
    names = sorted(path.name for path in there.iterdir() if path.is_file())
    for name in [*(n for n in names if n != files.MANIFEST and n[0] != "."), files.MANIFEST]:
        with files.atomic(here / name) as partial_copy:
            shutil.copyfile(there / name, partial_copy)


def _row(cell: _Cell, settings: dict[str, Any], outcome: TrainResult | LorepackError) -> Row:
    """Audit and report of one cell, and its line of the summary."""
    job = cell.job
    if isinstance(outcome, LorepackError):
        return Row(cell.name, job.run.folder, settings, {}, str(outcome))
    job.notes += outcome.warnings
    try:
        with open_run(job.run.folder):
            result = stages.conclude(job, cell.before, cell.mix, time.monotonic())
    except LorepackError as error:
        return Row(cell.name, job.run.folder, settings, {}, f"audit: {error}")
    figures = _figures(result, outcome, len(cell.mix.examples))
    notes = tuple(note for note in result.notes if note not in job.lm.notes)
    return Row(cell.name, job.run.folder, settings, figures, None, notes)


def _figures(result: PackResult, trained: TrainResult, examples: int) -> dict[str, Any]:
    return {
        "unknown_trained": result.unknown_trained,
        "examples": examples,
        "steps": trained.steps,
        "reliability": result.reliability,
        "generality": result.generality,
        "positive_shift": result.positive_shift,
        "negative_shift": result.negative_shift,
        "spillover_positive": result.spillover_positive,
        "spillover_negative": result.spillover_negative,
        "neutral_kl": result.neutral_kl,
        "loss": trained.loss,
        "parameters": trained.parameters,
    }
