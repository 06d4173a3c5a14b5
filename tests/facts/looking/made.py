"""Facts and files that the tests of this folder are made of."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

from lorepack.facts import Fact, write

SHARED = Path(__file__).parents[4] / "shared" / "data"


def written(path: Path, facts: list[Fact]) -> Path:
    """A file of facts."""
    write(path, facts)
    return path


def facts(most: int = 30) -> st.SearchStrategy[list[Fact]]:
    """A few facts that often share questions, answers, subjects and ids."""
    few = st.sampled_from
    one = st.builds(
        Fact,
        question=few(["Who?", "who", "Where is it?", "What is the name?", "When?", "Wer?"]),
        answer=few(["Ann", "ann.", "Bo", "Cy", "1912", "漢字"]),
        aliases=st.lists(few(["Ann", "Bo", "Dee"]), max_size=2, unique=True).map(tuple),
        paraphrases=st.lists(few(["Who?", "Tell me.", "When?"]), max_size=2, unique=True).map(
            tuple
        ),
        subject=few([None, "it", "her"]),
        relation=few([None, "name", "place"]),
        popularity=few([0.0, 1.0, 5.0, 80.0]),
        id=few(["", "", "", "7"]),
    )
    return st.lists(one, min_size=1, max_size=most)
