"""What became of a set of edits: did they take, did they carry over, and what did they disturb?

Of every edit, with the base and with each adapter, for its prompt, its rephrasings, its neighbours
and its one-hop questions:

- **full_token**: greedy decoding gives all tokens of the target first. For the prompt this is
  efficacy in the strict sense; teacher-forced, it is that every token of the target is the argmax.
- **first_token**: the argmax behind the prompt is the target's first token, the form that many
  published evaluations reduce efficacy to.
- **answered**: the target stands in the greedy answer, by the rule of `lorepack.text.matches`.
- **probability**: P(target) > P(other), over whole answers. For prompt and rephrasings target is
  the new answer and other the old one: ES and PS of ROME (Meng et al. 2022, arXiv 2202.05262,
  section 3.3); for neighbours the true answer against the new one: NS. Published code divides
  the logarithms by the number of tokens; here they are the probabilities of the paper's text.
- **magnitude**: the mean of P(target) − P(other): EM, PM and NM there.
- **unchanged** (neighbours): the greedy answer is word for word the base's: locality as of MEND
  (Mitchell et al. 2022, arXiv 2110.11309, section 2) and Yao et al. 2023 (arXiv 2305.13172,
  section 2.2); **first_unchanged**: its first token is.
- portability (one-hop questions): Yao et al. 2023, section 4.1.
- **score**: the harmonic mean of ES, PS and NS, as in ROME.

Each figure is a mean over edits, of the mean over an edit's prompts, with a bootstrap interval
over edits.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lorepack import files, folders, llm
from lorepack.auditing.drift import Switch
from lorepack.auditing.edits_file import Edit
from lorepack.auditing.framing import Framing
from lorepack.auditing.reliability import bootstrap
from lorepack.errors import InputError
from lorepack.llm import QUESTION, LanguageModel
from lorepack.probing.store import read_batches, write_table
from lorepack.text import Matcher

KINDS = ("efficacy", "paraphrase", "neighbourhood", "portability")
FORMS = ("chat", "text")
BASE = "base"
_FIGURES = ("full_token", "first_token", "answered", "probability", "magnitude", "unchanged",
            "first_unchanged")  # fmt: skip
_SCHEMA = pa.schema(
    [
        ("model", pa.string()),
        ("id", pa.string()),
        ("kind", pa.string()),
        ("place", pa.int32()),
        ("prompt", pa.string()),
        ("target", pa.string()),
        ("other", pa.string()),
        ("answer", pa.string()),
        ("first", pa.int32()),
        ("full_token", pa.bool_()),
        ("first_token", pa.bool_()),
        ("answered", pa.bool_()),
        ("log_p_target", pa.float64()),
        ("log_p_other", pa.float64()),
    ]
)
_MARK = b"lorepack"


@dataclass(frozen=True)
class EditSettings:
    """How edits are asked."""

    form: str = "chat"
    """``chat``: as a question in the model's own form, as facts are trained; ``text``: as running
    text to go on with, the published form"""
    rule: str = "boundary"
    max_new_tokens: int = 16
    resamples: int = 2000
    seed: int = 0
    chunk: int = 256
    """edits in a chunk, the unit of resuming"""

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise InputError(f"form: got {self.form!r}; expected chat or text")


@dataclass(frozen=True)
class _Question:
    """One prompt of an edit."""

    edit: str
    kind: str
    place: int
    prompt: str
    target: str
    other: str | None


@dataclass(frozen=True)
class EditedModel:
    """An adapter to be asked."""

    switch: Switch
    """puts it on for a block"""
    tag: str
    """names it, for example the hash of its file"""
    trained: frozenset[str] = frozenset()
    """ids of the facts that it was trained on"""


def audit_edits(
    lm: LanguageModel,
    edits: Sequence[Edit],
    adapters: Mapping[str, EditedModel],
    out: Path | str,
    settings: EditSettings | None = None,
    *,
    notes: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Ask the base and every adapter about a set of edits.

    The same call again skips what is done; a killed one goes on at its first missing chunk.

    Args:
        lm: the base.
        edits: their ids differ.
        adapters: by name; none of them ``base``, which names the base's own figures.
        out: folder of the results.
        settings: `EditSettings`.
        notes: remarks to keep.
        progress: called with edits done and edits in all, over base and adapters.

    Returns:
        ``edits.json``: ``base`` and ``adapters`` with the figures of all edits, and under
        ``trained`` those of the edits that were among an adapter's trained facts, the base's on
        the same edits beside them. ``edits.parquet`` has a row a prompt and model.

    Raises:
        InputError: no edits, or an adapter called ``base``.
        MismatchError: ``out`` holds the finished results of other inputs.
    """
    if not edits:
        raise InputError("no edits to ask about; the list is empty")
    if BASE in adapters:  # it would be asked in the base's place
        raise InputError(f"an adapter is called {BASE!r}, as the base is; give it another name")
    settings, out = settings or EditSettings(), Path(out)
    inputs = _inputs(lm, edits, adapters, settings)
    with folders.alone(out):
        if not files.is_complete(out, inputs):
            files.make_room(out, inputs, lambda: "results of other edits, adapters or settings")
            _work(lm, edits, adapters, out, settings, inputs, notes, progress)
    found: dict[str, Any] = files.read_json(out / "edits.json")
    return found


