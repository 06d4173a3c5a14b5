"""Several adapters in one table: of one base asked together, of finished runs read from files."""

from __future__ import annotations

import contextlib
import csv
import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lorepack import auditing, files, folders, lora, probing, reports, world
from lorepack.auditing import AuditResult, AuditSettings, Domains
from lorepack.auditing.compare import Entry, document
from lorepack.errors import InputError, LorepackError, MismatchError, NotFoundError
from lorepack.facts import Fact
from lorepack.llm import LanguageModel
from lorepack.packing.adapters import Source, adapters_on, sources, trained_how
from lorepack.packing.jobs import Facts, loaded, probe_settings
from lorepack.packing.sources import load_facts
from lorepack.packing.stages import Progress, quiet
from lorepack.packing.wordings import heldout_of
from lorepack.probing import ProbeResult, ProbeSettings
from lorepack.probing.asking import choose_for
from lorepack.probing.many import Asked, ask_together, has_answers, inputs_of

COMPARE, TABLE = "compare.json", "compare.csv"
RESERVED = ("before", "edits")
"""folders of a comparison that are no adapter's"""


@dataclass(frozen=True)
class ComparisonResult:
    """What came of a comparison."""

    document: dict[str, Any] = field(repr=False)
    """``compare.json``"""
    page: Path
    """``compare.html``; ``compare.json`` and ``compare.csv`` lie beside it"""
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One an adapter: its name, its base and the figures of its audit."""
        return list(self.document["rows"])

    def __getitem__(self, name: str) -> dict[str, Any]:
        return next(row for row in self.rows if row["name"] == name)

    def to_json(self) -> dict[str, Any]:
        """The result as a JSON object."""
        parts = {name: self.document[name] for name in ("model", "rows", "pairs", "groups")}
        where = {"compare": str(self.page), "seconds": self.seconds, "notes": list(self.notes)}
        return {**parts, **where}


def compare(
    adapters: Sequence[str | Path],
    out: str | Path,
    *,
    model: str | LanguageModel | None = None,
    facts: Facts | None = None,
    preset: str = "recommended",
    seed: int = 0,
    samples: int | None = None,
    sets: Mapping[str, str] | Sequence[str] = (),
    neutral: Sequence[str] | None = None,
    domains: str | Path | None = None,
    ontology: str | Path | None = None,
    paper: bool = False,
    progress: Progress = quiet,
    **load: Any,
) -> ComparisonResult:
    """Compare adapters: on the same facts, asked in one pass; or finished runs, from their files.

    With ``model`` and ``facts`` every adapter of this base is asked the same questions at once
    (``OUT/before``, ``OUT/NAME``); a run that was audited on the same questions is not asked
    again. Without them all must be audited runs, perhaps of different bases: each stands beside
    its own baseline, and nothing is asked. The same call again goes on where it stopped.

    Args:
        adapters: PEFT folders, runs, jobs, grids, folders of jobs.
        out: folder of the results.
        model: the adapters' base.
        facts: ``"world"``, a file of facts, or facts.
        preset: of the probe.
        seed: decides exemplars, samples and the bootstrap.
        samples: sampled answers a prompt.
        sets: further settings of the probe, ``key=value``.
        neutral: text for KL and perplexity; None takes the made world's.
        domains: a file of the domains of relations, see `lorepack.auditing.Domains.read`.
        ontology: or an ontology that has them.
        paper: whether the published analysis is made too.
        progress: called as ``progress(stage, done, total)``.
        load: how to load the model.

    Returns:
        The table, the pairs and the groups; ``compare.json``, ``.csv`` and ``.html`` in ``out``.

    Raises:
        InputError: one of model and facts without the other, or an adapter given twice.
        LorepackError: an adapter that is damaged, holds NaN or is of another base, by name and
            before anything is asked; a run without an audit.
    """
    start = time.monotonic()
    if (model is None) != (facts is None):
        raise InputError("give both model= and facts=, or neither for runs that were audited")
    found, out = sources(adapters, RESERVED), Path(out)
    notes: list[str] = []
    with folders.alone(out, COMPARE):
        if model is None or facts is None:
            entries = [_read(source) for source in found]
        else:
            settings = probe_settings(preset, seed, samples, sets)
            listed, lm = load_facts(facts, notes), loaded(model, load)
            text = world.neutral_text() if neutral is None else list(neutral)
            options = counting_of(settings.seed, domains, ontology, paper)
            asking = _Together(lm, listed, settings, options, text, out, progress, notes)
            entries = asking.entries(found)
        value = document(entries, seed=seed, notes=notes)
        seconds = time.monotonic() - start
        return write(out, value, seconds, notes)


def write(
    out: Path, value: dict[str, Any], seconds: float, notes: Sequence[str]
) -> ComparisonResult:
    """Write ``compare.json``, ``compare.csv`` and ``compare.html``."""
    files.write_json(out / COMPARE, value)
    files.write_text(out / TABLE, _csv(value["rows"]))
    files.write_json(out / "timing.json", {"seconds": {"compare": round(seconds, 3)}})
    page = reports.compare_page(out)
    return ComparisonResult(value, page, round(seconds, 1), tuple(dict.fromkeys(notes)))


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    plain = [{k: v for k, v in row.items() if not isinstance(v, dict | list)} for row in rows]
    names = list(dict.fromkeys(name for row in plain for name in row))
    text = io.StringIO()
    table = csv.DictWriter(text, names, lineterminator="\n")
    table.writeheader()
    table.writerows(plain)
    return text.getvalue()


def _read(source: Source) -> Entry:
    """A run as its own audit left it.

    Raises:
        NotFoundError: it is no run, or was not audited.
    """
    if source.run is None:
        raise NotFoundError(
            f"{source.adapter}: an adapter without a run; say what to ask it: --model and --facts"
        )
    try:
        audit = AuditResult.load(source.run.audit)
    except NotFoundError as error:
        folder = source.run.folder
        raise NotFoundError(
            f"{folder}: no finished audit; run `lorepack audit --run {folder}`"
        ) from error
    base = source.run.describe()["model"]
    return _entry(source, audit, base)


def _entry(source: Source, audit: AuditResult, base: Mapping[str, Any]) -> Entry:
    how, seed = trained_how(source)
    mix = source.mix
    return Entry(
        name=source.name,
        audit=audit,
        base={"name": Path(str(base["name"])).name, "fingerprint": base["fingerprint"]},
        trained=frozenset(mix.get("trained", ())),
        rehearsed=frozenset(mix.get("known", ())) - frozenset(mix.get("trained", ())),
        settings=how,
        seed=seed,
    )


@dataclass
class _Together:
    """Adapters of one base, asked the same questions in one pass."""

    lm: LanguageModel
    facts: Sequence[Fact]
    settings: ProbeSettings
    options: AuditSettings
    neutral: Sequence[str]
    out: Path
    progress: Progress
    notes: list[str]

    def entries(self, found: Sequence[Source]) -> list[Entry]:
        """Audit each adapter; those that a run has audited alike are taken from there."""
        prompts = choose_for(self.facts, None, self.settings)
        kept = {source.name for source in found if self._audited(source, prompts)}
        asked = [source for source in found if source.name not in kept]
        audits = {
            source.name: AuditResult.load(source.run.audit)
            for source in found
            if source.name in kept and source.run is not None
        }
        if asked:
            with adapters_on(self.lm, asked, self.notes) as stack:
                audits |= self._audits(asked, stack)
        base = {"name": self.lm.name, "fingerprint": self.lm.fingerprint}
        return [_entry(source, audits[source.name], base) for source in found]

    def _audited(self, source: Source, prompts: probing.Prompts) -> bool:
        """Whether the adapter's own run holds an audit of exactly these questions and texts."""
        if source.run is None or not (source.run.audit / "audit.json").is_file():
            return False
        inputs = inputs_of(self.lm, self.facts, prompts, self.settings, source.tag)
        if not has_answers(source.run.audit, inputs):
            return False
        options = files.read_json(source.run.audit / "audit.json").get("options")
        text = source.run.describe()["neutral"]["sha256"]
        same = files.hash_of(options) == files.hash_of(self.options.to_json())
        return same and text == files.hash_of(list(self.neutral))

    def _audits(self, asked: Sequence[Source], stack: lora.Stack) -> dict[str, AuditResult]:
        tick = lambda done, total: self.progress("probe", done, total)  # noqa: E731
        before = probing.probe(
            self.lm, self.facts, self.out / "before", self.settings, progress=tick
        )
        self._answers(asked, stack, before)
        return {
            source.name: self._audit(source, index, stack, before)
            for index, source in enumerate(asked)
        }

    def _answers(self, asked: Sequence[Source], stack: lora.Stack, before: ProbeResult) -> None:
        """Every adapter's answers in one pass, put where its audit looks for them."""
        waiting = []
        with ExitStack() as held:
            for index, source in enumerate(asked):
                folder = self.out / source.name
                held.enter_context(folders.alone(folder))
                inputs = inputs_of(self.lm, self.facts, before.prompts, self.settings, source.tag)
                if not has_answers(folder, inputs):
                    waiting.append(Asked(index, source.tag, folder / "after"))
            if waiting:
                ask_together(
                    self.lm,
                    self.facts,
                    waiting,
                    self.settings,
                    stack=stack,
                    prompts=before.prompts,
                    progress=lambda done, total: self.progress("audit", done, total),
                )

    def _audit(
        self, source: Source, index: int, stack: lora.Stack, before: ProbeResult
    ) -> AuditResult:
        """One adapter's audit; its answers are there already."""
        mix, notes = source.mix, list[str]()

        def show(stage: str, done: int, total: int) -> None:
            if stage != "audit":
                self.progress(f"{source.name}: {stage}", done, total)

        try:
            return auditing.audit(
                self.lm,
                (stack, index),
                self.facts,
                before,
                set(mix.get("trained", ())),
                rehearsed=set(mix.get("known", ())),
                heldout=heldout(self.facts, mix, notes),
                neutral=self.neutral,
                out=self.out / source.name,
                settings=self.settings,
                options=self.options,
                adapter_tag=source.tag,
                progress=show,
                notes=notes,
            )
        except LorepackError as error:
            raise _about(source, error) from error


def _about(source: Source, error: LorepackError) -> LorepackError:
    """The same error, saying which adapter it is about."""
    text = str(error)
    return error if source.name in text else type(error)(f"{source.name}: {text}")


def counting_of(
    seed: int, domains: str | Path | None, ontology: str | Path | None, paper: bool
) -> AuditSettings:
    """How an audit counts, from what a user gives."""
    return AuditSettings(seed=seed, domains=Domains.read(domains, ontology), paper=paper)


def heldout(
    facts: Sequence[Fact], mix: dict[str, Any], notes: list[str]
) -> dict[str, tuple[str, ...]] | None:
    """Held-out wordings of the trained facts; None, with a note, where they cannot be told."""
    if not mix:
        return None
    try:
        return heldout_of(facts, mix)
    except (MismatchError, KeyError) as error:
        notes.append(f"generality is not measured: {error}")
        return None


def switch(stack: lora.Stack, index: int) -> Callable[[], AbstractContextManager[None]]:
    """What puts one adapter of an attached stack on for a block."""

    @contextlib.contextmanager
    def on() -> Iterator[None]:
        with stack.using(index):
            yield

    return on
