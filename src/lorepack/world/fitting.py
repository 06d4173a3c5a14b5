"""The loop that fits a world model to its batches, with checkpoints that resume exactly."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorepack import files
from lorepack.errors import NumericError
from lorepack.world.batches import IGNORED, Batch

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM


@dataclass(frozen=True)
class Schedule:
    """How a stage is optimised: AdamW, linear warm-up, cosine to `floor * rate`."""

    rate: float = 3e-3
    warmup: int = 150
    floor: float = 0.03
    decay: float = 0.02
    betas: tuple[float, float] = (0.9, 0.98)
    clip: float = 1.0

    def at(self, step: int, steps: int) -> float:
        """Learning rate of a step."""
        if step < self.warmup:
            return self.rate * (step + 1) / self.warmup
        part = (step - self.warmup) / max(1, steps - self.warmup)
        return self.rate * (self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * part)))


class OutOfTimeError(Exception):
    """The time given is used up; the checkpoint holds all work so far."""


def loss_of(model: LlamaForCausalLM, tokens: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of the labelled next tokens; logits of the others are never made.

    Args:
        model: a causal language model with tied embeddings.
        tokens: (B, T) int64.
        labels: (B, T) int64, `IGNORED` where a token carries no loss.
    """
    from lorepack.world.entropy import mean_cross_entropy

    hidden = model.model(input_ids=tokens, use_cache=False).last_hidden_state[:, :-1]  # (B, T, D)
    wanted = labels[:, 1:].flatten()
    hidden = hidden.flatten(0, 1)
    if bool((wanted == IGNORED).any()):
        kept = (wanted != IGNORED).nonzero()[:, 0]
        hidden, wanted = hidden.index_select(0, kept), wanted.index_select(0, kept)
    return mean_cross_entropy(hidden.float(), model.lm_head.weight, wanted)


def fit(
    model: LlamaForCausalLM,
    batches: Sequence[Batch],
    schedule: Schedule,
    checkpoint: Path,
    *,
    every: int = 100,
    deadline: float = math.inf,
    mixed: bool = False,
    report: Callable[[str], None] = print,
) -> None:
    """Fit a model in place, one step a batch; goes on from the checkpoint when there is one.

    Args:
        model: fp32 model on its device.
        batches: one a step.
        schedule: the optimiser's settings.
        checkpoint: file to resume from and write to (safetensors).
        every: steps between checkpoints.
        deadline: `time.monotonic()` at which to stop with a checkpoint.
        mixed: whether matrix products run in bf16.
        report: takes lines of progress.

    Raises:
        OutOfTimeError: the deadline passed.
        NumericError: the loss is not finite.
    """
    import torch

    device = next(model.parameters()).device
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim == 1]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": schedule.decay},
        {"params": others},
    ]
    optimizer = torch.optim.AdamW(
        groups,
        lr=schedule.rate,
        betas=schedule.betas,
        weight_decay=0.0,
        fused=True,
    )
    first = _resume(model, optimizer, checkpoint)
    start, mean, seen = time.monotonic(), 0.0, 0
    model.train()
    for step in range(first, len(batches)):
        for group in optimizer.param_groups:
            group["lr"] = schedule.at(step, len(batches))
        tokens, labels = (torch.from_numpy(part).to(device) for part in batches[step])
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            loss = loss_of(model, tokens, labels)
        if not torch.isfinite(loss):
            raise NumericError(f"{checkpoint.stem}: the loss is not finite at step {step}")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), schedule.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        mean = 0.98 * mean + 0.02 * loss.item() if step > first else loss.item()
        seen += tokens.numel()
        late = time.monotonic() > deadline
        if (step + 1) % every == 0 or late or step + 1 == len(batches):
            _keep(model, optimizer, checkpoint, step + 1)
            pace = seen / (time.monotonic() - start)
            report(f"{checkpoint.stem} {step + 1}/{len(batches)} loss {mean:.3f} {pace:,.0f} tok/s")
        if late and step + 1 < len(batches):
            raise OutOfTimeError


def _slots(model: LlamaForCausalLM) -> dict[str, torch.Tensor]:
    return dict(model.named_parameters())


def _keep(model: LlamaForCausalLM, optimizer: torch.optim.Optimizer, path: Path, step: int) -> None:
    """Write weights, moments and step to one file."""
    from safetensors.torch import save

    state = {}
    for name, value in _slots(model).items():
        state[f"weight/{name}"] = value.detach().cpu().contiguous()
        for moment in ("exp_avg", "exp_avg_sq"):
            state[f"{moment}/{name}"] = optimizer.state[value][moment].cpu().contiguous()
    files.write_bytes(path, save(state, metadata={"step": str(step)}))


def _resume(model: LlamaForCausalLM, optimizer: torch.optim.Optimizer, path: Path) -> int:
    """Load a checkpoint when there is one; returns the first step still to do."""
    import torch
    from safetensors import safe_open

    if not path.is_file():
        return 0
    with safe_open(path, "pt") as held:
        step = int(held.metadata()["step"])
        for name, value in _slots(model).items():
            with torch.no_grad():
                value.copy_(held.get_tensor(f"weight/{name}"))
            optimizer.state[value] = {
                "step": torch.tensor(float(step), device=value.device),
                **{
                    moment: held.get_tensor(f"{moment}/{name}").to(value.device)
                    for moment in ("exp_avg", "exp_avg_sq")
                },
            }
    return step