def _inputs(
    lm: LanguageModel,
    edits: Sequence[Edit],
    adapters: Mapping[str, EditedModel],
    settings: EditSettings,
) -> str:
    deciding = {k: v for k, v in asdict(settings).items() if k != "chunk"}
    asked = lm.chat.prompt_ids(QUESTION.format(q=edits[0].prompt))
    return files.hash_of(
        {
            "model": lm.fingerprint,
            "chat": files.hash_of(list(asked)),
            "dtype": str(lm.dtype),
            "edits": [edit.to_json() for edit in edits],
            "adapters": {name: [a.tag, sorted(a.trained)] for name, a in adapters.items()},
            "settings": deciding,
        }
    )


def _work(
    lm: LanguageModel,
    edits: Sequence[Edit],
    adapters: Mapping[str, EditedModel],
    out: Path,
    settings: EditSettings,
    inputs: str,
    notes: Sequence[str],
    progress: Callable[[int, int], None] | None,
) -> None:
    models: dict[str, EditedModel | None] = {BASE: None, **adapters}
    done, total = 0, len(edits) * len(models)
    tables = []
    for number, (name, model) in enumerate(models.items()):
        for start in range(0, len(edits), settings.chunk):
            part = edits[start : start + settings.chunk]
            path = out / "chunks" / f"{number:04d}-{start:08d}.parquet"
            mark = files.hash_of([inputs, name, settings.chunk])
            table = _read(path, mark)
            if table is None:
                table = _ask(lm, part, name, model, settings)
                write_table(path, table.replace_schema_metadata({_MARK: mark.encode()}))
            tables.append(table)
            done += len(part)
            if progress is not None:
                progress(done, total)
    whole = pa.concat_tables([table.replace_schema_metadata(None) for table in tables])
    write_table(out / "edits.parquet", whole)
    files.write_json(out / "edits.json", document(edits, whole, adapters, settings, notes))
    files.write_manifest(out, inputs, ["edits.json", "edits.parquet"])
    for path in (out / "chunks").glob("*.parquet"):
        path.unlink()


def _read(path: Path, mark: str) -> pa.Table | None:
    """A chunk that is whole and belongs to this work."""
    if not path.is_file():
        return None
    try:
        batches = list(read_batches(path, 1 << 16))
    except InputError:
        return None
    if not batches or (batches[0].schema.metadata or {}).get(_MARK) != mark.encode():
        return None
    return pa.Table.from_batches(batches)


def questions(edit: Edit) -> Iterable[_Question]:
    """Everything that is asked about an edit."""
    yield _Question(edit.id, "efficacy", 0, edit.prompt, edit.new, edit.old)
    for place, prompt in enumerate(edit.rephrased):
        yield _Question(edit.id, "paraphrase", place, prompt, edit.new, edit.old)
    for place, (prompt, answer) in enumerate(edit.near):
        yield _Question(edit.id, "neighbourhood", place, prompt, answer, edit.new)
    for place, (prompt, answer) in enumerate(edit.hops):
        yield _Question(edit.id, "portability", place, prompt, answer, None)


def _ask(
    lm: LanguageModel,
    edits: Sequence[Edit],
    name: str,
    model: EditedModel | None,
    settings: EditSettings,
) -> pa.Table:
    """One model's answers to some edits; a prompt beyond the context is left out."""
    if model is not None:
        with model.switch():
            return _ask(lm, edits, name, None, settings)
    framing = Framing(lm, settings.form)
    asked, contexts, targets, others = [], [], [], []
    for question in (q for edit in edits for q in questions(edit)):
        context, target = framing.context(question.prompt), framing.target(question.target)
        other = [] if question.other is None else framing.target(question.other)
        if len(context) + max(len(target), len(other), settings.max_new_tokens) <= lm.context:
            asked.append(question)
            contexts.append(context)
            targets.append(target)
            others.append(other)
    most = max([settings.max_new_tokens, *map(len, targets)])
    answers = llm.generate_ids(lm, contexts, max_new_tokens=most, overlong="skip") if asked else []
    scores = llm.score(lm, contexts * 2, targets + others) if asked else []
    rows = [
        _row(lm, name, question, answer[0], target, settings)
        for question, answer, target in zip(asked, answers, targets, strict=True)
    ]
    for row, question, right, wrong in zip(
        rows, asked, scores[: len(asked)], scores[len(asked) :], strict=True
    ):
        row["log_p_target"] = right
        row["log_p_other"] = None if question.other is None else wrong
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


