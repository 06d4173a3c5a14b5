"""Many training jobs in one stack: a folder each, and one summary."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lorepack import files, folders
from lorepack.errors import InputError, LorepackError, MismatchError
from lorepack.llm import LanguageModel
from lorepack.packing import summary
from lorepack.packing.job import Job, check_apart
from lorepack.packing.jobs import loaded
from lorepack.packing.plans import Plan, plan_all
from lorepack.packing.recall import Recall, measure
from lorepack.packing.replay import OWN_TEXT
from lorepack.packing.run import JOB, JOBS, Run, first_difference, refuse_other_kind, versions
from lorepack.packing.stages import Note, Progress, quiet, train_together
from lorepack.packing.summary import JobsResult, Row
from lorepack.training import TrainResult
from lorepack.training.live import Watch

Outcome = TrainResult | LorepackError


def train(
    jobs: Sequence[Job],
    *,
    model: str | LanguageModel,
    out: str | Path,
    recall: bool = True,
    slots: int | None = None,
    tokens: int | None = None,
    workers: int | None = None,
    progress: Progress = quiet,
    note: Note | None = None,
    watch: Watch | None = None,
    **load: Any,
) -> JobsResult:
    """Train many adapters together on one base, each as it would be trained alone.

    Nothing is trained before every job was found to be in order. The same call again goes on
    where it stopped; jobs that are done are not trained again.

    Args:
        jobs: what to train, in the order in which they enter the stack.
        model: ``"world"``, a model folder, a hub id, or a model already loaded.
        out: folder of all results; each job gets a folder of its name in it.
        recall: ask each adapter its own facts, and those to evaluate on, afterwards.
        slots: most adapters in the stack at once; None leaves it to the engine.
        tokens: most tokens of one forward pass; None leaves it to the engine.
        workers: most processes that share the jobs, on a processor; None takes one a CPU thread
            where there is enough to do.
        progress: called as ``progress(stage, done, total)``.
        note: called with each remark of the scheduler, such as how many adapters fit at once;
            the result's notes hold them, too.
        watch: called with how every job stands, about four times a second.
        load: how to load the model: ``device``, ``dtype``, ``revision``, ``trust_remote_code``.

    Returns:
        One row a job, failed ones with their error; ``summary.json``, ``.csv`` and ``.html`` in
        ``out`` say the same.

    Raises:
        LorepackError: a job that cannot be trained as it is, by name, before any training; a
            folder that holds something else; no space. Finished jobs are kept.
    """
    start = time.monotonic()
    whole = Run(Path(out))
    if not jobs:
        raise InputError("no jobs given; at least one is needed")
    check_apart([job.name for job in jobs], whole.folder)
    with folders.alone(whole.folder, JOBS):
        refuse_other_kind(whole.folder, JOBS)
        lm = loaded(model, load)
        planned = plan_all(jobs, lm, whole.folder, progress)
        _begin(whole, lm, planned)
        orders = [plan.order for plan in planned]
        notes = list(lm.notes)
        trained = train_together(
            lm, orders, whole, progress, notes,
            slots=slots, tokens=tokens, workers=workers, note=note, watch=watch,
        )  # fmt: skip
        outcomes = dict(zip((plan.job.name for plan in planned), trained, strict=True))
        with whole.timed("recall", str(lm.device)):
            found = _recalled(lm, planned, outcomes, progress) if recall else {}
        rows = [_row(plan, outcomes[plan.job.name], found) for plan in planned]
        return summary.write(whole.folder, "jobs", lm, rows, time.monotonic() - start, notes)


def _begin(whole: Run, lm: LanguageModel, planned: Sequence[Plan]) -> None:
    """Write what each job starts from; refuse before the first one where a folder is another's.

    Raises:
        MismatchError: a job's folder holds the finished results of another one.
    """
    base = {
        "name": lm.name,
        "fingerprint": lm.fingerprint,
        "dtype": str(lm.dtype).removeprefix("torch."),
    }
    described = [
        {
            "schema": 1,
            "name": plan.job.name,
            "model": base,
            "recipe": plan.recipe.model_dump(mode="json"),
            "seed": plan.job.seed,
            "examples": len(plan.order.examples),
            **plan.material.describe(),
            **plan.beside,
            "versions": versions(),
        }
        for plan in planned
    ]
    for plan, new in zip(planned, described, strict=True):
        refuse_other_kind(plan.run.folder, JOB)
        path = plan.run.folder / JOB
        if path.is_file() and (plan.run.training / files.MANIFEST).is_file():
            difference = first_difference(files.read_json(path), new)
            if difference:
                raise MismatchError(
                    f"{plan.run.folder} holds another job ({difference}); give another name or "
                    "folder, or remove this one"
                )
    names = [plan.job.name for plan in planned]
    files.write_json(whole.folder / JOBS, {"schema": 1, "model": base, "jobs": names})
    for plan, new in zip(planned, described, strict=True):
        if plan.own is not None:
            files.write_json(plan.run.folder / OWN_TEXT, plan.own)
        files.write_json(plan.run.folder / JOB, new)


def _recalled(
    lm: LanguageModel,
    planned: Sequence[Plan],
    outcomes: dict[str, Outcome],
    progress: Progress,
) -> dict[str, Recall]:
    """Recall of every adapter that was trained, one after the other."""
    asked = [p for p in planned if isinstance(outcomes[p.job.name], TrainResult)]
    asked = [plan for plan in asked if plan.material.facts or plan.evaluate]
    found = {}
    for number, plan in enumerate(asked, 1):
        found[plan.job.name] = measure(
            lm, plan.run, plan.material.facts, plan.evaluate, plan.notes,
            partial(progress, "recall", number, len(asked)),
        )  # fmt: skip
    return found


def _row(plan: Plan, outcome: Outcome, found: dict[str, Recall]) -> Row:
    """One line of the summary."""
    settings = {
        "data": summary.data_label(plan.job.data),
        "seed": plan.job.seed,
        **{name: summary.data_label(source) for name, source in plan.job.beside.items()},
        **plan.recipe.model_dump(mode="json"),
    }
    material = plan.material
    sizes = {"facts": len(material.facts), "texts": len(material.texts)}
    if isinstance(outcome, LorepackError):
        return Row(plan.job.name, plan.run.folder, settings, sizes, str(outcome))
    measured = found.get(plan.job.name, Recall(None, None))
    figures = {
        **sizes,
        "examples": outcome.examples,
        "cut": outcome.cut,
        "dropped": outcome.dropped,
        "steps": outcome.steps,
        "epochs": outcome.epochs,
        "loss": outcome.loss,
        "recall": measured.own,
        "evaluated": measured.evaluated,
        "parameters": outcome.parameters,
    }
    notes = tuple(dict.fromkeys((*plan.notes, *outcome.warnings)))
    return Row(plan.job.name, plan.run.folder, settings, figures, None, notes)
