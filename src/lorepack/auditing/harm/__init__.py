"""Harm on the outside: benchmarks through lm-evaluation-harness, on the base and on adapters.

Importing this package does not import the harness, which is the extra ``harm``.
"""

from lorepack.auditing.harm.measure import HarmResult, main_metric, measure
from lorepack.auditing.harm.settings import HarmSettings

__all__ = ["HarmResult", "HarmSettings", "main_metric", "measure"]
