"""The five stages of a run. Each reads what earlier ones wrote and writes its own, whole or not.

A stage whose manifest names the same inputs is skipped, so the same command after a crash, or a
second time, goes on where the files end.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from lorepack import auditing, files, lora, probing, reports, training
from lorepack.auditing import AuditResult, AuditSettings
from lorepack.auditing.budget import BudgetSettings
from lorepack.auditing.splits import text_halves
from lorepack.errors import LorepackError
from lorepack.facts import Fact
from lorepack.llm import ANSWER, QUESTION, LanguageModel
from lorepack.lora.adapter_files import CONFIG, WEIGHTS
from lorepack.packing.budgeting import Budgeting, choose_adapter, judge_adapter
from lorepack.packing.compose import Mix, compose
from lorepack.packing.result import PackResult
from lorepack.packing.run import Run, versions
from lorepack.packing.settings import PackSettings
from lorepack.probing import ProbeResult
from lorepack.training.own_text import running_text
from lorepack.training.sinks import Sink
from lorepack.training.snapshots import MOST

Progress = Callable[[str, int, int], None]
"""called as ``progress(stage, done, total)``"""
Note = Callable[[str], None]
"""called with remarks of one line"""


REPLAY_TOKENS = 96
"""most tokens of a text that is replayed"""
GUARDS = 64
"""development texts that harm is measured on after every epoch"""


def quiet(stage: str, done: int, total: int) -> None:
    """Progress that shows nothing."""


@dataclass
class Job:
    """One run at work: its folder, model, facts and settings."""

    run: Run
    lm: LanguageModel
    facts: Sequence[Fact]
    settings: PackSettings
    neutral: Sequence[str]
    progress: Progress = quiet
    notes: list[str] = field(default_factory=list)
    """remarks so far: of reading the facts, of the mix, of training, of loading the adapter"""
    sinks: Sequence[Sink] = ()
    """take the values of every step of training"""
    counting: AuditSettings | None = None
    """how the audit counts; its own defaults when None"""
    replay: Sequence[str] = ()
    """texts that training may replay; none that harm is measured on"""

    @cached_property
    def facts_hash(self) -> str:
        """Hash of all facts in order."""
        return files.hash_of([fact.to_json() for fact in self.facts])

    def describe(self) -> dict[str, Any]:
        """What ``run.json`` says: settings, model, facts and versions."""
        replay = {"count": len(self.replay), "sha256": files.hash_of(list(self.replay))}
        return {
            "schema": 1,
            **({"replay": replay} if self.settings.recipe.replay_ratio else {}),
            "settings": self.settings.to_json(),
            "model": {
                "name": self.lm.name,
                "fingerprint": self.lm.fingerprint,
                "dtype": str(self.lm.dtype).removeprefix("torch."),
            },
            "facts": {"count": len(self.facts), "sha256": self.facts_hash},
            "neutral": {"count": len(self.neutral), "sha256": files.hash_of(list(self.neutral))},
            "versions": versions(),
        }

    def timed(self, stage: str) -> AbstractContextManager[None]:
        """Count a block's seconds to a stage."""
        return self.run.timed(stage, str(self.lm.device))

    def ticker(self, stage: str) -> Callable[[int, int], None]:
        """Progress of one stage, for rooms that do not know its name."""
        return lambda done, total: self.progress(stage, done, total)


def carry_out(job: Job, start: float, *, train: bool = True) -> PackResult:
    """All stages of a run, in order; those that are up to date cost a check.

    Args:
        job: the run, begun.
        start: when the user's call began, by `time.monotonic`.
        train: whether the adapter may be trained; without, it must be there.
    """
    before = probe_stage(job)
    mix = mix_stage(job, before)
    if work := budgeting(job, before, mix):
        _ = work.split  # what cannot be measured is told before training
    if train:
        train_stage(job, mix)
    return conclude(job, before, mix, start)


def conclude(job: Job, before: ProbeResult, mix: Mix, start: float) -> PackResult:
    """Audit and report of a run whose adapter is there."""
    work, choice, judged = budgeting(job, before, mix), None, None
    if work is not None:
        with job.timed("budget"):
            choice = choose_adapter(work, job.ticker("budget"))
    found = audit_stage(job, before, mix)
    if work is not None and choice is not None:
        with job.timed("budget"):
            judged = judge_adapter(work, choice, found)
    return PackResult.of(
        found,
        report=report_stage(job),
        seconds=time.monotonic() - start,
        adapter=job.run.adapter,
        notes=[*job.lm.notes, *job.notes, *before.notes, *found.notes],
        budget=judged,
    )


