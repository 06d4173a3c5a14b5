"""What an adapter learned and what it cost: the same probe again, with the adapter on."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from lorepack import files, folders, lora
from lorepack.auditing import findings, stored, wordings
from lorepack.auditing.drift import Logprobs, Switch, neutral_drift
from lorepack.auditing.pair import Pair
from lorepack.auditing.result import AuditResult
from lorepack.auditing.settings import AuditSettings
from lorepack.auditing.weights import applied, weights
from lorepack.errors import InputError, LorepackError, MismatchError
from lorepack.facts import Fact
from lorepack.llm import LanguageModel
from lorepack.llm.score import token_logprobs
from lorepack.probing import Generate, ProbeResult, ProbeSettings, probe
from lorepack.probing.probe import WITH_CONTROLS, facts_hash

Progress = Callable[[str, int, int], None]
"""called as ``progress(stage, done, total)``"""
_HELD = "the finished audit of another adapter, other facts or other settings"
TAKEN = ("probe.json", "categories.parquet", "answers.parquet", "prompts.json")


class Adapters(Protocol):
    """What an audit needs of a `lorepack.lora.Stack`; its first adapter is audited."""

    def attached(self) -> AbstractContextManager[Any]:
        """Put the hooks on for a block."""

    def use(self, which: int | None) -> None:
        """Choose the adapter of all rows."""


def audit(
    lm: LanguageModel,
    adapter: Adapters | Switch | tuple[Adapters, int],
    facts: Sequence[Fact],
    before: ProbeResult,
    trained: Collection[str],
    *,
    out: Path | str,
    adapter_tag: str,
    rehearsed: Collection[str] = (),
    heldout: Mapping[str, Sequence[str]] | None = None,
    neutral: Sequence[str] | None = None,
    settings: ProbeSettings | None = None,
    options: AuditSettings | None = None,
    notes: Sequence[str] = (),
    generate: Generate | None = None,
    logprobs: Logprobs = token_logprobs,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> AuditResult:
    """Probe the facts again with the adapter on, and compare.

    The same call again skips what is done; a killed audit goes on at its first missing chunk.
    Other ``options`` count the answers of a finished audit anew without asking again.

    Args:
        lm: the base model.
        adapter: a stack on ``lm.model`` (its adapter 0 is audited), a stack and the place of one
            of its adapters, or a function whose context
            manager puts an adapter on; outside the block the model must be the base.
        facts: what is asked: those of ``before``, or some of them.
        before: the probe of the base; exemplars and settings are taken from it.
        trained: ids of the facts that the adapter was trained on.
        out: folder of the results.
        adapter_tag: names the adapter, for example the hash of its file.
        rehearsed: ids of known facts that were in the mix too: neither trained nor spill-over.
        heldout: wordings of trained facts that were not trained, by fact id.
        neutral: running text for KL and perplexity; neither is measured without it.
        settings: of the probe; must be those of ``before``, but for the size of a chunk.
        options: `AuditSettings`.
        notes: remarks to keep in ``audit.json``, such as those from loading the adapter.
        generate: the engine; `lorepack.llm.generate` when None.
        logprobs: the engine for neutral text.
        progress: called as ``progress(stage, done, total)``; stages ``audit``, ``generality``
            and ``neutral text``.
        overwrite: replace the finished audit of other inputs that ``out`` holds.

    Returns:
        The figures; the folder holds ``audit.json``, ``causes.parquet``, the files of the probe
        with the adapter on, ``generality.parquet`` where wordings were held out, and
        ``manifest.json``.

    Raises:
        InputError: no facts; a map of domains about other relations; a file of ``before`` is not
            whole.
        MismatchError: ``before`` is of another model, of other facts or settings, or ``out``
            holds the finished audit of other inputs.
    """
    facts = _fitting(lm, facts, before, settings)
    settings = settings or before.settings
    options = options or AuditSettings(seed=settings.seed)
    if options.domains is not None:
        options.domains.check(facts)
    stacked = () if callable(adapter) else adapter if isinstance(adapter, tuple) else (adapter, 0)
    job = _Job(
        lm=lm,
        switch=adapter if callable(adapter) else _switch(*stacked),
        stacked=stacked,
        facts=facts,
        before=before,
        settings=settings,
        trained=frozenset(trained),
        rehearsed=frozenset(rehearsed) - frozenset(trained),
        heldout=heldout or {},
        neutral=list(neutral or ()),
        out=Path(out),
        tag=adapter_tag,
        options=options,
        notes=tuple(notes),
        generate=generate,
        logprobs=logprobs,
        progress=progress or (lambda stage, done, total: None),
    )
    with folders.alone(job.out):
        if not files.is_complete(job.out, job.inputs):
            stored.check(before.out, "lorepack probe")
            keep = job.keep_answers()
            files.make_room(job.out, job.inputs, lambda: _HELD, overwrite=overwrite or keep)
            job.run()
        for name in ("after", "wordings"):
            shutil.rmtree(job.out / name, ignore_errors=True)
    return AuditResult.load(job.out)


@dataclass(frozen=True)
class _Job:
    """One audit at work."""

    lm: LanguageModel
    switch: Switch
    stacked: tuple[()] | tuple[Adapters, int]
    """the adapter's stack and its place there, where they are known"""
    facts: Sequence[Fact]
    before: ProbeResult
    settings: ProbeSettings
    trained: frozenset[str]
    rehearsed: frozenset[str]
    heldout: Mapping[str, Sequence[str]]
    neutral: list[str]
    out: Path
    tag: str
    options: AuditSettings
    notes: tuple[str, ...]
    generate: Generate | None
    logprobs: Logprobs
    progress: Progress

    @cached_property
    def inputs(self) -> str:
        """Hash of everything that decides the results."""
        return files.hash_of(
            {
                "before": self.before.document["inputs"],
                "facts": facts_hash(self.facts),
                "about": [[f.subject, f.domain, f.popularity, f.split] for f in self.facts],
                "adapter": self.tag,
                "trained": sorted(self.trained),
                "rehearsed": sorted(self.rehearsed),
                "heldout": {name: list(texts) for name, texts in self.heldout.items()},
                "neutral": self.neutral,
                "options": self.options.to_json(),
            }
        )

    @property
    def taken(self) -> tuple[str, ...]:
        """The files of the probe with the adapter on."""
        return TAKEN + (WITH_CONTROLS if self.settings.controls else ())

    def keep_answers(self) -> bool:
        """Whether the folder holds a finished audit of the same questions, to be counted anew.

        Its answers then become those of this audit, so that nothing is asked again.
        """
        try:
            asked = files.read_json(self.out / "probe.json")["inputs"]
            held = files.read_json(self.out / files.MANIFEST)["inputs"]
        except (LorepackError, KeyError, TypeError):
            return False
        wanted = {"adapter": self.tag, "facts": facts_hash(self.facts)}
        if asked != {**self.before.document["inputs"], **wanted}:
            return False
        if not files.is_complete(self.out, held):
            return False
        for name in self.taken:
            _take_over(self.out / name, self.out / "after" / name)
        timing = {"probe": files.timing_of(self.out, "probe")}
        files.write_json(self.out / "after" / "timing.json", timing)
        files.write_manifest(self.out / "after", files.hash_of(asked), self.taken)
        return True

    def run(self) -> None:
        """Probe, compare, and write; the manifest comes last."""
        start = time.monotonic()
        after = self._probe("audit", "after", self.facts, self.settings)
        pair = Pair(self.facts, self.before, after, self.trained, self.rehearsed, self._tokens)
        found = findings.document(pair, self.options, self.out)
        found |= self._of_weights()
        found["generality"], written = self._generality()
        found["neutral"] = neutral_drift(
            self.lm,
            self.switch,
            self.neutral,
            window=self.options.window,
            logprobs=self.logprobs,
            progress=self._ticker("neutral text"),
        )
        found["notes"] = [*self.notes, *after.notes, *self._remarks(found)]
        found["options"] = self.options.to_json()
        for name in self.taken:
            _take_over(after.out / name, self.out / name)
        files.write_json(self.out / "audit.json", found)
        timing = {
            "probe": files.timing_of(after.out, "probe"),
            "audit": {"seconds": round(time.monotonic() - start, 3)},
        }
        files.write_json(self.out / "timing.json", timing)
        written += ["audit.json", findings.CAUSES, *self.taken]
        files.write_manifest(self.out, self.inputs, written)

    def _of_weights(self) -> dict[str, Any]:
        """What the adapter does to weights and logits; needs its factors, not a switch alone."""
        if not self.stacked or not isinstance(self.stacked[0], lora.Stack):
            return {"weights": None, "applied": None}
        stack, index = self.stacked[0], self.stacked[1]
        found = weights(self.lm, stack, index) if self.options.weights else None
        return {"weights": found, "applied": applied(self.lm, stack, index)}

    def _tokens(self, text: str) -> int:
        """How many tokens a text is, special ones aside."""
        return len(self.lm.chat.text_ids(text)) - len(self.lm.chat.text_ids(""))

    def _probe(
        self, stage: str, name: str, facts: Sequence[Fact], settings: ProbeSettings
    ) -> ProbeResult:
        """A probe with the adapter on, in a folder of its own so that it resumes by itself."""
        with self.switch():
            return probe(
                self.lm,
                facts,
                self.out / name,
                settings,
                prompts=self.before.prompts,
                adapter_tag=self.tag,
                generate=self.generate,
                progress=self._ticker(stage),
                overwrite=True,  # left by an audit that never finished
            )

    def _generality(self) -> tuple[dict[str, Any] | None, list[str]]:
        asked, owners = wordings.as_facts(self.facts, self.heldout, self.trained)
        if not asked:
            return None, []
        settings = self.settings.override({"samples": 0, "controls": 0})
        found = self._probe("generality", "wordings", asked, settings)
        wordings.write(self.out / "generality.parquet", asked, owners, found)
        return wordings.summarise(owners, found, self.options), ["generality.parquet"]

    def _remarks(self, found: Mapping[str, Any]) -> Iterator[str]:
        absent = len(self.trained) - found["trained"]
        if absent:
            yield f"{absent} trained facts are not among the audited ones"
        if not self.trained:
            yield "no fact is known to have been trained: reliability is not measured"
        if found["neutral"] is None:
            yield "no neutral text: KL and perplexity are not measured"
        elif found["neutral"]["kl"] == 0:
            yield "the adapter changes no prediction on the neutral text"
        if found["answers"]["collapsed"]:
            text, count, was = found["answers"]["collapsed_answers"][0]
            yield f"answers collapsed: {text!r} is a wrong answer {count} times, {was} before"

    def _ticker(self, stage: str) -> Callable[[int, int], None]:
        return lambda done, total: self.progress(stage, done, total)


