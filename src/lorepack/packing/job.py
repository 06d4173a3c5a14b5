"""A training job as a user asks for it: one adapter, its data and its recipe."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lorepack.errors import InputError
from lorepack.facts import Fact
from lorepack.facts.passage import Passage
from lorepack.packing.sources import own_count
from lorepack.training import Recipe

Source = str | Path | Fact | Passage
"""``"world"``, a file of facts or passages, a document, the folder of a synthesis; or one item"""

RESERVED = frozenset({"checkpoint"})
"""names that the folder of all jobs has for itself"""
_LONGEST = 200  # bytes of a name: file systems take 255, and siblings get suffixes
_UNFIT = re.compile(r"[\x00-\x1f\x7f<>:\"/\\|?*]")


@dataclass(frozen=True)
class Job:
    """One adapter to train.

    Raises:
        InputError: a name that cannot be a folder's, or a recipe that cannot be.
    """

    name: str
    """of the job and of its folder"""
    data: Source | Sequence[Source]
    """facts are trained as question and answer, texts whole"""
    recipe: str | Path | Recipe = "recommended"
    """a preset, a YAML file, or a recipe"""
    sets: Mapping[str, Any] = field(default_factory=dict)
    """recipe fields that differ from it"""
    seed: int = 0
    """of the first factors, the order and dropout"""
    evaluate: Source | Sequence[Source] | None = None
    """facts that are asked afterwards beside its own"""
    replay: Source | Sequence[Source] | None = None
    """what the recipe's ``replay_ratio`` draws from: facts and texts, ``"neutral"`` (running text
    of the made world), ``"own"`` or ``"own:N"`` (what the base says itself)"""
    guard: Source | Sequence[Source] | None = None
    """texts that harm is measured on after every epoch, not trained on; or ``"neutral"``"""

    def __post_init__(self) -> None:
        check_name(self.name)
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise InputError(f"job {self.name}: seed {self.seed!r}: expected 0 or more")
        for source in () if self.replay is None else listed(self.replay):
            _named(self.name, source)

    @property
    def beside(self) -> dict[str, Source | Sequence[Source]]:
        """The sources of replay and guard, those that are given."""
        given = {"guard": self.guard, "replay": self.replay}
        return {name: source for name, source in given.items() if source is not None}

    def chosen(self) -> Recipe:
        """The recipe with the job's own fields in it.

        Raises:
            InputError: an unknown field (with a suggestion), or a value out of its range.
            NotFoundError: no such recipe.
        """
        own = isinstance(self.recipe, Recipe)
        recipe = self.recipe if own else Recipe.named(self.recipe)  # type: ignore[arg-type]
        return recipe.override(self.sets)  # type: ignore[union-attr, arg-type]


def _named(name: str, source: Source) -> None:
    try:
        own_count(source)
    except InputError as error:
        raise InputError(f"job {name}: {error}") from None


def listed(data: Source | Sequence[Source]) -> tuple[Source, ...]:
    """One source, or several, as a tuple."""
    return (data,) if isinstance(data, str | Path | Fact | Passage) else tuple(data)


def check_name(name: object) -> None:
    """See that a name can be a folder's, on any file system.

    Raises:
        InputError: it cannot.
    """
    if not isinstance(name, str):
        raise InputError(f"job name {name!r}: expected text; put it in quotes")
    why = _why_unfit(name)
    if why:
        shown = name if len(name) <= 60 else f"{name[:57]}..."
        raise InputError(f"job name {shown!r} {why}; it names the folder of the job's results")


def _why_unfit(name: str) -> str:
    if not name.strip():
        return "is empty"
    if name != name.strip() or name.startswith((".", "-")) or name.endswith("."):
        return "begins or ends with a space or a dot, or begins with a dash"
    if found := _UNFIT.search(name):
        return f"holds {found[0]!r}"
    if size := _too_long(name):
        return f"has {size} bytes, expected at most {_LONGEST}"
    return "is taken" if name.lower() in RESERVED else ""


def _too_long(name: str) -> int:
    size = len(name.encode("utf-8", "replace"))
    return size if size > _LONGEST else 0


def check_apart(names: Sequence[str], out: Path) -> None:
    """See that every job has a folder of its own, however it is spelled.

    Args:
        names: of the jobs.
        out: the folder of all of them.

    Raises:
        InputError: two jobs have one name, or would write to one folder.
    """
    spelled: dict[str, str] = {}
    places: dict[Path, str] = {}
    for name in names:
        # Some file systems do not tell case or the form of accents apart.
        other = spelled.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name:
            raise InputError(f"jobs {other!r} and {name!r} would share a folder; rename one")
        if name in places.values():
            raise InputError(f"two jobs are called {name!r}; names must differ")
        place = (out / name).resolve()
        other = places.setdefault(place, name)
        if other != name:
            raise InputError(f"jobs {other!r} and {name!r} both write to {place} (a link?)")
