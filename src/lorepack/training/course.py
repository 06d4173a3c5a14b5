"""The course of one job through training: its counters, its log, its epochs, its end."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lorepack import files, lora, signals
from lorepack.errors import LorepackError, NumericError, WriteError
from lorepack.lora import Stack
from lorepack.training import result
from lorepack.training.batches import Example
from lorepack.training.job import Base, Job
from lorepack.training.log import StepLog, begins_with
from lorepack.training.objectives import OBJECTIVES
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
    log_bytes: int
    """length of train.jsonl"""
    log_sha256: str


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
        self.objective = OBJECTIVES[job.recipe.loss]
        self.step = self.tokens = self.epoch_tokens = 0
        self.epoch_loss = 0.0
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
            shutil.rmtree(self.parked, ignore_errors=True)
            for name in (files.MANIFEST, EPOCHS):
                (self.out / name).unlink(missing_ok=True)
        except OSError as error:
            raise WriteError(f"cannot clear {self.out}: {error.strerror or error}") from error
        self.log = StepLog(self.out / STEPS)

    def unharmed(self, at: Progress) -> bool:
        """Whether the log still begins with what a checkpoint counts on."""
        return begins_with(self.out / STEPS, at.log_bytes, at.log_sha256)

    def resume(self, at: Progress) -> None:
        """Go on from a checkpoint."""
        self.step, self.tokens = at.step, at.tokens
        self.epoch_loss, self.epoch_tokens = at.epoch_loss, at.epoch_tokens
        if (self.out / EPOCHS).is_file():
            past = files.read_json(self.out / EPOCHS)["epochs"]
            self.epochs = [epoch for epoch in past if epoch["step"] <= at.step]
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
            log_bytes=self.log.bytes,
            log_sha256=self.log.sha256,
        )

    def examples(self) -> list[Example]:
        """The examples of the next step."""
        job, epoch = self.job, self.job.epoch_of(self.step)
        if self._order[0] != epoch:
            self._order = (epoch, job.order_of(epoch))
        start = self.step % job.steps_an_epoch * job.recipe.batch_size
        chosen = self._order[1][start : start + job.recipe.batch_size]
        return [job.data.examples[i] for i in chosen]

    @property
    def done(self) -> bool:
        """Whether no step is left."""
        return self.step == self.job.total_steps

    @property
    def at_epoch(self) -> bool:
        """Whether an epoch has just ended."""
        return self.step > 0 and self.step % self.job.steps_an_epoch == 0

    def broken(self, loss: float, grad_norm: float) -> LorepackError | None:
        """Why the job cannot go on with its next step, where loss or gradient say so."""
        for what, value in (("loss", loss), ("gradient norm", grad_norm)):
            if not math.isfinite(value):
                return NumericError(
                    f"adapter {self.adapter}: {what} is {value} at step {self.step + 1} of "
                    f"{self.job.total_steps}; lower lr or check the base's weights "
                    f"(its last good step is kept: the same call tries it again from there)"
                )
        return None

    def note(self, loss: float, tokens: int, grad_norm: float, lr: float) -> None:
        """One step more."""
        assert self.log is not None
        if self.step % self.job.steps_an_epoch == 0:
            self.epoch_loss, self.epoch_tokens = 0.0, 0
        row = {"epoch": self.job.epoch_of(self.step), "grad_norm": grad_norm, "loss": loss}
        self.step += 1
        self.tokens += tokens
        self.epoch_loss += loss * tokens
        self.epoch_tokens += tokens
        self.log.add({**row, "lr": lr, "step": self.step, "tokens": tokens})

    def end_epoch(self, stack: Stack, slot: int) -> bool:
        """Measure and note the epoch that just ended, once; whether training may stop."""
        number = self.step // self.job.steps_an_epoch
        if len(self.epochs) < number:
            reliability = None
            if self.on_epoch is not None:
                # What is measured is not lost with the signal: the step before it is kept.
                with stack.using(slot), torch.no_grad(), signals.released():
                    reliability = self.on_epoch(number, stack)
            loss = self.epoch_loss / self.epoch_tokens
            self.epochs.append(
                {"epoch": number, "loss": loss, "reliability": reliability, "step": self.step}
            )
            files.write_json(self.out / EPOCHS, {"schema": 1, "epochs": self.epochs})
        reached = self.epochs[number - 1]["reliability"]
        target = self.job.recipe.early_stop_reliability
        return target is not None and reached is not None and reached >= target

    def finish(
        self,
        lm: Base,
        spec: lora.AdapterSpec,
        factors: lora.Factors,
        parameters: int,
        inputs: str,
    ) -> TrainResult:
        """Write the adapter as ``spec`` says, then the statement that the job is done."""
        job = self.job
        assert self.log is not None
        lora.save(
            self.adapter,
            spec,
            factors,
            base_name=lm.name,
            provenance=job.provenance,
            fan_in_fan_out=lora.is_transposed(lm.model, spec.targets),
        )
        self.log.sync()
        done = TrainResult(
            adapter=self.adapter,
            steps=self.step,
            epochs=len(self.epochs),
            loss=self.epochs[-1]["loss"],
            reliability=self.epochs[-1]["reliability"],
            tokens=self.tokens,
            examples=len(job.data.examples),
            cut=job.data.cut,
            dropped=job.data.dropped,
            stopped_early=self.step < job.total_steps,
            parameters=parameters,
            warnings=self.warnings,
        )
        result.write(self.out, inputs, done)
        shutil.rmtree(self.parked, ignore_errors=True)
        return done

    def close(self) -> None:
        """Let go of the log."""
        if self.log is not None:
            self.log.close()
            self.log = None


def _length_warnings(job: Job) -> list[str]:
    data, found = job.data, []
    if data.cut:
        found.append(f"{data.cut} of {len(data.examples)} training examples were cut to fit")
    if data.dropped:
        found.append(f"{data.dropped} training examples were too long and left out")
    return found
