"""What a model knows of every fact: SliCK categories."""

from lorepack.probing.asking import Answers, Generate, ask, judge
from lorepack.probing.categories import CATEGORIES, label
from lorepack.probing.many import Asked, ask_together, probe_many
from lorepack.probing.probe import probe
from lorepack.probing.prompts import Exemplar, FewShot, Prompts, choose
from lorepack.probing.result import ProbeResult
from lorepack.probing.settings import ProbeSettings
from lorepack.probing.tally import Tally

__all__ = [
    "CATEGORIES",
    "Answers",
    "Asked",
    "Exemplar",
    "FewShot",
    "Generate",
    "ProbeResult",
    "ProbeSettings",
    "Prompts",
    "Tally",
    "ask",
    "ask_together",
    "choose",
    "judge",
    "label",
    "probe",
    "probe_many",
]
