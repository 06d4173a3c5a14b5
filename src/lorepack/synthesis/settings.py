"""What a synthesis is asked to do: everything that decides its bytes, and how it is cut."""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from lorepack.errors import InputError, suggest
from lorepack.facts.passage import Passage
from lorepack.synthesis.forms import form_named
from lorepack.synthesis.gates import GateSettings

DEFAULT_FORMS = (("qa", 8), ("summary", 1), ("original", 1))
TAG_FIELDS = ("document", "title", "id", "source", "page", "date", "language")
"""fields of a passage that a tag may name"""


class _Settings(BaseModel):
    """What both kinds of writing have; every fault is one line."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    rounds: int = Field(default=2, ge=0)
    """most times that is asked again for what is missing or not covered"""
    attempts: int = Field(default=3, ge=1)
    """most times that is asked until a reply has a valid format"""
    temperature: float = Field(default=0.7, ge=0, le=2)
    seed: int = Field(default=0, ge=0)
    max_tokens: int = Field(default=4096, ge=1)
    """most tokens of a reply"""
    window: int = Field(default=64, ge=1)
    """conversations at once: decides memory and speed, not the results"""
    limit: int | None = Field(default=None, ge=1)
    """most passages, or facts, to read"""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InputError(f"setting {_explain(error, type(self))}") from None

    def override(self, sets: Mapping[str, str] | Sequence[str]) -> Self:
        """These settings with values given as text, as on a command line.

        Args:
            sets: ``{"seed": "4"}`` or ``["seed=4", "gates.leak=0.6"]``; ``none`` empties an
                optional value.

        Raises:
            InputError: not key=value, an unknown key, a value out of its range.
        """
        values: dict[str, Any] = self.model_dump()
        for key, value in _pairs(sets):
            room, _, inner = key.partition(".")
            given = None if value.lower() in {"none", "null"} else value
            if inner and isinstance(values.get(room), dict):
                values[room][inner] = given
            else:
                values[key] = given
        return type(self)(**values)

    def deciding(self) -> dict[str, Any]:
        """The settings that decide results, as a JSON object."""
        return self.model_dump(mode="json", exclude={"window"})


class SynthesisSettings(_Settings):
    """How items are written from passages.

    Raises:
        InputError: an unknown key (with a suggestion) or a value out of its range.
    """

    forms: tuple[tuple[str, int], ...] = DEFAULT_FORMS
    """name and number of each"""
    tag: str = ""
    """put before questions, such as ``[{document}] ``; fields of the passage in braces"""
    answer_tag: str = ""
    """the same for answers"""
    gates: GateSettings = Field(default_factory=GateSettings)

    @field_validator("forms", mode="before")
    @classmethod
    def _read_forms(cls, value: Any) -> Any:
        given = value.split(",") if isinstance(value, str) else value
        forms = tuple(parse_form(f) if isinstance(f, str) else tuple(f) for f in given)
        if not forms:
            raise ValueError("expected at least one form")
        names = [name for name, *_ in forms]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"form {name} is given twice; give one number for it")
        return forms

    @field_validator("forms")
    @classmethod
    def _check_forms(cls, value: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
        for name, n in value:
            form_named(name)
            if n < 1:
                raise ValueError(f"{name}:{n}: expected a number of at least 1")
        return value

    @field_validator("tag", "answer_tag")
    @classmethod
    def _check_tag(cls, value: str) -> str:
        try:
            named = [name for _, name, *_ in string.Formatter().parse(value) if name is not None]
        except ValueError as error:
            raise ValueError(f"{error}; write a brace that is text as {{{{ or }}}}") from None
        for name in named:
            if name not in TAG_FIELDS:
                raise ValueError(f"a passage has no {name!r}{suggest(name, TAG_FIELDS)}")
        return value


class ParaphraseSettings(_Settings):
    """How further wordings of questions are written.

    Raises:
        InputError: an unknown key (with a suggestion) or a value out of its range.
    """

    max_tokens: int = Field(default=1024, ge=1)
    window: int = Field(default=512, ge=1)
    """facts at once: decides memory and speed, not the results"""


def parse_form(given: str) -> tuple[str, int]:
    """``qa:40`` as ``("qa", 40)``; without a number, the form's own default.

    Raises:
        InputError: no such form, or no number of at least 1.
    """
    name, colon, number = (part.strip() for part in given.partition(":"))
    form = form_named(name)
    if not colon:
        return name, form.default
    if not (number.isascii() and number.isdigit()) or int(number) < 1:
        raise InputError(
            f"form {given!r}: got {number!r} after the colon; expected a number of at least 1, "
            f"such as {name}:{form.default}"
        )
    if name == "original" and int(number) != 1:
        raise InputError(f"form {given!r}: there is one original of each passage; write original")
    return name, int(number)


def tagged(template: str, passage: Passage) -> str:
    """A tag with the fields of a passage filled in.

    Raises:
        InputError: the passage lacks a field that the tag names.
    """
    named = [name for _, name, *_ in string.Formatter().parse(template) if name is not None]
    values = {name: getattr(passage, name) for name in named}
    for name, value in values.items():
        if value is None:
            has = [field for field in TAG_FIELDS if getattr(passage, field) is not None]
            raise InputError(
                f"passage {passage.id} has no {name!r}, which the tag {template!r} names; "
                f"it has: {', '.join(has)}"
            )
    return template.format_map(values)


def _pairs(sets: Mapping[str, str] | Sequence[str]) -> Iterable[tuple[str, str]]:
    if isinstance(sets, Mapping):
        return [(key.strip(), str(value).strip()) for key, value in sets.items()]
    for given in sets:
        if "=" not in given:
            raise InputError(f"--set {given!r}: expected key=value, for example --set seed=1")
    return [(key.strip(), value) for key, value in (given.split("=", 1) for given in sets)]


def _explain(error: ValidationError, kind: type[BaseModel]) -> str:
    """The first fault: key, what was got, what was expected."""
    fault = error.errors()[0]
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        inner = kind.model_fields.get(str(fault["loc"][0]))
        fields = getattr(inner and inner.annotation, "model_fields", kind.model_fields)
        return f"{key!r} is not known{suggest(str(fault['loc'][-1]), fields)}"
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "value_error":
        return f"{key}: {message}"
    return f"{key}={fault['input']!r}: {message}"
