"""What a job learns from: the facts and texts of its sources, and the examples made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lorepack import facts as facts_room
from lorepack import files, training, world
from lorepack.errors import InputError, LorepackError
from lorepack.facts import Fact
from lorepack.facts.documents import READERS, cut, read_document
from lorepack.facts.importing import registry
from lorepack.facts.passage import Passage
from lorepack.facts.passages_file import read_passages
from lorepack.facts.rows import RowError
from lorepack.facts.sources import JsonLines, format_of
from lorepack.llm import LanguageModel
from lorepack.packing.compose import Mix, MixExample
from lorepack.packing.job import Source
from lorepack.packing.sources import WORLD
from lorepack.packing.stages import examples_of
from lorepack.synthesis.item import COLUMNS, Item

SYNTHESIS = "synthesis.json"


@dataclass(frozen=True)
class Material:
    """Facts and texts, and what was left out of them."""

    facts: tuple[Fact, ...] = ()
    texts: tuple[Passage, ...] = ()
    notes: tuple[str, ...] = ()
    passage_of: Mapping[str, str] = field(default_factory=dict)
    """the id of the passage that a fact was written from, by the fact's id, where that is known"""
    targets: tuple[Item, ...] = ()
    """tasks with what a teacher that has the passage says; for distillation alone"""

    def describe(self) -> dict[str, object]:
        """Counts and hashes: equal material, equal bytes."""
        return {
            "facts": {"count": len(self.facts), "sha256": _hash(self.facts)},
            "texts": {"count": len(self.texts), "sha256": _hash(self.texts)},
        }

    def mix(self, seed: int) -> Mix:
        """The facts as a mix of an adapter: each is trained once, nothing is held out."""
        rows = (MixExample(f.id, "unknown", f.question, f.answer) for f in self.facts)
        settings = {"paraphrases": 0, "heldout": 0, "seed": seed}
        return Mix(tuple(rows), tuple(fact.id for fact in self.facts), (), {}, settings)


def _hash(items: Iterable[Fact | Passage]) -> str:
    return files.hash_of([item.to_json() for item in items])


def gather(sources: Sequence[Source], read: Callable[[Source], Material]) -> Material:
    """The material of several sources; what stands in two of them is taken once.

    Args:
        sources: in the order of the examples.
        read: `read_source`, or something that remembers what it read.

    Raises:
        InputError: no facts and no texts, or one id for two facts.
    """
    facts: dict[str, Fact] = {}
    texts: dict[str, Passage] = {}
    notes: list[str] = []
    passage_of: dict[str, str] = {}
    targets: dict[str, Item] = {}
    repeats = 0
    for source in sources:
        found = read(source)
        passage_of = {**found.passage_of, **passage_of}
        targets = {**{item.id: item for item in found.targets}, **targets}
        notes += found.notes
        for fact in found.facts:
            if (known := facts.setdefault(fact.id, fact)) is fact:
                continue
            if (known.question, known.answer) != (fact.question, fact.answer):
                raise InputError(f"id {fact.id!r} stands for two facts; ids must differ")
            repeats += 1
        repeats += sum(texts.setdefault(text.id, text) is not text for text in found.texts)
    if not (facts or texts or targets):
        raise InputError("no data: expected at least one fact or text")
    if repeats:
        notes.append(f"{repeats:,} facts or texts that stand in two sources were taken once")
    return Material(
        tuple(facts.values()),
        tuple(texts.values()),
        tuple(notes),
        passage_of,
        tuple(targets.values()),
    )


def read_source(source: Source) -> Material:
    """The facts and texts of one source.

    Args:
        source: ``"world"``; a file of facts (JSONL, CSV, Parquet) or of passages (JSONL); a
            document; the folder of a synthesis; a fact or a passage.

    Raises:
        NotFoundError: no such file.
        InputError: it cannot be read; where `lorepack facts import` can, that is said.
    """
    if isinstance(source, Fact):
        return Material(facts=(source,))
    if isinstance(source, Passage):
        return Material(texts=(source,))
    if source == WORLD:
        return Material(facts=tuple(world.facts()))
    path = Path(source)
    if path.is_dir():
        return _synthesis(path)
    if path.suffix.lower() in READERS and path.is_file():
        return Material(texts=(_document(path),))
    try:
        if _holds_passages(path):
            return Material(texts=tuple(read_passages(path)))
        return _facts(path)
    except InputError as error:
        raise InputError(f"{error}{_importable(path)}") from error


