"""The training loop: one job over a stack, checkpointed, resumed with the same bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from lorepack import files, lora
from lorepack.errors import InputError, NumericError, WriteError
from lorepack.lora import AdapterSpec, Stack
from lorepack.training import checkpoint, result
from lorepack.training.adamw import AdamW
from lorepack.training.batches import Batch, Example, collate, fit
from lorepack.training.checkpoint import Progress
from lorepack.training.job import Base, Job
from lorepack.training.log import StepLog, begins_with
from lorepack.training.objectives import OBJECTIVES
from lorepack.training.recipe import Recipe
from lorepack.training.result import EPOCHS, STEPS, TrainResult

OnEpoch = Callable[[int, Stack], float | None]
"""called with the epoch (from 1) and the stack, switched on; returns reliability"""


def train(
    lm: Base,
    examples: Sequence[Example],
    recipe: Recipe,
    *,
    out: Path | str,
    adapter: Path | str,
    seed: int,
    on_epoch: OnEpoch | None = None,
    progress: Callable[[int, int], None] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> TrainResult:
    """Train one adapter; the same call again after a crash goes on and ends with the same bytes.

    Args:
        lm: a language model; ``context``, where it has one, bounds the examples.
        examples: the mix as token ids.
        recipe: the hyper-parameters.
        out: folder for train.jsonl, epochs.json and, while running, checkpoint/.
        adapter: folder for the adapter.
        seed: of the first factors, the order and dropout.
        on_epoch: measures reliability after an epoch, dropout off; see `OnEpoch`.
        progress: called with steps done and steps in all.
        provenance: kept in lorepack.json; base, recipe and seed where None.

    Raises:
        InputError: no examples, one that does not fit, a recipe that does not fit the model.
        NumericError: a loss or gradient is NaN or infinite; the last checkpoint is kept.
        WriteError: no space, no permission.
    """
    if recipe.early_stop_reliability is not None and on_epoch is None:
        raise InputError("early_stop_reliability needs a measurement every epoch: give on_epoch")
    out, adapter = Path(out), Path(adapter)
    job = _job(lm, examples, recipe, seed, provenance)
    inputs = job.inputs(lm.fingerprint)
    done = result.finished(out, adapter, inputs)
    if done is not None:
        return done
    run = _Run(lm, job, out, adapter, inputs)
    try:
        with run.threads(), run.stack.attached():
            run.steps(on_epoch, progress or (lambda done, total: None))
        return run.finish()
    finally:
        run.log.close()


def _job(
    lm: Base,
    examples: Sequence[Example],
    recipe: Recipe,
    seed: int,
    provenance: Mapping[str, Any] | None,
) -> Job:
    spec = _spec(lm, recipe)
    data = fit(
        examples,
        limit=min(recipe.max_length, _context(lm)),
        rule=recipe.overlong,
        whole=OBJECTIVES[recipe.loss].whole,
        vocabulary=lm.model.get_input_embeddings().weight.shape[0],  # type: ignore[operator]
    )
    origin = provenance or {
        "base": {"fingerprint": lm.fingerprint, "name": lm.name},
        "recipe": recipe.model_dump(mode="json"),
        "seed": seed,
    }
    return Job(recipe, spec, data, seed, origin)


def check(lm: Base, recipe: Recipe) -> None:
    """Whether a recipe fits a model, told before any work is done.

    Raises:
        InputError: no module of these names, a layer that is not there, a rank too high.
    """
    _spec(lm, recipe)


def _spec(lm: Base, recipe: Recipe) -> AdapterSpec:
    return AdapterSpec.for_model(
        lm.model,
        rank=recipe.rank,
        alpha=recipe.alpha,
        rslora=recipe.scaling == "rslora",
        roles=recipe.targets,
        layers=recipe.layers,
        dropout=recipe.dropout,
    )


def _context(lm: Base) -> int:
    """Tokens that the model can read at once."""
    config = getattr(lm.model, "config", None)
    limit = getattr(lm, "context", None) or getattr(config, "max_position_embeddings", None)
    return int(limit) if limit else 2**62


class _Run:
    """One job in progress: the stack, the optimizer and the counters."""

    def __init__(self, lm: Base, job: Job, out: Path, adapter: Path, inputs: str) -> None:
        self.lm, self.job, self.out, self.adapter, self.inputs = lm, job, out, adapter, inputs
        lm.model.requires_grad_(False).eval()
        self.stack = Stack(lm.model, [job.spec], [job.seed])
        self.optimizer = AdamW(self.stack, [job.recipe.weight_decay])
        self.objective = OBJECTIVES[job.recipe.loss]
        self.step = self.tokens = self.epoch_tokens = 0
        self.epoch_loss = 0.0
        self.epochs: list[dict[str, Any]] = []
        self.warnings = _length_warnings(job)
        self.wanted_threads = torch.get_num_threads()
        self.log = self._resume()

    @property
    def checkpoints(self) -> Path:
        return self.out / "checkpoint"

    def _resume(self) -> StepLog:
        """Take up the newest checkpoint of this job, or start anew."""
        place = checkpoint.newest(self.checkpoints, self.inputs)
        at = checkpoint.peek(place) if place else None
        if place is None or at is None:
            return self._fresh()
        if not begins_with(self.out / STEPS, at.log_bytes, at.log_sha256):
            self.warnings.append(f"{self.out / STEPS} was changed: training starts from step 0")
            return self._fresh()
        checkpoint.restore(place, self.optimizer)
        self.step, self.tokens = at.step, at.tokens
        self.epoch_loss, self.epoch_tokens = at.epoch_loss, at.epoch_tokens
        if at.threads != self.wanted_threads:
            self.warnings.append(
                f"resumed with the {at.threads} CPU threads that the job began with, "
                f"not {self.wanted_threads}, so that sums keep their order"
            )
            self.wanted_threads = at.threads
        if (self.out / EPOCHS).is_file():
            past = files.read_json(self.out / EPOCHS)["epochs"]
            self.epochs = [epoch for epoch in past if epoch["step"] <= at.step]
        return StepLog(self.out / STEPS, keep=at.log_bytes)

    def _fresh(self) -> StepLog:
        try:
            checkpoint.clear(self.checkpoints)
            for name in (files.MANIFEST, EPOCHS):
                (self.out / name).unlink(missing_ok=True)
        except OSError as error:
            raise WriteError(f"cannot clear {self.out}: {error.strerror or error}") from error
        return StepLog(self.out / STEPS)

    @contextmanager
    def threads(self) -> Iterator[None]:
        """Compute with the threads that the job began with."""
        before = torch.get_num_threads()
        try:
            if before != self.wanted_threads:
                torch.set_num_threads(self.wanted_threads)
            yield
        finally:
            if before != self.wanted_threads:
                torch.set_num_threads(before)

    def steps(self, on_epoch: OnEpoch | None, progress: Callable[[int, int], None]) -> None:
        """Train to the end of the schedule or to the reliability asked for."""
        total, every, epoch = (
            self.job.total_steps,
            self.job.recipe.checkpoint_every,
            self.job.steps_an_epoch,
        )
        progress(self.step, total)
        while True:
            # Also right after a resume: a kill while reliability was measured leaves it to do.
            if self.step and self.step % epoch == 0 and self._end_epoch(on_epoch):
                break
            if self.step == total:
                break
            self._step()
            if self.step % every == 0 or self.step % epoch == 0:
                self._save()
            progress(self.step, total)

    def _step(self) -> None:
        job, device = self.job, self.lm.device
        if self.step % job.steps_an_epoch == 0:
            self.epoch_loss, self.epoch_tokens = 0.0, 0
        batch = collate(job.examples_at(self.step), _pad_id(self.lm), self.objective.whole)
        batch = Batch(*(tensor.to(device) for tensor in vars(batch).values()))
        self.stack.set_step(self.step)
        self.optimizer.zero_grad()
        with self.stack.using(0, train=True):
            losses = self.objective(self.lm.model, batch).values  # (P,)
            loss = losses.mean()
            value, count = float(loss.detach()), losses.numel()
            self._require_finite("loss", value)
            loss.backward()
        norm = self.optimizer.clip([job.recipe.clip])[0]
        self._require_finite("gradient norm", norm)
        lr = job.lr_at(self.step)
        self.optimizer.step([lr])
        row = {"epoch": job.epoch_of(self.step), "grad_norm": norm, "loss": value, "lr": lr}
        self.step += 1
        self.tokens += count
        self.epoch_loss += value * count
        self.epoch_tokens += count
        self.log.add({**row, "step": self.step, "tokens": count})

    def _require_finite(self, what: str, value: float) -> None:
        if math.isfinite(value):
            return
        raise NumericError(
            f"adapter {self.adapter}: {what} is {value} at step {self.step + 1} of "
            f"{self.job.total_steps}; lower lr or check the base's weights "
            f"(the last checkpoint is kept in {self.checkpoints})"
        )

    def _save(self) -> None:
        self.log.sync()
        at = Progress(
            step=self.step,
            tokens=self.tokens,
            epoch_loss=self.epoch_loss,
            epoch_tokens=self.epoch_tokens,
            log_bytes=self.log.bytes,
            log_sha256=self.log.sha256,
            threads=torch.get_num_threads(),
        )
        checkpoint.save(self.checkpoints, self.inputs, self.optimizer, at)

    def _end_epoch(self, on_epoch: OnEpoch | None) -> bool:
        """Measure and note the epoch that just ended, once; whether training may stop."""
        number = self.step // self.job.steps_an_epoch
        if len(self.epochs) < number:
            reliability = None
            if on_epoch is not None:
                with self.stack.using(0), torch.no_grad():
                    reliability = on_epoch(number, self.stack)
            loss = self.epoch_loss / self.epoch_tokens
            self.epochs.append(
                {"epoch": number, "loss": loss, "reliability": reliability, "step": self.step}
            )
            files.write_json(self.out / EPOCHS, {"schema": 1, "epochs": self.epochs})
        reached, target = (
            self.epochs[number - 1]["reliability"],
            self.job.recipe.early_stop_reliability,
        )
        return target is not None and reached is not None and reached >= target

    def finish(self) -> TrainResult:
        """Write the adapter, then the statement that the job is done, then drop checkpoints."""
        job = self.job
        lora.save(
            self.adapter,
            job.spec,
            self.stack.factors(0),
            base_name=self.lm.name,
            provenance=job.provenance,
            fan_in_fan_out=lora.is_transposed(self.lm.model, job.spec.targets),
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
            parameters=sum(a.numel() + b.numel() for a, b in self.stack.factors(0).values()),
            warnings=self.warnings,
        )
        result.write(self.out, self.inputs, done)
        checkpoint.clear(self.checkpoints)
        return done


def _pad_id(lm: Base) -> int:
    """Any known token: padding is masked from attention and from the loss."""
    pad = getattr(lm.tokenizer, "pad_token_id", None)
    return 0 if pad is None else int(pad)


def _length_warnings(job: Job) -> list[str]:
    data, found = job.data, []
    if data.cut:
        found.append(f"{data.cut} of {len(data.examples)} training examples were cut to fit")
    if data.dropped:
        found.append(f"{data.dropped} training examples were too long and left out")
    return found
