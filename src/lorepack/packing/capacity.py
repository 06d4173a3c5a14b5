"""How many bits an adapter stores: of a run, of one job of many, or of any adapter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from lorepack import files, folders
from lorepack.auditing import capacity as measuring
from lorepack.auditing.capacity import Probe
from lorepack.auditing.values import Values, made_values, untrained
from lorepack.errors import InputError, MismatchError, NotFoundError
from lorepack.facts import Fact
from lorepack.llm import LanguageModel
from lorepack.packing.audits import mix_of
from lorepack.packing.jobs import Facts, loaded
from lorepack.packing.run import JOB, JOBS, RUN, Run
from lorepack.packing.sources import load_facts
from lorepack.packing.stages import Progress, adapter_on, quiet

FRESH = 1_000
"""keys that were never trained"""


def capacity(
    run: str | Path | None = None,
    *,
    model: str | LanguageModel | None = None,
    adapter: str | Path | None = None,
    facts: Facts | None = None,
    out: str | Path | None = None,
    entropy: float | None = None,
    pattern: str | None = None,
    fresh: Facts | int = FRESH,
    progress: Progress = quiet,
    **load: Any,
) -> dict[str, Any]:
    """Measure how many bits an adapter stores; the same call again goes on where it stopped.

    Args:
        run: folder of a run, or of one job of `train`; ``bits/`` in it gets the results.
        model: the adapter's base; of a run or job its own where None.
        adapter: a PEFT folder, in place of ``run``.
        facts: what was trained; of a run its own where None.
        out: folder of the results; needed with ``adapter``.
        entropy: bits of one value, where they were not made by `lorepack facts make`: drawn
            independently, all equally likely.
        pattern: regular expression of a well-formed value, with ``entropy``.
        fresh: facts that were never trained, or how many to draw where a maker is known.
        progress: called as ``progress(stage, done, total)``.
        load: how to load the model.

    Returns:
        The content of ``bits.json``.

    Raises:
        InputError: neither a folder nor an adapter, no facts, or an entropy that cannot be.
        MismatchError: the adapter was made for another base.
    """
    if run is not None:
        folder, adapter = Path(run), Path(run) / "adapter"
        model, facts = _asked_of(folder, model, facts)
        out = folder / "bits" if out is None else out
    if model is None or adapter is None or facts is None or out is None:
        raise InputError("capacity needs a run, or all of model=, adapter=, facts= and out=")
    adapter, notes = Path(adapter), list[str]()
    trained = _trained(load_facts(facts, notes), adapter)
    measuring.require_facts(trained, str(adapter))
    values = _values(trained, entropy, pattern, fresh)
    with folders.alone(out), adapter_on(lm := loaded(model, load), adapter, notes) as stack:
        tick = lambda done, total: progress("bits", done, total)  # noqa: E731
        inputs = _inputs(lm, adapter, trained, values)
        return measuring.measure(
            Probe(lm, stack), trained, values, out, inputs=inputs, progress=tick
        )


def _asked_of(
    folder: Path, model: str | LanguageModel | None, facts: Facts | None
) -> tuple[str | LanguageModel, Facts]:
    """Model and facts of a run or a job, where nobody gave others."""
    if (folder / JOBS).is_file():
        raise InputError(f"{folder} holds many jobs; give the folder of one, such as {folder}/NAME")
    described = next((folder / n for n in (RUN, JOB) if (folder / n).is_file()), None)
    if described is None:
        raise NotFoundError(f"{folder}: neither a run ({RUN}) nor a job ({JOB})")
    if not (folder / "adapter").is_dir():
        raise MismatchError(
            f"{folder}: no finished adapter yet; run the same command that began it"
        )
    if facts is None and described.name == JOB:
        raise InputError(f"{folder}: a job does not keep its facts; give --facts FILE")
    base = files.read_json(described)["model"]["name"]
    return model or base, facts if facts is not None else Run(folder).facts


def _trained(facts: Sequence[Fact], adapter: Path) -> list[Fact]:
    """The facts that the adapter says it was trained on; all where it says nothing.

    Raises:
        MismatchError: none of these.
    """
    ids = set(mix_of(adapter).get("trained", ()))
    chosen = [fact for fact in facts if not ids or fact.id in ids]
    if facts and not chosen:
        raise MismatchError(f"{adapter} was trained on none of these {len(facts):,} facts")
    return chosen


def _values(
    facts: Sequence[Fact], entropy: float | None, pattern: str | None, fresh: Facts | int
) -> Values:
    """The distribution of the facts' values, from their maker or from what is stated."""
    count = fresh if isinstance(fresh, int) else FRESH
    given = () if isinstance(fresh, int) else tuple(untrained(load_facts(fresh), facts, 2**62))
    found = made_values(facts, count)
    if entropy is not None:
        if not 0 < entropy < 1e6:
            raise InputError(f"entropy {entropy}: expected bits of one value, above 0")
        found = Values(entropy, True, _compiled(pattern), found.fresh if found else ())
    elif found is None:
        note = "the values' entropy is not known: the bits hold what could be guessed, too"
        found = Values(None, False, _compiled(pattern), (), note)
    return replace(found, fresh=given) if given else found


def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    try:
        return None if pattern is None else re.compile(pattern)
    except re.error as error:
        raise InputError(f"pattern {pattern!r}: not a regular expression ({error})") from error


def _inputs(lm: LanguageModel, adapter: Path, facts: Sequence[Fact], values: Values) -> str:
    told = asdict(replace(values, pattern=None, fresh=()))
    return files.hash_of(
        {
            "adapter": files.sha256_of(adapter / "adapter_model.safetensors"),
            "base": lm.fingerprint,
            "dtype": str(lm.dtype),
            "facts": [fact.to_json() for fact in facts],
            "fresh": [fact.to_json() for fact in values.fresh],
            "pattern": values.pattern.pattern if values.pattern else None,
            "values": told,
        }
    )
