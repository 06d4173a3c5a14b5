"""Prompts: files with the wordings that are sent to a writer; a folder of others overrides them.

A file holds ``version`` (a number, raised with every change), ``shape`` (what the reply looks like,
a name of `replies.SHAPES`), and the templates ``system`` and ``user`` (Jinja). Placeholders are the
values of the request: ``n``, ``text`` and ``title`` always, and what the form adds.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import jinja2.meta
import jinja2.sandbox
import yaml
from pydantic import BaseModel

from lorepack.errors import InputError, NotFoundError, suggest
from lorepack.facts import Fact
from lorepack.synthesis.forms.form import Ask
from lorepack.synthesis.replies import SHAPES, schema_of
from lorepack.synthesis.writers.writer import Request, Task

SHIPPED = Path(__file__).with_name("prompts")
_KEYS = ("version", "shape", "system", "user")
_AGAIN = "retry"

# Templates may come from anywhere; the sandbox keeps them from reaching into Python.
_JINJA = jinja2.sandbox.SandboxedEnvironment(
    undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
)
_JINJA.filters["lines"] = lambda texts: "\n".join(f"- {' '.join(text.split())}" for text in texts)


@functools.lru_cache(maxsize=256)
def _compiled(template: str) -> jinja2.Template:
    return _JINJA.from_string(template)


@dataclasses.dataclass(frozen=True)
class Prompt:
    """One prompt file."""

    path: Path
    version: int
    shape: str
    system: str
    user: str
    hash: str
    """of the file's bytes"""

    def worded(self, part: str, values: Mapping[str, Any]) -> str:
        """``system`` or ``user`` with its placeholders filled.

        Raises:
            InputError: a placeholder has no value, or the template fails.
        """
        template = getattr(self, part)
        try:
            return _compiled(template).render(values).strip()
        except jinja2.UndefinedError as error:
            asked = jinja2.meta.find_undeclared_variables(_JINJA.parse(template))
            missing = sorted(asked - values.keys())
            what = f"no value for '{missing[0]}'" if missing else str(error)
            near = suggest(missing[0], values) if missing else ""
            raise InputError(f"{self.path}: {part}: {what}{near}") from None
        except (jinja2.TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise InputError(f"{self.path}: {part}: {_one_line(error)}") from None


class Prompts:
    """The prompts of a run.

    Args:
        folder: files of the same names as the shipped ones, which take their place.

    Raises:
        NotFoundError: there is no such folder.
        InputError: a file in it is called as no prompt, or is not one.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        self._prompts = {path.stem: _read(path) for path in sorted(SHIPPED.glob("*.yaml"))}
        if folder is not None:
            self._override(Path(folder))

    def _override(self, folder: Path) -> None:
        if not folder.is_dir():
            raise NotFoundError(f"no such folder of prompts: {folder}")
        found = [path for path in sorted(folder.iterdir()) if path.suffix in (".yaml", ".yml")]
        if not found:
            raise InputError(f"{folder}: no prompts; expected files such as qa.yaml")
        for path in found:
            shipped = self._prompts.get(path.stem)
            if shipped is None:
                near = suggest(path.stem, self._prompts)
                raise InputError(f"{path}: no prompt is called {path.stem!r}{near}")
            own = _read(path)
            if own.shape != shipped.shape:
                raise InputError(
                    f"{path}: shape: got {own.shape!r}, expected {shipped.shape!r} as shipped"
                )
            self._prompts[path.stem] = own

    @property
    def names(self) -> tuple[str, ...]:
        """All prompts, sorted."""
        return tuple(sorted(self._prompts))

    @property
    def hashes(self) -> dict[str, str]:
        """The SHA-256 of each prompt file, by name."""
        return {name: self._prompts[name].hash for name in self.names}

    @property
    def versions(self) -> dict[str, int]:
        """The version of each prompt file, by name."""
        return {name: self._prompts[name].version for name in self.names}

    def prompt(self, name: str) -> Prompt:
        """A prompt by name.

        Raises:
            InputError: there is none of that name.
        """
        if name not in self._prompts:
            raise InputError(f"no prompt {name!r}{suggest(name, self._prompts)}")
        return self._prompts[name]

    def shape(self, name: str) -> type[BaseModel] | None:
        """What the reply to a prompt looks like; None is running text."""
        return SHAPES[self.prompt(name).shape]

    def request(
        self, ask: Ask, facts: Sequence[Fact], *, temperature: float, seed: int, max_tokens: int
    ) -> Request:
        """An ask of a form, worded.

        Args:
            ask: what is asked.
            facts: those that its passage tells, where they are known.
            temperature: of the draws.
            seed: of the draws.
            max_tokens: most tokens of the reply.

        Raises:
            InputError: a placeholder of the prompt has no value.
        """
        task = Task(ask.prompt, ask.n, ask.passage, tuple(facts), ask.values)
        return self.of_task(task, temperature=temperature, seed=seed, max_tokens=max_tokens)

    def of_task(self, task: Task, *, temperature: float, seed: int, max_tokens: int) -> Request:
        """A task, worded: for what is asked without a form, as wordings of a fact's question.

        The first fact's ``question``, ``answer`` and wordings (``earlier``) fill placeholders of
        these names where there is no passage.
        """
        prompt, shape = self.prompt(task.prompt), self.shape(task.prompt)
        values = {"n": task.n, **_of_subject(task), **task.values}
        return Request(
            system=prompt.worded("system", values),
            user=prompt.worded("user", values),
            task=task,
            schema=None if shape is None else schema_of(shape),
            max_tokens=max_tokens,
            temperature=temperature,
            seed=seed,
        )

    def again(self, request: Request, problem: str) -> Request:
        """The request once more, with what was wrong with the reply told, and another seed."""
        told = self.prompt(_AGAIN).worded("user", {"n": request.task.n, "problem": problem})
        user = f"{request.user}\n\n{told}"
        return dataclasses.replace(request, user=user, seed=request.seed + 1)


def _of_subject(task: Task) -> dict[str, Any]:
    if task.passage is not None:
        return {"text": task.passage.text, "title": task.passage.title or ""}
    if not task.facts:
        return {}
    fact = task.facts[0]
    return {"question": fact.question, "answer": fact.answer, "earlier": list(fact.paraphrases)}


def _read(path: Path) -> Prompt:
    """A prompt file, its templates parsed once so that a slip is told before anything is asked."""
    try:
        data = path.read_bytes()
        given = yaml.safe_load(data.decode("utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid YAML ({_one_line(error)})") from None
    if not isinstance(given, dict):
        raise InputError(f"{path}: expected the keys {', '.join(_KEYS)}")
    for key in given:
        if key not in _KEYS:
            raise InputError(f"{path}: no key {key!r} in a prompt{suggest(str(key), _KEYS)}")
    for key in _KEYS:
        if key not in given:
            raise InputError(f"{path}: no {key!r}; expected the keys {', '.join(_KEYS)}")
    version, shape = given["version"], given["shape"]
    if not isinstance(version, int) or isinstance(version, bool):
        raise InputError(f"{path}: version: got {version!r}, expected a whole number")
    if not isinstance(shape, str) or shape not in SHAPES:
        raise InputError(f"{path}: no shape {shape!r}{suggest(str(shape), SHAPES)}")
    for part in ("system", "user"):
        _parse(path, part, given[part])
    return Prompt(
        path,
        version,
        shape,
        given["system"],
        given["user"],
        hashlib.sha256(data).hexdigest(),
    )


def _parse(path: Path, part: str, template: Any) -> None:
    if not isinstance(template, str):
        raise InputError(f"{path}: {part}: got {template!r}, expected text")
    try:
        _JINJA.parse(template)
    except jinja2.TemplateSyntaxError as error:
        raise InputError(f"{path}: {part}: line {error.lineno}: {_one_line(error)}") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
