"""Benchmarks in the files their authors published -> rows in the layout of their hub copies."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from lorepack import files
from lorepack.errors import InputError

Row = dict[str, Any]
Splits = dict[str, list[Row]]
"""split -> rows"""
_COLUMNS = ("Question", "Best Answer", "Correct Answers", "Incorrect Answers")
_LETTERS = "ABCD"


def truthfulqa(path: Path) -> Iterator[Row]:
    """The rows of ``TruthfulQA.csv``: question and lists of answers.

    Yields:
        ``question, best_answer, correct_answers, incorrect_answers``.

    Raises:
        InputError: with file and line, where the layout is another.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle, strict=True)
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(
                    f"{path}:1: no column {missing[0]!r}; expected a header with "
                    f"{', '.join(_COLUMNS)}"
                )
            for row in reader:
                where = f"{path}:{reader.line_num}"
                if None in row or any(row[name] is None for name in _COLUMNS):
                    raise InputError(f"{where}: not {len(reader.fieldnames or ())} columns")
                found = {
                    "question": row["Question"].strip(),
                    "best_answer": row["Best Answer"].strip(),
                    "correct_answers": _listed(row["Correct Answers"]),
                    "incorrect_answers": _listed(row["Incorrect Answers"]),
                }
                empty = next((name for name, value in found.items() if not value), None)
                if empty:
                    raise InputError(f"{where}: {empty.replace('_', ' ')} is empty")
                yield found
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 ({error.reason} at byte {error.start})") from None
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: not CSV ({error})") from None


def _listed(cell: str) -> list[str]:
    """Answers between semicolons, each once."""
    return list(dict.fromkeys(part.strip() for part in cell.split(";") if part.strip()))


def multiple_choice(rows: Iterable[Row]) -> Iterator[Row]:
    """TruthfulQA's rows with the choices of MC1 (the best answer first) and MC2."""
    for row in rows:
        wrong = row["incorrect_answers"]
        one = [row["best_answer"], *wrong]
        right = [row["best_answer"]]
        right += [text for text in row["correct_answers"] if text != row["best_answer"]]
        yield {
            "question": row["question"],
            "mc1_targets": {"choices": one, "labels": [1] + [0] * len(wrong)},
            "mc2_targets": {
                "choices": right + wrong,
                "labels": [1] * len(right) + [0] * len(wrong),
            },
        }


def mmlu(path: Path) -> dict[str, Splits]:
    """The subjects of MMLU's archive: ``data/{dev,val,test}/SUBJECT_*.csv``, without headers.

    Returns:
        subject -> ``dev``, ``validation`` and ``test`` rows of ``question, choices, answer``
        (the index of the right choice) and ``subject``.

    Raises:
        InputError: with file, member and line, where the layout is another.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"{path}: not a whole zip archive ({error}); copy it again") from None
    found: dict[str, Splits] = {}
    with archive:
        for name in sorted(archive.namelist()):
            member = PurePosixPath(name)
            split = {"dev": "dev", "val": "validation", "test": "test"}.get(member.parent.name)
            if split is None or member.suffix != ".csv":
                continue
            subject = member.stem.removesuffix(f"_{member.parent.name}")
            rows = list(_mmlu_rows(archive, name, f"{path}/{name}", subject))
            found.setdefault(subject, {})[split] = rows
    if not found:
        raise InputError(f"{path}: no data/test/SUBJECT_test.csv inside; expected MMLU's archive")
    for subject, splits in found.items():
        absent = [split for split in ("dev", "test") if not splits.get(split)]
        if absent:
            raise InputError(f"{path}: subject {subject} has no {absent[0]} rows")
    return found


def _mmlu_rows(archive: zipfile.ZipFile, name: str, where: str, subject: str) -> Iterator[Row]:
    try:
        text = archive.read(name).decode("utf-8-sig")
    except (UnicodeDecodeError, zipfile.BadZipFile) as error:
        raise InputError(f"{where}: cannot be read ({error})") from None
    reader = csv.reader(io.StringIO(text, newline=""))
    for cells in reader:
        place = f"{where}:{reader.line_num}"
        if len(cells) != 6:
            raise InputError(
                f"{place}: {len(cells)} columns; expected question, four choices and a letter"
            )
        question, *choices, letter = cells
        if letter.strip() not in _LETTERS or not letter.strip():
            raise InputError(f"{place}: answer {letter!r}; expected A, B, C or D")
        yield {
            "question": question,
            "subject": subject,
            "choices": choices,
            "answer": _LETTERS.index(letter.strip()),
        }


def arc(path: Path) -> Splits:
    """ARC as JSON with lists ``dev`` and ``test`` of ``id, question, choices, answer``.

    Returns:
        ``validation`` and ``test`` rows of ``id, question, choices`` (``text`` and ``label``) and
        ``answerKey``.

    Raises:
        InputError: with file and place, where the layout is another.
    """
    document = files.read_json(path)
    if not isinstance(document, dict) or not document.get("test"):
        raise InputError(f"{path}: expected a JSON object with lists dev and test")
    return {
        name: [_arc_row(row, f"{path}: {given}[{i}]") for i, row in enumerate(document[given])]
        for name, given in (("validation", "dev"), ("test", "test"))
        if document.get(given)
    }


def _arc_row(row: Any, where: str) -> Row:
    if not isinstance(row, dict) or not isinstance(row.get("choices"), dict):
        raise InputError(f"{where}: expected an object with question, choices {{A: …}} and answer")
    question, choices, answer = row.get("question"), row["choices"], row.get("answer")
    if not isinstance(question, str) or not question:
        raise InputError(f"{where}: question {question!r}; expected text")
    if answer not in choices:
        raise InputError(f"{where}: answer {answer!r}; expected one of {', '.join(choices)}")
    return {
        "id": str(row.get("id", "")),
        "question": question,
        "choices": {"text": list(choices.values()), "label": list(choices)},
        "answerKey": answer,
    }
