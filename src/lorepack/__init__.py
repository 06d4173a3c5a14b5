"""Lorepack writes knowledge into LoRA adapters, proves what was written, and what it cost.

The public API, imported when first used: ``import lorepack`` itself loads nothing heavy.

    probe   what a model knows of every fact
    pack    facts into an adapter: probe, mix, train, audit, report
    audit   what a run or any adapter learned and cost
    report  a run's report, written again
    demo    the whole job on the embedded world
    Fact    one question with one accepted answer
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from lorepack.auditing import AuditResult
    from lorepack.errors import LorepackError
    from lorepack.facts import Fact
    from lorepack.llm.load import load
    from lorepack.packing import PackResult, audit, demo, load_facts, pack
    from lorepack.packing import probe_facts as probe
    from lorepack.probing import ProbeResult
    from lorepack.reports import report

__all__ = [
    "AuditResult",
    "Fact",
    "LorepackError",
    "PackResult",
    "ProbeResult",
    "audit",
    "demo",
    "load",
    "load_facts",
    "pack",
    "probe",
    "report",
]

_HOMES = {
    "AuditResult": ("lorepack.auditing", "AuditResult"),
    "Fact": ("lorepack.facts", "Fact"),
    "LorepackError": ("lorepack.errors", "LorepackError"),
    "PackResult": ("lorepack.packing", "PackResult"),
    "ProbeResult": ("lorepack.probing", "ProbeResult"),
    "audit": ("lorepack.packing", "audit"),
    "demo": ("lorepack.packing", "demo"),
    "load": ("lorepack.llm", "load"),
    "load_facts": ("lorepack.packing", "load_facts"),
    "pack": ("lorepack.packing", "pack"),
    "probe": ("lorepack.packing", "probe_facts"),
    "report": ("lorepack.reports", "report"),
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
