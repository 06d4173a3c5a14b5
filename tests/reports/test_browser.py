"""What a browser makes of the report: drawn without a network and without an error."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from lorepack.reports import report

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
SCRIPT = Path(__file__).parents[2] / "docs" / "screenshot.py"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BROWSER, reason="no Chromium installed"),
]


def test_every_chart_is_drawn_from_the_file_alone(good: Path, tmp_path: Path) -> None:
    command = [
        BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
        f"--user-data-dir={tmp_path}", "--host-resolver-rules=MAP * ~NOTFOUND",
        "--virtual-time-budget=6000", "--dump-dom", report(good).as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert not re.findall(r"CONSOLE.*(?:Uncaught|Refused|Error).*", done.stderr)
    assert done.stdout.count('class="main-svg"') >= 6
    assert done.stdout.count('class="chart js-plotly-plot"') == 6


@pytest.mark.parametrize(("scheme", "width"), [("light", 1120), ("dark", 390)])
def test_pictures_are_taken_of_the_whole_page(
    good: Path, tmp_path: Path, scheme: str, width: int
) -> None:
    picture = tmp_path / "page.png"
    command = [sys.executable, SCRIPT, report(good), picture, "--scheme", scheme]
    subprocess.run([*command, "--width", str(width)], check=True, timeout=200)
    wide, high = struct.unpack(">II", picture.read_bytes()[16:24])
    assert wide == max(width, 500)
    assert high > 3000
