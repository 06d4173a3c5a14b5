"""What a writer is: something that answers requests with text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from lorepack import files
from lorepack.facts import Fact
from lorepack.facts.passage import Passage


@dataclass(frozen=True)
class Task:
    """What is asked for, apart from its wording: all that a writer without a model goes by.

    Attributes:
        prompt: name of the prompt: ``qa``, ``summary``, ``paraphrase``, …
        n: how many items.
        passage: what they are written from; None where a fact's question is reworded.
        facts: facts that the passage tells, where they are known; or the one that is reworded.
        values: further values that the prompt's wording holds.
    """

    prompt: str
    n: int
    passage: Passage | None = None
    facts: tuple[Fact, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """One question to a writer.

    Attributes:
        system: the system message.
        user: the user's message.
        schema: JSON schema that the reply must satisfy; None for running text.
        max_tokens: most tokens of the reply.
        temperature: 0 for the most likely reply.
        seed: of the draws.
        task: the same, apart from its wording.
    """

    system: str
    user: str
    task: Task
    schema: Mapping[str, Any] | None = None
    max_tokens: int = 1024
    temperature: float = 0.0
    seed: int = 0

    def key(self, identity: str) -> str:
        """The content address of its reply by the writer of that identity."""
        task = {
            "prompt": self.task.prompt,
            "n": self.task.n,
            "passage": self.task.passage and self.task.passage.id,
            "facts": [fact.to_json() for fact in self.task.facts],
            "values": dict(self.task.values),
        }
        asked = {
            "system": self.system,
            "user": self.user,
            "schema": self.schema,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "seed": self.seed,
        }
        return files.hash_of({"writer": identity, "task": task, "asked": asked})


@dataclass(frozen=True)
class Reply:
    """What a writer answered.

    Attributes:
        text: the reply; empty when there is none.
        failed: why there is none, in one line; such a reply is not cached.
        prompt_tokens: tokens read.
        completion_tokens: tokens written.
        cost: in US dollars, where prices are known.
        finished: False when the reply was cut off at ``max_tokens``.
    """

    text: str = ""
    failed: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None
    finished: bool = True


Keep = Callable[[int, Reply], None]
"""called as ``keep(index, reply)`` as each reply comes, in any order, from one thread"""


class Writer(Protocol):
    """Something that writes.

    Attributes:
        identity: what replies depend on besides the request: a model's fingerprint, an address
            and a model's name, a version of rules. Part of the content address of a reply.
        context: most tokens of prompt and reply together; None where it is not known.
    """

    @property
    def identity(self) -> str: ...

    @property
    def context(self) -> int | None: ...

    def write(self, requests: Sequence[Request], keep: Keep) -> None:
        """Answer all requests; every index is kept exactly once, a failed one with its reason.

        Raises:
            LorepackError: no further reply can be had (a wrong key, no such model, nobody
                listening); what was kept before stays.
        """
        ...
