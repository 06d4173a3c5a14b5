"""Adapters that a user names: as PEFT folders, runs, jobs, or folders of many of these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lorepack import files, lora
from lorepack.errors import InputError, LorepackError, NotFoundError
from lorepack.llm import QUESTION, LanguageModel
from lorepack.packing.run import GRID, JOB, JOBS, RUN, Run

CONFIG, WEIGHTS, ORIGIN = "adapter_config.json", "adapter_model.safetensors", "lorepack.json"


@dataclass(frozen=True)
class Source:
    """One adapter, and the run that it comes from where there is one."""

    name: str
    adapter: Path
    run: Run | None = None

    @property
    def tag(self) -> str:
        """The hash of its weights."""
        return files.sha256_of(self.adapter / WEIGHTS)

    @property
    def origin(self) -> dict[str, Any]:
        """What ``lorepack.json`` says of it; empty for an adapter that is not ours."""
        return _origin(self.adapter)

    @property
    def mix(self) -> dict[str, Any]:
        """What it was trained on; see `mix_of`."""
        return mix_of(self.adapter)


def mix_of(adapter: Path) -> dict[str, Any]:
    """What an adapter of ours was trained on (`Mix.manifest`); empty for anyone else's."""
    return dict(_origin(adapter).get("mix", {}))


def _origin(adapter: Path) -> dict[str, Any]:
    path = adapter / ORIGIN
    return dict(files.read_json(path)) if path.is_file() else {}


def sources(given: Sequence[str | Path], reserved: Sequence[str] = ()) -> list[Source]:
    """The adapters behind what a user named, each with a name of its own.

    Args:
        given: adapter folders, runs, jobs, grids and folders of jobs.
        reserved: names that no adapter may get.

    Raises:
        NotFoundError: a path that is none of these, or has no adapter yet.
        InputError: nothing given, or one adapter twice.
    """
    found = [source for path in given for source in _behind(Path(path))]
    if not found:
        raise InputError("no adapters given; name adapter folders or runs")
    seen: dict[Path, Path] = {}
    for source in found:
        real = source.adapter.resolve()
        if real in seen:
            raise InputError(f"{source.adapter}: adapter given twice; name each once")
        seen[real] = source.adapter
    return _named(found, reserved)


def _behind(path: Path) -> list[Source]:
    if (path / CONFIG).is_file():
        parent = path.parent
        run = Run(parent) if path.name == "adapter" and (parent / RUN).is_file() else None
        return [Source(path.resolve().name, path, run)]
    if (path / RUN).is_file() or (path / JOB).is_file():
        if not (path / "adapter" / CONFIG).is_file():
            raise NotFoundError(f"{path}: no finished adapter yet; run the command that made it")
        run = Run(path) if (path / RUN).is_file() else None
        return [Source(path.resolve().name, path / "adapter", run)]
    if (path / JOBS).is_file() or (path / GRID).is_file():
        parts = sorted(
            part for part in path.iterdir() if (part / JOB).is_file() or (part / RUN).is_file()
        )
        return [source for part in parts for source in _behind(part)]
    if not path.exists():
        raise NotFoundError(f"{path}: no such adapter or run")
    raise NotFoundError(
        f"{path} is neither an adapter ({CONFIG}) nor a run or a folder of jobs; "
        "name a PEFT folder or what `lorepack pack` or `train` wrote"
    )


def _named(found: Sequence[Source], reserved: Sequence[str]) -> list[Source]:
    """Unique names: the folder's own, then its parent's before it, then numbers."""
    taken, named = set(reserved), []
    plain = [_short(source) for source in found]
    for source, name in zip(found, plain, strict=True):
        if plain.count(name) > 1:
            folder = source.adapter.resolve()
            above = folder.parents[1] if folder.name == "adapter" else folder.parent
            name = f"{above.name}-{name}" if above.name else name
        unique, number = name, 2
        while unique in taken:
            unique, number = f"{name}-{number}", number + 1
        taken.add(unique)
        named.append(Source(unique, source.adapter, source.run))
    return named


def _short(source: Source) -> str:
    """A run's adapter lies in a folder that says nothing: the run's name stands for it."""
    folder = source.adapter.resolve()
    name = folder.parent.name if folder.name == "adapter" else folder.name
    return name.lstrip(".") or "adapter"


def trained_how(source: Source) -> tuple[Mapping[str, Any], int | None]:
    """How an adapter was trained but for its seed, and the seed; empty where nobody knows."""
    origin = source.origin
    mix = dict(origin.get("mix", {}))
    settings = {k: v for k, v in mix.get("settings", {}).items() if k != "seed"}
    how: dict[str, Any] = {
        name: origin[name] for name in ("recipe", "facts", "texts", "data") if name in origin
    }
    seed = origin.get("seed")
    if "recipe" not in how or not isinstance(seed, int):
        return {}, None
    return {**how, "mix": settings}, seed


@contextmanager
def adapters_on(
    lm: LanguageModel, found: Sequence[Source], notes: list[str]
) -> Iterator[lora.Stack]:
    """All adapters in one stack on the model for the block, each checked to be applied.

    Nothing is asked before each of them is known to be whole, finite and of this base.

    Raises:
        NotFoundError: a file of one is missing.
        InputError: a file of one is broken.
        MismatchError: one is of another base, or has weight and changes nothing.
        NumericError: one, or the logits with it, holds NaN or infinity.
    """
    read = [lora.load(source.adapter, lm.model, fingerprint=lm.fingerprint) for source in found]
    for source, one in zip(found, read, strict=True):
        notes += [f"{source.name}: {line}" for line in one.warnings]
    stack = lora.Stack(lm.model, [one.spec for one in read], [0] * len(read))
    asked = torch.tensor([lm.chat.prompt_ids(QUESTION.format(q="Was this adapter applied?"))])
    for index, one in enumerate(read):
        stack.load_factors(index, one.factors)
        try:
            changed = lora.verify_applied(stack, index, lm.model, asked.to(lm.device))
        except LorepackError as error:
            raise type(error)(f"{found[index].adapter}: {error}") from error
        if not changed:
            notes.append(f"{found[index].name}: the adapter is all zero and changes nothing")
    with stack.attached():
        stack.use(None)
        yield stack