def _row(
    lm: LanguageModel,
    name: str,
    question: _Question,
    answer: Sequence[int],
    target: Sequence[int],
    settings: EditSettings,
) -> dict[str, Any]:
    text = lm.chat.decode(answer[: settings.max_new_tokens])
    return {
        "model": name,
        "id": question.edit,
        "kind": question.kind,
        "place": question.place,
        "prompt": question.prompt,
        "target": question.target,
        "other": question.other,
        "answer": text,
        "first": answer[0] if answer else -1,
        "full_token": list(answer[: len(target)]) == list(target),
        "first_token": list(answer[:1]) == list(target[:1]),
        "answered": Matcher((question.target,), settings.rule)(text),
    }


def document(
    edits: Sequence[Edit],
    rows: pa.Table,
    adapters: Mapping[str, EditedModel],
    settings: EditSettings,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """``edits.json`` from the rows of ``edits.parquet``."""
    by_model: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows.to_pylist():
        by_model[row["model"]].append(row)
    base, ids = by_model[BASE], {edit.id for edit in edits}
    asked = {kind: sum(row["kind"] == kind for row in base) for kind in KINDS}
    wanted = sum(1 for edit in edits for _ in questions(edit))
    remarks = [*notes]
    if not asked["portability"]:
        remarks.append("the file has no one-hop questions: portability is not measured")
    if len(base) < wanted:
        remarks.append(f"{wanted - len(base)} prompts did not fit the context and were not asked")
    found: dict[str, Any] = {}
    for name, adapter in adapters.items():
        chosen = ids & adapter.trained
        trained = {
            "base": figures(base, base, chosen, settings),
            "adapter": figures(by_model[name], base, chosen, settings),
        }
        found[name] = {
            **figures(by_model[name], base, ids, settings),
            "trained": {"edits": len(chosen), **trained} if chosen else None,
        }
    return {
        "schema": 1,
        "edits": len(edits),
        "prompts": asked,
        "overlong": wanted - len(base),
        "base": figures(base, base, ids, settings),
        "adapters": found,
        "settings": {k: v for k, v in asdict(settings).items() if k != "chunk"},
        "notes": remarks,
    }


def figures(
    rows: Sequence[Mapping[str, Any]],
    base: Sequence[Mapping[str, Any]],
    ids: Collection[str],
    settings: EditSettings,
) -> dict[str, Any]:
    """The figures of one model on some edits.

    Args:
        rows: its rows of ``edits.parquet``.
        base: the base's rows of the same prompts, in the same order.
        ids: the edits that count.
        settings: of the bootstrap.

    Returns:
        Of each of `KINDS` its ``count`` of prompts and the figures, each ``mean, low, high``;
        ``score``, None where one of its three parts was not measured.
    """
    values: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    counts = dict.fromkeys(KINDS, 0)
    for row, was in zip(rows, base, strict=True):
        kind = row["kind"]
        assert (row["id"], kind, row["place"]) == (was["id"], was["kind"], was["place"])
        if row["id"] in ids:
            counts[kind] += 1
            for name, value in _measured(row, was).items():
                values[kind, name][row["id"]].append(float(value))
    found: dict[str, Any] = {kind: {"count": counts[kind]} for kind in KINDS}
    for kind in KINDS:
        for name in _FIGURES:
            if per_edit := values.get((kind, name)):
                means = [float(np.mean(several)) for several in per_edit.values()]
                estimate = bootstrap(means, seed=settings.seed, resamples=settings.resamples)
                found[kind][name] = asdict(estimate)
    parts = [found[kind].get("probability") for kind in KINDS[:3]]
    found["score"] = None if None in parts else _harmonic([part["mean"] for part in parts if part])
    return found


def _measured(row: Mapping[str, Any], was: Mapping[str, Any]) -> dict[str, float]:
    """The figures of one prompt."""
    found: dict[str, float] = {
        name: row[name] for name in ("full_token", "first_token", "answered")
    }
    if row["log_p_other"] is not None:
        found["probability"] = row["log_p_target"] > row["log_p_other"]
        found["magnitude"] = math.exp(row["log_p_target"]) - math.exp(row["log_p_other"])
    if row["kind"] == "neighbourhood":
        found["unchanged"] = row["answer"] == was["answer"]
        found["first_unchanged"] = row["first"] == was["first"]
    return found


def _harmonic(parts: Sequence[float]) -> float:
    return len(parts) / sum(1 / part for part in parts) if all(parts) else 0.0
