"""What a training job did: counts and last values, as they lie in result.json."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lorepack import files
from lorepack.lora.adapter_files import CONFIG, ORIGIN, WEIGHTS
from lorepack.training.snapshots import FILES, snapshots_in

RESULT, EPOCHS, STEPS = "result.json", "epochs.json", "train.jsonl"


@dataclass(frozen=True)
class TrainResult:
    """One finished training job."""

    adapter: Path
    steps: int
    epochs: int
    loss: float
    """mean loss of a token over the last epoch, nats"""
    reliability: float | None
    """the last measured; None where nothing measures it"""
    tokens: int
    """tokens that counted in the loss, over all epochs"""
    examples: int
    """that were trained on"""
    cut: int
    """examples cut to the longest length allowed"""
    dropped: int
    """examples left out because they were too long"""
    stopped_early: bool
    """before the last step that was planned"""
    stopped: str
    """why it ended: ``epochs``, ``max_steps``, ``max_tokens``, ``exposures``, ``reliability``,
    ``stop_probability`` or ``harm_budget``"""
    kept_epoch: int
    """the epoch whose adapter this is; not the last one where that went beyond the harm budget"""
    parameters: int
    """trained numbers"""
    warnings: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The counts, without paths and warnings: equal work, equal bytes."""
        own = {key: value for key, value in vars(self).items() if key not in _RUNTIME}
        return {"schema": 1, **own}


_RUNTIME = {"adapter", "warnings"}


def write(out: Path, inputs: str, result: TrainResult) -> None:
    """State in ``out`` that the job is done and which adapter files it made."""
    made = {name: files.sha256_of(result.adapter / name) for name in (CONFIG, ORIGIN, WEIGHTS)}
    files.write_json(out / RESULT, {**result.to_json(), "adapter": made})
    kept = (folder / name for folder in snapshots_in(out).values() for name in FILES)
    names = [path.relative_to(out).as_posix() for path in kept]
    files.write_manifest(out, inputs, [RESULT, EPOCHS, STEPS, *names])


def finished(out: Path, adapter: Path, inputs: str) -> TrainResult | None:
    """The result of exactly this job when it is done and its adapter unharmed, else None."""
    if not files.is_complete(out, inputs):
        return None
    found = files.read_json(out / RESULT)
    for name, sha256 in found.pop("adapter").items():
        if not (adapter / name).is_file() or files.sha256_of(adapter / name) != sha256:
            return None
    found.pop("schema")
    return TrainResult(adapter=adapter, **found)
