"""Edit sets asked of adapters: efficacy, paraphrases, neighbours and one-hop questions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lorepack.auditing.edits import BASE, EditedModel, EditSettings, audit_edits
from lorepack.auditing.edits_file import read_edits
from lorepack.errors import InputError
from lorepack.llm import LanguageModel
from lorepack.packing.adapters import adapters_on, sources
from lorepack.packing.comparison import RESERVED, switch
from lorepack.packing.jobs import loaded
from lorepack.packing.stages import Progress, quiet


def edits(
    adapters: Sequence[str | Path],
    file: str | Path,
    out: str | Path,
    *,
    model: str | LanguageModel,
    form: str = "chat",
    only_trained: bool = False,
    limit: int | None = None,
    seed: int = 0,
    progress: Progress = quiet,
    **load: Any,
) -> dict[str, Any]:
    """Ask adapters, and their base, about a set of edits: CounterFact or zsRE.

    Args:
        adapters: PEFT folders, runs, jobs, grids, folders of jobs; of one base.
        file: the edits, as `lorepack.auditing.edits_file` reads them.
        out: folder of the results: ``edits.json`` and ``edits.parquet``.
        model: the base.
        form: ``chat`` asks in the form that facts are trained in, ``text`` as running text.
        only_trained: leave out the edits that no adapter was trained on.
        limit: most edits of the file.
        seed: of the bootstrap.
        progress: called as ``progress("edits", done, total)``.
        load: how to load the model.

    Returns:
        ``edits.json``.

    Raises:
        InputError: a file without edits, or none of them was trained and only those were asked.
        LorepackError: an adapter that is damaged, holds NaN or is of another base, by name.
    """
    notes: list[str] = []
    settings = EditSettings(form=form, seed=seed)
    found, listed = sources(adapters, (*RESERVED, BASE)), read_edits(file, notes, limit)
    trained = {source.name: frozenset(source.mix.get("trained", ())) for source in found}
    if only_trained:
        known = frozenset[str]().union(*trained.values())
        listed = [edit for edit in listed if edit.id in known]
        if not listed:
            raise InputError(
                f"{file}: none of its edits was trained by these adapters; make the facts of "
                "`lorepack pack` from this file with `lorepack facts import`"
            )
    lm = loaded(model, load)
    with adapters_on(lm, found, notes) as stack:
        asked = {
            source.name: EditedModel(switch(stack, index), source.tag, trained[source.name])
            for index, source in enumerate(found)
        }
        tick = lambda done, total: progress("edits", done, total)  # noqa: E731
        return audit_edits(lm, listed, asked, out, settings, notes=notes, progress=tick)
