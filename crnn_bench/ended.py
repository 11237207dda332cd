"""A note of what was said when all cells were finished, so that the next `run` need not ask or compute it again."""

import json
import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table

from crnn_bench import feature_store, plans
from crnn_bench.cells import Experiment
from crnn_bench.engines.local import Local
from crnn_bench.plugins import digest
from crnn_bench.preparing import Prepared, is_prepared, listings, prepare
from crnn_bench.results import predictions_path
from crnn_bench.terminal import say, show, shown, table_of
from crnn_bench.whole import replacing

MOST_LINES = 24  # about finished cells
SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Answer:
    """The tables at the end of a run.

    Attributes:
        summary: of all groups of cells.
        shared: what all its rows have in common, in words.
        published: numbers of others beside ours, if there are any.
    """

    summary: Table
    shared: str
    published: Table | None

    def tell(self, out: Path, uri: str, cost: str) -> None:
        """Prints them, and where everything is."""
        say("Weighted F1 on test songs, mean [95% interval] over seeds:")
        show(self.summary)
        say(self.shared)
        if self.published:
            say("Published numbers of this dataset and protocol beside ours (mean over seeds):")
            show(self.published)
        say(cost)
        say(f"report: {out / 'report.html'}")
        say(f"MLflow: {shown(uri)}" + (f" (crnn-bench ui {out})" if uri == store_uri(out) else ""))


def tell(work: Experiment, out: Path, uri: str | None) -> bool:
    """Says what `runner.run` would say of a folder whose cells are all finished, if its note shows that it is one.

    The note holds for these cells, whose names tell their identities, of this YAML and tracking store, as long as their
    predictions are there and older than it.

    Args:
        work: the experiment.
        out: the results' folder.
        uri: of the tracking store, as `runner.run` takes it.

    Returns:
        Whether it said so; otherwise the folder needs a run, and nothing was said.
    """
    started, uri = time.perf_counter(), uri_of(out, uri)
    noted = _noted(out, work, uri)
    listed, root = listings(work) if noted else {}, feature_store.default_root()
    if not noted or not is_prepared(work, listed, root):
        return False
    planned = plans.of_cells(work.cells, Prepared(listed, {}, root))
    headings: dict[str, str] = dict(noted["headings"])
    names = [one.name for one in planned]
    if names != list(headings) or not is_current(out, work, names) or not _follows(_path(out), out, names):
        return False
    prepare(work, listed, Local())
    plans.tell_left_out(planned)
    tell_finished(out, headings, ())
    published = noted["published"] and _table(noted["published"])
    answer = Answer(_table(noted["summary"]), noted["shared"], published)
    answer.tell(out, uri, f"{len(names)} cells in {time.perf_counter() - started:.0f} s")
    return True


def note(out: Path, work: Experiment, uri: str, headings: Mapping[str, str], answer: Answer) -> None:
    """Notes that all cells are finished.

    Args:
        out: the results' folder.
        work: the experiment.
        uri: of the tracking store, which may hold a password, and of which a hash is kept.
        headings: by the name of each cell its number and title.
        answer: what was said in the end.
    """
    published = answer.published and _content(answer.published)
    told = {"summary": _content(answer.summary), "shared": answer.shared, "published": published}
    with replacing(_path(out)) as part:
        part.write_text(json.dumps({"of": _of(work, uri), "headings": [*headings.items()], **told}), encoding="utf-8")


def is_current(out: Path, work: Experiment, cells: Sequence[str]) -> bool:
    """Whether the folder's page is of these cells of this experiment, all of them finished before it was written.

    It is not where the audit found leaks: every run warns of them anew.
    """
    asked = {"name": work.name, "cells": list(cells), "yaml": work.text, "set": list(work.overrides)}
    noted, leaks = _json(out / "experiment.json"), _json(out / "audit.json").get("verdict", "").startswith("leaks")
    return not leaks and asked.items() <= noted.items() and _follows(out / "report.html", out, cells)


def tell_finished(out: Path, headings: Mapping[str, str], left: Collection[str]) -> None:
    """Says which cells will not be run.

    Args:
        out: the results' folder.
        headings: by the name of each cell its number and title.
        left: names of those that will.
    """
    others = {path.stem for path in (out / "predictions").glob("*.parquet")} - set(headings)
    if others:
        say(f"{len(others)} finished cells in {out} are not of this grid: kept, but not in its tables (see --out)")
    lines = [f"{heading}: finished before" for name, heading in headings.items() if name not in left]
    for line in lines if len(lines) <= MOST_LINES else [f"{len(lines)} of {len(headings)} cells: finished before"]:
        say(line)


def uri_of(out: Path, uri: str | None) -> str:
    """The tracking store of a run: the one given, `MLFLOW_TRACKING_URI`, or SQLite in the results folder."""
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or store_uri(out)


def store_uri(out: Path) -> str:
    """The SQLite store in a results folder."""
    return f"{SQLITE}{(out / 'mlflow.db').resolve()}"


def _path(out: Path) -> Path:
    return out / "ended.json"


def _noted(out: Path, work: Experiment, uri: str) -> dict[str, Any]:
    """The note, if it is of this experiment and store, and the store is not known to be gone."""
    noted = _json(_path(out))
    gone = uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).is_file()
    return {} if gone or noted.get("of") != _of(work, uri) else noted


def _of(work: Experiment, uri: str) -> list[Any]:
    return [work.name, work.text, list(work.overrides), digest(uri)]


def _follows(path: Path, out: Path, cells: Sequence[str]) -> bool:
    """Whether a file was written when all cells were finished."""
    there = [predictions_path(out, name) for name in cells]
    if not all(file.is_file() for file in (path, *there)):
        return False
    return path.stat().st_mtime_ns >= max(file.stat().st_mtime_ns for file in there)


def _json(path: Path) -> dict[str, Any]:
    """What a file of ours holds; nothing where there is none, or it is damaged."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return content


def _content(table: Table) -> dict[str, Any]:
    """A table as plain data."""
    columns = {str(column.header): list(column.cells) for column in table.columns}
    numbers = [str(column.header) for column in table.columns if column.no_wrap]
    return {"columns": columns, "numbers": numbers, "caption": table.caption}


def _table(content: Mapping[str, Any]) -> Table:
    return table_of(pd.DataFrame(content["columns"]), content["numbers"], content["caption"])
