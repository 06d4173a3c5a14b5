"""Ask a page questions in headless Chromium, on the real clock.

A small server on this machine hands out the page in a frame and takes the answer; what the page
itself may load is left to the page's own policy.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
FRAME = """<!DOCTYPE html><body style="margin:0">
<iframe src="/page" style="border:0;width:%dpx;height:%dpx"></iframe><script>
const frame = document.querySelector("iframe");
frame.addEventListener("load", async () => {
  const ask = async (window, document) => { %s };
  const answer = await ask(frame.contentWindow, frame.contentDocument).catch(String);
  await fetch("/answer", { method: "POST", body: JSON.stringify(answer) });
});</script>"""


def asked(page: Path, script: str, width: int = 1120, height: int = 900, first: str = "") -> Any:
    """What a script answers about a page.

    Args:
        page: the HTML file.
        script: the body of an async function of ``window`` and ``document`` that returns JSON.
        width: of the page, CSS pixels.
        height: of the view, CSS pixels.
        first: a script that runs in the page before its own.

    Returns:
        What the script returned; the text of an error that it raised.
    """
    answers: list[Any] = []
    done = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            html = FRAME % (width, height, script)
            if self.path == "/page":
                html = page.read_text(encoding="utf-8")
                html = html.replace("<head>", f"<head><script>{first}</script>", 1)
            self._send(html.encode() if self.path in ("/", "/page") else b"")

        def do_POST(self) -> None:
            answers.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self._send(b"")
            done.set()

        def _send(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with (
        ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = [
            BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
            f"--user-data-dir={profile}", "--remote-debugging-port=0",
            f"--window-size={max(width, 500)},{height}",
            f"http://127.0.0.1:{server.server_address[1]}/",
        ]  # fmt: skip
        quiet = subprocess.DEVNULL
        with subprocess.Popen(command, stdout=quiet, stderr=quiet) as browser:
            done.wait(timeout=120)
            browser.terminate()
        server.shutdown()
    assert answers, "the page gave no answer"
    return answers[0]
