"""The main job: probe, mix, train, audit and report, as stages that resume."""

from lorepack.packing.audits import audit
from lorepack.packing.compose import Mix, compose
from lorepack.packing.demonstration import demo
from lorepack.packing.jobs import pack, probe_facts
from lorepack.packing.result import PackResult
from lorepack.packing.settings import PackSettings
from lorepack.packing.sources import load_facts

__all__ = [
    "Mix",
    "PackResult",
    "PackSettings",
    "audit",
    "compose",
    "demo",
    "load_facts",
    "pack",
    "probe_facts",
]