def _facts(path: Path) -> Material:
    notes: list[str] = []
    facts = facts_room.load(path, notes)
    # The file's name alone: equal material gives equal bytes in any folder.
    return Material(tuple(facts), (), tuple(n.replace(str(path), path.name) for n in notes))


def _synthesis(folder: Path) -> Material:
    if not (folder / SYNTHESIS).is_file():
        raise InputError(
            f"{folder} is a folder without {SYNTHESIS}; expected a file, or what "
            "`lorepack synthesize` wrote"
        )
    facts, texts = folder / "facts.jsonl", folder / "texts.jsonl"
    found = _facts(facts) if facts.stat().st_size else Material()
    told = tuple(read_passages(texts)) if texts.stat().st_size else ()
    written = _items(folder / "items.jsonl")
    passage_of = {item.id: item.passage for item in written if item.question is not None}
    targets = tuple(item for item in written if item.task is not None)
    return Material(found.facts, told, found.notes, passage_of, targets)


def _items(path: Path) -> list[Item]:
    """What a synthesis kept, each item with its passage; nothing where the file lacks."""
    source, found = JsonLines(path), []
    for line, raw in source.rows() if path.is_file() else ():
        try:
            row = source.record(raw)
            found.append(Item(**{name: row[name] for name in COLUMNS if name in row}))
        except (RowError, TypeError) as error:
            raise InputError(f"{path}:{line}: no item of a synthesis ({error})") from None
    return found


def _document(path: Path) -> Passage:
    try:
        document = read_document(path)
    except RowError as error:
        raise InputError(f"{path}: {error}") from None
    return Passage(document.text, title=document.title, document=path.name)


def _holds_passages(path: Path) -> bool:
    """Whether the first row of a JSONL file has a text and no question."""
    if not path.is_file() or format_of(path) != "jsonl":
        return False
    source = JsonLines(path)
    try:
        row = next((source.record(raw) for _, raw in source.rows()), {})
    except RowError:
        return False  # told by the reader, with its place
    return "text" in row and "question" not in row


def _importable(path: Path) -> str:
    """How a file of another format becomes one of facts, where that is known."""
    try:
        form = registry.detect(path)
    except (LorepackError, OSError):
        return ""
    return (
        f"; it looks like {form.name}: `lorepack facts import {path.name} --out FACTS.jsonl` makes "
        "a file of facts of it"
    )


def examples(
    lm: LanguageModel, material: Material, seed: int, limit: int
) -> list[training.Example]:
    """A job's examples: facts as question and answer, then texts whole, cut where too long.

    Args:
        lm: the model.
        material: facts and texts.
        seed: of the job.
        limit: most tokens of a text.
    """
    return [*examples_of(lm, material.mix(seed)), *_text_examples(lm, material.texts, limit)]


def _text_examples(
    lm: LanguageModel, texts: Iterable[Passage], limit: int
) -> Iterator[training.Example]:
    for text in texts:
        for number, ids in enumerate(passages_of(lm, text.text, limit)):
            # From 0: every token but the first counts, whatever the recipe says of questions.
            yield training.Example(tuple(ids), 0, f"{text.id}:{number}")


def passages_of(lm: LanguageModel, text: str, limit: int) -> list[list[int]]:
    """The token ids of a text, cut at the borders of sentences so that each part fits.

    Args:
        lm: the model; its tokenizer counts, and opens each part as it opens a text.
        text: running text.
        limit: most tokens of a part, what the tokenizer adds included.
    """
    whole = lm.chat.text_ids(text)
    if len(whole) <= limit:
        return [whole] if len(whole) > 1 else []
    return list(_parts(lm, text, limit, limit - len(lm.chat.text_ids(""))))


def _parts(lm: LanguageModel, text: str, limit: int, size: int) -> Iterator[list[int]]:
    def count(pieces: Sequence[str]) -> list[int]:
        return [len(ids) for ids in lm.tokenizer(list(pieces), add_special_tokens=False).input_ids]

    for span in cut(text, max(1, size), 0, count):
        ids = lm.chat.text_ids(text[span.start : span.end])
        if len(ids) > limit and size > 1:  # joined sentences can take more tokens than alone
            yield from _parts(lm, text[span.start : span.end], limit, size // 2)
        elif len(ids) > 1:  # a lone token has nothing to predict
            yield ids
