"""Data sets of edits: CounterFact and zsRE.

An edit gives a prompt a new answer in place of the one that it had. What becomes of it here:

- split ``edit``: the prompt as question, the new answer as answer and object; rephrased prompts
  are paraphrases.
- split ``locality``: what the edit must leave alone, each a fact of its own.
- split ``before``: the prompt with the answers that it had. These contradict the edits: they are
  left out, and counted as ``before``, unless they are asked for.

``--split`` gives one of the three alone, and the others are counted.

CounterFact has four layouts: the JSON list of ROME, nested (``requested_rewrite``) or flat
(``prompt, target_new, …``); and, in the release of arXiv 2603.01097, a list of ``question`` and
``answer``, and a CSV file with one edited sentence a row. The subjects of the sentences stand in a
file of the same name with ``_meta.json``. Every object of CounterFact is one word, so a sentence
ends in its object, and the prompt is what stands before it.

zsRE is read as it was prepared for MEND: ``alt`` is the new answer, ``answers`` are those before,
``pred`` is what a model said and no fact, and ``loc`` keeps its mark ``nq question:``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lorepack.errors import InputError, suggest
from lorepack.facts.importing.format import Counted, Format, Item, Options
from lorepack.facts.importing.published import Published, Rows, each, records
from lorepack.facts.importing.streams import kind_of, small_json
from lorepack.facts.importing.tabular import csv_rows
from lorepack.facts.importing.values import as_record, fact, found, texts
from lorepack.facts.rows import RowError

SPLITS = ("edit", "locality", "before")

_FLAT = {"prompt", "subject", "target_new", "ground_truth", "rephrase_prompt"}
_ZSRE = {"src", "subject", "alt", "answers", "rephrase", "loc", "loc_ans"}


class Sentence(NamedTuple):
    """An edited sentence, and the subject that stands in it; None where none does."""

    text: str
    subject: str | None


class Part(NamedTuple):
    """One fact of an edit, before it is checked."""

    split: str
    question: Any
    answer: Any
    more: Mapping[str, Any] = {}
    """other fields of a `lorepack.facts.Fact`"""


def _given(parts: list[Part], source: str, options: Options) -> Iterator[Item]:
    """The parts of the split that is asked for; without one, all that hold after the edit."""
    wanted = (options.split,) if options.split else ("edit", "locality")

    def maker(part: Part) -> Callable[[], Item]:
        if part.split not in wanted:
            return lambda: Counted(part.split)
        more = {"source": source, "split": part.split, **part.more}
        return lambda: fact(part.question, part.answer, **more)

    return each(*(maker(part) for part in parts))


def _check_split(options: Options) -> None:
    if options.split is not None and options.split not in SPLITS:
        raise InputError(f"edits have no split {options.split!r}{suggest(options.split, SPLITS)}")


def _knows_counterfact(path: Path, record: Mapping[str, Any]) -> bool:
    if kind_of(path) == ".csv":
        return record.keys() == {"text"} and _meta(path).is_file()
    named = path.name.lower().startswith("counterfact")
    return (
        record.keys() >= _FLAT
        or isinstance(record.get("requested_rewrite"), dict)
        or (named and record.keys() == {"question", "answer"})
    )


def _counterfact_rows(path: Path, options: Options) -> Rows:
    _check_split(options)
    return _sentences(path) if kind_of(path) == ".csv" else records(path)


def _sentences(path: Path) -> Rows:
    """The sentences of a CSV file, each with its subject, which stands at the same place."""
    meta = small_json(_meta(path))
    subjects = meta.get("subjects") if isinstance(meta, dict) else None
    if not isinstance(subjects, list) or not all(isinstance(name, str) for name in subjects):
        raise InputError(f'{_meta(path)}: expected {{"subjects": [texts]}}')
    longest_first = sorted({name for name in subjects if name.strip()}, key=len, reverse=True)
    for index, (where, row) in enumerate(csv_rows(path, Options())):
        if isinstance(row, RowError):
            yield where, row
            continue
        sentence = row.get("text", "")
        here = subjects[index : index + 1] if index < len(subjects) else []
        within = (name for name in (*here, *longest_first) if name and name in sentence)
        yield where, Sentence(sentence, next(within, None))


def _meta(path: Path) -> Path:
    """The file of subjects beside a file of sentences."""
    name = path.name[: path.name.lower().index(".csv")]
    return path.with_name(f"{name}_meta.json")


def _counterfact(raw: Any, options: Options) -> Iterator[Item]:
    if isinstance(raw, Sentence):
        yield from _given([_of_sentence(raw)], "counterfact", options)
        return
    row = as_record(raw)
    if "requested_rewrite" in row:
        parts = _of_nested(row)
        for name in ("attribute_prompts", "generation_prompts"):  # they have no answer
            yield from [Counted(name)] * len(texts(row.get(name), name))
    elif "target_new" in row:
        parts = _of_flat(row)
    else:
        parts = [Part("edit", row.get("question"), row.get("answer"))]
    yield from _given(parts, "counterfact", options)


def _of_sentence(sentence: Sentence) -> Part:
    subject = sentence.subject
    if subject is None:
        raise RowError("no_subject", "no subject of the _meta.json stands in this sentence")
    words = sentence.text.rsplit(None, 1)
    if len(words) < 2 or subject not in words[0]:
        raise RowError("no_object", f"nothing is said of {subject[:80]!r}")
    prompt, answer = words
    return Part("edit", prompt, answer, {"subject": subject, "object": answer})


def _of_flat(row: Mapping[str, Any]) -> list[Part]:
    new, old, about = row.get("target_new"), row.get("ground_truth"), row.get("subject")
    known = {"subject": about}
    rephrased = {"paraphrases": row.get("rephrase_prompt")}
    return [
        Part("edit", row.get("prompt"), new, {**known, **rephrased, "object": new}),
        Part("before", row.get("prompt"), old, {**known, **rephrased, "object": old}),
        Part("locality", row.get("locality_prompt"), row.get("locality_ground_truth")),
    ]


def _of_nested(row: Mapping[str, Any]) -> list[Part]:
    rewrite = as_record(row["requested_rewrite"])
    prompt, about = rewrite.get("prompt"), rewrite.get("subject")
    new, old = found(rewrite, "target_new.str"), found(rewrite, "target_true.str")
    if not (isinstance(prompt, str) and isinstance(about, str)):
        raise RowError("schema_missing", "'requested_rewrite' has no prompt or no subject")
    prompt = prompt.replace("{}", about)
    related = {"relation": rewrite.get("relation_id")}
    known = {**related, "subject": about, "paraphrases": row.get("paraphrase_prompts")}
    near = texts(row.get("neighborhood_prompts"), "neighborhood_prompts")
    return [
        Part("edit", prompt, new, {**known, "object": new}),
        Part("before", prompt, old, {**known, "object": old}),
        # The prompts of the neighbourhood ask for what the subject had, of others that have it.
        *(Part("locality", question, old, {**related, "object": old}) for question in near),
    ]


def _knows_zsre(path: Path, record: Mapping[str, Any]) -> bool:
    return record.keys() >= _ZSRE


def _zsre_rows(path: Path, options: Options) -> Rows:
    _check_split(options)
    return records(path)


def _zsre(raw: Any, options: Options) -> Iterator[Item]:
    row = as_record(raw)
    question, new = row.get("src"), row.get("alt")
    known = {"subject": row.get("subject"), "paraphrases": row.get("rephrase")}
    changed = {"object": new.strip()} if isinstance(new, str) else {}
    parts = [
        Part("edit", question, new, {**known, **changed}),
        Part("before", question, row.get("answers"), known),
        Part("locality", row.get("loc"), row.get("loc_ans")),
    ]
    return _given(parts, "zsre", options)


FORMATS: dict[str, Format] = {
    form.name: form
    for form in (
        Published(
            "counterfact",
            "CounterFact: JSON of ROME, or sentences as CSV with _meta.json beside it",
            _knows_counterfact,
            _counterfact_rows,
            _counterfact,
            takes=frozenset({"split"}),
        ),
        Published(
            "zsre",
            "zsRE as prepared for MEND (src, alt, answers, loc)",
            _knows_zsre,
            _zsre_rows,
            _zsre,
            takes=frozenset({"split"}),
        ),
    )
}
