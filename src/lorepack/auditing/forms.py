"""The form of answers, whatever they say: label, case, length, cut off."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from lorepack.auditing.answers import refuses
from lorepack.auditing.stored import Greedy
from lorepack.refusals import Lexicon
from lorepack.text import answer_of

RULE = (
    "most answers changed in one of these: the label 'Answer:' before them; all lower case, all "
    "upper case (from four letters on) or neither; cut off at the longest length; or their mean "
    "number of words changed by a factor of 2 and by 3 words"
)
_FACTOR, _WORDS, _CAPITALS = 2.0, 3.0, 4


@dataclass(frozen=True, slots=True)
class Form:
    """The form of one answer."""

    labelled: bool
    case: str | None
    """``lower``, ``upper`` or ``mixed``; None without letters"""
    cut: bool
    words: int


class Forms:
    """Compares the forms of the answers to one fact, before and after."""

    def __init__(
        self,
        longest: int,
        tokens: Callable[[str], int] | None = None,
        lexicon: Lexicon | None = None,
    ) -> None:
        """Prepare.

        Args:
            longest: ``max_new_tokens`` of the answers.
            tokens: how many tokens a text is; without it nothing counts as cut off.
            lexicon: what counts as a refusal; the shipped one when None.
        """
        self._longest, self._tokens, self._lexicon = longest, tokens, lexicon
        self._form = lru_cache(maxsize=1 << 16)(self._read)

    def changed(self, before: Greedy, after: Greedy) -> bool:
        """Whether the form changed by `RULE`; refusals have none, and no answer none either."""
        if before == after:
            return False
        was, now = self._of(before), self._of(after)
        if not was or not now:
            return False
        words, grown = _mean(form.words for form in was), _mean(form.words for form in now)
        return (
            _most([form.labelled for form in was]) != _most([form.labelled for form in now])
            or _most([form.cut for form in was]) != _most([form.cut for form in now])
            or _differ(_case(was), _case(now))
            or (
                abs(words - grown) >= _WORDS
                and max(words, grown) >= _FACTOR * max(1.0, min(words, grown))
            )
        )

    def _of(self, texts: Greedy) -> list[Form]:
        said = (text for text in texts if text is not None)
        return [self._form(text) for text in said if not refuses(text, self._lexicon)]

    def _read(self, text: str) -> Form:
        answer, first = answer_of(text), (text.strip().splitlines() or [""])[0]
        letters = sum(char.isalpha() for char in answer)
        if not letters:
            case = None
        elif answer == answer.lower():
            case = "lower"
        else:
            case = "upper" if answer == answer.upper() and letters >= _CAPITALS else "mixed"
        return Form(answer != first.strip(), case, self._cut(text), len(answer.split()))

    def _cut(self, text: str) -> bool:
        # A token is a byte at least, so that most texts need not be counted.
        if self._tokens is None or len(text.encode("utf-8", "replace")) < self._longest:
            return False
        return self._tokens(text) >= self._longest


def _most(flags: Sequence[bool]) -> bool:
    return 2 * sum(flags) > len(flags)


def _case(forms: Sequence[Form]) -> str | None:
    """The case of more than half of the answers; None where there is none such."""
    cases = [form.case for form in forms]
    usual = max(set(cases), key=lambda case: (cases.count(case), str(case)))
    return usual if 2 * cases.count(usual) > len(cases) else None


def _differ(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and one != other


def _mean(numbers: Iterable[int]) -> float:
    listed = list(numbers)
    return sum(listed) / len(listed)
