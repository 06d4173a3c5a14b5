"""From the text of a reply to a checked object: finding the JSON, and saying what is wrong."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from lorepack.synthesis.writers.writer import Reply

_THOUGHT = re.compile(
    r"\s*<(think|thinking|thought|reasoning)>(.*?</\1>)?", re.DOTALL | re.IGNORECASE
)
_THOUGHT_END = re.compile(r"</(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_FENCE = re.compile(r"```[^\n`]*\n(.*?)(?:\n[^\S\n]*```|\Z)", re.DOTALL)
_OPENER = re.compile(r"[{\[]")
_TRIES = 64
"""brackets at which JSON is looked for: chatter has few, and nonsense must not cost minutes"""
_CHATTER = 24
"""characters after which a bracket that fails was meant as JSON, and not part of a sentence"""
_FAULTS = 3
"""faults that are told at once"""
_NOTHING: tuple[Any, ...] = ([], {}, {"items": []})
_DECODER = json.JSONDecoder(strict=False)  # line breaks within strings are common, and harmless


class ReplyError(Exception):
    """A reply that cannot be used; its text says why, to the writer and to the user.

    ``nothing`` is said of a proper reply that lists nothing.
    """

    def __init__(self, problem: str, *, nothing: bool = False) -> None:
        super().__init__(problem)
        self.nothing = nothing


def checked(reply: Reply, shape: type[BaseModel] | None) -> Any:
    """What a reply holds.

    Args:
        reply: of a writer, not a failed one.
        shape: what it must look like; None for running text.

    Returns:
        An object of ``shape``, or the text.

    Raises:
        ReplyError: nothing in it, no JSON, JSON that does not fit, or it was cut off.
    """
    said = _aloud(reply.text, reply.finished)
    if not said:
        raise ReplyError("the reply is empty")
    if shape is not None:
        return _structured(said, shape, reply.finished)
    if not reply.finished:
        raise ReplyError("the text is cut off before its end; write less")
    return said


def _aloud(text: str, finished: bool) -> str:
    """A reply without the thoughts before it.

    Raises:
        ReplyError: it thinks and comes to no end.
    """
    place = 0
    while found := _THOUGHT.match(text, place):
        if found[2] is None:
            told = "its thoughts come to no end" if finished else "it is cut off while it thinks"
            raise ReplyError(f"{told}; think less, and write what was asked for")
        place = found.end()
    text = text[place:].strip()
    # Where a model's template opens the thoughts, the reply begins within them.
    if not text.startswith(("{", "[", "```")) and (end := _THOUGHT_END.search(text)):
        return text[end.end() :].strip()
    return text


def _structured(said: str, shape: type[BaseModel], finished: bool) -> Any:
    problem = ReplyError("there is no JSON in it")
    try:
        for value in _values(said):
            try:
                return shape.model_validate(_tidied(value))
            except ValidationError as error:
                told = f"the JSON does not fit: {_explain(error)}"
                problem = ReplyError(told, nothing=value in _NOTHING)
    except ReplyError as error:
        problem = error
    raise problem if finished else ReplyError("it is cut off before its end; write less")


def _values(said: str) -> Iterator[Any]:
    """JSON values, the likeliest first: the whole reply, what is fenced, the longest in brackets.

    Raises:
        ReplyError: the JSON breaks off or is not valid; what stands within it is no reply.
    """
    with contextlib.suppress(ValueError, RecursionError):
        yield _DECODER.decode(said)
        return
    for fence in _FENCE.finditer(said):
        with contextlib.suppress(ValueError, RecursionError):
            yield _DECODER.decode(fence[1].strip())
    yield from _bracketed(said)


def _bracketed(said: str) -> list[Any]:
    """The values that begin at a bracket somewhere in a text, the longest first."""
    found: list[tuple[int, Any]] = []
    problem, place = "", 0
    for _ in range(_TRIES):
        opener = _OPENER.search(said, place)
        if opener is None:
            break
        try:
            value, place = _DECODER.raw_decode(said, opener.start())
            found.append((place - opener.start(), value))
        except json.JSONDecodeError as error:
            if _breaks_off(error):
                raise ReplyError("its JSON breaks off before the end") from None
            problem = f"its JSON is not valid ({error.msg} at character {error.pos})"
            if error.pos - opener.start() > _CHATTER:
                raise ReplyError(problem) from None
            place = opener.end()
        except (ValueError, RecursionError):  # a number of too many digits; nested too deep
            raise ReplyError("its JSON cannot be read") from None
    if problem and not found:
        raise ReplyError(problem)
    return [value for _, value in sorted(found, key=lambda pair: -pair[0])]


def _breaks_off(error: json.JSONDecodeError) -> bool:
    return error.msg.startswith("Unterminated string") or not error.doc[error.pos :].strip()


def _explain(error: ValidationError) -> str:
    """The first faults in one line: where, and what is wrong."""
    faults = error.errors(include_url=False, include_input=False)
    told = [
        f"{'.'.join(map(str, fault['loc'])) or 'it'}: {fault['msg'].removeprefix('Value error, ')}"
        for fault in faults[:_FAULTS]
    ]
    more = len(faults) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more > 0 else "")


def _tidied(value: Any) -> Any:
    """A JSON value whose texts can be written anywhere; escapes may hold what text does not."""
    if isinstance(value, str):
        return tidy(value)
    if isinstance(value, list):
        return [_tidied(held) for held in value]
    if isinstance(value, dict):
        return {tidy(name): _tidied(held) for name, held in value.items()}
    return value


def tidy(text: str) -> str:
    """Text that can be written anywhere: no NUL, no half of a surrogate pair."""
    if "\0" in text:
        text = text.replace("\0", "")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
