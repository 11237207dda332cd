"""What a report is made from, and how its tables and pictures come to stand in it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crnn_bench import answer, grouping
from crnn_bench.answer import Candidate
from crnn_bench.blocks import Clip, Table, texts
from crnn_bench.grouping import Group
from crnn_bench.results import Result

MOST_OPEN_ROWS = 30  # a longer table opens on demand


@dataclass(frozen=True)
class Material:
    """All that a report is made from.

    Attributes:
        out: the results folder, to whose `figures/` pictures are saved.
        noted: its `experiment.json`.
        groups: of its finished cells.
        tables: by the name of their CSV file; there may be empty ones.
        clips: of the hardest songs, and why some are silent.
        audit: what `audit.json` holds: `findings, labels, near_duplicates`; nothing where there was no audit.
    """

    out: Path
    noted: Mapping[str, Any]
    groups: Sequence[Group]
    tables: Mapping[str, pd.DataFrame]
    clips: tuple[Sequence[Clip], str]
    audit: Mapping[str, Any]

    @cached_property
    def candidates(self) -> list[Candidate]:
        """Every group and how it did."""
        return answer.candidates(self.groups, self.tables["scores"])

    @cached_property
    def ranked(self) -> list[Candidate]:
        """The best by validation first; those without a validation score last."""
        return sorted(self.candidates, key=lambda one: -np.nan_to_num(one.validation, nan=-1))

    @property
    def labels(self) -> list[str]:
        """Of the groups."""
        return grouping.labels(self.groups)

    @property
    def cells(self) -> list[Result]:
        """Of all groups."""
        return [cell for group in self.groups for cell in group.cells]

    @cached_property
    def names(self) -> dict[str, str]:
        """By track id, a test song's title and album."""
        found: dict[str, str] = {}
        for cell in self.cells:
            songs = cell.record.get("songs", {"track_id": [], "title": [], "album": []})
            for track, title, album in zip(songs["track_id"], songs["title"], songs["album"], strict=True):
                found[track] = ", ".join(word for word in (title or track, album) if word)
        return found

    def figure(self, name: str) -> Path:
        """Where a picture lies."""
        return self.out / "figures" / f"{name}.png"

    def table(self, name: str, caption: str, folded: bool | None = None, leave: Sequence[str] = ()) -> list[Table]:
        """A table as it is read; nothing where it is empty.

        Args:
            name: of its CSV file.
            caption: what it shows.
            folded: whether it opens on demand; long ones do without it.
            leave: columns out.
        """
        frame = self.tables.get(name, pd.DataFrame())
        if frame.empty:
            return []
        told = texts(frame.drop(columns=[column for column in leave if column in frame]))
        return [short(told, caption, len(frame) > MOST_OPEN_ROWS if folded is None else folded)]


def short(told: pd.DataFrame, caption: str, folded: bool) -> Table:
    """A table whose columns of words that say the same in every row stand in the caption."""
    shared = [
        name for name in told if len(told) > 1 and len(set(told[name])) == 1 and not _is_number(told[name].iloc[0])
    ]
    words = ", ".join(f"{name} {told[name].iloc[0]}" for name in shared)
    return Table(told.drop(columns=shared), f"{caption} ({words})" if words else caption, folded)


def _is_number(text: str) -> bool:
    return bool(re.match(r"[−\d.]", text))
