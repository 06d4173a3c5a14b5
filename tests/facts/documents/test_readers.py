"""Readers: the text of each kind of document, and reasons where there is none."""

from __future__ import annotations

import contextlib
import io
import zipfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorepack.errors import InputError
from lorepack.facts.documents import READERS, Document, archives
from lorepack.facts.documents.docx import read_docx
from lorepack.facts.documents.epub import read_epub
from lorepack.facts.documents.html import read_html
from lorepack.facts.documents.pdf import read_pdf
from lorepack.facts.documents.plain import read_markdown, read_text
from lorepack.facts.rows import RowError

from .made_files import docx, encrypted, epub, paragraph, pdf, zipped

SAMPLES = {
    ".txt": b"Some text.",
    ".md": b"# Head\n\n- one\n\n| a | b |\n|---|---|\n| 1 | 2 |",
    ".html": b"<html><body><p>One<table><tr><td>a<td>b</table></body></html>",
    ".pdf": pdf([["One line."], ["Two lines."]]),
    ".docx": docx(paragraph("One.")),
    ".epub": epub({"a.xhtml": "<html><body><p>One.</p></body></html>"}),
}


def broken(data: bytes, name: str) -> bytes:
    """An archive of which one part does not unpack to what it says."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        info = archive.getinfo(name)
    at = info.header_offset + 30 + len(name) + 2
    return data[:at] + bytes(255 - byte for byte in data[at : at + 4]) + data[at + 4 :]


def why_not(kind: str, data: bytes) -> str:
    with pytest.raises(RowError) as caught:
        READERS[kind](data)
    assert "\n" not in str(caught.value)
    return caught.value.kind


class TestText:
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
    def test_encodings(self, encoding: str) -> None:
        assert read_text("Zoë’s\r\nbridge".encode(encoding)).text == "Zoë’s\nbridge"

    @pytest.mark.parametrize("data", [b"caf\xe9", b"a\0b", b"\xff\xfea"])
    def test_what_is_no_text(self, data: bytes) -> None:
        assert why_not(".txt", data) == "schema_encoding"


class TestMarkdown:
    def test_markup_goes_and_words_stay(self) -> None:
        text = (
            "# The *Bridge*\n\nSee [the map](http://x.y) and ![a view](v.png)\nof `Var`.\n\n"
            "- one\n- two\n  1. in\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n"
            "```\ncode  here\n```\n<div>block</div>\n\n> quoted **text** <b>bold</b>\n"
        )
        assert read_markdown(text.encode()) == Document(
            "The Bridge\n\nSee the map and a view of Var.\n\n- one\n- two\n1. in\n\n"
            "a | b\n1 | 2\n\ncode here\n\nblock\n\nquoted text bold",
            title="The Bridge",
        )

    def test_front_matter_is_told(self) -> None:
        data = b'---\ntitle: "A: b"\nlang: de-AT\ndate: 2020-02-03\nx:\n - y\n---\n# Other\n\nText.'
        assert read_markdown(data) == Document("Other\n\nText.", "A: b", "de", "2020-02-03")

    def test_text_between_rules_is_no_front_matter(self) -> None:
        assert "A story, not YAML." in read_markdown(b"---\nA story, not YAML.\n\n---\nEnd.").text

    @pytest.mark.parametrize("depth", [50, 300])
    def test_what_is_nested_is_kept(self, depth: int) -> None:
        assert "deep" in read_markdown(b"> " * depth + b"deep").text

    @pytest.mark.parametrize(
        "data", [b"> " * 20_000 + b"x", b"![" * 9_999 + b"x" + b"](a)" * 9_999]
    )
    def test_or_it_is_said(self, data: bytes) -> None:
        assert why_not(".md", data) == "too_deep"


class TestHtml:
    def test_what_a_reader_sees(self) -> None:
        data = (
            b"<html lang='de-AT'><head><title>T &amp; x</title><style>p{}</style>"
            b"<meta property='article:published_time' content='2020-01-02T10:00'></head>"
            b"<body><nav>Home</nav><p>Hello <b>wor</b>ld<br>again <!-- no --></p>"
            b"<script>alert('no')</script><ul><li>one<li>two</ul><table><tr><td>a<td>b</table>"
            b"<pre>a\n b</pre><p hidden>no</p><p style='display: none'>no</p>"
            b"<div role=navigation>no</div><svg><text>no</text></svg>tail</body></html>"
        )
        assert read_html(data) == Document(
            "Hello world\nagain\n\n- one\n- two\n\na | b\n\na\nb\n\ntail",
            "T & x",
            "de",
            "2020-01-02",
        )

    @pytest.mark.parametrize(
        ("encoding", "head"),
        [
            ("utf-8", ""), ("utf-8-sig", ""), ("utf-16", ""), ("utf-8", "<meta charset=nonsense>"),
            ("cp1252", "<meta charset='ISO-8859-1'>"),
            ("cp1252", "<meta http-equiv=x content='text/html; charset=windows-1252'>"),
            ("utf-8", "<meta charset=utf-16>"),
        ],
    )  # fmt: skip
    def test_encodings(self, encoding: str, head: str) -> None:
        assert read_html(f"{head}<p>Zoë’s</p>".encode(encoding)).text == "Zoë’s"

    def test_an_encoding_that_nobody_tells(self) -> None:
        assert why_not(".html", b"<p>caf\xe9</p>") == "schema_encoding"
        assert why_not(".html", b"<meta charset=unicode_escape><p>caf\xe9</p>") == "schema_encoding"

    def test_what_is_nested_is_kept_or_it_is_said(self) -> None:
        assert read_html(b"<div>" * 1_000 + b"deep").text == "deep"
        assert why_not(".html", b"<div>" * 100_000 + b"deep") == "too_deep"

    @pytest.mark.parametrize(
        "data", [b"", b" ", b"<!-- -->", b"<html></html>", b"<script>x</script>"]
    )
    def test_pages_without_text(self, data: bytes) -> None:
        assert read_html(data).text == ""


class TestPdf:
    def test_pages_and_title(self) -> None:
        made = read_pdf(pdf([["The café is old."], ["It is closed."]], title="A Café"))
        assert (made.text, made.title) == ("The café is old.\nIt is closed.", "A Café")
        assert [made.page_of(made.text.index(word)) for word in ("old", "closed")] == [1, 2]

    def test_passwords(self) -> None:
        made = pdf([["Secret."]])
        assert why_not(".pdf", encrypted(made, "word")) == "encrypted"
        assert read_pdf(encrypted(made, "")).text == "Secret."

    def test_scanned_pages_have_no_text(self) -> None:
        assert why_not(".pdf", pdf([[], []])) == "no_text"

    @pytest.mark.parametrize("data", [b"", b"%PDF-1.4", b"no pdf", SAMPLES[".pdf"][:90]])
    def test_broken_files(self, data: bytes, caplog: pytest.LogCaptureFixture) -> None:
        assert why_not(".pdf", data) in ("unreadable_pdf", "no_text")
        assert not caplog.records


class TestDocx:
    def test_what_a_reader_sees(self) -> None:
        row = f"<w:tr><w:tc>{paragraph('a')}</w:tc><w:tc>{paragraph('b')}</w:tc></w:tr>"
        body = (
            paragraph("The bridge ", "at Var &amp; Ulm.")
            + "<w:p><w:del><w:r><w:delText>gone</w:delText></w:r></w:del>"
            + "<w:ins><w:r><w:t>new</w:t><w:tab/><w:t>text</w:t></w:r></w:ins></w:p>"
            + f"<w:tbl>{row}{row}</w:tbl>"
        )
        note = f'<w:footnotes xmlns:w="urn:w">{paragraph("A note.")}</w:footnotes>'
        assert read_docx(docx(body, footnotes=note)) == Document(
            "The bridge at Var & Ulm.\n\nnew text\n\na | b\na | b\n\nA note.", "The Bridge"
        )

    @pytest.mark.parametrize(
        ("data", "kind"),
        [
            (b"", "unreadable"), (b"PK\x03\x04", "unreadable"), (zipped({"a": "b"}), "unreadable"),
            (zipped({"word/document.xml": "<a>"}), "unreadable"),
            (SAMPLES[".docx"][:-30], "unreadable"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1", "encrypted"),
        ],
    )  # fmt: skip
    def test_broken_files(self, data: bytes, kind: str) -> None:
        assert why_not(".docx", data) == kind


class TestEpub:
    PAGE = "<html xmlns='http://www.w3.org/1999/xhtml'><head><title/></head><body>{}</body></html>"

    def test_chapters_in_the_order_of_the_spine(self) -> None:
        chapters = {
            "b.xhtml": self.PAGE.format("<script src='x'/><h1>Two</h1><p>Low&nbsp;tide.</p>"),
            "a.xhtml": self.PAGE.format("<p>One.</p>"),
            "unlisted.xhtml": self.PAGE.format("<p>Not in the spine.</p>"),
        }
        assert read_epub(epub(chapters, ["a.xhtml", "b.xhtml", "a.xhtml"])) == Document(
            "One.\n\nTwo\n\nLow tide.", "Tides", "en", "1999-05-01"
        )

    def test_a_chapter_that_is_no_xml_is_read_as_html(self) -> None:
        assert read_epub(epub({"a.xhtml": "<p>One<br>two"})).text == "One\ntwo"

    def test_names_in_the_archive_are_no_paths(self) -> None:
        outside = epub({"../../../../../../etc/passwd": "<p>inside the archive</p>"})
        assert why_not(".epub", outside) == "unreadable"  # there is no such part
        linked = epub({"a.xhtml": "<p>x</p>"}, ["/etc/passwd"])
        assert why_not(".epub", linked) == "unreadable"

    def test_a_missing_or_broken_chapter_is_counted_and_the_others_are_kept(self) -> None:
        chapters = {
            "../../../etc/passwd": "<p>x</p>",
            "ok.xhtml": "<p>Kept.</p>",
            "b": "<p>Bad</p>",
        }
        book = read_epub(broken(epub(chapters), "OEBPS/b"))
        assert (book.text, book.title) == ("Kept.", "Tides")
        assert getattr(book, "missing", 0) == 2
        assert not hasattr(read_epub(SAMPLES[".epub"]), "missing")

    def test_protected_text(self) -> None:
        listed = '<e><CipherReference URI="OEBPS/a.xhtml"/></e>'
        protected = epub({"a.xhtml": "<p>x</p>"}, **{"META-INF/encryption.xml": listed})
        assert why_not(".epub", protected) == "encrypted"
        fonts = listed.replace("a.xhtml", "font.otf")
        assert read_epub(epub({"a.xhtml": "<p>x</p>"}, **{"META-INF/encryption.xml": fonts}))


class TestBounds:
    def test_a_zip_bomb_is_not_unpacked(self) -> None:
        assert why_not(".docx", docx(paragraph("a" * (8 << 20)))) == "zip_bomb"
        assert why_not(".epub", epub({"a.xhtml": " " * (8 << 20)})) == "zip_bomb"

    def test_parts_that_are_small_each_and_too_much_together(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(archives, "UNPACKED_LIMIT", 5_000)
        chapters = {f"{n}.xhtml": f"<p>{'word ' * 300}</p>" for n in range(5)}
        assert why_not(".epub", epub(chapters)) == "zip_bomb"

    def test_an_archive_that_lies_about_its_size(self) -> None:
        data = bytearray(docx(paragraph("a" * (8 << 20))))
        size = (8 << 20) + len(docx_frame())
        shown = size.to_bytes(4, "little")
        assert data.count(shown) == 2
        assert why_not(".docx", bytes(data).replace(shown, b"\x10\0\0\0")) in (
            "unreadable", "zip_bomb",
        )  # fmt: skip

    @pytest.mark.parametrize("inside", ['"lol"', 'SYSTEM "file:///etc/passwd"'])
    def test_entities_are_not_resolved(self, inside: str) -> None:
        xml = f"<!DOCTYPE a [<!ENTITY x {inside}>]><a>&x;</a>"
        assert why_not(".docx", zipped({"word/document.xml": xml})) == "unsafe_xml"
        assert why_not(".epub", epub({"a.xhtml": xml})) == "unsafe_xml"

    def test_a_password_on_the_archive(self) -> None:
        data = io.BytesIO(SAMPLES[".docx"])
        with zipfile.ZipFile(data) as archive:
            starts = [info.header_offset for info in archive.infolist()]
            central = archive.start_dir
        broken = bytearray(data.getvalue())
        broken[starts[0] + 6] |= 1
        broken[central + 8] |= 1
        assert why_not(".docx", bytes(broken)) == "encrypted"


def docx_frame() -> str:
    with zipfile.ZipFile(io.BytesIO(docx(paragraph("")))) as archive:
        return archive.read("word/document.xml").decode()


@pytest.mark.parametrize(
    ("kind", "package"),
    [
        (".md", "markdown-it"),
        (".html", "lxml"),
        (".pdf", "pypdf"),
        (".docx", "lxml"),
        (".epub", "lxml"),
    ],
)
def test_a_library_that_is_not_there(
    kind: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(name: str, *more: Any) -> None:
        raise ImportError(name)

    monkeypatch.setattr("importlib.import_module", none)
    with pytest.raises(InputError, match=rf"needs {package}; pip install 'lorepack\[documents\]'"):
        READERS[kind](SAMPLES[kind])


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(READERS)), st.binary(max_size=300))
def test_any_bytes(kind: str, data: bytes) -> None:
    with_reason(kind, data)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(SAMPLES)), st.data())
def test_any_damage(kind: str, draw: st.DataObject) -> None:
    data = bytearray(SAMPLES[kind])
    for place in draw.draw(st.lists(st.integers(0, len(data) - 1), max_size=4)):
        data[place] = draw.draw(st.integers(0, 255))
    with_reason(kind, bytes(data))


def with_reason(kind: str, data: bytes) -> None:
    """Reading ends with text, or with a reason."""
    with contextlib.suppress(RowError):
        READERS[kind](data).text.encode()
