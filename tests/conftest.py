"""One thread a test process, and no test that a slow machine can fail."""

from __future__ import annotations

import os

from hypothesis import settings

# Read by torch when it is imported: tests run side by side, and tiny models gain nothing from two.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A first import inside an example takes longer than any deadline.
settings.register_profile("lorepack", deadline=None)
settings.load_profile("lorepack")
