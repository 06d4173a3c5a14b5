"""Reads a run folder: what must be there, what may be, and what to run again if it is not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from lorepack import files
from lorepack.errors import InputError, NotFoundError
from lorepack.reports import audit_file, bits_file, budget_file, harm_file
from lorepack.reports.audit_file import Audit
from lorepack.reports.bits_file import Bits
from lorepack.reports.budget_file import Budget
from lorepack.reports.harm_file import Harm

_Form = TypeVar("_Form")

AGAIN = {
    "run.json": "`lorepack pack` with the same arguments",
    "facts.jsonl": "`lorepack pack` with the same arguments, without RUN/facts.jsonl",
    "probe": "the probe: remove RUN/probe, then `lorepack pack` with the same arguments",
    "mix": "the mix: remove RUN/mix, then `lorepack pack` with the same arguments",
    "training": "the training: remove RUN/adapter, then `lorepack pack` with the same arguments",
    "adapter": "the training: remove RUN/adapter, then `lorepack pack` with the same arguments",
    "audit": "the audit: `lorepack audit --run RUN`",
    "harm": "the outside tasks, after removing RUN/harm",
    "budget": "the search for a strength, after removing RUN/budget",
    "bits.json": "`lorepack capacity probe RUN`",
    "timing.json": "`lorepack pack` with the same arguments",
}
"""What mends a file, by the first part of its path."""


@dataclass(frozen=True)
class RunFiles:
    """What a report is made from."""

    folder: Path
    run: dict[str, Any]
    """run.json: settings, model, facts, versions"""
    probe: dict[str, Any]
    mix: dict[str, Any]
    steps: tuple[dict[str, Any], ...]
    """train.jsonl: one object a training step"""
    epochs: tuple[dict[str, Any], ...]
    """epochs.json; empty when no curve was asked for"""
    training: dict[str, Any]
    """training/result.json: counts; empty when not there"""
    adapter: dict[str, Any]
    """lorepack.json: where the adapter comes from"""
    config: dict[str, Any]
    """adapter_config.json: PEFT's own"""
    audit: Audit
    harm: Harm | None
    """harm/harm.json: outside tasks; None when they were not asked"""
    budget: Budget | None
    """budget/budget.json: limits on harm; None when there were none"""
    bits: Bits | None
    """bits.json: stored information; None when it was not estimated"""
    seconds: dict[str, float]
    """timing.json: seconds a stage; empty when not there"""
    device: str
    """timing.json: what the model ran on; empty when not there"""
    hashes: tuple[tuple[str, str], ...]
    """(path, SHA-256) of every file that decides the report's figures"""


