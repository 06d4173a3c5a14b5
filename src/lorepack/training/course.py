"""The course of one job through training: its counters, its log, its epochs, its end."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lorepack import files, lora, signals
from lorepack.errors import LorepackError, NumericError, WriteError
from lorepack.lora import Stack
from lorepack.lora.adapter_files import WEIGHTS
from lorepack.training import result, snapshots, stops
from lorepack.training.batches import Example, Fitted
from lorepack.training.harm import harm
from lorepack.training.job import Base, Job
from lorepack.training.log import StepLog, begins_with
from lorepack.training.objectives import Term, replay_terms, trained_term
from lorepack.training.result import EPOCHS, STEPS, TrainResult

OnEpoch = Callable[[int, Stack], float | None]
"""called with the epoch (from 1) and the stack, switched on; returns reliability"""


@dataclass(frozen=True)
class Progress:
    """How far a job is; all that is needed beside the tensors to go on with the same bytes."""

    step: int
    """steps done"""
    tokens: int
    """tokens that counted in a loss so far"""
    epoch_loss: float
    """summed loss of the tokens of the current epoch so far, nats"""
    epoch_tokens: int
    epoch_least: float
    """the smallest probability of a token of the current epoch so far; 1 where nobody asks"""
    log_bytes: int
    """length of train.jsonl"""
    log_sha256: str


@dataclass(frozen=True)
class Part:
    """Some examples of a step, and what is minimised over them."""

    examples: list[Example]
    terms: tuple[Term, ...]


class Course:
    """One job in progress.

    Args:
        job: what is trained.
        out: folder for train.jsonl, epochs.json, result.json.
        adapter: folder for the adapter.
        on_epoch: measures reliability after an epoch; see `OnEpoch`.
        name: for tables; the adapter's folder where empty.
    """

    def __init__(
        self,
        job: Job,
        out: Path,
        adapter: Path,
        on_epoch: OnEpoch | None = None,
        name: str = "",
    ) -> None:
        self.job, self.out, self.adapter, self.on_epoch = job, out, adapter, on_epoch
        self.name = name or str(adapter)
        self.trained, self.replayed = trained_term(job.recipe), replay_terms(job.recipe)
        self.step = self.tokens = self.epoch_tokens = 0
        self.epoch_loss, self.epoch_least = 0.0, 1.0
        self.reached: str | None = None  # the target that an epoch reached
        self.epochs: list[dict[str, Any]] = []
        self._order: tuple[int, tuple[int, ...]] = (0, ())  # epoch and its order, of one epoch
        self.warnings = _length_warnings(job)
        self.error: LorepackError | None = None
        self.log: StepLog | None = None

    @property
    def parked(self) -> Path:
        """Folder for the state of a job that was taken out of the stack before its end."""
        return self.out / "parked"

    def begin(self) -> None:
        """Start from step 0, leaving nothing of an earlier try."""
        try:
            for folder in (self.parked, self.out / snapshots.FOLDER):
                shutil.rmtree(folder, ignore_errors=True)
            for name in (files.MANIFEST, EPOCHS):
                (self.out / name).unlink(missing_ok=True)
        except OSError as error:
            raise WriteError(f"cannot clear {self.out}: {error.strerror or error}") from error
        self.log = StepLog(self.out / STEPS)

    def changed(self, at: Progress) -> Path | None:
        """What a checkpoint counts on and is not as it was: the log's lines, adapters kept."""
        past = self._past(at)
        kept = [self.adapter] if self._within(past) else []
        kept += [
            snapshots.place_of(self.out, row["epoch"])
            for row in past
            if row["epoch"] in self.job.snapshots
        ]
        for folder in kept:
            if not (folder / WEIGHTS).is_file():
                return folder / WEIGHTS
        log = self.out / STEPS
        return None if begins_with(log, at.log_bytes, at.log_sha256) else log

    def resume(self, at: Progress) -> None:
        """Go on from a checkpoint."""
        self.step, self.tokens = at.step, at.tokens
        self.epoch_loss, self.epoch_tokens = at.epoch_loss, at.epoch_tokens
        self.epoch_least = at.epoch_least
        self.epochs = self._past(at)
        self.log = StepLog(self.out / STEPS, keep=at.log_bytes)

    def progress(self) -> Progress:
        """Where the job stands, its log on the disk."""
        assert self.log is not None
        self.log.sync()
        return Progress(
            step=self.step,
            tokens=self.tokens,
            epoch_loss=self.epoch_loss,
            epoch_tokens=self.epoch_tokens,
            epoch_least=self.epoch_least,
            log_bytes=self.log.bytes,
            log_sha256=self.log.sha256,
        )

    def parts(self) -> list[Part]:
        """The examples of the next step, its own and those that it replays."""
        job, epoch = self.job, self.job.epoch_of(self.step)
        if self._order[0] != epoch:
            self._order = (epoch, job.order_of(epoch))
        own = [job.data.examples[self._order[1][place]] for place in job.examples_of(self.step)]
        replayed = job.replayed_at(self.step)
        return [Part(own, (self.trained,)), *([Part(replayed, self.replayed)] if replayed else [])]

    def step_tokens(self) -> int:
        """Tokens of the examples of the next step."""
        return sum(len(example.ids) for part in self.parts() for example in part.examples)

    @property
    def done(self) -> bool:
        """Whether no step is left."""
        return self.step == self.job.total_steps

    @property
    def measures(self) -> bool:
        """Whether something is computed at an epoch's end."""
        return self.on_epoch is not None or bool(self.job.guard.examples)

    @property
    def at_epoch(self) -> bool:
        """Whether an epoch has just ended, be it cut short by the job's end."""
        return self.step > 0 and (self.done or self.step % self.job.steps_an_epoch == 0)

    def broken(self, means: Mapping[str, float], grad_norm: float) -> LorepackError | None:
        """Why the job cannot go on with its next step, where a loss or the gradient say so."""
        for what, value in (*means.items(), ("gradient norm", grad_norm)):
            if not math.isfinite(value):
                return NumericError(
                    f"adapter {self.adapter}: {what} is {value} at step {self.step + 1} of "
                    f"{self.job.total_steps}; lower lr or check the base's weights "
                    f"(its last good step is kept: the same call tries it again from there)"
                )
        return None

    def note(
        self,
        means: Mapping[str, float],
        tokens: int,
        grad_norm: float,
        lr: float,
        surprise: float | None = None,
    ) -> None:
        """One step more.

        Args:
            means: ``loss`` of its own examples, and what is measured on those it replays.
            tokens: in that loss.
            grad_norm: before it was clipped.
            lr: of the step.
            surprise: the largest -log p of its own examples' tokens, nats.
        """
        assert self.log is not None
        if self.step % self.job.steps_an_epoch == 0:
            self.epoch_loss, self.epoch_tokens, self.epoch_least = 0.0, 0, 1.0
        row = {"epoch": self.job.epoch_of(self.step), "grad_norm": grad_norm, **means}
        self.step += 1
        self.tokens += tokens
        self.epoch_loss += means["loss"] * tokens
        self.epoch_tokens += tokens
        if surprise is not None:
            self.epoch_least = min(self.epoch_least, math.exp(-surprise))
        self.log.add({**row, "lr": lr, "step": self.step, "tokens": tokens})

    def end_epoch(self, lm: Base, stack: Stack, slot: int) -> bool:
        """Measure and note the epoch that just ended, once; whether training may stop."""
        number = self.job.epoch_of(self.step - 1)
        if len(self.epochs) < number:
            row = self._measured(number, lm, stack, slot)
            if number in self.job.snapshots:
                self._save(lm, *stack.plain(slot), snapshots.place_of(self.out, number))
            if self._within([row]):
                # At its final place: what comes after may go beyond the budget.
                self._save(lm, *stack.plain(slot), self.adapter)
            self.epochs.append(row)
            files.write_json(self.out / EPOCHS, {"schema": 1, "epochs": self.epochs})
        self.reached = stops.reached(self.job.recipe, self.epochs[number - 1])
        return self.reached is not None

    def _measured(self, number: int, lm: Base, stack: Stack, slot: int) -> dict[str, Any]:
        """The row of epochs.json of the epoch that just ended."""
        row: dict[str, Any] = {"epoch": number, "reliability": None, "step": self.step}
        row["loss"] = self.epoch_loss / self.epoch_tokens
        if self.on_epoch is not None:
            # What is measured is not lost with the signal: the step before it is kept.
            with stack.using(slot), torch.no_grad(), signals.released():
                row["reliability"] = self.on_epoch(number, stack)
        if self.job.recipe.stop_probability is not None:
            row["least_probability"] = self.epoch_least
        if self.job.guard.examples:
            row["harm"] = harm(lm, stack, slot, self.job.guard.examples)
        for what in ("reliability", "harm"):
            if row.get(what) is not None and not math.isfinite(row[what]):
                raise NumericError(f"{what} is {row[what]} after epoch {number}")
        return row

    def _past(self, at: Progress) -> list[dict[str, Any]]:
        """The epochs that had ended at a checkpoint."""
        if not (self.out / EPOCHS).is_file():
            return []
        past = files.read_json(self.out / EPOCHS)["epochs"]
        return [epoch for epoch in past if epoch["step"] <= at.step]

    def _within(self, epochs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those of some epochs that kept within the harm budget; none where there is no budget."""
        budget = self.job.recipe.harm_budget
        return [] if budget is None else [row for row in epochs if row["harm"] <= budget]

    def finish(
        self,
        lm: Base,
        spec: lora.AdapterSpec,
        factors: lora.Factors,
        parameters: int,
        inputs: str,
    ) -> TrainResult:
        """Write the adapter as ``spec`` says, then the statement that the job is done.

        The adapter is that of the last epoch within the harm budget, where there is one.
        """
        job, kept = self.job, self.epochs[-1]
        assert self.log is not None
        if self.reached == "harm_budget" and (within := self._within(self.epochs)):
            kept = within[-1]  # it is in its place already
        else:
            self._save(lm, spec, factors, self.adapter)
        if self.reached == "harm_budget" and kept is self.epochs[-1]:
            self.warnings.append(
                f"no epoch kept within harm_budget {job.recipe.harm_budget}: the adapter of epoch "
                f"{kept['epoch']} is kept, at {kept['harm']:.3g} nats a token; lower lr or rank, "
                "or replay more"
            )
        self.log.sync()
        done = TrainResult(
            adapter=self.adapter,
            steps=self.step,
            epochs=len(self.epochs),
            loss=kept["loss"],
            reliability=kept["reliability"],
            tokens=self.tokens,
            examples=len(job.data.examples),
            cut=job.data.cut,
            dropped=job.data.dropped,
            stopped_early=self.step < job.total_steps,
            stopped=self.reached or job.planned[1],
            kept_epoch=kept["epoch"],
            parameters=parameters,
            warnings=self.warnings,
        )
        result.write(self.out, inputs, done)
        self.close()  # a thousand jobs would hold a thousand files
        shutil.rmtree(self.parked, ignore_errors=True)
        return done

    def _save(self, lm: Base, spec: lora.AdapterSpec, factors: lora.Factors, folder: Path) -> None:
        """Write the adapter as it is now."""
        lora.save(
            folder,
            spec,
            factors,
            base_name=lm.name,
            provenance=self.job.provenance,
            fan_in_fan_out=lora.is_transposed(lm.model, spec.targets),
        )

    def close(self) -> None:
        """Let go of the log."""
        if self.log is not None:
            self.log.close()
            self.log = None


def _length_warnings(job: Job) -> list[str]:
    found = []
    kinds: dict[str, Fitted] = {"training": job.data, "replay": job.replay, "guard": job.guard}
    for kind, data in kinds.items():
        if data.cut:
            found.append(f"{data.cut} of {len(data.examples)} {kind} examples were cut to fit")
        if data.dropped:
            found.append(f"{data.dropped} {kind} examples were too long and left out")
    return found
