"""Facts that come with labels: the sets of knowledge-packing, and TOFU.

knowledge-packing (arXiv 2502.14502) publishes three layouts: the triples as CSV, probed questions
as Parquet on the hub, and the same as a folder of ``save_to_disk``. The category of a question
(``HighlyKnown``, …) becomes its split. Of the triples, the popularity range becomes a number:
tail 1, torso 2, head 3. Their aliases are joined by commas without any escape, so that a name
with a comma in it falls into two; that is how they were published.

TOFU asks about authors who do not exist. Its perturbed answers are false ones: they are counted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorepack.errors import InputError, LorepackError
from lorepack.facts.importing.format import Counted, Format, Item, Options, Where
from lorepack.facts.importing.published import Published, Rows, records
from lorepack.facts.importing.streams import small_json
from lorepack.facts.importing.tabular import batch_values
from lorepack.facts.importing.triples import Iri, label, local_name
from lorepack.facts.importing.values import as_record, fact, found, listed, texts
from lorepack.facts.rows import RowError, show_names

_TRIPLES = {"subject", "relation", "object", "question", "answer", "popularity_range"}
_CATEGORY = ("Category", "Category_init")
_PROBED = {"is_para", "para", "para_len", "greedy_ans", "greedy_ans_init", "p_greed"}
_POPULARITY = {"tail": 1.0, "torso": 2.0, "head": 3.0}
_TOFU_SPLITS = ("retain", "forget", "full", "real_authors", "world_facts")
_TOFU_NAMES = {"question", "answer", "split", "option1", "option2", "option3", "option4"}


@dataclass(frozen=True)
class KnowledgePacking(Published):
    """The sets of knowledge-packing; a folder is one of ``save_to_disk``."""

    def fits(self, path: Path, head: bytes) -> bool:
        """Whether it has the columns of the release."""
        if not path.is_dir():
            return super().fits(path, head)
        try:
            files = [part[0] for part in _saved_parts(path).values() if part]
            return any(_knows_packing(path, dict.fromkeys(_arrow_names(file))) for file in files)
        except LorepackError:
            return False


def _knows_packing(path: Path, record: Mapping[str, Any]) -> bool:
    names = set(record)
    if names >= _TRIPLES:
        return True
    return names >= {"question", "answer"} and bool(names & _PROBED and names & {*_CATEGORY})


def _packing_rows(path: Path, options: Options) -> Rows:
    """The rows; ``split`` chooses a category, or a split of a folder."""
    rows = _saved_rows(path, options) if path.is_dir() else records(path)
    if options.split is None or (path.is_dir() and options.split in _saved_parts(path)):
        yield from rows
        return
    there: set[str] = set()
    for where, row in rows:
        category = _category(row) if isinstance(row, Mapping) else None
        if category == options.split or isinstance(row, RowError):
            yield where, row
        there.add(str(category))
    if options.split not in there:
        raise InputError(f"{path}: no split {options.split!r}; it has: {show_names(sorted(there))}")


def _category(row: Mapping[str, Any]) -> Any:
    return next((row[name] for name in _CATEGORY if row.get(name)), None)


def _packing(raw: Any, options: Options) -> Iterator[Item]:
    row = as_record(raw)
    if "popularity_range" in row:
        yield _of_triple(row)
        return
    yield fact(
        row.get("question"),
        _accepted(row.get("answer")),
        listed(row.get("para"), "para"),
        split=_category(row) or row.get("split"),
        source="knowledge-packing",
    )


def _of_triple(row: Mapping[str, Any]) -> Item:
    subject, relation = _term(row.get("subject")), _term(row.get("relation"))
    aliases = row.get("object_wikidata_aliases")
    parts = aliases.split(",") if isinstance(aliases, str) else aliases
    where = str(row.get("popularity_range") or "").strip().lower()
    if where and where not in _POPULARITY:
        raise RowError("schema_type", f"'popularity_range' is {where[:40]!r}; expected head, …")
    return fact(
        row.get("question"),
        row.get("answer"),
        # A piece of nothing but signs would match any response.
        aliases=[part for part in texts(parts, "aliases") if _has_letters(part)],
        subject=subject and label(subject),
        relation=relation and local_name(relation),
        object=row.get("answer"),
        popularity=_POPULARITY.get(where),
        source="knowledge-packing",
    )


def _has_letters(text: str) -> bool:
    return any(map(str.isalnum, text))


def _term(cell: Any) -> str | None:
    """An IRI between ``<`` and ``>``, or a plain text; None where there is none."""
    if not isinstance(cell, str) or not cell.strip():
        return None
    text = cell.strip()
    return Iri(text[1:-1]) if text.startswith("<") and text.endswith(">") else text


def _accepted(answer: Any) -> list[str]:
    """The accepted answers: of a list of answers with aliases the first one's count."""
    if isinstance(answer, list | tuple) and answer and isinstance(answer[0], Mapping):
        answer = answer[0]
    if isinstance(answer, Mapping):
        names = ("value", "aliases", "normalized_aliases")
        return [text for name in names for text in texts(found(answer, name), name)]
    return texts(listed(answer, "answer"), "answer")


