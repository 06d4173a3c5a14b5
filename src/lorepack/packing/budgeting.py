"""Keeping to a budget: choose a checkpoint and a strength on one part, judge on the other.

``budget/development`` holds the choice, ``budget`` the verdict; the adapter at the chosen point is
written as an ordinary PEFT folder, its strength in its alpha.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lorepack import files, lora
from lorepack.auditing import AuditResult
from lorepack.auditing.budget import BudgetSettings, Measured, verdict
from lorepack.auditing.frontier import drift_each
from lorepack.auditing.outside import measure_tasks, require
from lorepack.auditing.search import Ground, search, share, stack_of
from lorepack.auditing.splits import Split, chosen_facts, split
from lorepack.auditing.strength import FINAL, at_strength
from lorepack.errors import InputError
from lorepack.facts import Fact
from lorepack.llm import LanguageModel
from lorepack.lora.adapter_files import CONFIG, ORIGIN, WEIGHTS
from lorepack.probing import ProbeResult, judge, label
from lorepack.probing.store import write_table
from lorepack.training.snapshots import snapshots_in

BUDGET, POINTS, SPLIT, CHOICE = "budget.json", "points.parquet", "split.parquet", "choice.json"


@dataclass(frozen=True)
class Budgeting:
    """One adapter that is to keep to a budget."""

    lm: LanguageModel
    facts: Sequence[Fact]
    before: ProbeResult
    trained: Collection[str]
    rehearsed: Collection[str]
    texts: Sequence[str]
    settings: BudgetSettings
    seed: int
    folder: Path
    """of the results"""
    source: Path
    """the adapter as it was trained"""
    adapter: Path
    """where the chosen one goes"""
    training: Path | None = None
    """the folder of its training, where checkpoints may lie"""

    @cached_property
    def split(self) -> Split:
        """What is chosen by, and what is judged by.

        Raises:
            InputError: too little to measure on.
        """
        require([limit.measure for limit in self.settings.parsed if limit.task], self._data)
        found = split(
            self.facts, self.before, self.trained, self.rehearsed, self.texts,
            most=self.settings.facts, seed=self.seed,
        )  # fmt: skip
        needs = {"neutral_kl", "perplexity"} & self.settings.limits.keys()
        if needs and not (found.development.texts and found.test.texts):
            raise InputError(
                f"budget {min(needs)}: needs at least 2 different neutral texts, got "
                f"{len(self.texts)}"
            )
        return found

    @cached_property
    def ground(self) -> Ground:
        """The development part."""
        return Ground(
            self.lm, self.facts, self.before, self.split, self.texts, self.settings.parsed,
            self._outside if any(limit.task for limit in self.settings.parsed) else None,
        )  # fmt: skip

    def _outside(
        self, lm: LanguageModel, stack: lora.Stack, names: Sequence[str], tasks: Sequence[str],
        part: str,
    ) -> list[dict[str, tuple[float, float]]]:  # fmt: skip
        place = self.folder / part / "harm"
        shutil.rmtree(place, ignore_errors=True)
        return measure_tasks(
            lm, stack, names, tasks, place,
            part=part, data=self._data, limit=self.settings.items,
        )  # fmt: skip

    @property
    def _data(self) -> Path | None:
        return None if self.settings.data is None else Path(self.settings.data)

    @cached_property
    def checkpoints(self) -> dict[int | str, Path]:
        """Adapters to choose among: some of those kept in training, and the last."""
        kept = snapshots_in(self.training) if self.training else {}
        most = self.settings.checkpoints - 1
        epochs = sorted(kept)
        if len(epochs) > most:
            epochs = [epochs[(i + 1) * len(epochs) // (most + 1)] for i in range(most)]
        return {**{epoch: kept[epoch] for epoch in epochs}, FINAL: self.source}

    @cached_property
    def inputs(self) -> str:
        """Hash of everything that decides the choice."""
        return files.hash_of(
            {
                "adapters": {
                    str(name): files.sha256_of(folder / WEIGHTS)
                    for name, folder in self.checkpoints.items()
                },
                "before": self.before.document["inputs"],
                "facts": [fact.id for fact in self.facts],
                "rehearsed": sorted(self.rehearsed),
                "seed": self.seed,
                "settings": self.settings.model_dump(mode="json"),
                "texts": list(self.texts),
                "trained": sorted(self.trained),
            }
        )


def choose_adapter(work: Budgeting, progress: Callable[[int, int], None]) -> dict[str, Any]:
    """Measure the frontier, choose, and write the adapter at the chosen point.

    Args:
        work: what to do it for.
        progress: called with points done and points in all.

    Returns:
        ``choice.json``: points, the place of the chosen one, and what they were measured on.

    Raises:
        MismatchError: the folder holds the choice of another adapter or other settings.
    """
    place = work.folder / "development"
    if files.is_complete(place, work.inputs):
        choice: dict[str, Any] = files.read_json(place / CHOICE)
        if _hashes(work.adapter) == choice["adapter"]:
            return choice
    held = lambda: "the choice for another adapter, other facts or another budget"  # noqa: E731
    files.make_room(place, work.inputs, held)
    load = {name: _loader(work, folder) for name, folder in work.checkpoints.items()}
    points, best = search(work.ground, load, work.settings, _keeper(place, work.inputs), progress)
    _write_adapter(work, points[best])
    choice = {
        "schema": 1,
        "limits": dict(work.settings.limits),
        "points": [point.to_json(work.settings.parsed) for point in points],
        "chosen": best,
        "development": {**work.split.to_json(), "margin": work.settings.margin},
        "adapter": _hashes(work.adapter),
    }
    files.write_json(place / CHOICE, choice)
    work.split.write(place / SPLIT)
    files.write_manifest(place, work.inputs, [CHOICE, SPLIT])
    shutil.rmtree(place / "parts", ignore_errors=True)
    return choice


def _loader(work: Budgeting, folder: Path) -> Callable[[], tuple[lora.AdapterSpec, lora.Factors]]:
    def load() -> tuple[lora.AdapterSpec, lora.Factors]:
        found = lora.load(folder, work.lm.model, fingerprint=work.lm.fingerprint)
        return found.spec, found.factors

    return load


def _keeper(place: Path, inputs: str) -> Callable[[str, Callable[[], Any]], Any]:
    """Results of one turn are kept until all are there."""

    def kept(name: str, compute: Callable[[], Any]) -> Any:
        path = place / "parts" / f"{name}.json"
        if path.is_file() and (found := files.read_json(path))["inputs"] == inputs:
            return found["rows"]
        rows = compute()
        files.write_json(path, {"inputs": inputs, "rows": rows})
        return rows

    return kept


def _write_adapter(work: Budgeting, chosen: Measured) -> None:
    """The adapter at a point, its strength in its alpha: anything that reads PEFT reads it."""
    folder, lm = work.checkpoints[chosen.point.checkpoint], work.lm
    found = lora.load(folder, lm.model, fingerprint=lm.fingerprint)
    spec, factors = at_strength(found.spec, found.factors, chosen.point, lm.model)
    origin = dict(found.provenance or {"base": {"name": lm.name, "fingerprint": lm.fingerprint}})
    origin["budget"] = {"limits": dict(work.settings.limits), "point": chosen.point.to_json()}
    lora.save(
        work.adapter,
        spec,
        factors,
        base_name=lm.name,
        provenance=origin,
        fan_in_fan_out=lora.is_transposed(lm.model, spec.targets),
    )


def _hashes(adapter: Path) -> dict[str, str]:
    paths = {name: adapter / name for name in (CONFIG, ORIGIN, WEIGHTS)}
    return {name: files.sha256_of(path) for name, path in paths.items() if path.is_file()}


def judge_adapter(
    work: Budgeting, choice: Mapping[str, Any], audited: AuditResult
) -> dict[str, Any]:
    """Whether the chosen adapter keeps to the budget on the test part.

    Args:
        work: as for `choose_adapter`.
        choice: what that gave.
        audited: the audit of the chosen adapter, of all facts.

    Returns:
        ``budget.json``. ``held`` says that each limit was held on the test part, and that the
        choice did not break one on the development part already.
    """
    inputs = files.hash_of(
        [work.inputs, choice["adapter"], files.sha256_of(audited.out / "manifest.json")]
    )
    if files.is_complete(work.folder, inputs):
        found: dict[str, Any] = files.read_json(work.folder / BUDGET)
        return found
    values = _tested(work, audited)
    judged = verdict(values, work.settings.parsed)
    held = choice["points"][choice["chosen"]]["holds"] and all(
        row["held"] for row in judged.values()
    )
    document = {
        **{key: value for key, value in choice.items() if key != "adapter"},
        "test": {"reliability": _reliability(work, audited), "measures": judged},
        "held": bool(held),
    }
    write_table(work.folder / POINTS, _table(choice["points"]))
    files.write_json(work.folder / BUDGET, document)
    files.write_manifest(work.folder, inputs, [BUDGET, POINTS])
    return document


def _tested(work: Budgeting, audited: AuditResult) -> dict[str, float]:
    """Every limited measure on the test part."""
    after, before, limits = audited.after, work.before, work.settings.limits
    values: dict[str, float] = {}
    names = work.split.test.untrained
    now = np.array([after.index[name] for name in names], np.int64)
    was = np.array([before.index[name] for name in names], np.int64)
    n = before.tally.n_greedy[was]
    codes = (label(t.k_greedy[rows], n, 0) for t, rows in ((before.tally, was), (after.tally, now)))
    values["negative_shift"], _ = share(int(np.less(*codes).sum()), len(names))
    values["refusals"] = float(after.tally.refused[now].sum() / after.tally.n_greedy[now].sum())
    tasks = work.ground.tasks
    if tasks or {"neutral_kl", "perplexity"} & limits.keys():
        found = lora.load(work.adapter, work.lm.model, fingerprint=work.lm.fingerprint)
        stack = stack_of(work.lm, [(found.spec, found.factors)])
        with stack.attached(), stack.using(None):
            texts = [work.texts[place] for place in work.split.test.texts]
            if texts:
                (drift,) = drift_each(work.lm, stack, texts)
                values |= {"neutral_kl": drift.kl, "perplexity": drift.perplexity}
            if tasks:
                (changed,) = work._outside(work.lm, stack, ["chosen"], tasks, "test")
                values |= {task: value for task, (value, _) in changed.items()}
    return values


def _reliability(work: Budgeting, audited: AuditResult) -> float:
    """Of all trained facts, through the prompts that nothing was chosen by."""
    trained, places = frozenset(work.trained), work.split.test.prompts
    by_id = {fact.id: fact for fact in chosen_facts(work.facts, trained)}
    right = asked = 0
    for part in audited.after.answers():
        rows = [i for i, name in enumerate(part.ids) if name in by_id]
        if not rows:
            continue
        facts = [by_id[part.ids[i]] for i in rows]
        greedy = [[part.greedy[i][place] for place in places] for i in rows]
        correct = judge(facts, greedy, work.before.settings.rule)
        right, asked = right + int(correct.sum()), asked + correct.size
    return right / asked


def _table(points: Sequence[Mapping[str, Any]]) -> pa.Table:
    """``points.parquet``: a row a point, a column a measure and its error."""
    names = sorted(points[0]["measures"])
    columns: dict[str, list[Any]] = {
        "checkpoint": [str(point["checkpoint"]) for point in points],
        "layers": [point["layers"] for point in points],
        "holds": [point["holds"] for point in points],
    }
    columns |= {key: [point[key] for point in points] for key in ("strength", "reliability")}
    columns |= {name: [point["measures"][name] for point in points] for name in names}
    columns |= {f"{name}_error": [point["errors"].get(name) for point in points] for name in names}
    return pa.table({**columns, "layers": pa.array(columns["layers"], pa.string())})
