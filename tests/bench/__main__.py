"""Speed as ratios, each pair measured in turns within one run: `make bench`.

Every row compares what the package does with the plain way to do the same, and with the most that this machine could
give, as far as that means anything.
"""

import importlib
import pkgutil
import sys

HEADINGS = ("what", "unit", "plain way", "ours", "ratio", "wanted", "bound", "of it")


def main(*wanted: str) -> None:
    """Prints the table; of some phases alone where they are named.

    Args:
        wanted: names of files of this folder that have `rows`.
    """
    from rich.console import Console  # here, since every process of an engine imports this file
    from rich.table import Table

    from tests import bench
    from tests.bench.measuring import machine

    console = Console(highlight=False, soft_wrap=True)
    table = Table()
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading in ("what", "unit") else "right", no_wrap=True)
    here = machine()
    console.print(here.words)
    for name in wanted or [found.name for found in pkgutil.iter_modules(bench.__path__)]:
        phase = importlib.import_module(f"tests.bench.{name}")
        for row in phase.rows(console, here) if hasattr(phase, "rows") else ():
            table.add_row(*row.cells)
    console.print("medians of rounds in turns:")
    Console(highlight=False, width=max(console.width, 120)).print(table)


if __name__ == "__main__":
    main(*sys.argv[1:])
