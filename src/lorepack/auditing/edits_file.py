"""Edit sets as files: what is changed, its other wordings, its neighbours, what follows from it.

Read as they were published: CounterFact flat (``prompt, target_new, …``) and nested
(``requested_rewrite``, Meng et al. 2022), zsRE as prepared for MEND (``src, alt, answers, …``,
Mitchell et al. 2022), and the one-hop questions that Yao et al. 2023 added to both
(``portability_prompt`` and ``portability_ground_truth``, or ``portability`` with ``New Question``
and ``New Answer``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lorepack.errors import InputError
from lorepack.facts.fact import derive_id
from lorepack.facts.importing.published import records
from lorepack.facts.importing.values import texts
from lorepack.facts.rows import RowError

Asked = tuple[str, str]
"""a prompt and its right answer"""


@dataclass(frozen=True)
class Edit:
    """A prompt that gets a new answer, and what is asked to see what became of it."""

    id: str
    """that of the fact which `lorepack facts import` makes of it"""
    prompt: str
    new: str
    old: str
    """the answer that it had"""
    rephrased: tuple[str, ...] = ()
    """other prompts for the new answer"""
    near: tuple[Asked, ...] = ()
    """what must stay as it is"""
    hops: tuple[Asked, ...] = ()
    """what follows from the new answer by one more fact"""

    def to_json(self) -> dict[str, Any]:
        """The edit as a JSON object."""
        return asdict(self)


def read_edits(path: Path | str, notes: list[str], limit: int | None = None) -> list[Edit]:
    """The edits of a file, in order.

    Args:
        path: JSON, JSON lines, CSV or Parquet.
        notes: is told what was set aside, by reason.
        limit: most edits; None for all.

    Raises:
        NotFoundError: no such file.
        InputError: it cannot be read, or holds no edit.
    """
    path = Path(path)
    found: dict[str, Edit] = {}
    aside: Counter[str] = Counter()
    for _, raw in records(path):
        if limit is not None and len(found) >= limit:
            break
        try:
            if isinstance(raw, RowError):
                raise raw
            edit = _edit(raw)
        except RowError as error:
            aside[error.kind] += 1
            continue
        if edit.id in found:
            aside["repeated"] += 1
        else:
            found[edit.id] = edit
    if not found:
        raise InputError(
            f"{path}: no edits in it; expected rows of CounterFact (prompt, target_new, "
            "ground_truth) or zsRE (src, alt, answers)"
        )
    if aside:
        named = ", ".join(f"{name} {n}" for name, n in sorted(aside.items()))
        notes.append(f"{path.name}: {aside.total()} rows set aside ({named})")
    return list(found.values())


def _edit(raw: Any) -> Edit:
    if not isinstance(raw, Mapping):
        raise RowError("no_edit", "not an object")
    if "requested_rewrite" in raw:
        return _nested(raw)
    if "alt" in raw:
        names = ("src", "alt", "answers", "rephrase", "loc", "loc_ans")
    else:
        names = ("prompt", "target_new", "ground_truth", "rephrase_prompt", "locality_prompt",
                 "locality_ground_truth")  # fmt: skip
    prompt, new, old, rephrased, near, answer = (_all(raw, name) for name in names)
    return _made(prompt, new, old, rephrased, _asked(near, answer), _hops(raw))


def _nested(raw: Mapping[str, Any]) -> Edit:
    rewrite = raw["requested_rewrite"]
    if not isinstance(rewrite, Mapping):
        raise RowError("no_edit", "requested_rewrite is no object")
    prompt = [
        text.replace("{}", "".join(_all(rewrite, "subject"))) for text in _all(rewrite, "prompt")
    ]
    new, old = (
        _all(part, "str") if isinstance(part := rewrite.get(name), Mapping) else []
        for name in ("target_new", "target_true")
    )
    near = _all(raw, "neighborhood_prompts")
    asked = _asked(near, old[:1] * len(near))
    return _made(prompt, new, old, _all(raw, "paraphrase_prompts"), asked, _hops(raw))


def _made(
    prompt: list[str],
    new: list[str],
    old: list[str],
    rephrased: list[str],
    near: tuple[Asked, ...],
    hops: tuple[Asked, ...],
) -> Edit:
    """The first of each; where the old answer has several names, the first stands for it."""
    for name, value in (("prompt", prompt), ("new_answer", new), ("old_answer", old)):
        if not value:
            raise RowError(f"no_{name}", name)
    asked = tuple(text for text in rephrased if text != prompt[0])
    return Edit(derive_id(prompt[0], new[0]), prompt[0], new[0], old[0], asked, near, hops)


def _hops(raw: Mapping[str, Any]) -> tuple[Asked, ...]:
    flat = _asked(_all(raw, "portability_prompt"), _all(raw, "portability_ground_truth"))
    nested = raw.get("portability")
    if not isinstance(nested, Mapping):
        return flat
    return flat + _asked(_all(nested, "New Question"), _all(nested, "New Answer"))


def _asked(prompts: list[str], answers: list[str]) -> tuple[Asked, ...]:
    """Prompts with their answers; one prompt with several answers takes the first."""
    return tuple(zip(prompts, answers, strict=False))


def _all(raw: Mapping[str, Any], name: str) -> list[str]:
    return [text.strip() for text in texts(raw.get(name), name) if text.strip()]
