"""How many adapters and tokens fit at once: chosen from measured free memory."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """How the work of the stack is cut."""

    slots: int
    """most adapters in the stack at once"""
    tokens: int
    """most tokens of one forward pass"""
    divide: bool = False
    """whether the rows of one job's step may stand in several passes"""
    needs: int = 0
    """bytes that this is expected to take; 0 where nothing was measured"""
