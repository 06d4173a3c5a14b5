"""The leak check: how near training questions come to questions that evaluation asks.

The measure is the best ROUGE-L F without stemming, as *Understanding LoRA as Knowledge Memory*
(arXiv 2603.01097) has its PaperQA questions checked.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lorepack.synthesis.alike import Texts

MARKS = (0.7, 0.9)
"""similarities from which summaries count"""
_LAYER = 65_536
"""questions of one index"""


@dataclass(frozen=True)
class _Layer:
    questions: tuple[str, ...]
    index: Texts


class Leaks:
    """Questions that training is to keep clear of; never changed once it is made."""

    def __init__(self, questions: Iterable[str] = (), threshold: float = 0.0) -> None:
        """Index the questions.

        Args:
            questions: of the evaluation.
            threshold: what is less alike is not looked for, which is faster.
        """
        self.threshold = threshold
        self._layers = tuple(_layers(questions))

    def __len__(self) -> int:
        return sum(len(layer.questions) for layer in self._layers)

    @property
    def questions(self) -> list[str]:
        """All of them, in order."""
        return [question for layer in self._layers for question in layer.questions]

    def with_more(self, questions: Iterable[str]) -> Leaks:
        """These and more; costs what the added ones cost, and leaves this one as it is."""
        added = list(questions)
        if not added:
            return self
        kept = list(self._layers)
        while kept and len(kept[-1].questions) <= len(added):  # many small indexes are slow
            added = [*kept.pop().questions, *added]
        more = Leaks((), self.threshold)
        more._layers = (*kept, *_layers(added))
        return more

    def best(self, question: str, at_least: float | None = None) -> tuple[float, str]:
        """The most similar question.

        Args:
            question: of the training data.
            at_least: what is less alike is not looked for; the threshold when not given.

        Returns:
            Its ROUGE-L and itself, the first of several; ``(0.0, "")`` when there is none.
        """
        best, nearest = 0.0, ""
        floor = self.threshold if at_least is None else at_least
        for layer in self._layers:
            score, place = layer.index.best(question, max(floor, best))
            if score > best:
                best, nearest = score, layer.questions[place]
        return best, nearest

    def alike(self, question: str, at_least: float) -> list[tuple[float, str]]:
        """All questions that are ``at_least`` so similar, with their ROUGE-L; the best first."""
        found = [
            (score, layer.questions[place])
            for layer in self._layers
            for score, place in layer.index.alike(question, at_least)
        ]
        return sorted(found, key=lambda pair: -pair[0])


class LeakSummary:
    """Best similarities in both directions, over training questions that come one by one.

    For each training question the nearest question of the evaluation, and for each question of
    the evaluation the nearest of the training questions.
    """

    def __init__(self, leaks: Leaks) -> None:
        self._indexes = [layer.index for layer in leaks._layers]
        self._nearest = [np.zeros(len(index)) for index in self._indexes]
        self._of_training = array("d")

    def add(self, question: str) -> float:
        """Count a training question; returns its best similarity."""
        best = 0.0
        for index, nearest in zip(self._indexes, self._nearest, strict=True):
            bounds = index.bounds(question)
            places = np.flatnonzero(bounds > nearest)
            scores = index.scores(question, places)
            nearest[places] = np.maximum(nearest[places], scores)
            top = float(scores.max(initial=0.0))
            best = max(best, top, index.best(question, max(best, top))[0])
        self._of_training.append(best)
        return best

    @property
    def of_evaluation(self) -> list[float]:
        """For each question of the evaluation, how near training comes to it at best."""
        return [float(score) for nearest in self._nearest for score in nearest]

    @property
    def of_training(self) -> list[float]:
        """For each training question, how near it comes to the evaluation at best."""
        return self._of_training.tolist()

    def to_json(self) -> dict[str, Any]:
        """Both directions as a JSON object; see `leak_figures`."""
        return leak_figures([self])


def summary_of(training: Iterable[str], evaluation: Iterable[str]) -> LeakSummary:
    """The similarities of training questions and questions of the evaluation."""
    summary = LeakSummary(Leaks(evaluation))
    for question in training:
        summary.add(question)
    return summary


def leak_figures(summaries: Sequence[LeakSummary]) -> dict[str, Any]:
    """What summaries say together, for example one for each document.

    Returns:
        ``per_evaluation_question`` and ``per_training_question``, each with ``questions``, the
        ``mean_best`` similarity (None without questions) and how many are ``at_least`` 0.7, 0.9.
    """
    return {
        "per_evaluation_question": _figures([x for one in summaries for x in one.of_evaluation]),
        "per_training_question": _figures([x for one in summaries for x in one.of_training]),
    }


def _figures(best: Sequence[float]) -> dict[str, Any]:
    return {
        "questions": len(best),
        "mean_best": sum(best) / len(best) if best else None,
        "at_least": {str(mark): sum(score >= mark for score in best) for mark in MARKS},
    }


def _layers(questions: Iterable[str]) -> Iterable[_Layer]:
    index = Texts()
    held: list[str] = []
    for question in questions:
        if index.full or len(held) == _LAYER:
            yield _Layer(tuple(held), index)
            index, held = Texts(), []
        index.add(question)
        held.append(question)
    if held:
        yield _Layer(tuple(held), index)
