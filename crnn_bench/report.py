"""Stored cells → table files, figures and a page; runs again from what is stored."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from crnn_bench import (
    classes,
    clips,
    commands,
    comparing,
    drawing,
    effect,
    exporting,
    grouping,
    hardest,
    heard,
    learning,
    page,
    provenance,
    published,
    results,
    robustness,
    scatter,
    tables,
)
from crnn_bench.cells import Experiment, Published
from crnn_bench.errors import BenchError
from crnn_bench.grouping import Group
from crnn_bench.material import Material
from crnn_bench.results import Result
from crnn_bench.whole import replacing
from crnn_bench.wording import printable, question

IN_LATEX = {
    "summary": "weighted F1 on test songs, with 95% intervals",
    "scores": "every score on test songs, with 95% intervals",
    "comparisons": "differences of weighted F1 on the same test songs",
    "album_effect": "weighted F1 by song less that by album",
    "per_class": "scores of each label",
}


def begin(out: Path, work: Experiment, cells: Sequence[str], rejected: Mapping[str, str]) -> None:
    """Notes which cells the folder's tables are about, and where they are run.

    Args:
        out: the folder.
        work: the experiment.
        cells: their names.
        rejected: tracks that some cell leaves out, and why.
    """
    content = {"name": work.name, "cells": list(cells), "yaml": work.text, "set": list(work.overrides)}
    where = {**provenance.environment(), "commit": provenance.commit() or "of no checkout"}
    numbers = [asdict(number) for number in work.reproduce]
    more = {"command": commands.beginning(work.path), "environment": where, "rejected": dict(rejected)}
    _write_text(out / "experiment.json", json.dumps({**content, **more, "reproduce": numbers}, indent=1))


def stored(out: Path) -> list[Result]:
    """The finished cells of the folder's experiment, in its order.

    Raises:
        BenchError: no experiment was run there, or none of its cells is finished.
    """
    names = _noted(out)["cells"]
    found = [results.load(out, name) for name in names if results.predictions_path(out, name).is_file()]
    if not found:
        raise BenchError(f"{out}: none of the {len(names)} cells is finished yet; `crnn-bench run` goes on with them")
    return found


def reproduced(out: Path) -> list[Published]:
    """What the folder's experiment sets out to reproduce."""
    return [Published(**number) for number in _noted(out).get("reproduce", [])]


def write(out: Path, with_audio: bool = True) -> list[Path]:
    """Writes tables (as CSV, those that have rows; the chief ones for LaTeX, too), figures, the page and `report.md`.

    Args:
        out: the folder.
        with_audio: whether the page holds clips of the hardest songs.
    """
    cells, noted = stored(out), _noted(out)
    groups = grouping.groups(cells)
    found = _tables(cells, groups) | {"published": published.beside(groups, reproduced(out))}
    listened = clips.of_songs(found["hardest_songs"], cells, with_audio)
    material = Material(out, noted, groups, found, listened, _audited(out))
    sections = page.sections(material)
    facts = {"finished": len(cells), "cells": len(noted["cells"])}
    asked = question(noted["yaml"])
    files = [write_table(table, out / f"{name}.csv") for name, table in found.items() if len(table)]
    printed = found | {"summary": printable(found["summary"])[0]}
    for name, caption in IN_LATEX.items():
        if len(printed[name]):
            text = exporting.latex(printed[name], f"{noted['name']}: {caption}", f"{noted['name']}-{name}")
            files.append(_write_text(out / "tables" / f"{name}.tex", text))
    files += [out / file for file in page.files(sections)]
    files.append(_write_text(out / "report.md", exporting.markdown(noted["name"], asked, sections)))
    return [*files, _write_text(out / "report.html", exporting.page(noted["name"], asked, sections, facts))]


def write_search(cell: Result, path: Path) -> None:
    """Writes the trials of a cell's search: `trial`, each argument, `mean`, `std` of weighted F1, and `fault`."""
    trials = [{**trial, **trial["arguments"]} for trial in cell.record["search"]]
    names = ["trial", *trials[0]["arguments"], "mean", "std", "fault"]
    write_table(pd.DataFrame(trials).reindex(columns=names), path)


def rebuild(out: Path, with_audio: bool = True) -> list[Path]:
    """Draws every figure and writes every table again, from predictions and embeddings."""
    for cell in stored(out):
        drawing.draw_cell(out, cell)
    return write(out, with_audio)


def write_table(table: pd.DataFrame, path: Path) -> Path:
    """Writes a table as CSV, whole or not at all."""
    return _write_text(path, table.to_csv(index=False, lineterminator="\n"))


def _tables(cells: Sequence[Result], groups: Sequence[Group]) -> dict[str, pd.DataFrame]:
    """All tables by the names of their files; those that do not apply are empty."""
    return {
        "results": tables.of_cells(cells),
        "summary": tables.summary(groups),
        "aggregations": tables.aggregations(groups),
        "scores": classes.scores(groups),
        "per_class": classes.table(groups),
        "hardest_songs": hardest.songs(groups),
        "hardest_classes": hardest.labels(groups),
        "seconds_heard": heard.table(groups),
        "clip_lengths": heard.clip_lengths(groups),
        "comparisons": comparing.table(groups),
        "album_effect": effect.table(groups),
        "scatter": scatter.table(groups),
        "robustness": robustness.table(groups),
        "learning": learning.curves(groups),
    }


def _audited(out: Path) -> dict[str, Any]:
    """What the audit found, where there was one."""
    path = out / "audit.json"
    audited: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return audited


def _noted(out: Path) -> dict[str, Any]:
    path = out / "experiment.json"
    if not path.is_file():
        raise BenchError(f"no experiment was run in {out}; give the folder that `crnn-bench run` wrote its report to")
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except ValueError:
        raise BenchError(f"{path} is damaged; the same `crnn-bench run` writes it again") from None
    return content


def _write_text(path: Path, text: str) -> Path:
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")
    return path
