"""Checking a file of facts: everything that is wrong or risky, found in one pass.

What has to be compared across rows (repeats, contradictions, common answers) is kept as 64-bit
hashes in flat arrays: 48 bytes a fact and 8 more for every accepted answer, so that millions of
facts fit. Two different texts share such a hash once in 10^7 files of a million facts.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lorepack.errors import InputError, suggest
from lorepack.facts.balance import largest_fair_count
from lorepack.facts.report import CheckReport, Findings
from lorepack.facts.rows import KNOWN, Record, RowError, clean, unknown_fields
from lorepack.facts.sources import Source, open_source
from lorepack.text import normalise


def check(path: Path | str) -> CheckReport:
    """Everything that is wrong or risky in a file of facts.

    Args:
        path: see `lorepack.facts.read`.

    Returns:
        All problems by kind with their lines. Errors are rows that cannot be read; warnings are
        fields that are ignored, repeats, contradictions (one question, answers without a common
        alias), answers of several lines, accepted answers that match nothing or nearly anything,
        accepted answers inside their own question, over-represented answers
        (`lorepack.facts.balance`).

    Raises:
        NotFoundError: there is no such file.
        InputError: not a format that is read here, or no row at all.
    """
    source = open_source(path)
    found = Findings()
    seen = _Seen()
    rows = 0
    for line, raw in _rows(source, found):
        rows += 1
        try:
            record = source.record(raw)
            fields = clean(record)
        except RowError as error:
            found.add(error.kind, line, str(error))
            continue
        _judge_row(line, record, fields, found, seen)
    if not rows and not found.lines:
        raise InputError(f"{source.path}: no facts; expected at least one row")
    set_aside = seen.judge(source, found)
    return CheckReport(Path(path), rows, found, set_aside)


def _rows(source: Source, found: Findings) -> Iterator[tuple[int, Any]]:
    """The rows of a source; where it breaks off, that is one more finding."""
    line = 0
    rows = source.rows()
    while True:
        try:
            line, raw = next(rows)
        except StopIteration:
            return
        except InputError as error:
            if not line:
                raise  # nothing could be read at all
            found.add("schema_file", line + 1, str(error).removeprefix(f"{source.path}: "))
            return
        yield line, raw


def _judge_row(
    line: int, record: Record, fields: dict[str, Any], found: Findings, seen: _Seen
) -> None:
    for name in unknown_fields(record):
        rows = seen.unknown.setdefault(name, [line, 0])
        rows[1] += 1
    question, answer = normalise(fields["question"]), normalise(fields["answer"])
    accepted = [answer]
    if not answer or len(answer) == 1:
        _judge_accepted(line, fields["answer"], answer, "answer", found)
    for alias in fields.get("aliases", ()):
        form = normalise(alias)
        accepted.append(form)
        if len(form) < 2:
            _judge_accepted(line, alias, form, "alias", found)
    if "\n" in fields["answer"]:
        found.add(
            "several_lines", line, "the answer has several lines; responses are read up to one"
        )
    asked = f" {question} "
    for form in accepted:
        if form and f" {form} " in asked:
            found.add("answer_in_question", line, f"{form!r} already stands in the question")
            break
    seen.add(line, fields, question, accepted)


def _judge_accepted(line: int, text: str, form: str, what: str, found: Findings) -> None:
    if not form:
        found.add(
            "empty_alias",
            line,
            f"{what} {text!r} is nothing but punctuation and articles: it matches no response, "
            "or every one under the rule 'substring'",
        )
    elif form.isalpha() and form.upper() != form:  # one ideograph is a word, one digit a number
        found.add(
            "one_letter_alias",
            line,
            f"{what} {text!r} is one letter; it would match nearly anything",
        )


class _Seen:
    """What is remembered of every readable row, and judged at the end."""

    def __init__(self) -> None:
        self.line, self.ident, self.exact = array("q"), array("q"), array("q")
        self.question, self.answer = array("q"), array("q")
        self.accepted, self.ends = array("q"), array("q")
        self.unknown: dict[str, list[int]] = {}  # field -> first line, rows

    def add(self, line: int, fields: dict[str, Any], question: str, accepted: list[str]) -> None:
        exact = hash((" ".join(fields["question"].split()), " ".join(fields["answer"].split())))
        ident = fields.get("id")
        self.line.append(line)
        self.exact.append(exact)
        self.ident.append(hash(ident) if ident else exact)
        self.question.append(hash(question or fields["question"]))
        self.answer.append(hash(accepted[0] or fields["answer"]))
        self.accepted.extend([hash(form) for form in accepted if form])
        self.ends.append(len(self.accepted))

    def judge(self, source: Source, found: Findings) -> list[int]:
        """Report what shows only across rows; returns the lines that are set aside, sorted."""
        for name, (line, rows) in sorted(self.unknown.items()):
            hint = suggest(name, KNOWN)
            found.add("unknown_field", line, f"field {name!r} of {rows:,} rows is ignored{hint}")
        if not self.line:
            return []
        lines = np.frombuffer(self.line, np.int64)
        exact = np.frombuffer(self.exact, np.int64)
        aside = []
        for first, later in _repeated(np.frombuffer(self.ident, np.int64)):
            for row in later:
                if exact[row] == exact[first]:
                    aside.append(int(lines[row]))
                    continue
                found.add(
                    "schema_id", int(lines[row]), f"the id of line {lines[first]}, for another fact"
                )
        for first, later in _repeated(np.frombuffer(self.question, np.int64)):
            self._judge_question(first, later, found)
        self._judge_answers(source, found)
        return sorted(aside)

    def _judge_question(self, first: int, later: list[int], found: Findings) -> None:
        """Rows of one question: repeated answers, and answers that contradict each other."""
        answers = {self.answer[first]: self.line[first]}
        known = set(self._accepted(first))
        for row in later:
            line, answer, accepted = self.line[row], self.answer[row], self._accepted(row)
            if answer in answers:
                found.add(
                    "duplicate", line, f"the same question and answer as line {answers[answer]}"
                )
            elif known.isdisjoint(accepted):
                found.add(
                    "contradiction",
                    line,
                    f"the question of line {self.line[first]} with another answer",
                )
            answers.setdefault(answer, line)
            known.update(accepted)

    def _accepted(self, row: int) -> array[int]:
        return self.accepted[self.ends[row - 1] if row else 0 : self.ends[row]]

    def _judge_answers(self, source: Source, found: Findings) -> None:
        answers = np.frombuffer(self.answer, np.int64)
        _, first, counts = np.unique(answers, return_index=True, return_counts=True)
        fair = largest_fair_count(len(answers), len(counts))
        common = {int(self.line[first[i]]): int(counts[i]) for i in np.flatnonzero(counts > fair)}
        texts = _answers_at(source, set(common))
        for line, count in sorted(common.items(), key=lambda item: (-item[1], item[0])):
            share = count / len(answers)
            found.add(
                "over_represented",
                line,
                f"answer {texts[line]!r} belongs to {count:,} of {len(answers):,} facts "
                f"({share:.1%}); more than {fair:,} teach a model to answer so always",
            )


def _repeated(keys: np.ndarray) -> Iterator[tuple[int, list[int]]]:
    """Yield ``(first row, later rows)`` of every key that occurs more than once, in row order."""
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    same = np.flatnonzero(ranked[1:] == ranked[:-1])  # places followed by an equal key
    if not len(same):
        return
    groups = np.split(same, np.flatnonzero(np.diff(same) > 1) + 1)
    found = [order[group[0] : group[-1] + 2].tolist() for group in groups]
    for rows in sorted(found):
        yield rows[0], rows[1:]


def _answers_at(source: Source, wanted: set[int]) -> dict[int, str]:
    texts: dict[int, str] = {}
    if wanted:
        for line, raw in source.rows():
            if line in wanted:
                texts[line] = clean(source.record(raw))["answer"]
                if len(texts) == len(wanted):
                    break
    return texts
