"""Figures → files, and what the page shows of them."""

import base64
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from crnn_bench import evaluation, grouping
from crnn_bench.aggregations.sure_vote import SureVote
from crnn_bench.blocks import Picture
from crnn_bench.plugins import digest
from crnn_bench.results import Result
from crnn_bench.whole import replacing

MOST_LETTERS = 60_000  # of a drawing in the page; a figure of more points stands there as an image


def save(figure: Any, path: Path) -> Path:
    """Writes a figure as PNG, whole or not at all."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from crnn_bench.figures import DOTS_PER_INCH

    dots = figure.dpi
    figure.set_dpi(DOTS_PER_INCH)
    with replacing(path) as part:
        # `savefig` would draw it twice, once for the layout alone
        FigureCanvasAgg(figure).print_png(part)  # type: ignore[no-untyped-call]
    figure.set_dpi(dots)
    return path


def picture(figure: Any, path: Path, alternative: str, folded: str = "") -> Picture:
    """Saves a figure, and shows it: as a drawing whose words can be read and searched, or as an image if it is large.

    Args:
        figure: drawn.
        path: of the PNG, in a folder of the results folder.
        alternative: what it shows, in words and numbers.
        folded: a heading under which it opens on demand, if any.
    """
    save(figure, path)
    figure.set_layout_engine("none")  # it is laid out; once more takes as long as to draw it
    drawing = _svg(figure, alternative)
    content = drawing if len(drawing) <= MOST_LETTERS else _image(path)
    return Picture(content, alternative, f"{path.parent.name}/{path.name}", folded)


def data_uri(content: bytes, kind: str) -> str:
    """Bytes as a page holds them."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _image(path: Path) -> str:
    return data_uri(path.read_bytes(), "image/png")


def _svg(figure: Any, alternative: str) -> str:
    """The figure as `<svg>`, free of what only a file of its own needs, and of names that another figure has, too."""
    import matplotlib
    from markupsafe import escape

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": digest(alternative)}):
        figure.savefig(buffer, format="svg")
    drawn = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", buffer.getvalue(), flags=re.DOTALL)
    drawn = drawn[drawn.index("<svg") :]
    used = set(re.findall(r"(?:#)([\w.-]+)", drawn))
    drawn = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", drawn)
    width, height = (72 * inches for inches in figure.get_size_inches())
    size = f'width="{width:g}pt" viewBox="0 0 {width:g} {height:g}"'
    opened = f'<svg {size} role="img" aria-label="{escape(alternative)}">'
    return opened + drawn[drawn.index(">") + 1 :].strip()


def draw_cell(out: Path, cell: Result) -> list[Path]:
    """Draws a cell's confusion matrices, bottleneck t-SNE and training curves to `figures/NAME-….png`."""
    from crnn_bench.figures import confusion_matrix, training_curves

    test, n_classes = cell.predictions.of("test"), len(cell.record["classes"])
    songs = evaluation.confusion(*evaluation.song_classes(test, SureVote()), n_classes)
    figures = {"confusion-songs": confusion_matrix.draw(songs, test.classes, "Test songs (vote)")}
    if grouping.hears_slices(cell):
        slices = evaluation.confusion(test.truth, test.probabilities.argmax(axis=1), n_classes)
        figures["confusion-slices"] = confusion_matrix.draw(slices, test.classes, "Test slices")
    figures |= _bottlenecks(cell)
    if "history" in cell.record:
        figures["training"] = training_curves.draw([(cell.record["history"], cell.record["best_epoch"])])
    return [save(figure, out / "figures" / f"{cell.name}-{what}.png") for what, figure in figures.items()]


def _bottlenecks(cell: Result) -> Mapping[str, Any]:
    """t-SNE of slices and of songs; nothing for a classical model."""
    from crnn_bench.figures import bottleneck_tsne

    if cell.embeddings is None:
        return {}
    vectors = cell.embeddings.drop(columns=["track_id", "part", "label"])
    tested = cell.embeddings["part"].eq("test")
    labels, classes = cell.embeddings["label"].to_numpy(), cell.predictions.classes
    slices = bottleneck_tsne.draw(vectors.to_numpy(), labels, tested.to_numpy(), classes, "slices")
    means = vectors.assign(label=labels, tested=tested).groupby(cell.embeddings["track_id"]).mean()
    points = means.drop(columns=["label", "tested"]).to_numpy(np.float32)
    numbers, in_test = means["label"].to_numpy(np.int64), means["tested"].to_numpy() > 0
    songs = bottleneck_tsne.draw(points, numbers, in_test, classes, "songs")
    return {"tsne-slices": slices, "tsne-songs": songs}
