"""Writers: a model on this machine, a model behind an address, or rules."""

from __future__ import annotations

from lorepack.errors import InputError
from lorepack.synthesis.writers.writer import Keep, Reply, Request, Task, Writer

__all__ = ["Keep", "Reply", "Request", "Task", "Writer", "writer_named"]

RULES = "rules"


def writer_named(
    name: str,
    *,
    endpoint: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    concurrency: int = 16,
    timeout: float = 120.0,
    prices: tuple[float, float] | None = None,
) -> Writer:
    """A writer by its name.

    Args:
        name: ``rules``; a model's name, folder or hub id; or, with an endpoint, what the server
            calls its model.
        endpoint: address of an OpenAI-compatible server. Its key comes from the environment.
        device: of a local model.
        dtype: of a local model.
        concurrency: most requests to a server at once.
        timeout: seconds for one attempt at a request to a server.
        prices: US dollars for a million tokens read and written by a server.

    Raises:
        InputError: a value that cannot be used.
        NotFoundError: no such model.
    """
    if endpoint is not None:
        from lorepack.synthesis.writers.endpoint import Endpoint

        return Endpoint(endpoint, name, concurrency=concurrency, timeout=timeout, prices=prices)
    if prices is not None:
        raise InputError("prices: only a server's tokens have prices; give an endpoint too")
    if name == RULES:
        from lorepack.synthesis.writers.rules import RuleWriter

        return RuleWriter()
    from lorepack.llm import load
    from lorepack.synthesis.writers.local import LocalWriter

    return LocalWriter(load(name, device=device, dtype=dtype))
