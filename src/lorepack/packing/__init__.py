"""The main job: probe, mix, train, audit and report, as stages that resume; and many at once."""

from lorepack.packing.audits import audit
from lorepack.packing.compose import Mix, compose
from lorepack.packing.demonstration import demo
from lorepack.packing.grid import pack_grid
from lorepack.packing.job import Job
from lorepack.packing.jobs import pack, probe_facts
from lorepack.packing.many import train
from lorepack.packing.result import PackResult
from lorepack.packing.settings import PackSettings
from lorepack.packing.sources import load_facts
from lorepack.packing.summary import JobsResult
from lorepack.packing.tuning import TuneResult, tune

__all__ = [
    "Job",
    "JobsResult",
    "Mix",
    "PackResult",
    "PackSettings",
    "TuneResult",
    "audit",
    "compose",
    "demo",
    "load_facts",
    "pack",
    "pack_grid",
    "probe_facts",
    "train",
    "tune",
]
