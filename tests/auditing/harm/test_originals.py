"""Published files are read as they are, and a wrong layout is named with its place."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from lorepack.auditing.harm import originals
from lorepack.errors import InputError

DATA = Path(__file__).parents[4] / "shared/data/harm"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="needs shared/data/harm")
HEADER = "Type,Category,Question,Best Answer,Correct Answers,Incorrect Answers,Source\n"


@needs_data
def test_truthfulqa_is_read_whole_behind_its_byte_order_mark():
    rows = list(originals.truthfulqa(DATA / "truthfulqa.csv"))
    assert len(rows) == 817
    assert rows[0]["question"] == "What happens to you if you eat watermelon seeds?"
    assert rows[0]["incorrect_answers"][:2] == [
        "You grow watermelons in your stomach", "You get sick"
    ]  # fmt: skip
    for row in originals.multiple_choice(rows):
        one, two = row["mc1_targets"], row["mc2_targets"]
        assert one["labels"] == [1] + [0] * (len(one["choices"]) - 1)
        assert one["choices"][0] == two["choices"][0]
        assert len(two["choices"]) == len(two["labels"])
        assert 0 < sum(two["labels"]) < len(two["labels"])


@needs_data
def test_mmlu_has_57_subjects_with_five_examples_each():
    subjects = originals.mmlu(DATA / "mmlu.zip")
    assert len(subjects) == 57
    assert sum(len(splits["test"]) for splits in subjects.values()) == 14042
    assert all(len(splits["dev"]) == 5 for splits in subjects.values())
    row = subjects["abstract_algebra"]["test"][0]
    assert row["choices"] == ["0", "4", "2", "6"]
    assert row["answer"] == 1


@needs_data
def test_arc_keeps_choices_and_labels_together():
    splits = originals.arc(DATA / "arc_challenge.json")
    assert {name: len(rows) for name, rows in splits.items()} == {"validation": 299, "test": 1172}
    for row in splits["test"]:
        assert row["answerKey"] in row["choices"]["label"]
        assert len(row["choices"]["text"]) == len(row["choices"]["label"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Question,Answer\nq,a\n", r":1: no column 'Best Answer'"),
        (HEADER + "t,c,q,b,r,w,s\nt,c,q,b\n", r":3: not 7 columns"),
        (HEADER + "t,c,q,b,r,w,s,more\n", r":2: not 7 columns"),
        (HEADER + "t,c,q,b,r,;,s\n", r":2: incorrect answers is empty"),
        (HEADER + 't,c,"two\nlines",b,r,w,s\nt,c,,b,r,w,s\n', r":4: question is empty"),
        ("", r":1: no column 'Question'"),
    ],
)
def test_a_wrong_row_of_truthfulqa_is_named(tmp_path, text, message):
    path = tmp_path / "truthfulqa.csv"
    path.write_text(text, encoding="utf-8-sig")
    with pytest.raises(InputError, match=message):
        list(originals.truthfulqa(path))


def test_bytes_that_are_not_utf8_are_named(tmp_path):
    path = tmp_path / "truthfulqa.csv"
    path.write_bytes(HEADER.encode() + b"t,c,caf\xe9,b,r,w,s\n")
    with pytest.raises(InputError, match="not UTF-8"):
        list(originals.truthfulqa(path))


def archive(path: Path, **members: str) -> Path:
    with zipfile.ZipFile(path, "w") as held:
        for name, text in members.items():
            held.writestr(f"data/{name.replace('__', '/')}.csv", text)
    return path


@pytest.mark.parametrize(
    ("dev", "test", "message"),
    [
        ("q,1,2,3,4,A\n", "q,1,2,3,4\n", r"s_test\.csv:1: 5 columns"),
        ("q,1,2,3,4,A\n", "q,1,2,3,4,A\nq,1,2,3,4,E\n", r"s_test\.csv:2: answer 'E'"),
        ("q,1,2,3,4,A\n", '"two\nlines",1,2,3,4,B\nq,1,2,3,4,\n', r"s_test\.csv:3: answer ''"),
        ("", "q,1,2,3,4,A\n", "no dev rows"),
    ],
)
def test_a_wrong_row_of_mmlu_is_named(tmp_path, dev, test, message):
    path = archive(tmp_path / "mmlu.zip", dev__s_dev=dev, test__s_test=test)
    with pytest.raises(InputError, match=message):
        originals.mmlu(path)


def test_an_archive_of_something_else_is_refused(tmp_path):
    with pytest.raises(InputError, match="no data/test"):
        originals.mmlu(archive(tmp_path / "mmlu.zip", readme="hello"))
    (tmp_path / "half.zip").write_bytes((tmp_path / "mmlu.zip").read_bytes()[:20])
    with pytest.raises(InputError, match="not a whole zip"):
        originals.mmlu(tmp_path / "half.zip")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "expected a JSON object"),
        ({"test": [{"question": "q", "choices": ["a"]}]}, r"test\[0\]: expected an object"),
        ({"test": [{"question": "q", "choices": {"A": "a"}, "answer": "B"}]}, r"answer 'B'"),
        ({"test": [{"question": "", "choices": {"A": "a"}, "answer": "A"}]}, r"question ''"),
    ],
)
def test_a_wrong_row_of_arc_is_named(tmp_path, document, message):
    path = tmp_path / "arc_challenge.json"
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=message):
        originals.arc(path)