def _switch(stack: Adapters, index: int = 0) -> Switch:
    @contextlib.contextmanager
    def on() -> Iterator[None]:
        with stack.attached():
            stack.use(index)
            try:
                yield
            finally:
                stack.use(None)

    return on


def _fitting(
    lm: LanguageModel,
    facts: Sequence[Fact],
    before: ProbeResult,
    settings: ProbeSettings | None,
) -> list[Fact]:
    """The facts in the order of ``before``, after it was checked to belong to them."""
    if not facts:
        raise InputError("no facts to audit; the list is empty")
    described = before.document["inputs"]
    if described["model"] != lm.fingerprint:
        raise MismatchError(
            f"{before.out} is the probe of another model (fingerprint {described['model'][:12]}, "
            f"got {lm.fingerprint[:12]}); probe this model first"
        )
    if settings is not None and settings.deciding() != before.settings.deciding():
        raise MismatchError(f"{before.out} was probed with other settings; probe again with these")
    missing = [fact.id for fact in facts if fact.id not in before.index]
    if missing:
        raise MismatchError(
            f"{len(missing)} facts were not probed before, first {missing[0]}; probe all facts "
            f"that are audited, or audit those of {before.out}"
        )
    ordered = sorted(facts, key=lambda fact: before.index[fact.id])
    if len(ordered) == before.facts and facts_hash(ordered) != described["facts"]:
        raise MismatchError(
            f"facts have changed since {before.out} was made (same ids, other questions, answers "
            "or aliases); probe again"
        )
    return ordered


def _take_over(source: Path, target: Path) -> None:
    """Give a finished file its final place without moving it, so that a crash loses nothing."""
    if target.exists() and os.path.samefile(source, target):
        return  # taken over before a crash; renaming a second link over the first does nothing
    with files.atomic(target) as partial:
        partial.unlink(missing_ok=True)
        try:
            os.link(source, partial)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, partial)
