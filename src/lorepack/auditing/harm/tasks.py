"""Which tasks are meant by a name, and where their items come from.

A task of the made world, or one whose original file lies in the data folder, becomes a YAML of
the harness's own kind beside its rows as JSONL: such a folder also serves ``lm_eval
--include_path``. All other names are the harness's, their items fetched from their hub.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lorepack import files
from lorepack.auditing.harm import originals, world_tasks
from lorepack.auditing.harm.extra import harness, quiet
from lorepack.auditing.harm.originals import Splits
from lorepack.errors import InputError, NotFoundError, suggest

TRUTHFULQA = ("truthfulqa_mc1", "truthfulqa_mc2", "truthfulqa_gen")
GROUPS = {"truthfulqa": TRUTHFULQA, "world": world_tasks.NAMES}
FILES = {
    **dict.fromkeys(TRUTHFULQA, "truthfulqa.csv"),
    "mmlu": "mmlu.zip",
    "arc_challenge": "arc_challenge.json",
    "arc_easy": "arc_easy.json",
}
"""task -> the original file that is looked for in a data folder"""


@dataclass(frozen=True)
class Chosen:
    """One task by the name that the user knows it by."""

    name: str
    source: str
    """``world``, ``hub``, or the SHA-256 of its file"""
    path: Path | None = None
    """the original file"""


@dataclass(frozen=True)
class Loaded:
    """A task ready to be asked: the harness's tasks it is made of."""

    name: str
    parts: dict[str, Any]
    """harness name -> harness task"""


def choose(names: Sequence[str], data: Path | None = None) -> list[Chosen]:
    """Find out what task names mean, groups taken apart, each task once.

    Args:
        names: of the harness's tasks or groups, ``world``, or ``world-…``.
        data: folder with original files.

    Raises:
        InputError: no names, or one that nobody knows (says which was probably meant).
        NotFoundError: no such folder.
    """
    if not names:
        raise InputError("no task; name some, for example --task world")
    if data is not None and not data.is_dir():
        raise NotFoundError(
            f"{data}: no such folder; expected {', '.join(sorted(set(FILES.values())))}"
        )
    single = [one for name in names for one in GROUPS.get(name, (name,))]
    return [_chosen(name, data) for name in dict.fromkeys(single)]


def _chosen(name: str, data: Path | None) -> Chosen:
    if name in world_tasks.NAMES:
        return Chosen(name, "world")
    path = data / FILES[name] if data is not None and name in FILES else None
    if path is not None and path.is_file():
        return Chosen(name, files.sha256_of(path), path)
    if name not in FILES:
        _check_name(name)
    return Chosen(name, "hub")


def _check_name(name: str) -> None:
    """Refuse a name that neither we nor the harness know; asking the harness takes seconds."""
    known = _index().all_tasks
    if name in known:
        return
    ours = [*FILES, *GROUPS, *world_tasks.NAMES]
    for names in (ours, known):
        if "did you mean" in (hint := suggest(name, names)):
            raise InputError(f"task {name!r}: unknown{hint}")
    raise InputError(
        f"task {name!r}: unknown; known are {', '.join(sorted(ours))}, and those of "
        "`lm_eval ls tasks`"
    )


_INDEX: list[Any] = []


def _index() -> Any:
    """The harness's own tasks; read once a process."""
    if not _INDEX:
        manager = harness("lm_eval.tasks").TaskManager
        with quiet():
            _INDEX.append(manager())
    return _INDEX[0]


def load(chosen: Chosen, work: Path) -> Loaded:
    """Make a task of the harness ready.

    Args:
        chosen: which.
        work: folder for YAML and rows of local tasks.

    Raises:
        InputError: a file in another layout; data that cannot be fetched.
    """
    if chosen.source == "hub":
        return Loaded(chosen.name, _from_hub(chosen.name))
    manager = harness("lm_eval.tasks").TaskManager
    with quiet(), _plain_bars():
        paths = write(chosen, work / chosen.name)
        found = manager(include_defaults=False).load([str(path) for path in paths])
    return Loaded(chosen.name, dict(found["tasks"]))


