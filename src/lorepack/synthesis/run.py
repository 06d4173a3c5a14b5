"""Synthesis: passages in, training and evaluation data out, and everything that was rejected."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lorepack import files, folders
from lorepack.errors import LorepackError
from lorepack.facts import Fact
from lorepack.facts.passage import Passage
from lorepack.synthesis.cache import Cache
from lorepack.synthesis.desk import Desk, Progress, Tally
from lorepack.synthesis.forms import form_named
from lorepack.synthesis.forms.form import Form
from lorepack.synthesis.given import Given
from lorepack.synthesis.leaks import Leaks
from lorepack.synthesis.output import EXAM, FACTS, ITEMS, LISTS, TARGETS, TEXTS, Output, open_lists
from lorepack.synthesis.prompts import Prompts
from lorepack.synthesis.report import DESCRIBED, STAGE, SynthesisReport
from lorepack.synthesis.settings import SynthesisSettings
from lorepack.synthesis.shelf import Shelf
from lorepack.synthesis.stretches import Reading
from lorepack.synthesis.told import Told
from lorepack.synthesis.work import Order, Work, in_order
from lorepack.synthesis.writers import RULES, Writer, writer_named

REPLIES = "replies.sqlite"


def synthesize(
    passages: Iterable[Passage],
    out: Path | str,
    settings: SynthesisSettings | None = None,
    writer: Writer | None = None,
    *,
    facts: Iterable[Fact] = (),
    evaluation: Iterable[Fact] = (),
    prompts: Prompts | None = None,
    cache: Path | str | None = None,
    given: Iterable[Given] | None = None,
    progress: Progress | None = None,
) -> SynthesisReport:
    """Write training and evaluation data from passages, streaming.

    Args:
        passages: read once, as they come; consecutive ones of a document belong together.
        out: folder of the results. The same call goes on where a stopped one was, and does
            nothing where it was done.
        settings: forms, gates and how is asked.
        writer: who writes; None takes the rules, which need no model.
        facts: known facts with subject and object, which passages that name both tell.
        evaluation: facts whose questions the training questions must keep clear of.
        prompts: the wordings of what is asked; None takes those that are shipped.
        cache: file of replies; None takes ``replies.sqlite`` in ``out``.
        given: items that others wrote (see `read_given`); they are judged, and nobody is asked.
            The forms are theirs, then.
        progress: called as ``progress(stage, done, total)``.

    Returns:
        Counts; see `SynthesisReport`.

    Raises:
        InputError: a bad passage, setting or prompt, or two passages of one id.
        MismatchError: ``out`` holds the finished results of something else, or is being written.
        WriteError: no space, no permission; what was written before is kept.
        LorepackError: the writer gives no further reply; those that came are kept.
    """
    out, settings = Path(out), settings or SynthesisSettings()
    writer, prompts = writer or writer_named(RULES), prompts or Prompts()
    known, asked = _Hashed(facts), _Hashed(evaluation)
    told = Told(known)
    leaks = Leaks([fact.question for fact in asked])
    shelf = None if given is None else Shelf(given)
    order = Order(settings, _forms(settings, shelf), leaks if len(leaks) else None, told, shelf)
    described = {
        "settings": settings.deciding(),
        "writer": writer.identity if shelf is None else "given",
        "prompts": {
            name: {"hash": found, "version": prompts.versions[name]}
            for name, found in prompts.hashes.items()
        },
        "facts": known.digest,
        "evaluation": asked.digest,
        "given": None if shelf is None else shelf.digest,
    }
    with folders.alone(out, DESCRIBED):
        reading = Reading(passages, settings.limit)
        if _finished(out, described, reading):
            return dataclasses.replace(
                SynthesisReport.read(out), requests=0, cached=0, seconds=None
            )
        start = time.monotonic()
        with Cache(cache or out / REPLIES) as replies:
            desk = Desk(
                writer,
                prompts,
                replies,
                attempts=settings.attempts,
                temperature=settings.temperature,
                seed=settings.seed,
                max_tokens=settings.max_tokens,
                progress=progress,
            )
            output = _write(reading, order, desk, out, progress)
        described["passages"] = reading.digest
        files.write_json(out / DESCRIBED, _describe(described, output, desk, reading.count))
        _time(out, desk, start)
        inputs = files.hash_of(described)
        files.write_manifest(out, inputs, [*LISTS, DESCRIBED])
    return SynthesisReport.read(out)


class _Hashed:
    """Facts as they come, and the SHA-256 of those that went by; None of no facts."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        self._facts, self._hash, self._any = facts, hashlib.sha256(), False

    def __iter__(self) -> Iterator[Fact]:
        for fact in self._facts:
            self._any = True
            self._hash.update(json.dumps(fact.to_json(), sort_keys=True).encode() + b"\n")
            yield fact

    @property
    def digest(self) -> str | None:
        return self._hash.hexdigest() if self._any else None


