"""What a format is to the importer: how its rows are found, and what facts a row holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from lorepack.facts.fact import Fact
from lorepack.facts.passage import Passage


class Where(NamedTuple):
    """The place of a row."""

    file: Path
    line: int
    """of a text file; otherwise the number of the row, from 1"""


@dataclass(frozen=True)
class Counted:
    """Something that is worth a number in the report and is neither fact nor fault."""

    name: str


@dataclass(frozen=True)
class Bulk:
    """In place of a row: a whole source was read at once, and the rows that follow are its choice.

    They do not count as read once more.
    """

    read: int
    counts: Mapping[str, int]
    """what was passed over or is no fact, by reason"""
    rejected: Mapping[str, int] = field(default_factory=dict)
    """broken rows beyond those that follow one by one"""


Item = Fact | Passage | Counted


@dataclass(frozen=True)
class Options:
    """What a user may say about a source; a format takes what concerns it and refuses the rest."""

    also: tuple[Path, ...] = ()
    """further sources, read after the one that is named"""
    columns: Mapping[str, str] = field(default_factory=dict)
    """a fact's field -> the name of the column or key that holds it"""
    split: str | None = None
    """one part of a data set that has several"""
    articles: Path | None = None
    """a second source that rows are joined with by id"""
    since: str | None = None
    """first date, ISO 8601, inclusive"""
    until: str | None = None
    """last date, ISO 8601, inclusive"""
    templates: Path | None = None
    """wordings of questions by relation"""
    ontology: Path | None = None
    """classes that relations are about"""
    aliases: tuple[Path, ...] = ()
    """other names of entities"""
    alias_endpoint: str | None = None
    """a SPARQL endpoint that is asked for other names of entities"""
    alias_language: str = "en"
    """of the names that are asked for"""
    alias_rate: float = 1.0
    """most requests a second"""
    alias_batch: int = 100
    """entities in a request"""
    alias_cache: Path | None = None
    """where answers are kept; None takes ``OUT.aliases.sqlite``"""
    seed: int = 0
    """decides what is drawn where a source has more than is kept"""
    per_relation: int = 30
    """facts kept of a relation and bucket of popularity; 0 for all"""
    size: int = 256
    """most tokens of a passage that is cut from a document"""
    overlap: int = 32
    """most tokens that a passage shares with the one before it, in whole sentences"""
    similarity: float = 0.9
    """Jaccard similarity from which a passage is a near-duplicate of an earlier one"""
    tokenizer: Callable[[Sequence[str]], list[int]] | None = None
    """counts the tokens of each of several texts; None counts words and signs"""
    limit: int | None = None
    """most rows to read"""


class Format(Protocol):
    """One kind of source.

    Attributes:
        name: what ``--as`` calls it.
        about: one line for the help.
        takes: names of the `Options` that it understands.
        yields: ``facts``, ``passages`` or ``both``.
    """

    @property
    def name(self) -> str: ...

    @property
    def about(self) -> str: ...

    @property
    def takes(self) -> frozenset[str]: ...

    @property
    def yields(self) -> str: ...

    def fits(self, path: Path, head: bytes) -> bool:
        """Whether a file is of this format beyond doubt.

        Args:
            path: the source; a folder has an empty head.
            head: its first 64 KiB, unpacked.
        """
        ...

    def rows(self, path: Path, options: Options) -> Iterator[tuple[Where, Any]]:
        """Yield each row with its place.

        Raises:
            InputError: the source cannot be read, or cannot be read further.
        """
        ...

    def items(self, raw: Any, options: Options) -> Iterable[Item]:
        """The facts and passages of a row; none where the row is of no interest.

        Raises:
            RowError: this row is broken or holds no usable fact; its kind is the reason that is
                counted.
        """
        ...
