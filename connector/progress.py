"""How far a long piece of work is: told to whoever listens, printed only by the command line."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    def start(self, name: str, total: int | None) -> None: ...

    def advance(self, name: str, count: int) -> None: ...

    def finish(self, name: str) -> None: ...


class Silent:
    """Nobody listens."""

    def start(self, name: str, total: int | None) -> None:
        pass

    def advance(self, name: str, count: int) -> None:
        pass

    def finish(self, name: str) -> None:
        pass
