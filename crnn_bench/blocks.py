"""What a report is made of: sections of tables, pictures, maps, clips and commands, whatever they are written to."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd


@dataclass(frozen=True)
class Table:
    """Numbers and words.

    Attributes:
        frame: its cells as they are read.
        caption: what it shows.
        folded: whether it opens on demand.
    """

    frame: pd.DataFrame
    caption: str
    folded: bool = False
    kind: ClassVar[str] = "table"

    @property
    def markdown(self) -> str:
        """As GitHub reads it."""
        lines = [list(self.frame.columns), ["---"] * self.frame.shape[1], *self.frame.to_numpy().tolist()]
        rows = ["| " + " | ".join(escaped(str(value)) for value in line) + " |" for line in lines]
        return "\n".join([f"{escaped(self.caption)}\n", *rows])


@dataclass(frozen=True)
class Picture:
    """A figure.

    Attributes:
        content: a data URI, or `<svg …>`.
        alternative: what it shows, for those who cannot see it.
        file: where it lies, below the results folder.
        folded: a heading under which it opens on demand, if any.
    """

    content: str
    alternative: str
    file: str
    folded: str = ""
    kind: ClassVar[str] = "picture"

    @property
    def is_drawing(self) -> bool:
        """Whether it is an SVG, and stands in the page as it is."""
        return self.content.startswith("<svg")

    @property
    def markdown(self) -> str:
        """A link to the file."""
        return f"![{escaped(self.alternative)}]({self.file})"


@dataclass(frozen=True)
class Point:
    """A song on a map: where (0 to 1, from the upper left), its colour and outline, whether it is tested, its name."""

    x: float
    y: float
    colour: str
    outline: str
    tested: bool
    name: str


@dataclass(frozen=True)
class Map:
    """Songs as points in a plane, each of which tells its name.

    Attributes:
        heading: what plane it is.
        alternative: the same for those who cannot see it.
        points: train and validation first, test last and on top.
        legend: label, colour and outline.
    """

    heading: str
    alternative: str
    points: tuple[Point, ...]
    legend: tuple[tuple[str, str, str], ...]
    kind: ClassVar[str] = "map"

    @property
    def markdown(self) -> str:
        """Nothing: names under a pointer need the page."""
        return ""


@dataclass(frozen=True)
class Clip:
    """A song to be listened to.

    Attributes:
        title: of the song.
        facts: lines about it.
        sound, picture: data URIs; blank where there is no sound.
        alternative: what the picture shows.
    """

    title: str
    facts: tuple[str, ...]
    sound: str = ""
    picture: str = ""
    alternative: str = ""
    kind: ClassVar[str] = "clip"

    @property
    def markdown(self) -> str:
        """The words alone."""
        return f"- **{escaped(self.title)}**: {escaped('; '.join(self.facts))}"


@dataclass(frozen=True)
class Command:
    """What to type, and what it runs."""

    about: str
    text: str
    kind: ClassVar[str] = "command"

    @property
    def markdown(self) -> str:
        """As code."""
        return f"{escaped(self.about)}\n\n```sh\n{self.text}\n```"


Block = Table | Picture | Map | Clip | Command


@dataclass(frozen=True)
class Section:
    """A heading, sentences, and what they are about; without blocks and sentences it is left out."""

    heading: str
    words: Sequence[str]
    blocks: Sequence[Block] = ()

    @property
    def anchor(self) -> str:
        """Its place in the page."""
        return re.sub(r"\W+", "-", self.heading.lower()).strip("-")

    @property
    def markdown(self) -> str:
        """With all that it holds."""
        return "\n\n".join(
            [f"## {self.heading}", *map(escaped, self.words), *filter(None, (b.markdown for b in self.blocks))]
        )


def escaped(text: str) -> str:
    """A text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>|#$])", r"\\\1", text).replace("\n", " ")


def texts(frame: pd.DataFrame, digits: int = 3) -> pd.DataFrame:
    """A table as it is read: a number and its bounds as one column, columns that say nothing left out, no NaN.

    Args:
        frame: an interval's bounds, `low` and `high` or `…_low` and `…_high`, follow the number that they are about.
        digits: of fractions.
    """
    names = [*frame, "", ""]
    shown = {}
    for place, name in enumerate(frame):
        low, high = names[place + 1 : place + 3]
        if low.endswith("low") and high.endswith("high"):
            rows = frame[[name, low, high]].itertuples(index=False, name=None)
            shown[name.replace("_", " ")] = [with_interval(number, one, other, digits) for number, one, other in rows]
        elif not name.endswith(("low", "high")):
            whole = all(
                float(value).is_integer() for value in frame[name] if isinstance(value, float) and value == value
            )
            shown[name.replace("_", " ")] = [written(value, 0 if whole else digits) for value in frame[name]]
    return pd.DataFrame({name: texts for name, texts in shown.items() if any(texts)})


def with_interval(value: float, low: float, high: float, digits: int = 3) -> str:
    """`0.765 [0.70–0.81]`, `−0.021 [−0.10, 0.06]`; the number alone where there is no interval."""
    if pd.isna(low):
        return written(value, digits)
    between = ", " if low < 0 else "–"
    return f"{written(value, digits)} [{f'{low:.2f}{between}{high:.2f}'.replace('-', '−')}]"


def written(value: Any, digits: int = 3) -> str:
    """A number or a word as it is read; nothing for what is missing."""
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.{digits}f}".replace("-", "−")
    return str(value)
