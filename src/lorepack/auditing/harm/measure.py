"""Harm on the outside: benchmarks of a base and its adapters, in one pass, and what differs."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lorepack import files, folders
from lorepack.auditing.harm import compare, extra, tasks
from lorepack.auditing.harm.fitting import RULE
from lorepack.auditing.harm.settings import HarmSettings
from lorepack.auditing.harm.sheet import Sheet
from lorepack.auditing.harm.tasks import Chosen
from lorepack.errors import InputError, MismatchError, NumericError
from lorepack.llm import LanguageModel
from lorepack.lora import Stack

Progress = Callable[[str, int, int], None]
"""called as ``progress(stage, done, total)``; the stage is the task"""
TOOL = "lm-evaluation-harness"
BASE = "base"


@dataclass(frozen=True)
class HarmResult:
    """What ``harm.json`` holds, and where it is."""

    document: dict[str, Any]
    out: Path

    @classmethod
    def load(cls, out: Path | str) -> HarmResult:
        """Read a finished measurement."""
        return cls(files.read_json(Path(out) / "harm.json"), Path(out))

    @property
    def tasks(self) -> dict[str, Any]:
        """Task -> its figures."""
        return dict(self.document["tasks"])

    def delta(self, task: str, adapter: str) -> float:
        """How much an adapter changes the main metric of a task; below 0 is harm."""
        return self.change(task, adapter)[0]

    def change(self, task: str, adapter: str) -> tuple[float, float]:
        """`delta`, and its standard error; 0 where it has none."""
        metrics = self.tasks[task]["metrics"]
        row = metrics[main_metric(metrics)]["adapters"][adapter]
        return float(row["delta"]), float(row.get("delta_stderr") or 0.0)


def main_metric(metrics: Sequence[str] | dict[str, Any]) -> str:
    """The metric that speaks for a task: ``acc`` where there is one, or ``bleu_acc``."""
    names = list(metrics)
    return next((m for m in ("acc", "bleu_acc", "exact_match") if m in names), sorted(names)[0])


def measure(
    lm: LanguageModel,
    names: Sequence[str],
    out: Path | str,
    *,
    stack: Stack | None = None,
    adapters: Sequence[str] = (),
    data: Path | str | None = None,
    settings: HarmSettings | None = None,
    cache: Path | str | None = None,
    progress: Progress | None = None,
) -> HarmResult:
    """Measure tasks on the base and on every adapter of a stack, and compare.

    What an earlier call found, of the base above all, is taken from the cache; a killed call goes
    on at its first missing task.

    Args:
        lm: the base model.
        names: tasks or groups of tasks: ``world``, ``mmlu``, ``truthfulqa``, …
        out: folder of the results.
        stack: holds the adapters.
        adapters: a name for each adapter of the stack.
        data: folder with original files of tasks.
        settings: `HarmSettings`.
        cache: folder of what each variant made of each task; ``out/cache`` when None.
        progress: called as ``progress(task, done, total)`` with requests.

    Returns:
        The figures; the folder holds ``harm.json``, ``items.parquet`` and ``manifest.json``.

    Raises:
        InputError: an unknown task, a file in another layout, no harness installed.
        MismatchError: ``out`` holds the figures of another model.
        NumericError: an adapter or the model gives NaN; the message names it.
    """
    extra.harness()
    settings = settings or HarmSettings()
    named = _named(stack, adapters)
    chosen = tasks.choose(names, None if data is None else Path(data))
    out = Path(out)
    with folders.alone(out):
        _refuse_other_model(out, lm)
        kept = Path(cache) if cache is not None else out / "cache"
        job = _Job(lm, stack, named, settings, out, kept, progress)
        sheets = {one.name: job.sheets(one) for one in chosen}
        document = _document(lm, chosen, sheets, settings)
        files.write_json(out / "harm.json", document)
        _write_items(out / "items.parquet", sheets)
        files.write_json(out / "timing.json", {"harm": {"seconds": job.seconds}})
        files.write_manifest(out, files.hash_of(document), ["harm.json", "items.parquet"])
    return HarmResult(document, out)


def _named(stack: Stack | None, adapters: Sequence[str]) -> dict[str, int]:
    count = 0 if stack is None else len(stack)
    if len(adapters) != count:
        raise InputError(f"{len(adapters)} names for {count} adapters; expected one each")
    if len({BASE, *adapters}) != count + 1:
        raise InputError(f"adapters {', '.join(adapters)}: names must differ, also from {BASE!r}")
    return {name: index for index, name in enumerate(adapters)}


def _refuse_other_model(out: Path, lm: LanguageModel) -> None:
    if not (out / "harm.json").is_file():
        return
    held = files.read_json(out / "harm.json")["model"]
    if held["fingerprint"] != lm.fingerprint:
        raise MismatchError(
            f"{out} holds figures of model {held['name']} (fingerprint "
            f"{held['fingerprint'][:12]}), got {lm.fingerprint[:12]}; give another folder"
        )


def tag_of(stack: Stack, index: int) -> str:
    """The SHA-256 of what an adapter is: its spec and its factors."""
    spec, factors = stack.plain(index)
    digest = hashlib.sha256(repr((spec.kind, spec.rslora)).encode())
    for name in sorted(factors):
        digest.update(f"{name} {spec.scale_of(name)!r}".encode())
        for factor in factors[name]:
            digest.update(factor.float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


class _Job:
    """Sheets of every variant, each made once."""

    def __init__(
        self,
        lm: LanguageModel,
        stack: Stack | None,
        named: dict[str, int],
        settings: HarmSettings,
        out: Path,
        cache: Path,
        progress: Progress | None,
    ) -> None:
        self.lm, self.stack, self.settings = lm, stack, settings
        self.out, self.cache, self.progress = out, cache, progress
        self.variants: dict[str, int | None] = {BASE: None, **named}
        self.tags = {BASE: ""}
        if stack is not None:
            self.tags |= {name: tag_of(stack, index) for name, index in named.items()}
        self.seconds: dict[str, float] = {}

    def sheets(self, chosen: Chosen) -> dict[str, Sheet]:
        """One task under every variant, from the cache or asked now in one pass."""
        paths = {name: self._path(chosen, name) for name in self.variants}
        found = {name: Sheet.load(path) for name, path in paths.items()}
        missing = [name for name, sheet in found.items() if sheet is None]
        if missing:
            start = time.monotonic()
            for name, sheet in zip(missing, self._asked(chosen, missing), strict=True):
                sheet.save(paths[name])
                found[name] = sheet
            self.seconds[chosen.name] = round(time.monotonic() - start, 3)
        return {name: sheet for name, sheet in found.items() if sheet is not None}

    def _path(self, chosen: Chosen, variant: str) -> Path:
        described = {
            "harness": extra.version(),
            "model": self.lm.fingerprint,
            "dtype": str(self.lm.dtype),
            "context": self.lm.context,
            "adapter": self.tags[variant],
            "task": chosen.name,
            "source": chosen.source,
            "settings": self.settings.deciding(),
            "rule": RULE,
        }
        return self.cache / f"{chosen.name}-{files.hash_of(described)[:32]}.json"

    def _asked(self, chosen: Chosen, missing: list[str]) -> list[Sheet]:
        from lorepack.auditing.harm.asking import ask
        from lorepack.auditing.harm.model import HarnessModel

        loaded = tasks.load(chosen, self.out / "tasks")
        tick = self.progress
        with self._attached():
            model = HarnessModel(self.lm, self.stack, answer_tokens=self.settings.answer_tokens)
            try:
                return ask(
                    model,
                    loaded,
                    [self.variants[name] for name in missing],
                    self.settings,
                    None if tick is None else lambda done, all_: tick(chosen.name, done, all_),
                )
            except NumericError as error:
                where = ", ".join(missing)
                raise NumericError(f"task {chosen.name}, {where}: {error}") from error

    @contextlib.contextmanager
    def _attached(self) -> Iterator[None]:
        if self.stack is None:
            yield
            return
        with self.stack.attached(), self.stack.using(None):
            yield


def _document(
    lm: LanguageModel,
    chosen: Sequence[Chosen],
    sheets: dict[str, dict[str, Sheet]],
    settings: HarmSettings,
) -> dict[str, Any]:
    return {
        "schema": 1,
        "tool": TOOL,
        "version": extra.version(),
        "model": {"name": lm.name, "fingerprint": lm.fingerprint},
        "context": lm.context,
        "rule": RULE,
        "tasks": {one.name: _task_row(one, sheets[one.name], settings) for one in chosen},
    }


def _task_row(chosen: Chosen, sheets: dict[str, Sheet], settings: HarmSettings) -> dict[str, Any]:
    base = sheets[BASE]
    others = {name: sheet for name, sheet in sheets.items() if name != BASE}
    assert all(sheet.items == base.items for sheet in others.values())
    counts = np.unique(base.used, return_counts=True)
    return {
        "shots": min(base.used),
        "shots_asked": base.asked,
        "shots_used": {str(n): int(c) for n, c in zip(*counts, strict=True)},
        "limit": settings.limit,
        "half": settings.half,
        "template": base.template,
        "filter": base.filter,
        "task_version": base.version,
        "source": chosen.source if chosen.path is None else f"{chosen.path.name} {chosen.source}",
        "items": len(base.items),
        "overlong": base.overlong,
        "metrics": {
            **{metric: _metric_row(metric, base, others, settings) for metric in base.metrics},
            **{metric: _total_row(metric, base, others) for metric in base.totals},
        },
    }


def _metric_row(
    metric: str, base: Sheet, others: dict[str, Sheet], settings: HarmSettings
) -> dict[str, Any]:
    options = {"seed": settings.seed, "resamples": settings.resamples}
    values = base.metrics[metric]
    return {
        "base": compare.mean_of(values),
        "adapters": {
            name: compare.compared(values, sheet.metrics[metric], **options)
            for name, sheet in others.items()
        },
    }


def _total_row(metric: str, base: Sheet, others: dict[str, Sheet]) -> dict[str, Any]:
    """A metric that is no mean over items: its difference has no paired test here."""
    return {
        "base": {"value": base.totals[metric], "stderr": None},
        "adapters": {
            name: {
                "value": sheet.totals[metric],
                "stderr": None,
                "delta": sheet.totals[metric] - base.totals[metric],
                "delta_stderr": None,
                "p": None,
                "test": None,
            }
            for name, sheet in others.items()
        },
    }


_ITEMS = pa.schema(
    [
        ("task", pa.string()),
        ("item", pa.string()),
        ("metric", pa.string()),
        ("variant", pa.string()),
        ("value", pa.float64()),
    ]
)


def _write_items(path: Path, sheets: dict[str, dict[str, Sheet]]) -> None:
    """Write ``items.parquet``: one row an item, metric and variant."""
    columns: list[list[Any]] = [[], [], [], [], []]
    for task, variants in sheets.items():
        for variant, sheet in variants.items():
            for metric, values in sheet.metrics.items():
                size = len(values)
                columns[0] += [task] * size
                columns[1] += sheet.items
                columns[2] += [metric] * size
                columns[3] += [variant] * size
                columns[4] += values
    with files.atomic(path) as partial:
        pq.write_table(pa.table(columns, schema=_ITEMS), partial)
