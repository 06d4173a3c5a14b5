"""The file of `lorepack train`: jobs written out, or as a grid, in YAML.

``model``, ``out``, ``defaults`` (what all jobs share), ``jobs`` (a list), ``grid`` (values by key;
every job is made once for each combination) and ``max_jobs``. A job has ``name``, ``data``,
``evaluate``, ``replay``, ``guard``, ``seed``, ``recipe`` and any field of the recipe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lorepack import world
from lorepack.errors import InputError, LorepackError, NotFoundError, suggest
from lorepack.packing.axes import MAX_JOBS, cells, check_count, label, shown, values_of
from lorepack.packing.job import Job
from lorepack.packing.sources import NEUTRAL, WORLD, own_count
from lorepack.training import Recipe
from lorepack.training.recipe import PRESETS

KEYS = ("model", "out", "defaults", "jobs", "grid", "max_jobs")
OWN = ("name", "data", "evaluate", "guard", "recipe", "replay", "seed")
"""keys of a job that are no fields of its recipe"""


@dataclass(frozen=True)
class JobFile:
    """What a file asks for."""

    jobs: tuple[Job, ...]
    model: str | None
    out: Path | None


def read_jobs(path: Path | str, sets: Sequence[str] = (), max_jobs: int | None = None) -> JobFile:
    """The jobs of a file.

    Args:
        path: a YAML file; relative paths in it are relative to its folder.
        sets: ``key=value`` that every job gets, over what the file says; fields of the recipe.
        max_jobs: how many jobs there may be; None takes the file's ``max_jobs``, or 1,000.

    Raises:
        NotFoundError: no such file.
        InputError: not YAML in UTF-8, an unknown key (with a suggestion), no jobs, too many.
    """
    path = Path(path)
    try:
        return _Reader(path, dict(map(_pair, sets)), max_jobs).read()
    except LorepackError as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from error


@dataclass(frozen=True)
class _Reader:
    path: Path
    sets: Mapping[str, str]
    max_jobs: int | None

    def read(self) -> JobFile:
        given = _load(self.path)
        _known(given, KEYS, "")
        defaults = _mapping(given.get("defaults"), "defaults")
        _known(defaults, _job_keys() - {"name"}, "defaults: ")
        axes = self._axes(_mapping(given.get("grid"), "grid"))
        rows = self._rows(given.get("jobs"), bool(axes))
        most = self.max_jobs or _most(given.get("max_jobs"))
        check_count(
            len(rows) * len(cells(axes, most)), most, {"jobs": rows, **axes} if rows[0] else axes
        )
        for key in self.sets:
            _known({key: None}, set(Recipe.model_fields), "--set: ")
            if key in axes:
                raise InputError(f"grid: {key} varies, but --set {key}={self.sets[key]} fixes it")
        made = [
            self._job({**defaults, **row, **cell}, label(cell), f"jobs[{number}]: " if row else "")
            for number, row in enumerate(rows)
            for cell in cells(axes, most)
        ]
        return JobFile(tuple(made), self._model(given), self._out(given))

    def _axes(self, grid: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
        _known(grid, _job_keys() - {"name"}, "grid: ")
        return {key: values_of(key, values) for key, values in grid.items()}

    def _rows(self, jobs: Any, has_grid: bool) -> list[dict[str, Any]]:
        """The jobs as they are written; one without anything of its own where there is a grid."""
        if jobs is None and has_grid:
            return [{}]
        if not isinstance(jobs, list) or not jobs:
            raise InputError("no jobs; expected 'jobs:' with a list, or 'grid:' with values by key")
        for number, row in enumerate(jobs):
            where = f"jobs[{number}]"
            named = row.get("name") if isinstance(row, dict) else None
            _known(_mapping(row, where), _job_keys(), f"{where} ({named}): " if named else "")
        return list(jobs)

    def _job(self, row: Mapping[str, Any], suffix: str, where: str) -> Job:
        if row.get("data") in (None, "", []):
            raise InputError(f"{where}no data; expected a file, or a list of files")
        own = {key: row[key] for key in OWN if row.get(key) is not None}
        name = own.get("name")
        name = (suffix or shown(own["data"])) if name is None else name
        joined = f"{name},{suffix}" if suffix and own.get("name") is not None else name
        fields = {key: value for key, value in row.items() if key not in OWN}
        made = {**own, "name": joined, "sets": {**fields, **self.sets}}
        for key in ("data", "evaluate", "replay", "guard"):
            if key in made:
                made[key] = self._sources(made[key], key)
        made["recipe"] = self._recipe(made.get("recipe", "recommended"))
        try:
            job = Job(**made)
            job.chosen()
        except LorepackError as error:
            named = "" if str(error).startswith("job ") else f"job {joined}: "
            raise type(error)(f"{named}{error}") from error
        return job

    def _sources(self, given: Any, key: str) -> list[str | Path]:
        found = given if isinstance(given, list) else [given]
        for source in found:
            if not isinstance(source, str) or not source:
                raise InputError(f"{key}: got {source!r}, expected the name of a file")
        return [source if _is_word(source, key) else self._beside(source) for source in found]

    def _recipe(self, given: Any) -> str | Path:
        if not isinstance(given, str):
            raise InputError(f"recipe: got {given!r}, expected a preset or a file")
        return given if given in PRESETS else self._beside(given)

    def _model(self, given: Mapping[str, Any]) -> str | None:
        model = given.get("model")
        if model is None:
            return None
        if not isinstance(model, str):
            raise InputError(f"model: got {model!r}, expected a name or a folder")
        beside = self._beside(model)
        return str(beside) if model not in world.NAMES and beside.is_dir() else model

    def _out(self, given: Mapping[str, Any]) -> Path | None:
        out = given.get("out")
        if out is not None and not (isinstance(out, str) and out):
            raise InputError(f"out: got {out!r}, expected a folder")
        return None if out is None else self._beside(out)

    def _beside(self, name: str) -> Path:
        return self.path.parent / name


def _job_keys() -> set[str]:
    return {*OWN, *Recipe.model_fields}


def _is_word(source: str, key: str) -> bool:
    """Whether a source is no file; one of such a name is written ``./neutral``."""
    if source == WORLD:
        return True
    if key == "replay" and own_count(source):
        return True
    return source == NEUTRAL and key in ("replay", "guard")


def _most(given: Any) -> int:
    if given is None:
        return MAX_JOBS
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise InputError(f"max_jobs: got {given!r}, expected a number of at least 1")
    return given


def _known(given: Mapping[Any, Any], known: Sequence[str] | set[str], where: str) -> None:
    for key in given:
        if key not in known:
            raise InputError(f"{where}unknown key {key!r}{suggest(str(key), known)}")


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"{where}: got a {type(value).__name__}, expected 'key: value' lines")
    return value


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = (part.strip() for part in text.partition("="))
    if not (key and equals):
        raise InputError(f"--set {text!r}: expected key=value, for example --set lr=0.001")
    return key, value


def _load(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise NotFoundError(f"no such file: {path}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not text in UTF-8 ({error.reason}); save it as UTF-8") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        value = yaml.load(text, _StrictLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
    if value is None:
        raise InputError(f"{path}: the file is empty; expected 'jobs:' or 'grid:'")
    if not isinstance(value, dict):
        kind = type(value).__name__
        raise InputError(f"{path}: got a {kind}, expected 'key: value' lines such as 'jobs:'")
    return value


class _StrictLoader(yaml.SafeLoader):
    """YAML in which a key that is given twice is an error, not silently the later one."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        seen: set[str] = set()
        for key in keys:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key.value!r} is given twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)
