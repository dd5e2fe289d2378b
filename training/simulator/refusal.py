"""What the simulator says when it cannot do what was asked."""

from __future__ import annotations


class SimulatorError(ValueError):
    """A market that cannot be invented as asked, or a scenario file that breaks rules: one line for each problem."""
