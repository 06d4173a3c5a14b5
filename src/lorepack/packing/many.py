"""Many training jobs in one stack: a folder each, and one summary."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

from lorepack import files, folders, training
from lorepack.errors import InputError, LorepackError, MismatchError
from lorepack.facts import Fact
from lorepack.llm import LanguageModel
from lorepack.packing import material, summary
from lorepack.packing.job import Job, check_apart, listed
from lorepack.packing.jobs import loaded
from lorepack.packing.material import Material
from lorepack.packing.recall import Recall, measure, share_right
from lorepack.packing.run import JOB, JOBS, Run, first_difference, refuse_other_kind, versions
from lorepack.packing.stages import Note, Progress, quiet, train_together
from lorepack.packing.summary import JobsResult, Row
from lorepack.training import Order, Recipe, TrainResult
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
        planned = _planned(jobs, lm, whole.folder, progress)
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


@dataclass
class _Plan:
    """One job, ready to be trained."""

    job: Job
    run: Run
    recipe: Recipe
    material: Material
    evaluate: tuple[Fact, ...]
    order: Order
    notes: list[str] = field(default_factory=list)


def _planned(jobs: Sequence[Job], lm: LanguageModel, out: Path, progress: Progress) -> list[_Plan]:
    """All jobs, read and checked, so that nothing fails late that can be told early."""
    read = cache(material.read_source)  # sources that jobs share are read once
    plans = []
    for number, job in enumerate(jobs, 1):
        try:
            plans.append(_plan(job, lm, out, read))
        except LorepackError as error:
            raise type(error)(f"job {job.name}: {error}") from error
        progress("read", number, len(jobs))
    return plans


def _plan(job: Job, lm: LanguageModel, out: Path, read: Any) -> _Plan:
    recipe, run = job.chosen(), Run(out / job.name)
    training.check(lm, recipe)
    found = material.gather(listed(job.data), read)
    evaluate: tuple[Fact, ...] = ()
    if job.evaluate is not None:
        evaluate = material.gather(listed(job.evaluate), read).facts
        if not evaluate:
            raise InputError("evaluate holds texts alone; expected facts to ask")
    examples = material.examples(lm, found, job.seed, min(recipe.max_length, lm.context))
    order = Order(
        examples=examples,
        recipe=recipe,
        out=run.training,
        adapter=run.adapter,
        seed=job.seed,
        on_epoch=_meter(lm, recipe, found),
        provenance=_provenance(job, recipe, lm, found),
        name=job.name,
    )
    training.check_order(lm, order)
    return _Plan(job, run, recipe, found, evaluate, order, list(found.notes))


def _meter(lm: LanguageModel, recipe: Recipe, found: Material) -> Any:
    """What measures reliability after an epoch, where the recipe stops by it."""
    if recipe.early_stop_reliability is None:
        return None
    if not found.facts:
        raise InputError("early_stop_reliability needs facts to ask; the job has texts alone")
    return lambda *_: share_right(lm, found.facts)


def _provenance(job: Job, recipe: Recipe, lm: LanguageModel, found: Material) -> dict[str, Any]:
    """What ``lorepack.json`` keeps of where an adapter comes from."""
    return {
        "base": {"name": lm.name, "fingerprint": lm.fingerprint},
        "recipe": recipe.model_dump(mode="json"),
        "seed": job.seed,
        **found.describe(),
        "mix": found.mix(job.seed).manifest(),
        "versions": versions(),
    }


def _begin(whole: Run, lm: LanguageModel, planned: Sequence[_Plan]) -> None:
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
        files.write_json(plan.run.folder / JOB, new)


def _recalled(
    lm: LanguageModel,
    planned: Sequence[_Plan],
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


def _row(plan: _Plan, outcome: Outcome, found: dict[str, Recall]) -> Row:
    """One line of the summary."""
    settings = {
        "data": summary.data_label(plan.job.data),
        "seed": plan.job.seed,
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
