"""A reply that was kept is there again, whatever happened; and nobody's file is harmed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading

import pytest

from lorepack.errors import InputError, WriteError
from lorepack.synthesis import cache as cache_module
from lorepack.synthesis.cache import Cache
from lorepack.synthesis.writers.writer import Reply

REPLY = Reply("Grüße 😀\n\n…", prompt_tokens=3, completion_tokens=5, cost=0.25, finished=False)


def test_a_reply_comes_back_as_it_was(tmp_path):
    with Cache(tmp_path / "new" / "c.sqlite") as cache:
        cache.keep("a", REPLY)
        cache.keep("b", Reply("", cost=None))
    with Cache(tmp_path / "new" / "c.sqlite") as cache:
        assert cache.find(["a", "b", "c"]) == {"a": REPLY, "b": Reply("")}
        assert len(cache) == 2


def test_thousands_of_keys_are_looked_up_at_once(tmp_path):
    with Cache(tmp_path / "c") as cache:
        for i in range(0, 3_000, 2):
            cache.keep(str(i), Reply(str(i)))
        found = cache.find([str(i) for i in range(3_000)])
    assert found == {str(i): Reply(str(i)) for i in range(0, 3_000, 2)}


def test_of_two_replies_to_one_request_the_first_stands(tmp_path):
    with Cache(tmp_path / "c") as one, Cache(tmp_path / "c") as other:
        assert one.keep("a", Reply("first")) == Reply("first")
        assert other.keep("a", Reply("second")) == Reply("first")
        assert one.find(["a"]) == {"a": Reply("first")}


def test_a_run_may_read_while_another_one_writes(tmp_path):
    with Cache(tmp_path / "c") as writer, Cache(tmp_path / "c") as reader:
        for i in range(50):
            writer.keep(str(i), Reply(str(i)))
            assert reader.find([str(i)]) == {str(i): Reply(str(i))}


def test_a_reader_in_the_middle_of_reading_holds_no_writer_up(tmp_path, monkeypatch):
    monkeypatch.setattr(cache_module, "_WAIT", 0.1)
    with Cache(tmp_path / "c") as writer, Cache(tmp_path / "c") as reader:
        writer.keep("a", REPLY)
        reader._base.execute("BEGIN")
        assert reader.find(["a", "b"]) == {"a": REPLY}
        writer.keep("b", REPLY)
        reader._base.execute("END")
        assert reader.find(["b"]) == {"b": REPLY}


def test_replies_are_kept_from_another_thread(tmp_path):
    with Cache(tmp_path / "c") as cache:
        thread = threading.Thread(target=lambda: cache.keep("a", REPLY))
        thread.start()
        thread.join()
        assert cache.find(["a"]) == {"a": REPLY}


def test_many_runs_may_begin_with_one_file_at_once(tmp_path):
    code = (
        "import sys\nfrom lorepack.synthesis.cache import Cache\n"
        "from lorepack.synthesis.writers.writer import Reply\n"
        "with Cache(sys.argv[1]) as cache:\n"
        "    for i in range(40): cache.keep(f'{sys.argv[2]}/{i}', Reply('x'))\n"
    )
    runs = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "c"), str(n)])
        for n in range(4)
    ]
    assert [run.wait() for run in runs] == [0] * 4
    with Cache(tmp_path / "c") as cache:
        assert len(cache) == 160


def test_a_killed_run_loses_no_reply_that_was_kept(tmp_path):
    code = (
        "import sys\nfrom lorepack.synthesis.cache import Cache\n"
        "from lorepack.synthesis.writers.writer import Reply\n"
        "cache = Cache(sys.argv[1])\n"
        "for i in range(10**6):\n"
        "    cache.keep(str(i), Reply(str(i)))\n"
        "    print(i, flush=True)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "c")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        told = [int(run.stdout.readline()) for _ in range(300)]
        os.kill(run.pid, signal.SIGKILL)
    with Cache(tmp_path / "c") as cache:
        assert len(cache.find([str(i) for i in told])) == 300


@pytest.mark.parametrize("content", [b"no database\n" * 400, b"SQLite format 3\0" + b"\xff" * 8000])
def test_a_damaged_file_is_told_in_one_line_and_left_alone(tmp_path, content):
    path = tmp_path / "c"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"damaged .*it may be removed"):
        Cache(path)
    assert path.read_bytes() == content


def test_damage_in_the_middle_is_told_when_it_is_met(tmp_path):
    path = tmp_path / "c"
    keys = [f"{i:08}" for i in range(2_000)]
    with Cache(path) as cache:
        for key in keys:
            cache.keep(key, Reply("text " * 20))
    data = bytearray(path.read_bytes())
    data[8_192:-4_096] = b"\xaa" * (len(data) - 12_288)
    path.write_bytes(data)
    with Cache(path) as cache, pytest.raises(InputError, match="it may be removed"):
        cache.find(keys)


def test_a_database_of_somebody_else_is_not_written_to(tmp_path):
    base = sqlite3.connect(tmp_path / "c")
    base.execute("CREATE TABLE mine (x)")
    base.commit()
    base.close()
    before = (tmp_path / "c").read_bytes()
    with pytest.raises(InputError, match="a database of something else"):
        Cache(tmp_path / "c")
    assert (tmp_path / "c").read_bytes() == before


def test_a_folder_and_a_place_below_a_file_are_refused(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        Cache(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="cannot write"):
        Cache(tmp_path / "file" / "c")


def test_a_full_disk_is_told_and_what_was_kept_stays(tmp_path):
    with Cache(tmp_path / "c") as cache:
        cache.keep("a", REPLY)
        cache._base.execute("PRAGMA max_page_count = 8")  # SQLite's own word for a full disk
        with pytest.raises(WriteError, match="full"):
            cache.keep("b", Reply("text " * 100_000))
        assert cache.find(["a"]) == {"a": REPLY}
    with Cache(tmp_path / "c") as cache:
        assert cache.find(["a"]) == {"a": REPLY}
