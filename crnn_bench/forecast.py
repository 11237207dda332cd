"""What an experiment will take, before it starts: cells, disk, memory and time; and whether there is room for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from crnn_bench.room import Room
from crnn_bench.terminal import say, show

BYTES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


@dataclass(frozen=True)
class CellForecast:
    """What one cell will take.

    Attributes:
        title: the cell in words.
        done: whether it is finished.
        most_seconds: if it trains for all epochs; `None` where no trial could tell.
        likely_seconds: if it stops as finished cells of its kind did; `None` where there are none.
        memory: bytes of its process; `None` where it is not known before the first cell.
        results: bytes that it leaves.
    """

    title: str
    done: bool
    most_seconds: float | None = None
    likely_seconds: float | None = None
    memory: int | None = None
    results: int = 0


@dataclass(frozen=True)
class FeaturesForecast:
    """What extraction of one dataset will take.

    Attributes:
        what: the dataset and its features.
        tracks: of which something is missing.
        size: bytes to be written; `None` where only the data tell.
        seconds: on all cores; `None` where no track could be tried.
    """

    what: str
    tracks: int
    size: int | None
    seconds: float | None


@dataclass(frozen=True)
class Forecast:
    """What an experiment will take, and what there is.

    Attributes:
        cells, features: one each; features of datasets of which something is missing.
        workers: cells at a time.
        room: of the machine.
        store, out: folders of features and of results.
    """

    cells: tuple[CellForecast, ...]
    features: tuple[FeaturesForecast, ...]
    workers: int
    room: Room
    store: Path
    out: Path

    @property
    def todo(self) -> list[CellForecast]:
        """Cells that are not finished."""
        return [cell for cell in self.cells if not cell.done]

    @property
    def features_bytes(self) -> int:
        """That extraction will write, as far as it is known."""
        return sum(some.size or 0 for some in self.features)

    @property
    def results_bytes(self) -> int:
        """That the cells to do will leave."""
        return sum(cell.results for cell in self.todo)

    @property
    def memory(self) -> list[int]:
        """Of the largest cells that may run at a time, each; empty where none is known."""
        return sorted((cell.memory for cell in self.todo if cell.memory), reverse=True)[: self.workers]

    @property
    def faults(self) -> list[str]:
        """Why it cannot fit, a line each."""
        room, found = self.room, []
        if self.features_bytes > room.for_features:
            left = (
                f"features need {in_bytes(self.features_bytes)} in {self.store}, {in_bytes(room.for_features)} are free"
            )
            found.append(f"{left}: free space or set CRNN_BENCH_CACHE")
        of_both = self.features_bytes * room.one_disk
        if not found and self.results_bytes > room.for_results - of_both:
            left = f"results need {in_bytes(self.results_bytes)} in {self.out}"
            besides = f" besides {in_bytes(of_both)} of features" if of_both else ""
            found.append(f"{left}{besides}, {in_bytes(room.for_results)} are free: free space or give another --out")
        if self.memory and self.memory[0] > room.memory:
            left = f"a cell needs {in_bytes(self.memory[0])} of memory, {in_bytes(room.memory)} are available"
            found.append(f"{left}: give a smaller batch_size or shorter clip_seconds")
        elif sum(self.memory) > room.memory:
            left = f"{len(self.memory)} cells at a time need {in_bytes(sum(self.memory))} of memory"
            found.append(f"{left}, {in_bytes(room.memory)} are available: take fewer workers")
        return found


def tell(forecast: Forecast) -> None:
    """Prints the cells, and what they and their features will take."""
    rows = [
        {
            "cell": cell.title,
            "state": "done" if cell.done else "to do",
            "like those done": in_time(cell.likely_seconds),
            "at most": in_time(cell.most_seconds),
            "memory": "" if cell.memory is None else in_bytes(cell.memory),
        }
        for cell in forecast.cells
    ]
    table = Table()
    for name in rows[0]:
        if any(row[name] for row in rows):
            table.add_column(name, justify="left" if name in ("cell", "state") else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(row[str(column.header)] for column in table.columns))
    show(table)
    for line in _lines(forecast):
        say(line)


def _lines(forecast: Forecast) -> list[str]:
    room, todo = forecast.room, forecast.todo
    lines = [f"{len(todo)} of {len(forecast.cells)} cells to do: {_time(todo)}"] if todo else ["all cells are done"]
    for some in forecast.features:
        size = in_bytes(some.size) if some.size is not None else "a size that only the data tell"
        seconds = in_time(some.seconds) or "a time that is not known"
        lines.append(f"{some.what} of {some.tracks} tracks to extract: {size}, {seconds} on {room.cores} cores")
    lines.append(
        f"features: {in_bytes(forecast.features_bytes)} in {forecast.store}, {in_bytes(room.for_features)} free"
    )
    lines.append(f"results: {in_bytes(forecast.results_bytes)} in {forecast.out}, {in_bytes(room.for_results)} free")
    if forecast.memory:
        largest = f"{in_bytes(forecast.memory[0])} for the largest cell"
        several = f", {in_bytes(sum(forecast.memory))} for {len(forecast.memory)} at a time"
        several = several * (len(forecast.memory) > 1)
        lines.append(f"memory: {largest}{several}; {in_bytes(room.memory)} available")
    return lines


def _time(todo: Sequence[CellForecast]) -> str:
    """Of all cells to do, one after another."""
    likely, most = ([getattr(cell, name) for cell in todo] for name in ("likely_seconds", "most_seconds"))
    if None not in likely:
        told = f"{in_time(sum(likely))} if they stop as the finished ones did"
        return told + (f", {in_time(sum(most))} at most" if None not in most else "")
    known = [seconds for seconds in most if seconds is not None]
    unknown = f"{len(most) - len(known)} of them take a time that is not known before the first one"
    if not known:
        return unknown
    return f"{in_time(sum(known))} at most, one after another" + (f"; {unknown}" if len(known) < len(most) else "")


def in_bytes(number: float) -> str:
    """`840 B`, `395 kB`, `11.2 GB`."""
    for size, unit in BYTES:
        if number >= 0.9995 * size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f} B"


def in_time(seconds: float | None) -> str:
    """`8.3 s`, `1 min 05 s`, `12 min`, `2 h 05 min`, `3.1 days`; nothing where it is not known."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    if seconds < 600:
        return f"{round(seconds) // 60} min {round(seconds) % 60:02} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes < 2 * 24 * 60 else f"{seconds / 86400:.1f} days"
