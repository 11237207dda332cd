"""What every phase of the benchmark measures with, and what it tells."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

ROUNDS = 3
SIDE = 2048  # of the square matrices
COPIED_FLOATS = 2**26  # 256 MiB, more than any cache holds


@dataclass(frozen=True)
class Row:
    """A phase's rate beside the plain way's, measured in turns, and beside the most that the machine could give.

    Attributes:
        what: the phase.
        unit: of all rates.
        plain, ours: rates; `None` where there is no plain way.
        wanted: least ratio of ours to the plain way's; `None` where none is asked.
        bound: the roofline, in the same unit; `None` where there is none that means anything.
    """

    what: str
    unit: str
    plain: float | None
    ours: float
    wanted: float | None = None
    bound: float | None = None

    @property
    def cells(self) -> tuple[str, ...]:
        """What the table shows."""
        ratio = f"{self.ours / self.plain:.3g}" if self.plain else "–"
        wanted = f"≥ {self.wanted:g}" if self.wanted else ""
        bound = (_rate(self.bound), f"{100 * self.ours / self.bound:.0f}%") if self.bound else ("–", "–")
        return self.what, self.unit, _rate(self.plain), _rate(self.ours), ratio, wanted, *bound


@dataclass(frozen=True)
class Machine:
    """Rooflines of this machine, with all its threads.

    Attributes:
        fp32, bf16: floating-point operations a second of a matrix product.
        copying: bytes a second, those that are read and those that are written.
    """

    fp32: float
    bf16: float
    copying: float

    @property
    def words(self) -> str:
        """For the head of the table."""
        return (
            f"this machine: matrix products {self.fp32 / 1e9:.0f} GFLOP/s in fp32 and {self.bf16 / 1e9:.0f} in bf16, "
            f"copies {self.copying / 1e9:.1f} GB/s, {torch.get_num_threads()} threads"
        )


def machine() -> Machine:
    """Measures the rooflines: the best of some rounds."""

    def product(dtype: torch.dtype) -> float:
        a, b = torch.randn(SIDE, SIDE).to(dtype), torch.randn(SIDE, SIDE).to(dtype)
        return max(timed(lambda: a @ b, 2 * SIDE**3) for _ in range(2 * ROUNDS))

    source, target = torch.ones(COPIED_FLOATS), torch.zeros(COPIED_FLOATS)
    copying = max(timed(lambda: target.copy_(source), 8 * COPIED_FLOATS) for _ in range(2 * ROUNDS))
    return Machine(product(torch.float32), product(torch.bfloat16), copying)


def in_turns(*functions: Callable[[], float], rounds: int = ROUNDS) -> list[float]:
    """The median rate of each, measured a, b, a, b … so that a drifting machine treats them alike."""
    rates = [[function() for function in functions] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*rates, strict=True)]


def timed(function: Callable[[], object], amount: float) -> float:
    """Amount a second."""
    started = time.perf_counter()
    function()
    return amount / (time.perf_counter() - started)


def _rate(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 99.5 else f"{np.format_float_positional(value, 3, fractional=False, trim='-')}"