def budgeting(job: Job, before: ProbeResult, mix: Mix) -> Budgeting | None:
    """What a run's budget is kept to with; None without one."""
    if job.settings.budget is None:
        return None
    return Budgeting(
        lm=job.lm,
        facts=job.facts,
        before=before,
        trained=mix.trained,
        rehearsed=mix.known,
        texts=job.neutral,
        settings=job.settings.budget,
        seed=job.settings.seed,
        folder=job.run.budget,
        source=job.run.unchosen,
        adapter=job.run.adapter,
        training=job.run.training,
    )


def probe_stage(job: Job) -> ProbeResult:
    """What the base knows of every fact: ``probe/``."""
    with job.timed("probe"):
        return probing.probe(
            job.lm,
            job.facts,
            job.run.probe,
            job.settings.probe,
            notes=job.notes,
            progress=job.ticker("probe"),
        )


def mix_stage(job: Job, before: ProbeResult) -> Mix:
    """The training data: ``mix/mix.jsonl`` and ``mix/mix.json``."""
    settings = job.settings.mix
    with job.timed("mix"):
        mix = compose(
            job.facts,
            before,
            unknown=settings.unknown,
            known=settings.known,
            paraphrases=settings.paraphrases,
            selection=settings.selection,
            answer_cap=settings.answer_cap,
            allow_lucky=settings.allow_lucky,
            seed=job.settings.seed,
        )
        job.notes += mix.warnings
        inputs = files.hash_of([mix.manifest(), job.facts_hash])
        if not files.is_complete(job.run.mix, inputs):
            lines = (json.dumps(row, ensure_ascii=False) for row in mix.to_rows())
            files.write_lines(job.run.mix / "mix.jsonl", lines)
            files.write_json(job.run.mix / "mix.json", mix.manifest())
            files.write_manifest(job.run.mix, inputs, ["mix.jsonl", "mix.json"])
    return mix


def train_stage(job: Job, mix: Mix) -> None:
    """The adapter: ``adapter/`` in PEFT's format, ``training/`` with its curves."""
    with job.timed("train"):
        order = order_of(job, mix)
        result = training.train(
            job.lm,
            order.examples,
            order.recipe,
            out=order.out,
            adapter=order.adapter,
            seed=order.seed,
            on_epoch=order.on_epoch,
            progress=job.ticker("train"),
            provenance=order.provenance,
            replay=order.replay,
            guard=order.guard,
            snapshots=order.snapshots,
            sinks=job.sinks,
        )
        job.notes += result.warnings


def train_together(
    lm: LanguageModel,
    orders: Sequence[training.Order],
    whole: Run,
    progress: Progress,
    notes: list[str],
    **options: Any,
) -> list[training.TrainResult | LorepackError]:
    """Train the jobs of many runs in one stack: of each its result, or the error that ended it.

    Args:
        lm: the base.
        orders: the jobs.
        whole: the folder that holds all of their runs.
        progress: called as ``progress("train", done, total)``.
        notes: what the scheduler remarks is added to it.
        options: of `training.train_many`; those that are None are left to it. ``note`` hears
            each remark at once.
    """
    tell = options.pop("note", None)

    def note(line: str) -> None:
        notes.append(line)
        if tell is not None:
            tell(line)

    with whole.timed("train", str(lm.device)):
        return training.train_many(
            lm,
            orders,
            checkpoints=whole.folder / "checkpoint",
            progress=lambda done, total: progress("train", done, total),
            note=note,
            **options,
        )


def order_of(job: Job, mix: Mix) -> training.Order:
    """What a run asks of training."""
    recipe = job.settings.recipe
    order = training.Order(
        examples=examples_of(job.lm, mix),
        recipe=recipe,
        out=job.run.training,
        adapter=job.run.adapter,
        seed=job.settings.seed,
        on_epoch=epoch_meter(job, mix),
        provenance=adapter_provenance(job, mix),
        replay=running_text(job.lm, job.replay, REPLAY_TOKENS) if recipe.replay_ratio else (),
    )
    return order if job.settings.budget is None else _watched(job, order, job.settings.budget)


