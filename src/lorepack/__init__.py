"""Lorepack writes knowledge into LoRA adapters, proves what was written, and what it cost.

The public API, imported when first used: ``import lorepack`` itself loads nothing heavy.

    synthesize  training and evaluation data from passages
    paraphrase  further wordings of questions
    probe       what a model knows of every fact
    pack        facts into an adapter: probe, mix, train, audit, report
    pack_grid   the same for every combination of settings, trained together
    train       many adapters together, each by its own data and recipe
    Job         one adapter for `train`
    tune        the strength of an adapter that keeps to a budget for harm
    audit       what a run or any adapter learned and cost
    report      a run's report, written again
    demo        the whole job on the embedded world
    Fact        one question with one accepted answer
    Passage     a piece of text that carries facts
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from lorepack.auditing import AuditResult
    from lorepack.errors import LorepackError
    from lorepack.facts import Fact
    from lorepack.facts.passage import Passage
    from lorepack.llm.load import load
    from lorepack.packing import (
        Job,
        JobsResult,
        PackResult,
        audit,
        demo,
        load_facts,
        pack,
        pack_grid,
        train,
        tune,
    )
    from lorepack.packing import probe_facts as probe
    from lorepack.probing import ProbeResult
    from lorepack.reports import report
    from lorepack.synthesis import SynthesisReport, SynthesisSettings, synthesize, writer_named
    from lorepack.synthesis.paraphrase import paraphrase

__all__ = [
    "AuditResult",
    "Fact",
    "Job",
    "JobsResult",
    "LorepackError",
    "PackResult",
    "Passage",
    "ProbeResult",
    "SynthesisReport",
    "SynthesisSettings",
    "audit",
    "demo",
    "load",
    "load_facts",
    "pack",
    "pack_grid",
    "paraphrase",
    "probe",
    "report",
    "synthesize",
    "train",
    "tune",
    "writer_named",
]

_HOMES = {
    "AuditResult": ("lorepack.auditing", "AuditResult"),
    "Fact": ("lorepack.facts", "Fact"),
    "Job": ("lorepack.packing", "Job"),
    "JobsResult": ("lorepack.packing", "JobsResult"),
    "LorepackError": ("lorepack.errors", "LorepackError"),
    "PackResult": ("lorepack.packing", "PackResult"),
    "Passage": ("lorepack.facts.passage", "Passage"),
    "ProbeResult": ("lorepack.probing", "ProbeResult"),
    "SynthesisReport": ("lorepack.synthesis", "SynthesisReport"),
    "SynthesisSettings": ("lorepack.synthesis", "SynthesisSettings"),
    "audit": ("lorepack.packing", "audit"),
    "demo": ("lorepack.packing", "demo"),
    "load": ("lorepack.llm", "load"),
    "load_facts": ("lorepack.packing", "load_facts"),
    "pack": ("lorepack.packing", "pack"),
    "pack_grid": ("lorepack.packing", "pack_grid"),
    "paraphrase": ("lorepack.synthesis.paraphrase", "paraphrase"),
    "probe": ("lorepack.packing", "probe_facts"),
    "report": ("lorepack.reports", "report"),
    "synthesize": ("lorepack.synthesis", "synthesize"),
    "train": ("lorepack.packing", "train"),
    "tune": ("lorepack.packing", "tune"),
    "writer_named": ("lorepack.synthesis", "writer_named"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lorepack' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
