"""What the commands print: lines, tables, progress."""

import time
from collections.abc import Iterable

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

console = Console(highlight=False)


def say(text: str) -> None:
    """Prints a line as it is."""
    console.print(text, soft_wrap=True, markup=False)


def show(table: Table) -> None:
    """Prints a table as wide as it is: no number is ever cut short."""
    natural = console.measure(table, options=console.options.update(max_width=1000)).maximum
    Console(highlight=False, width=max(console.width, natural)).print(table)


def follow(title: str, total: int, steps: Iterable[tuple[int, float, dict[str, str]]]) -> tuple[float, dict[str, str]]:
    """Shows extraction's progress, rate and what is left; returns its seconds and what could not be opened."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=10),
        TextColumn(
            "{task.completed}/{task.total}, {task.fields[rate]:.1f} tracks/s, {task.fields[realtime]:.0f}x real time,"
        ),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    started = time.perf_counter()
    audio_seconds = 0.0
    faults: dict[str, str] = {}
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=total, rate=0.0, realtime=0.0)
        for tracks, seconds, found in steps:
            faults |= found
            audio_seconds += seconds
            elapsed = time.perf_counter() - started
            done = progress.tasks[0].completed + tracks
            progress.update(task, advance=tracks, rate=done / elapsed, realtime=audio_seconds / elapsed)
    return time.perf_counter() - started, faults