def _watched(job: Job, order: training.Order, budget: BudgetSettings) -> training.Order:
    """The same, harm measured after every epoch on development texts, checkpoints kept.

    It ends where KL is so far beyond its limit that weakening can hardly mend it; a harm_budget
    of the recipe's own is stricter and wins.
    """
    recipe, limit = order.recipe, budget.limits.get("neutral_kl")
    if recipe.harm_budget is None and limit is not None:
        recipe = recipe.override({"harm_budget": str(budget.slack * limit)})
    places, _ = text_halves(job.neutral, job.settings.seed)
    texts = [job.neutral[place] for place in places[:GUARDS]]
    return replace(
        order,
        recipe=recipe,
        adapter=job.run.unchosen,
        guard=running_text(job.lm, texts, length=min(recipe.max_length, job.lm.context)),
        snapshots=MOST,
    )


def adapter_provenance(job: Job, mix: Mix) -> dict[str, Any]:
    """What ``lorepack.json`` keeps of where an adapter comes from."""
    return {
        "base": {"name": job.lm.name, "fingerprint": job.lm.fingerprint},
        "recipe": job.settings.recipe.model_dump(mode="json"),
        "seed": job.settings.seed,
        "epoch_curve": job.settings.epoch_curve,
        "facts": {"count": len(job.facts), "sha256": job.facts_hash},
        "mix": mix.manifest(),
        "versions": versions(),
    }


def examples_of(lm: LanguageModel, mix: Mix) -> list[training.Example]:
    """The mix as token ids in the model's own chat form, no earlier turns."""
    examples = []
    for row in mix.examples:
        question, answer = QUESTION.format(q=row.question), ANSWER.format(a=row.answer)
        ids, start = lm.chat.example_ids(question, answer)
        examples.append(training.Example(tuple(ids), start, row.fact_id))
    return examples


def epoch_meter(job: Job, mix: Mix) -> Callable[..., float | None] | None:
    """The callback that measures reliability after an epoch; None when nobody asked for it."""
    if not job.settings.epoch_curve and job.settings.recipe.early_stop_reliability is None:
        return None
    chosen = set(mix.trained)
    trained = [fact for fact in job.facts if fact.id in chosen]

    def measure(*_: object) -> float:
        correct = probing.ask(job.lm, trained, job.settings.probe, pool=job.facts)
        return float(correct.mean())

    return measure


@contextmanager
def adapter_on(lm: LanguageModel, folder: Path, notes: list[str]) -> Iterator[lora.Stack]:
    """Load an adapter from disk and put it on the model for the block, checked to be applied."""
    loaded = lora.load(folder, lm.model, fingerprint=lm.fingerprint)
    notes += loaded.warnings
    stack = lora.Stack(lm.model, [loaded.spec], [0])
    stack.load_factors(0, loaded.factors)
    question = torch.tensor([lm.chat.prompt_ids(QUESTION.format(q="Was this adapter applied?"))])
    lora.verify_applied(stack, 0, lm.model, question.to(lm.device))
    with stack.attached():
        stack.use(None)
        yield stack


def tag_of(adapter: Path, weakened: bool) -> str:
    """What names an adapter to its audit.

    Args:
        adapter: its folder.
        weakened: whether a budget chose its strength, which stands beside the weights.
    """
    weights = files.sha256_of(adapter / WEIGHTS)
    return files.hash_of([weights, files.sha256_of(adapter / CONFIG)]) if weakened else weights


def audit_stage(job: Job, before: ProbeResult, mix: Mix) -> AuditResult:
    """What the adapter learned and cost: ``audit/``."""
    with job.timed("audit"), adapter_on(job.lm, job.run.adapter, job.notes) as stack:
        return auditing.audit(
            job.lm,
            stack,
            job.facts,
            before,
            set(mix.trained),
            rehearsed=set(mix.known),
            heldout=mix.heldout,
            neutral=job.neutral,
            out=job.run.audit,
            settings=job.settings.probe,
            options=job.counting,
            adapter_tag=tag_of(job.run.adapter, job.settings.budget is not None),
            progress=job.progress,
        )


def report_stage(job: Job) -> Path:
    """The report and the adapter's model card."""
    with job.timed("report"):
        reports.model_card(job.run.folder)
    return reports.report(job.run.folder)
