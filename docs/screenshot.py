"""Take pictures of a report in headless Chromium.

    python docs/screenshot.py RUN/report.html PICTURE.png [--scheme dark] [--width 390]

Without ``--height`` the picture shows the whole page.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Headless windows have a least width of 500 pixels, so that a narrower page is shown in a frame.
FRAME = """<!DOCTYPE html><meta name="color-scheme" content="light dark">
<style>html, body {{ margin: 0; overflow: hidden }}
iframe {{ display: block; margin: 0 auto; border: 0; width: {width}px; height: {height}px }}</style>
<iframe src="{url}"></iframe>"""


def find_browser() -> str:
    """The path of an installed Chromium; ends the script with one line where there is none."""
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    sys.exit(f"no browser found; install one of: {', '.join(BROWSERS)}")


def chromium(browser: str, *arguments: str) -> str:
    """Run headless Chromium once; returns what it printed."""
    with tempfile.TemporaryDirectory() as profile:
        command = [
            browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--allow-file-access-from-files", f"--user-data-dir={profile}",
            "--virtual-time-budget=6000", *arguments,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        sys.exit(f"{browser} failed:\n{done.stderr.strip()}")
    return done.stdout


def page_height(browser: str, page: Path, width: int) -> int:
    """The height of the whole page at a width, in CSS pixels."""
    probe = """<script>addEventListener("load", () => setTimeout(() => {
      const frame = document.querySelector("iframe").contentDocument;
      document.title = "height " + frame.documentElement.scrollHeight; }, 3000));</script>"""
    html = FRAME.format(width=width, height=800, url=page.resolve().as_uri()) + probe
    with tempfile.NamedTemporaryFile("w", suffix=".html") as frame:
        frame.write(html)
        frame.flush()
        found = re.search(r"<title>height (\d+)", chromium(browser, "--dump-dom", frame.name))
    if not found:
        sys.exit(f"{page}: the browser could not measure the page; give --height")
    return int(found[1])


def take(page: Path, picture: Path, scheme: str, width: int, height: int | None, zoom: int) -> None:
    """Write a PNG of a page."""
    browser = find_browser()
    height = height or page_height(browser, page, width)
    html = FRAME.format(width=width, height=height, url=page.resolve().as_uri())
    with tempfile.NamedTemporaryFile("w", suffix=".html") as frame:
        frame.write(html)
        frame.flush()
        chromium(
            browser,
            f"--window-size={max(width, 500)},{height}",
            f"--force-device-scale-factor={zoom}",
            f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}",
            f"--screenshot={picture.resolve()}",
            frame.name,
        )
    if not picture.is_file():
        sys.exit(f"{picture}: the browser wrote nothing")


def main() -> None:
    """Read the arguments and take one picture."""
    parser = argparse.ArgumentParser(description="Take a picture of a report.")
    parser.add_argument("page", type=Path, help="report.html of a run")
    parser.add_argument("picture", type=Path, help="the PNG to write")
    parser.add_argument("--scheme", choices=("light", "dark"), default="light")
    parser.add_argument("--width", type=int, default=1120, help="CSS pixels")
    parser.add_argument("--height", type=int, help="CSS pixels; without it, the whole page")
    parser.add_argument("--zoom", type=int, default=1, help="picture pixels for a CSS pixel")
    given = parser.parse_args()
    if not given.page.is_file():
        sys.exit(f"{given.page}: no such file; `lorepack report --run RUN` writes it")
    take(given.page, given.picture, given.scheme, given.width, given.height, given.zoom)


if __name__ == "__main__":
    main()
