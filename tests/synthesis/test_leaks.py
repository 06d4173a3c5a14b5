"""The nearest question is found as if all were compared, and both directions are counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorepack.synthesis import leaks as leaks_file
from lorepack.synthesis.alike import Texts
from lorepack.synthesis.leaks import Leaks, LeakSummary, leak_figures, summary_of
from lorepack.synthesis.rouge import rouge_l

QUESTION = st.lists(
    st.sampled_from(["who", "what", "wrote", "the", "play", "Hamlet", "7"]), max_size=9
)
QUESTIONS = st.lists(QUESTION.map(" ".join), max_size=60)


def plain_best(question: str, others: list[str]) -> tuple[float, int]:
    scores = [rouge_l(question, other) for other in others]
    best = max(scores, default=0.0)
    return (best, scores.index(best)) if best > 0 else (0.0, -1)


class TestTexts:
    @given(QUESTIONS, QUESTION.map(" ".join))
    def test_the_best_is_the_plain_maximum_and_the_first_of_several(
        self, others: list[str], question: str
    ) -> None:
        index = Texts()
        for other in others:
            index.add(other)
        assert index.best(question) == plain_best(question, others)

    @given(QUESTIONS, QUESTION.map(" ".join), st.floats(0.05, 1))
    def test_all_that_are_alike_enough(
        self, others: list[str], question: str, least: float
    ) -> None:
        index = Texts()
        for other in others:
            index.add(other)
        scores = [(rouge_l(question, other), place) for place, other in enumerate(others)]
        expected = sorted((s for s in scores if s[0] >= least), key=lambda s: (-s[0], s[1]))
        assert index.alike(question, least) == expected
        best = plain_best(question, others)
        assert index.best(question, least) == (best if best[0] >= least else (0.0, -1))

    @given(QUESTIONS, QUESTION.map(" ".join))
    def test_no_text_is_more_alike_than_its_bound(self, others: list[str], question: str) -> None:
        index = Texts()
        for other in others:
            index.add(other)
        bounds = index.bounds(question)
        assert all(rouge_l(question, o) <= b for o, b in zip(others, bounds, strict=True))

    def test_many_texts_are_mostly_not_compared(self, monkeypatch: pytest.MonkeyPatch) -> None:
        index = Texts()
        for number in range(5_000):
            index.add(f"what did person{number} do in place{number % 70}")
        compared: list[int] = []
        scores = Texts.scores
        monkeypatch.setattr(
            Texts, "scores", lambda s, t, p: compared.append(len(p)) or scores(s, t, p)
        )
        assert index.best("what did person77 do in place7") == (1.0, 77)
        assert sum(compared) < 100


class TestLeaks:
    def test_the_nearest_question_with_its_similarity(self) -> None:
        leaks = Leaks(["Who wrote Hamlet?", "Where is Rome?"])
        score, nearest = leaks.best("Who was it that wrote Hamlet?")
        assert (nearest, score) == ("Who wrote Hamlet?", pytest.approx(2 * 3 / 9))
        assert leaks.best("zebra") == Leaks().best("zebra") == (0.0, "")

    def test_what_is_less_alike_than_the_threshold_is_not_looked_for(self) -> None:
        leaks = Leaks(["Who wrote Hamlet?"], 0.7)
        assert leaks.best("Who was it that wrote Hamlet?") == (0.0, "")
        assert leaks.best("Who wrote Hamlet?") == (1.0, "Who wrote Hamlet?")
        assert leaks.best("Who was it that wrote Hamlet?", 0.0)[1] == "Who wrote Hamlet?"

    @given(QUESTIONS, QUESTIONS, QUESTIONS, QUESTION.map(" ".join))
    def test_more_questions_are_as_good_as_all_at_once(
        self, a: list[str], b: list[str], c: list[str], question: str
    ) -> None:
        first = Leaks(a)
        grown = first.with_more(b).with_more(c)
        assert grown.questions == [*a, *b, *c]
        assert grown.best(question) == Leaks([*a, *b, *c]).best(question)
        assert first.questions == a

    def test_several_indexes_are_as_good_as_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        questions = [f"who made thing {n}" for n in range(50)]
        monkeypatch.setattr(leaks_file, "_LAYER", 7)
        assert Leaks(questions).best("who made thing 48") == (1.0, "who made thing 48")
        assert len(Leaks(questions)) == 50


class TestSummary:
    @given(QUESTIONS, QUESTIONS)
    def test_both_directions_are_the_plain_maxima(
        self, training: list[str], evaluation: list[str]
    ) -> None:
        summary = summary_of(training, evaluation)
        assert summary.of_training == [plain_best(t, evaluation)[0] for t in training]
        assert summary.of_evaluation == [plain_best(e, training)[0] for e in evaluation]

    def test_figures_of_several_documents_count_all_their_questions(self) -> None:
        one = summary_of(["who wrote hamlet"], ["Who wrote Hamlet?", "Where is Rome?"])
        two = LeakSummary(Leaks(["Who ate it?"]))
        assert leak_figures([one, two]) == {
            "per_evaluation_question": {
                "questions": 3,
                "mean_best": pytest.approx(1 / 3),
                "at_least": {"0.7": 1, "0.9": 1},
            },
            "per_training_question": {
                "questions": 1,
                "mean_best": 1.0,
                "at_least": {"0.7": 1, "0.9": 1},
            },
        }
        assert leak_figures([])["per_training_question"]["mean_best"] is None
