"""One thread a test process: tests run side by side, and tiny models gain nothing from two."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read by torch when it is imported
