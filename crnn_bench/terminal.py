"""What the commands print: lines, tables, progress."""

import math
import os
import re
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    import pandas as pd

WIDEST = 30  # letters of a column of words in the terminal; it goes on in the next line

Item = TypeVar("Item")

console = Console(highlight=False, markup=False)  # a name like [b] is a name


def be_quiet() -> None:
    """Keeps third parties' remarks out of the output; faults of ours still show."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")  # in a name; a box stands for it
    warnings.filterwarnings("ignore", module=r"(mlflow|torch|pytorch_lightning|lightning_fabric)\b")


def say(text: str) -> None:
    """Prints a line as it is, and bytes of names that are no text as `\\xe9`."""
    console.print(text.encode(errors="backslashreplace").decode(), soft_wrap=True)


def shown(uri: str) -> str:
    """A store's address as it may be printed: without the name and password that it may hold."""
    return re.sub(r"(?<=//)[^/@]*@", "", uri)


def show(table: Table) -> None:
    """Prints a table as wide as it is: no number is ever cut short."""
    natural = console.measure(table, options=console.options.update(max_width=1000)).maximum
    Console(highlight=False, markup=False, width=max(console.width, natural)).print(table)


def without_shared(texts: "pd.DataFrame", numbers: Sequence[str], kept: Sequence[str] = ()) -> tuple[Table, str]:
    """A table without the columns of words that say the same in every row, and what they say."""
    shared = [name for name in texts if len(set(texts[name])) == 1 and name not in (*numbers, *kept)]
    words = ", ".join(f"{name.replace('_', ' ')} {texts[name].iloc[0]}" for name in shared if texts[name].iloc[0])
    return table_of(texts.drop(columns=shared), numbers), words


def table_of(texts: "pd.DataFrame", numbers: Sequence[str], caption: str | None = None) -> Table:
    """Numbers stand on the right and are never cut or broken; long words go on in the next line."""
    table = Table(caption=caption, caption_justify="left")
    for heading in texts:
        if heading in numbers:
            table.add_column(heading, justify="right", no_wrap=True)
        else:
            table.add_column(heading, max_width=WIDEST, overflow="fold")
    for row in texts.itertuples(index=False):
        table.add_row(*row)
    return table


def rounded(value: Any) -> str:
    """A score to three digits, anything else as it is; a dash for what there is none of."""
    if isinstance(value, float):
        return "–" if math.isnan(value) else f"{value:.3f}"
    return str(value)


def counted(title: str, items: Sequence[Item]) -> Iterator[Item]:
    """Gives items one by one; if there are several, and stderr is a terminal, that shows how many are done and left."""
    if len(items) < 2 or not sys.stderr.isatty():
        yield from items
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    shared = sys.stdout.isatty()  # then lines go above the bar; else stdout is a pipe's, and stays what it is
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=shared) as progress:
        yield from progress.track(items)


def follow(title: str, total: int, steps: Iterable[tuple[int, float, dict[str, str]]]) -> tuple[float, dict[str, str]]:
    """Shows extraction's progress, rate and what is left; returns its seconds and what could not be opened."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

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
