"""Importing: a source in, facts and passages out, and every row that was set aside."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import IO, Any

from lorepack import files
from lorepack.errors import InputError, NotFoundError
from lorepack.facts.aside import aside_of
from lorepack.facts.fact import Fact
from lorepack.facts.importing.format import Bulk, Counted, Format, Options, Where
from lorepack.facts.importing.ids import Ids
from lorepack.facts.importing.registry import detect, named, told_otherwise
from lorepack.facts.lines import BrokenLineError
from lorepack.facts.looking.passes import keep_apart
from lorepack.facts.passage import Passage
from lorepack.facts.rows import RowError
from lorepack.facts.writing import write

EVERY = 1_000  # rows between two calls of progress


@dataclass(frozen=True)
class ImportReport:
    """What an import read, kept and set aside."""

    format: str
    read: int
    """rows"""
    facts: int
    passages: int
    rejected: dict[str, int]
    """rows, or facts of a row, that were set aside, by reason"""
    counts: dict[str, int]
    """what else the format counted"""
    seconds: float
    out: Path
    passages_out: Path | None
    rejected_out: Path
    broken: str | None
    """why reading stopped before the end; what came before is written"""

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        row = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: str(v) if isinstance(v, Path) else v for k, v in row.items()}


def import_facts(
    source: Path | str,
    out: Path | str,
    *,
    fmt: str | None = None,
    options: Options | None = None,
    passages: Path | str | None = None,
    rejected: Path | str | None = None,
    progress: Callable[[int], None] | None = None,
) -> ImportReport:
    """Turn a source into a file of facts, streaming.

    Args:
        source: a file or folder (hub formats: an id).
        out: ``.jsonl``, ``.csv`` or ``.parquet``; of a format that holds no facts, the passages
            (``.jsonl``).
        fmt: name of the format; None tells it from the source, where that is beyond doubt.
        options: what else is to be known of the source.
        passages: where passages go; None takes ``OUT.passages.jsonl``.
        rejected: where rows that are set aside go, each with file, line, reason and text; None
            takes ``rejected.jsonl`` in the folder of ``out``, or a name of its own where that
            holds something else (`lorepack.facts.aside.aside_of`). A try that finds nothing
            writes ``OUT.failed.jsonl`` instead and replaces nothing.
        progress: called with the number of rows read, now and then.

    Returns:
        Counts. Where the source breaks off, ``broken`` says so and the rest is kept.

    Raises:
        NotFoundError: no such source.
        InputError: an unknown format, an option that it does not take, one name for two files,
            or no fact at all.
        WriteError: no space, no permission.
    """
    options, out = options or Options(), Path(out)
    form = named(fmt) if fmt else _told_by((Path(source), *options.also))
    _check(form, options)
    if options.alias_endpoint and not options.alias_cache:
        options = replace(options, alias_cache=out.with_name(f"{out.stem}.aliases.sqlite"))
    start = time.monotonic()
    passages = Path(passages) if passages else out.with_name(f"{out.stem}.passages.jsonl")
    aside = Path(rejected) if rejected else aside_of(out)
    tried = aside if rejected else out.with_name(f"{out.stem}.failed.jsonl")
    beside = [passages if form.yields == "both" else None, options.alias_cache]
    _keep_apart(Path(source), options, out, tried, *beside, None if tried == aside else aside)
    job = _Import(form, Path(source), options, progress or (lambda rows: None), out.name)
    try:
        job.write(out, passages, tried)
    except (InputError, NotFoundError) as error:
        hint = "" if job.read else told_otherwise(job.source, form)
        if not hint:
            raise
        raise type(error)(f"{error}{hint}") from error
    if not job.kept.total():
        if not job.rejected and tried != aside:
            tried.unlink()
        hint = told_otherwise(job.source, form)
        raise InputError(f"{source}: no facts as {form.name} ({job.why_nothing(tried)}){hint}")
    if tried != aside:
        tried.replace(aside)
    return ImportReport(
        format=form.name,
        read=job.read,
        facts=job.kept["facts"],
        passages=job.kept["passages"],
        rejected=dict(sorted(job.rejected.items())),
        counts=dict(sorted(job.counts.items())),
        seconds=round(time.monotonic() - start, 3),
        out=out,
        passages_out=passages if form.yields == "both" else None,
        rejected_out=aside,
        broken=job.broken,
    )


class _NothingError(Exception):
    """No fact and no passage was found."""


@dataclass
class _Import:
    """One import at work: the counters, and the files beside that of the facts."""

    form: Format
    source: Path
    options: Options
    progress: Callable[[int], None]
    out: str
    """the name of the result, for the rows that it leaves out"""
    read: int = 0
    broken: str | None = None
    kept: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    seen: Ids = field(default_factory=Ids)
    aside: IO[str] | None = None
    passages: IO[str] | None = None

    def write(self, out: Path, passages: Path, aside: Path) -> None:
        """Write what there is, each file whole or not at all; nothing but ``aside`` for nothing."""
        with files.open_lines(aside) as self.aside, contextlib.suppress(_NothingError):
            if self.form.yields == "facts":
                write(out, self.facts())
            elif self.form.yields == "both":
                with files.open_lines(passages) as self.passages:
                    write(out, self.facts())
            else:
                with files.open_lines(out) as self.passages:
                    deque(self.facts(), maxlen=0)

    def facts(self) -> Iterator[Fact]:
        """The facts of the source; its passages are written as they come.

        Raises:
            _NothingError: neither one nor the other; nothing must be written then.
        """
        yield from (item for item in self._items() if isinstance(item, Fact))
        if not self.kept.total():
            raise _NothingError

    def _items(self) -> Iterator[Fact | Passage]:
        for where, raw in self._rows():
            try:
                for item in self.form.items(raw, self.options):
                    if isinstance(item, Counted):
                        self.counts[item.name] += 1
                    elif self._new(item, where):
                        yield self._keep(item)
            except RowError as error:
                self._reject(where, error.kind, str(error), raw)

    def _rows(self) -> Iterator[tuple[Where, Any]]:
        rows, each, taken = self.form.rows(self.source, self.options), 1, 0
        while self.options.limit is None or taken < self.options.limit:
            try:
                where, raw = next(rows)
            except StopIteration:
                break
            except InputError as error:
                if not self.read:
                    raise
                self.broken = str(error)
                break
            if isinstance(raw, Bulk):
                each = 0
                self.read += raw.read
                self.counts.update(raw.counts)
                self.rejected.update(raw.rejected)
                continue
            self.read += each
            # Of a source that is read at once, the limit is that of the rows it chose.
            taken += each or not isinstance(raw, RowError)
            if self.read % EVERY == 0:
                self.progress(self.read)
            if isinstance(raw, RowError):  # a row that the reader itself could not take apart
                text = raw.text if isinstance(raw, BrokenLineError) else None
                self._reject(where, raw.kind, str(raw), text)
            else:
                yield where, raw
        self.progress(self.read)

    def _new(self, item: Fact | Passage, where: Where) -> bool:
        if self.seen.add((type(item), item.id)):
            return True
        self._reject(where, "repeat", f"the same as an earlier one (id {item.id})", None)
        return False

    def _keep(self, item: Fact | Passage) -> Fact | Passage:
        if isinstance(item, Passage):
            self.kept["passages"] += 1
            if self.passages is not None:
                self.passages.write(json.dumps(item.to_json(), ensure_ascii=False) + "\n")
        else:
            self.kept["facts"] += 1
        return item

    def _reject(self, where: Where, reason: str, message: str, raw: Any) -> None:
        self.rejected[reason] += 1
        row = {"out": self.out, "file": str(where.file), "line": where.line, "reason": reason}
        row["message"] = message
        if raw is not None:
            row["row"] = _shown(raw)
        assert self.aside is not None
        self.aside.write(json.dumps(row, ensure_ascii=False) + "\n")

    def why_nothing(self, tried: Path) -> str:
        """What became of all rows, and what would keep some."""
        if self.broken:
            return self.broken
        told = [f"{self.read:,} rows, set aside: {dict(sorted(self.rejected.items())) or 'none'}"]
        if +self.counts:
            told.append(f"counted: {dict(sorted(self.counts.items()))}")
        if self.rejected:
            told.append(f"see {tried}")
        if self.counts["balanced_out"]:
            told.append("--per-relation 0 takes all facts, balanced or not")
        return "; ".join(told)


def _shown(raw: Any, most: int = 2_000) -> str:
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
    text = text.encode("utf-8", "replace").decode()  # half a character of a broken file
    return text if len(text) <= most else text[: most - 1] + "…"


def _keep_apart(
    source: Path, options: Options, out: Path, aside: Path, *beside: Path | None
) -> None:
    """Refuse to write over what is read, but for the result over a source.

    Raises:
        InputError: two names are the same.
    """
    others = (options.articles, options.templates, options.ontology, *options.aliases)
    read = [path for path in others if path is not None]
    keep_apart([source, *options.also, *read], [out, aside, *beside])
    keep_apart(read, [aside, out])


def _told_by(sources: Sequence[Path]) -> Format:
    """The format of all sources.

    Raises:
        InputError: it is in doubt, or they have several.
    """
    formats = {source: detect(source) for source in sources}
    if len({form.name for form in formats.values()}) > 1:
        told = ", ".join(f"{source}: {form.name}" for source, form in formats.items())
        raise InputError(f"sources of several formats ({told}); import each by itself")
    return formats[sources[0]]


def _check(form: Format, options: Options) -> None:
    if options.also and "also" not in form.takes:
        raise InputError(
            f"format {form.name} takes one source, got {1 + len(options.also)}; "
            "import each by itself"
        )
    for part in fields(Options):
        given = getattr(options, part.name) not in (None, {}, part.default)
        if given and part.name not in form.takes | {"limit"}:
            known = (f"--{_spelled(name)}" for name in sorted(form.takes - {"also"}))
            raise InputError(
                f"format {form.name} takes no --{_spelled(part.name)}; "
                f"it takes: {', '.join(known) or 'no options'}"
            )


def _spelled(option: str) -> str:
    return {"columns": "column"}.get(option, option.replace("_", "-"))
