"""Texts that are kept outside the memory until a row asks for them."""

from __future__ import annotations

import json
import tempfile
from typing import IO, Any


class Stored:
    """Values by id, in a temporary file: the memory holds only where they are."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the block
        self._places: dict[str, tuple[int, int]] = {}

    def __enter__(self) -> Stored:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def put(self, name: str, value: Any) -> None:
        """Keep a JSON value; the first one of a name stays."""
        if name in self._places:
            return
        data = json.dumps(value).encode()
        self._file.seek(0, 2)
        self._places[name] = (self._file.tell(), len(data))
        self._file.write(data)

    def get(self, name: object) -> Any:
        """The value of a name; None where there is none."""
        place = self._places.get(name) if isinstance(name, str) else None
        if place is None:
            return None
        self._file.seek(place[0])
        return json.loads(self._file.read(place[1]))