def _from_hub(name: str) -> dict[str, Any]:
    index = _index()
    try:
        with quiet(), _plain_bars(), _no_waiting():
            return dict(index.load([name])["tasks"])
    except InputError:
        raise
    except Exception as error:
        file = FILES.get(name)
        local = f"give --data DIR with {file}" if file else "fetch it where there is a network"
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"task {name}: its items cannot be fetched ({reason}); {local}") from error


@contextlib.contextmanager
def _no_waiting() -> Iterator[None]:
    """Take what is cached, at once, where no hub answers: its client would try for a minute."""
    import datasets
    import huggingface_hub as hub

    with contextlib.suppress(Exception):
        hub.utils.get_session().head(hub.constants.ENDPOINT, timeout=5)
        yield
        return
    places = [(datasets.config, "HF_HUB_OFFLINE"), (hub.constants, "HF_HUB_OFFLINE")]
    before = [getattr(place, name) for place, name in places]
    try:
        for place, name in places:
            setattr(place, name, True)
        yield
    finally:
        for (place, name), value in zip(places, before, strict=True):
            setattr(place, name, value)


@contextlib.contextmanager
def _plain_bars() -> Iterator[None]:
    import datasets

    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()


def write(chosen: Chosen, folder: Path) -> list[Path]:
    """Write a local task as the harness reads it: rows as JSONL, settings as YAML.

    Returns:
        The YAML files, one a harness task.
    """
    if chosen.name in world_tasks.NAMES:
        config, functions = world_tasks.config_of(chosen.name)
        return [_write(folder, chosen.name, world_tasks.rows_of(chosen.name), config, functions)]
    assert chosen.path is not None
    if chosen.name == "mmlu":
        return _write_mmlu(chosen.path, folder)
    if chosen.name.startswith("arc_"):
        splits = originals.arc(chosen.path)
        config = {"include": _own("arc", chosen.name), "training_split": None}
        shots = "validation" if "validation" in splits else "test"
        config |= {"validation_split": shots, "fewshot_split": shots}
        return [_write(folder, chosen.name, splits, config)]
    rows = list(originals.truthfulqa(chosen.path))
    if chosen.name != "truthfulqa_gen":
        rows = list(originals.multiple_choice(rows))
    config = {"include": _own("truthfulqa", chosen.name)}
    return [_write(folder, chosen.name, {"validation": rows}, config)]


def _write_mmlu(path: Path, folder: Path) -> list[Path]:
    written = []
    for subject, splits in sorted(originals.mmlu(path).items()):
        own = _own("mmlu/default", f"mmlu_{subject}")
        if not Path(own).is_file():
            raise InputError(f"{path}: subject {subject} is none of MMLU's 57")
        written.append(_write(folder, f"mmlu_{subject}", splits, {"include": own}))
    return written


def _own(folder: str, name: str) -> str:
    """The harness's own YAML of a task: its prompts, filters and metrics hold here too."""
    return str(Path(harness("lm_eval.tasks").__file__).parent / folder / f"{name}.yaml")


def _write(
    folder: Path,
    name: str,
    splits: Splits,
    config: dict[str, Any],
    functions: dict[str, str] | None = None,
) -> Path:
    found = {}
    for split, rows in splits.items():
        path = (folder / f"{name}.{split}.jsonl").resolve()
        files.write_lines(path, (json.dumps(row, ensure_ascii=False) for row in rows))
        found[split] = str(path)
    config = {
        "task": name,
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": found, "cache_dir": str((folder / "arrow").resolve())},
        **config,
    }
    text = yaml.safe_dump(config, sort_keys=True, allow_unicode=True)
    text += "".join(f"{key}: !function {value}\n" for key, value in (functions or {}).items())
    files.write_text(folder / f"{name}.yaml", text)
    return folder / f"{name}.yaml"
