"""Training on features that memory holds, beside features on a disk whose pages it may not keep."""

from collections.abc import Iterator

from rich.console import Console

from tests import bench_residency
from tests.bench.measuring import Machine, Row


def rows(console: Console, _: Machine) -> Iterator[Row]:
    """With a training step between batches, and with batches alone."""
    console.print(
        "residency: a store of 768 MiB, of which the page cache may hold a fifth; plain way and bound: in memory"
    )
    for step, (memory, disk) in bench_residency.rates().items():
        wanted = 0.95 if step == "CRNN" else None
        yield Row(f"residency disk, {step}", "slices/s", memory, disk, wanted, memory)
