"""Errors speak plainly and fit the built-in classes."""

from __future__ import annotations

import pickle

import pytest

from lorepack import errors
from lorepack.errors import LorepackError, suggest

FITTING = {
    "InputError": ValueError,
    "NotFoundError": FileNotFoundError,
    "WriteError": OSError,
    "MismatchError": ValueError,
    "NumericError": ArithmeticError,
    "NoMemoryError": MemoryError,
}


@pytest.mark.parametrize(("name", "builtin"), FITTING.items())
def test_each_error_is_ours_and_the_fitting_builtin(name: str, builtin: type[Exception]) -> None:
    error = getattr(errors, name)("no such file: x.jsonl")
    assert isinstance(error, LorepackError)
    assert isinstance(error, builtin)
    assert str(error) == "no such file: x.jsonl"


@pytest.mark.parametrize("name", FITTING)
def test_errors_cross_processes(name: str) -> None:
    error = pickle.loads(pickle.dumps(getattr(errors, name)("line 7 is broken")))
    assert str(error) == "line 7 is broken"


def test_every_error_class_is_covered_here() -> None:
    ours = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, LorepackError)
    }
    assert ours == {"LorepackError", *FITTING}


def test_an_error_without_words_is_empty() -> None:
    assert str(errors.NotFoundError()) == ""
    assert str(errors.WriteError()) == ""


def test_suggestions() -> None:
    assert suggest("aliasses", ["answer", "aliases"]) == "; did you mean aliases?"
    assert suggest("xyz", ["b", "a"]) == "; known: a, b"
    assert suggest("xyz", []) == ""
