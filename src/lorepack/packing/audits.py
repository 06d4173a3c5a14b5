"""Audits a user starts: of a finished run, or of any adapter on any facts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lorepack import auditing, files, probing, world
from lorepack.auditing import AuditResult
from lorepack.errors import InputError, MismatchError
from lorepack.llm import LanguageModel
from lorepack.packing import stages
from lorepack.packing.adapters import Source, mix_of
from lorepack.packing.comparison import ComparisonResult, compare, counting_of, heldout
from lorepack.packing.jobs import Facts, loaded, probe_settings
from lorepack.packing.result import PackResult
from lorepack.packing.run import Run, open_run
from lorepack.packing.settings import PackSettings
from lorepack.packing.sources import load_facts
from lorepack.packing.stages import Job, Progress, quiet


def audit(
    model: str | LanguageModel | None = None,
    adapter: str | Path | Sequence[str | Path] | None = None,
    facts: Facts | None = None,
    out: str | Path | None = None,
    *,
    run: str | Path | Sequence[str | Path] | None = None,
    **options: Any,
) -> PackResult | AuditResult | ComparisonResult:
    """Audit a run (``run=``), or any adapter (``model, adapter, facts, out``), or compare several.

    Args:
        model: the adapter's base.
        adapter: a PEFT LoRA folder; a list of them is asked in one pass and compared.
        facts: ``"world"``, a file of facts, or facts.
        out: folder of the results.
        run: a run's folder, alone; a list of them, with ``out``, is compared from their files.
        options: ``progress``, ``domains``, ``ontology``, ``paper`` and how to load the model; for
            an adapter also ``preset``, ``seed``, ``samples``, ``sets`` and ``neutral``.

    Raises:
        InputError: neither a run nor all four of the others.
    """
    if isinstance(run, str | Path):
        return audit_run(run, **options)
    if run is not None and out is not None:
        return compare(run, out, **options)
    if model is None or adapter is None or facts is None or out is None:
        raise InputError("audit needs run=, or all of model=, adapter=, facts= and out=")
    if isinstance(adapter, str | Path):
        return audit_adapter(model, adapter, facts, out, **options)
    return compare(adapter, out, model=model, facts=facts, **options)


def audit_run(
    run: str | Path,
    *,
    progress: Progress = quiet,
    domains: str | Path | None = None,
    ontology: str | Path | None = None,
    paper: bool = False,
    **load: Any,
) -> PackResult:
    """Audit a finished run again, from its own settings; what is up to date is not redone.

    Args:
        run: its folder.
        progress: called as ``progress(stage, done, total)``.
        domains: a file of the domains of relations, see `lorepack.auditing.Domains.read`.
        ontology: or an ontology that has them.
        paper: whether the published analysis is made too.
        load: how to load the model.

    Raises:
        NotFoundError: no run there.
        MismatchError: the run has no adapter yet, or its model has changed.
    """
    start = time.monotonic()
    described = Run(Path(run)).describe()
    with open_run(run) as opened:
        listed = load_facts(opened.facts)
        settings = PackSettings.model_validate(described["settings"])
        lm = loaded(described["model"]["name"], load)
        job = Job(opened, lm, listed, settings, opened.neutral_text(), progress)
        job = replace(job, counting=counting_of(settings.probe.seed, domains, ontology, paper))
        if lm.fingerprint != described["model"]["fingerprint"]:
            raise MismatchError(
                f"{run}: made with model {described['model']['name']} of fingerprint "
                f"{described['model']['fingerprint'][:12]}, got {lm.fingerprint[:12]}"
            )
        found = job.describe()
        for name in ("facts", "neutral"):
            if found[name]["sha256"] != described[name]["sha256"]:
                raise MismatchError(
                    f"{run}/{name}.jsonl has changed since the run was made; pack it again"
                )
        if not (opened.training / files.MANIFEST).is_file():
            raise MismatchError(f"{run}: no finished adapter yet; run the same `lorepack pack`")
        return stages.carry_out(job, start, train=False)


def audit_adapter(
    model: str | LanguageModel,
    adapter: str | Path,
    facts: Facts,
    out: str | Path,
    *,
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
) -> AuditResult:
    """Audit any PEFT LoRA adapter on any facts: ``out/before`` and ``out/audit``.

    Which facts were trained is read from the adapter's ``lorepack.json``; without one, no fact
    counts as trained and reliability is None.

    Args:
        model: the adapter's base.
        adapter: a PEFT folder.
        facts: ``"world"``, a file of facts, or facts.
        out: folder of the results.
        preset: of the probe.
        seed: decides exemplars and samples.
        samples: sampled answers a prompt.
        sets: further settings of the probe, ``key=value``.
        neutral: text for KL and perplexity; None takes the made world's.
        domains: a file of the domains of relations, see `lorepack.auditing.Domains.read`.
        ontology: or an ontology that has them.
        paper: whether the published analysis is made too.
        progress: called as ``progress(stage, done, total)``.
        load: how to load the model.

    Raises:
        MismatchError: the adapter was made for another base.
    """
    settings = probe_settings(preset, seed, samples, sets)
    counting = counting_of(settings.seed, domains, ontology, paper)
    source, out, notes = Source("", Path(adapter)), Path(out), list[str]()
    listed, lm = load_facts(facts, notes), loaded(model, load)
    with stages.adapter_on(lm, source.adapter, notes) as stack:
        mix = mix_of(source.adapter)
        tick = lambda done, total: progress("probe", done, total)  # noqa: E731
        before = probing.probe(lm, listed, out / "before", settings, progress=tick)
        return auditing.audit(
            lm,
            stack,
            listed,
            before,
            set(mix.get("trained", ())),
            rehearsed=set(mix.get("known", ())),
            heldout=heldout(listed, mix, notes),
            neutral=world.neutral_text() if neutral is None else neutral,
            out=out / "audit",
            settings=settings,
            options=counting,
            adapter_tag=source.tag,
            progress=progress,
            notes=notes,
        )