def read_run(folder: Path | str) -> RunFiles:
    """Read the result files of a run.

    Args:
        folder: the run.

    Raises:
        NotFoundError: no such folder, or a stage's file is missing.
        InputError: a file is cut off or holds something else than it should.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotFoundError(
            f"{folder}: no such run folder; `lorepack pack --out {folder}` makes it"
        )
    hashes = dict(_hashes(folder))
    _check_manifests(folder, hashes)
    named = ("run.json", "probe/probe.json", "mix/mix.json", "adapter/lorepack.json",
             "adapter/adapter_config.json")  # fmt: skip
    run, probe, mix, adapter, config = (_object(folder, name) for name in named)
    steps = tuple(_steps(folder))
    audit, timing = read_audit(folder), _optional(folder, "timing.json")
    harm = _form(folder, "harm/harm.json", harm_file.parse)
    bits = _form(folder, "bits.json", bits_file.parse)
    return RunFiles(
        folder, run, probe, mix, steps, _epochs(folder), _optional(folder, "training/result.json"),
        adapter, config, audit, harm, read_budget(folder), bits, _seconds(timing),
        device=str(timing.get("device") or ""), hashes=tuple(hashes.items()),
    )  # fmt: skip


def read_audit(folder: Path | str) -> Audit:
    """The audit of a run, or of a folder that an audit alone was written to.

    Raises:
        NotFoundError: there is none.
        InputError: it is cut off or does not have the form of an audit.
    """
    folder = Path(folder)
    alone = not (folder / "audit").exists() and (folder / "audit.json").is_file()
    name = "audit.json" if alone else "audit/audit.json"
    return _parsed(folder, name, audit_file.parse)


def read_budget(folder: Path | str) -> Budget | None:
    """What came of a run's limits on harm; None where it has none.

    Raises:
        InputError: the file is cut off or does not have the form of a budget.
    """
    return _form(Path(folder), "budget/budget.json", budget_file.parse)


def _form(folder: Path, name: str, parse: Callable[[Any], _Form]) -> _Form | None:
    """A file that may be absent, in its form."""
    return _parsed(folder, name, parse) if (folder / name).is_file() else None


def _parsed(folder: Path, name: str, parse: Callable[[Any], _Form]) -> _Form:
    value = _object(folder, name)
    try:
        return parse(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise broken(folder, name, f"{where}: {first['msg']}") from error


def _object(folder: Path, name: str) -> dict[str, Any]:
    value = _json(folder, name)
    if not isinstance(value, dict):
        raise broken(folder, name, f"expected a JSON object, got {type(value).__name__}")
    return value


def _optional(folder: Path, name: str) -> dict[str, Any]:
    return _object(folder, name) if (folder / name).is_file() else {}


def _json(folder: Path, name: str) -> Any:
    try:
        return files.read_json(folder / name)
    except InputError as error:
        reason = str(error).removeprefix(f"{folder / name}: ")
        raise broken(folder, name, f"{reason}, perhaps cut off") from error
    except OSError as error:
        raise missing(folder, name, error) from error


def lines(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    """The objects of a JSONL file; a last line without its end counts as cut off."""
    try:
        with open(folder / name, encoding="utf-8") as handle:
            for number, line in enumerate(handle, 1):
                row = json.loads(line) if line.endswith("\n") else None
                if not isinstance(row, dict):
                    raise broken(folder, name, f"line {number} is cut off or not a JSON object")
                yield row
    except OSError as error:
        raise missing(folder, name, error) from error
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise broken(folder, name, f"not valid JSON lines ({error}), perhaps cut off") from error


def _check_manifests(folder: Path, hashes: Mapping[str, str]) -> None:
    """Compare the files with what the stages' manifests say of them, where there is one."""
    for stage in ("probe", "mix", "training", "adapter", "audit", "harm", "budget"):
        name = f"{stage}/{files.MANIFEST}"
        try:
            listed = _optional(folder, name).get("files", {})
            said = {f"{stage}/{key}": (v["bytes"], v["sha256"]) for key, v in listed.items()}
        except (AttributeError, KeyError, TypeError) as error:
            raise broken(folder, name, "not a manifest") from error
        for name, (size, sha256) in said.items():
            if not (folder / name).is_file():
                raise missing(folder, name, FileNotFoundError())
            found = (folder / name).stat().st_size, hashes.get(name, sha256)
            if found != (size, sha256):
                reason = f"cut off or changed ({found[0]} bytes, the manifest says {size})"
                raise broken(folder, name, reason)


def _steps(folder: Path) -> Iterator[dict[str, Any]]:
    name = "training/train.jsonl"
    for number, row in enumerate(lines(folder, name), 1):
        if not all(isinstance(row.get(key), int | float) for key in ("step", "loss")):
            raise broken(folder, name, f"line {number} has no step or no loss")
        yield row


def _epochs(folder: Path) -> tuple[dict[str, Any], ...]:
    name = "training/epochs.json"
    if not (folder / name).is_file():
        return ()
    value = _json(folder, name)
    rows = value.get("epochs") if isinstance(value, dict) else value
    if not isinstance(rows, list) or not all(map(_is_epoch, rows)):
        raise broken(folder, name, "expected a list of epochs with their numbers")
    return tuple(rows)


def _is_epoch(row: Any) -> bool:
    reliability = row.get("reliability") if isinstance(row, dict) else ""
    measured = reliability is None or isinstance(reliability, int | float)
    return measured and isinstance(row.get("epoch"), int)


def _seconds(timing: Mapping[str, Any]) -> dict[str, float]:
    seconds = timing.get("seconds", {})
    return {
        str(stage): float(value)
        for stage, value in (seconds.items() if isinstance(seconds, dict) else ())
        if isinstance(value, int | float)
    }


HASHED = (
    "facts.jsonl", "neutral.jsonl", "run.json", "probe/probe.json", "probe/categories.parquet",
    "probe/answers.parquet",
    "mix/mix.jsonl", "mix/mix.json", "training/train.jsonl", "training/epochs.json",
    "adapter/adapter_model.safetensors", "adapter/adapter_config.json", "audit/audit.json",
    "audit/categories.parquet", "audit/answers.parquet", "audit/causes.parquet", "harm/harm.json",
    "budget/budget.json", "bits.json",
)  # fmt: skip


def _hashes(folder: Path) -> Iterator[tuple[str, str]]:
    for name in HASHED:
        if (folder / name).is_file():
            yield name, files.sha256_of(folder / name)


def _again(folder: Path, name: str) -> str:
    return AGAIN.get(name.split("/")[0], AGAIN["audit"]).replace("RUN", str(folder))


def missing(folder: Path, name: str, error: OSError) -> NotFoundError:
    reason = "missing" if isinstance(error, FileNotFoundError) else (error.strerror or "unreadable")
    return NotFoundError(f"{folder / name}: {reason}; run again {_again(folder, name)}")


def broken(folder: Path, name: str, reason: str) -> InputError:
    return InputError(f"{folder / name}: {reason}; run again {_again(folder, name)}")
