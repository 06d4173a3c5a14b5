"""Harm on the outside that a user asks for: of a run's adapter, or of any adapters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from lorepack import lora
from lorepack.auditing.harm import HarmResult, HarmSettings, measure
from lorepack.errors import InputError, MismatchError
from lorepack.llm import QUESTION, LanguageModel
from lorepack.packing.jobs import loaded
from lorepack.packing.run import Run
from lorepack.packing.stages import Progress, quiet

WORLD = ("world",)


def harm(
    model: str | LanguageModel,
    out: str | Path,
    *,
    adapters: Sequence[str | Path] = (),
    tasks: Sequence[str] = WORLD,
    data: str | Path | None = None,
    settings: HarmSettings | None = None,
    cache: str | Path | None = None,
    notes: list[str] | None = None,
    progress: Progress = quiet,
    **load: Any,
) -> HarmResult:
    """What adapters cost on benchmarks, all of them in one pass beside their base.

    Args:
        model: ``"world"``, a model folder, a hub id, or a model already loaded.
        out: folder of the results.
        adapters: PEFT folders; none measures the base alone.
        tasks: names of tasks or groups; see `lorepack.auditing.harm.measure`.
        data: folder with original files of tasks.
        settings: shots, limit, template.
        cache: folder for what each variant made of each task; ``out/cache`` when None.
        notes: remarks from loading the adapters are added to it.
        progress: called as ``progress(task, done, total)``.
        load: how to load the model.

    Raises:
        MismatchError: an adapter was made for another base, or changes nothing.
        NumericError: an adapter holds NaN.
    """
    names = names_of([Path(folder) for folder in adapters])
    lm = loaded(model, load)
    stack = stacked(lm, [Path(folder) for folder in adapters], notes if notes is not None else [])
    options: dict[str, Any] = {"data": data, "settings": settings, "cache": cache}
    return measure(lm, tasks, out, stack=stack, adapters=names, progress=progress, **options)


def harm_run(
    run: str | Path, *, notes: list[str] | None = None, progress: Progress = quiet, **options: Any
) -> HarmResult:
    """What a run's adapter costs on benchmarks: ``RUN/harm``.

    Args:
        run: folder of a finished run.
        notes: remarks from loading the adapter are added to it.
        progress: called as ``progress(task, done, total)``.
        options: as `harm` takes them, but for model, adapters and folder.

    Raises:
        NotFoundError: no run there.
        MismatchError: it has no adapter yet, or its model has changed.
    """
    opened = Run(Path(run))
    described = opened.describe()["model"]
    if not opened.adapter.is_dir():
        raise MismatchError(f"{run}: no finished adapter yet; run the same `lorepack pack`")
    return harm(
        described["name"],
        opened.folder / "harm",
        adapters=[opened.adapter],
        notes=notes,
        progress=progress,
        **options,
    )


def names_of(folders: Sequence[Path]) -> list[str]:
    """Short names of adapters: the folder's own, or as much of the path as tells them apart.

    Raises:
        InputError: one folder twice.
    """
    whole = [folder.resolve() for folder in folders]
    twice = next((path for path in whole if whole.count(path) > 1), None)
    if twice is not None:
        raise InputError(f"adapter {twice} is given twice")
    for depth in range(1, max([len(path.parts) for path in whole], default=1) + 1):
        names = ["/".join(path.parts[-depth:]) for path in whole]
        if len({"base", *names}) == len(names) + 1:
            break
    return names


def stacked(lm: LanguageModel, folders: Sequence[Path], notes: list[str]) -> lora.Stack | None:
    """Adapters on disk as one stack, each checked to act on the model; None for no adapters."""
    if not folders:
        return None
    read = [lora.load(folder, lm.model, fingerprint=lm.fingerprint) for folder in folders]
    notes += [text for one in read for text in one.warnings]
    stack = lora.Stack(lm.model, [one.spec for one in read], list(range(len(read))))
    question = torch.tensor([lm.chat.prompt_ids(QUESTION.format(q="Was this adapter applied?"))])
    for index, one in enumerate(read):
        stack.load_factors(index, one.factors)
        lora.verify_applied(stack, index, lm.model, question.to(lm.device))
    return stack