def _forms(settings: SynthesisSettings, shelf: Shelf | None) -> tuple[tuple[Form, int | None], ...]:
    if shelf is None:
        return tuple((form_named(name), n) for name, n in settings.forms)
    return tuple((shelf.form(name), None) for name in shelf.forms)


def _finished(out: Path, described: dict[str, Any], reading: Reading) -> bool:
    """Whether the folder holds these results already; makes room for them where it does not.

    Raises:
        MismatchError: it holds the finished results of something else.
    """
    stored = _intact(out)
    if stored is None:
        (out / files.MANIFEST).unlink(missing_ok=True)
        return False
    old = stored["inputs"]
    asked = dict(described)
    if {**old, "passages": None} == {**asked, "passages": None}:
        if stored["counts"]["failed"]:  # to be asked again; all else is in the cache
            (out / files.MANIFEST).unlink()
            return False
        asked["passages"] = reading.to_the_end()
    if asked == old:
        return True
    what = f"a finished synthesis with other {_differing(old, asked)}"
    files.make_room(out, files.hash_of(asked), lambda: what)
    return False


def _intact(out: Path) -> dict[str, Any] | None:
    """What a finished folder says of itself; None where its files are not as they were written."""
    try:
        stored = files.read_json(out / DESCRIBED)
        whole = files.is_complete(out, files.hash_of(stored["inputs"]))
        return stored if whole and "failed" in stored["counts"] else None
    except (LorepackError, KeyError, TypeError):
        return None


def _differing(old: dict[str, Any], new: dict[str, Any]) -> str:
    names = []
    for name in sorted(new):  # passages are not among them when they were not read
        there, asked = old.get(name), new.get(name)
        if there == asked:
            continue
        if name == "settings" and isinstance(there, dict) and isinstance(asked, dict):
            keys = sorted(k for k in there.keys() | asked.keys() if there.get(k) != asked.get(k))
            names.append(f"settings ({', '.join(keys)})")
        else:
            names.append(name)
    return " and ".join(names) or "content"


def _write(
    reading: Reading, order: Order, desk: Desk, out: Path, progress: Progress | None
) -> Output:
    with open_lists(out) as handles:
        output, done = Output(handles, order.leaks, order.settings.gates.coverage), 0

        def put(work: Work) -> None:
            nonlocal done
            output.put(work)
            done += len(work.passages)
            if progress is not None:
                progress("passages", done, done + 1)  # nobody knows how many there are

        in_order(reading.stretches(), order, desk, put)
        if order.given is not None:
            output.put_lost(order.given.lost())
        if progress is not None:
            progress("passages", done, done)
    return output


def _describe(inputs: dict[str, Any], output: Output, desk: Desk, passages: int) -> dict[str, Any]:
    total = Tally()
    for tally in output.forms.values():
        total.add(tally)
    told = total.to_json()
    counts = {
        "passages": passages,
        **{name.removesuffix(".jsonl"): output.rows[name] for name in (ITEMS, FACTS, TEXTS)},
        **{name.removesuffix(".jsonl"): output.rows[name] for name in (TARGETS, EXAM)},
        **{name: told[name] for name in ("rejected", "prompt_tokens", "completion_tokens", "cost")},
        "failed": desk.failed,
    }
    forms = {
        name: {"passages": output.form_passages[name], **tally.to_json()}
        for name, tally in output.forms.items()
    }
    return {
        "schema": 1,
        "inputs": inputs,
        "counts": counts,
        "forms": forms,
        "coverage": output.coverage(),
        "leaks": output.leaks(),
    }


def _time(out: Path, desk: Desk, start: float) -> None:
    timing = {
        "seconds": round(time.monotonic() - start, 3),
        "requests": desk.misses,
        "cached": desk.hits,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    files.write_json(out / "timing.json", {STAGE: timing})
