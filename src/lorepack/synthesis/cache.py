"""Replies by content: what was asked once is never asked, or paid for, again."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from lorepack.errors import InputError, WriteError
from lorepack.synthesis.writers.writer import Reply

_OURS = 0x4C6F7265
"""SQLite's application id of our files: ``Lore``"""
_SCHEMA = 1
_WAIT = 60.0
"""seconds that a run waits while another one writes to the same file"""
_AT_ONCE = 500
"""keys of one look-up"""
_TABLE = """
CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, text TEXT NOT NULL, prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL, cost REAL, finished INTEGER NOT NULL
) WITHOUT ROWID
"""
_NAMES = "text, prompt_tokens, completion_tokens, cost, finished"


class Cache:
    """Replies in one SQLite file, by the content address of their requests.

    Every reply is kept as it comes; a killed run loses none. Several runs may share a file. A
    context manager.
    """

    def __init__(self, path: Path | str) -> None:
        """Open the file, which is made where it is missing.

        Args:
            path: the file; ``:memory:`` keeps replies no longer than the object.

        Raises:
            InputError: it is no cache of replies, or damaged.
            WriteError: it cannot be written.
        """
        self.path = Path(path)
        self._lock = threading.Lock()  # writers keep from a thread of theirs
        if str(path) != ":memory:":
            _check_place(self.path)
        with self._told():
            self._base = sqlite3.connect(
                path, timeout=_WAIT, isolation_level=None, check_same_thread=False
            )
        try:
            with self._told():
                self._begin()
        except BaseException:
            self._base.close()
            raise

    def _begin(self) -> None:
        used = self._one("SELECT count(*) FROM sqlite_master")  # first: another may just begin
        owner = self._one("PRAGMA application_id")
        schema = self._one("PRAGMA user_version")
        if used and owner != _OURS:
            raise InputError(f"{self.path} is a database of something else; give another file")
        if used and schema != _SCHEMA:
            raise InputError(
                f"{self.path} is a cache of another version ({schema}, expected {_SCHEMA}); "
                "give another file, or remove this one"
            )
        self._base.execute("PRAGMA journal_mode = WAL")  # readers and a writer side by side
        self._base.execute("PRAGMA synchronous = NORMAL")
        if not used:
            self._base.execute(f"PRAGMA application_id = {_OURS}")
            self._base.execute(f"PRAGMA user_version = {_SCHEMA}")
            self._base.execute(_TABLE)

    def _one(self, statement: str) -> int:
        return int(self._base.execute(statement).fetchone()[0])

    def find(self, keys: Sequence[str]) -> dict[str, Reply]:
        """The replies that are there, by key.

        Raises:
            InputError: the file is damaged.
        """
        found: dict[str, Reply] = {}
        with self._lock, self._told():
            for start in range(0, len(keys), _AT_ONCE):
                part = keys[start : start + _AT_ONCE]
                marks = ",".join("?" * len(part))
                rows = self._base.execute(
                    f"SELECT key, {_NAMES} FROM replies WHERE key IN ({marks})", part
                )
                found |= {row[0]: _reply(row[1:]) for row in rows}
        return found

    def keep(self, key: str, reply: Reply) -> Reply:
        """Keep a reply; the one that stands, where another run was quicker.

        Raises:
            WriteError: no space, no permission.
            InputError: the file is damaged.
        """
        assert reply.failed is None
        row = (reply.text, reply.prompt_tokens, reply.completion_tokens, reply.cost, reply.finished)
        with self._lock, self._told():
            done = self._base.execute(
                f"INSERT OR IGNORE INTO replies (key, {_NAMES}) VALUES (?, ?, ?, ?, ?, ?)",
                (key, *row),
            )
            if done.rowcount:
                return reply
            rows = self._base.execute(f"SELECT {_NAMES} FROM replies WHERE key = ?", (key,))
            return _reply(rows.fetchone())

    def __len__(self) -> int:
        with self._lock, self._told():
            return self._one("SELECT count(*) FROM replies")

    def __enter__(self) -> Cache:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._base.close()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """SQLite's errors, as ours."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
                raise self._damaged(error) from error
            raise WriteError(f"cannot write {self.path}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> InputError:
        return InputError(
            f"{self.path} is no cache of replies, or damaged ({error}); it may be removed, "
            "at the price of asking again"
        )


def _check_place(path: Path) -> None:
    if path.is_dir():
        raise InputError(f"{path} is a folder; a cache of replies is one file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror or error}") from error


def _reply(row: tuple[str, int, int, float | None, int]) -> Reply:
    text, read, written, cost, finished = row
    return Reply(
        text=text,
        prompt_tokens=read,
        completion_tokens=written,
        cost=cost,
        finished=bool(finished),
    )