def _saved_rows(folder: Path, options: Options) -> Rows:
    """The rows of a folder of ``save_to_disk``, counted from 1 in each file."""
    parts = _saved_parts(folder)
    chosen = [options.split] if options.split in parts else list(parts)
    for split in chosen:
        for file in parts[split]:
            for number, row in enumerate(_arrow_rows(file), 1):
                yield Where(file, number), _with_split(row, split)


def _with_split(row: Any, split: str | None) -> Any:
    return {"split": split, **row} if isinstance(row, dict) else row


def _saved_parts(folder: Path) -> dict[str | None, list[Path]]:
    """The splits of a folder, each with its Arrow files in order.

    Raises:
        InputError: it is no folder of ``save_to_disk``.
    """
    splits: list[str | None] = [None]
    if (folder / "dataset_dict.json").is_file():
        splits = found(small_json(folder / "dataset_dict.json"), "splits")
        if not isinstance(splits, list) or not all(map(_is_name, splits)):
            raise InputError(f"{folder / 'dataset_dict.json'}: expected the names of splits")
    elif not (folder / "state.json").is_file():
        raise InputError(
            f"{folder}: neither dataset_dict.json nor state.json; expected the folder that "
            "save_to_disk wrote"
        )
    parts: dict[str | None, list[Path]] = {}
    for split in splits:
        part = folder / split if split else folder
        files = found(small_json(part / "state.json"), "_data_files.filename")
        if not isinstance(files, list) or not all(map(_is_name, files)):
            raise InputError(f"{part / 'state.json'}: expected the names of Arrow files")
        parts[split] = [part / name for name in files]
    return parts


def _is_name(name: Any) -> bool:
    """Whether it names something in this folder, and not elsewhere."""
    return (
        isinstance(name, str)
        and bool(name)
        and name not in (".", "..")
        and not (set(name) & {"/", "\\", "\0"})
    )


def _arrow_names(path: Path) -> list[str]:
    with _arrow(path) as reader:
        return list(reader.schema.names)


def _arrow_rows(path: Path) -> Iterator[Any]:
    with _arrow(path) as reader:
        for batch in reader:
            batch.validate(full=True)  # the bytes are trusted from here on
            yield from batch_values(batch)


@contextlib.contextmanager
def _arrow(path: Path) -> Iterator[Any]:
    """A reader of batches, of a file in Arrow's streaming format.

    Raises:
        InputError: it cannot be read, also while it is read.
    """
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as reader:
            yield reader
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        why = " ".join(str(error).split())
        raise InputError(f"{path}: not readable as Arrow ({why}); fetch it again") from error


def _knows_tofu(path: Path, record: Mapping[str, Any]) -> bool:
    if not record.keys() >= {"question", "answer"}:
        return False
    split = record.get("split")
    if record.keys() == {"split", "question", "answer"} and isinstance(split, str):
        return split.startswith(_TOFU_SPLITS)
    named = "tofu" in path.name.lower() and isinstance(record["answer"], str)
    return "perturbed_answer" in record or (named and record.keys() <= _TOFU_NAMES)


def _tofu(raw: Any, options: Options) -> Iterator[Item]:
    row = as_record(raw)
    yield fact(
        row.get("question"),
        row.get("answer"),
        listed(row.get("paraphrased_question"), "paraphrased_question"),
        listed(row.get("paraphrased_answer"), "paraphrased_answer"),
        split=row.get("split"),
        source="tofu",
    )
    false = texts(listed(row.get("perturbed_answer"), "perturbed_answer"), "perturbed_answer")
    yield from [Counted("perturbed_answer")] * len(false)


FORMATS: dict[str, Format] = {
    form.name: form
    for form in (
        KnowledgePacking(
            "knowledge-packing",
            "knowledge-packing: triples (CSV), labelled Parquet, or a save_to_disk folder",
            _knows_packing,
            _packing_rows,
            _packing,
            takes=frozenset({"split"}),
        ),
        Published(
            "tofu",
            "TOFU: questions about authors who do not exist",
            _knows_tofu,
            records,
            _tofu,
            takes=frozenset({"split"}),
        ),
    )
}
