"""``python -m benchmarks NAME [options]``: one measured claim, printed as one JSON object."""

from __future__ import annotations

import importlib
import sys

NAMES = (
    "audit-many",
    "dbpedia-import",
    "dense",
    "given-gates",
    "packed-distillation",
    "packed-scaling",
    "packed-training",
    "paper-curves",
    "paper-grid",
    "paper-probe",
    "probe",
    "probe-samples",
    "real-jobs",
    "real-probes",
    "recommended-mix",
    "refusal-lexicon",
    "score",
    "single-training",
    "world-card",
)


def main() -> int:
    """Run the benchmark named by the first argument."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in NAMES:
        print(f"usage: python -m benchmarks {{{','.join(NAMES)}}} [options]", file=sys.stderr)
        return 2
    module = importlib.import_module(f"benchmarks.{name.replace('-', '_')}")
    sys.argv = [f"python -m benchmarks {name}", *sys.argv[2:]]
    return int(module.main())


if __name__ == "__main__":
    raise SystemExit(main())
