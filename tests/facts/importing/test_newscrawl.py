"""News Crawl: whole articles and shuffled sentences, by date, within bounds."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from lorepack.errors import InputError
from lorepack.facts.importing import newscrawl

from .published_files import NEWS, imported, news_line


def news(folder: Path, data: bytes = NEWS, name: str = "news-docs.2020.en.filtered.gz") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


class TestArticles:
    def test_the_published_layout(self, tmp_path: Path) -> None:
        done = imported(news(tmp_path), "newscrawl", tmp_path)
        assert done.numbers == (3, 0, 3, {})
        first = done.passages[0]
        assert (first.text, first.date, first.language, first.source) == (
            "The bridge opened.\nIt cost 3 million.",
            "2020-01-03",
            "en",
            "newscrawl",
        )
        assert first.document is not None
        assert first.document.startswith("2020-01-03-")
        assert len(first.document) == len("2020-01-03-") + 64

    @pytest.mark.parametrize(
        ("since", "until", "kept"),
        [
            ("2020-01-04", None, 2),
            (None, "2020-01-03", 1),
            ("2020-01-03", "2020-06-14", 2),
            ("2021", None, 1),
            (None, "2020", 2),
            ("2020-06", "2020-06", 1),
        ],
    )
    def test_dates(self, tmp_path: Path, since: str, until: str, kept: int) -> None:
        done = imported(news(tmp_path), "newscrawl", tmp_path, since=since, until=until)
        assert len(done.passages) == kept
        assert done.report.counts == {"outside_dates": 3 - kept}

    @pytest.mark.parametrize("date", ["20", "2020-2", "2020-02-30", "next year", "2020-01-01T00"])
    def test_a_date_that_is_none(self, tmp_path: Path, date: str) -> None:
        with pytest.raises(InputError, match=r"--until .* is no date; expected 2020, 2020-01 or"):
            imported(news(tmp_path), "newscrawl", tmp_path, until=date)

    def test_broken_lines(self, tmp_path: Path) -> None:
        day, split, unsplit = news_line("20200103", "Ab cd.", "ab").split(b"\t")
        data = b"".join(
            [
                NEWS,
                b"no cells\n",
                b"2020-01-03\t" + split + b"\t" + unsplit,
                day + b"\t!!!\t" + unsplit,
                day + b"\t/w==\t" + unsplit,
                day + b"\t\t" + unsplit,
                b"\n",
                day + b"\t" + split + b"\t" + unsplit,
            ]
        )
        done = imported(news(tmp_path, data), "newscrawl", tmp_path)
        assert len(done.passages) == 4
        assert [(row["line"], row["reason"]) for row in done.rejected] == [
            (4, "schema_cells"),
            (5, "schema_date"),
            (6, "schema_base64"),
            (7, "schema_encoding"),
            (8, "no_text"),
        ]

    def test_a_folder_of_years(self, tmp_path: Path) -> None:
        one, two = NEWS.splitlines(keepends=True)[:2]
        news(tmp_path / "all", two, "news-docs.2021.en.filtered.gz")
        news(tmp_path / "all", one, "news-docs.2020.en.filtered.gz")
        (tmp_path / "all" / "README").write_text("about")
        done = imported(tmp_path / "all", "newscrawl", tmp_path)
        assert [passage.date for passage in done.passages] == ["2020-01-03", "2020-06-14"]

    def test_a_folder_without_news(self, tmp_path: Path) -> None:
        (tmp_path / "README").write_text("about")
        with pytest.raises(InputError, match="no file such as news-docs"):
            imported(tmp_path, "newscrawl", tmp_path)


class TestSentences:
    NAME = "news.2020.de.shuffled.deduped.gz"
    TEXT = "Die Brücke ist offen.\n\n  20200101\tEin Rat tagte. \nEs regnet.\n".encode()

    def test_each_is_a_passage(self, tmp_path: Path) -> None:
        done = imported(news(tmp_path, self.TEXT, self.NAME), "newscrawl", tmp_path)
        assert [(p.text, p.date, p.language) for p in done.passages] == [
            ("Die Brücke ist offen.", "2020", "de"),
            ("20200101\tEin Rat tagte.", "2020", "de"),
            ("Es regnet.", "2020", "de"),
        ]

    def test_bytes_that_are_not_utf_8(self, tmp_path: Path) -> None:
        data = self.TEXT + "Schön.\n".encode("latin-1")
        done = imported(news(tmp_path, data, self.NAME), "newscrawl", tmp_path)
        assert [(row["line"], row["reason"]) for row in done.rejected] == [(5, "schema_encoding")]

    @pytest.mark.parametrize(
        ("since", "until", "kept"),
        [("2020", None, 3), ("2019-05", "2020-12-31", 3), ("2020-01-01", "2021", 3)],
    )
    def test_the_year_counts_as_a_whole(
        self, tmp_path: Path, since: str, until: str, kept: int
    ) -> None:
        file = news(tmp_path, self.TEXT, self.NAME)
        done = imported(file, "newscrawl", tmp_path, since=since, until=until)
        assert len(done.passages) == kept

    def test_another_year(self, tmp_path: Path) -> None:
        folder = tmp_path / "all"
        news(folder, self.TEXT, self.NAME)
        news(folder, b"It rains.\n", "news.2018.en.shuffled")
        done = imported(folder, "newscrawl", tmp_path, until="2019")
        assert [(p.text, p.date) for p in done.passages] == [("It rains.", "2018")]
        assert done.report.counts == {"outside_dates": 3}

    @pytest.mark.parametrize(
        ("since", "until"), [("2020-02", None), (None, "2020-11"), ("2020-03", "2020-04")]
    )
    def test_half_a_year_cannot_be_told(self, tmp_path: Path, since: str, until: str) -> None:
        file = news(tmp_path, self.TEXT, self.NAME)
        with pytest.raises(InputError, match="must hold the whole year or none of it"):
            imported(file, "newscrawl", tmp_path, since=since, until=until)

    def test_no_year_in_the_name(self, tmp_path: Path) -> None:
        file = news(tmp_path, self.TEXT, "sentences.txt")
        assert len(imported(file, "newscrawl", tmp_path).passages) == 3
        with pytest.raises(InputError, match="sentences without dates"):
            imported(file, "newscrawl", tmp_path, since="2020")


class TestBounds:
    def test_what_unpacks_without_measure(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(newscrawl, "UNPACKED_LIMIT", 1 << 20)
        for bomb in (b"\n" * (4 << 20), (b"It rains. " * 100 + b"\n") * 5_000):
            file = news(tmp_path, bomb, TestSentences.NAME)
            assert file.stat().st_size < 30_000
            rows = newscrawl.NewsCrawl().rows(file, newscrawl.Options())
            with pytest.raises(InputError, match=r"unpacks to more than 100 times its size"):
                list(rows)

    def test_a_file_that_breaks_off_keeps_what_came_before(self, tmp_path: Path) -> None:
        from lorepack.facts.importing import import_facts

        packed = gzip.compress(b"".join(b"%d It rains.\n" % n for n in range(40_000)))
        file = tmp_path / TestSentences.NAME
        file.write_bytes(packed[: len(packed) // 2])
        report = import_facts(file, tmp_path / "out.jsonl", fmt="newscrawl")
        assert report.passages > 1_000
        assert "compressed data is broken" in (report.broken or "")
