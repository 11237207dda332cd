"""Groups of cells → precision–recall and ROC curves of each class against the rest, and of all classes together."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crnn_bench.aggregations.mean_probability import MeanProbability
from crnn_bench.grouping import Group
from crnn_bench.metrics import average_precision, ranking, roc_auc

POINTS = 400  # of a curve; more could not be told apart
GRID = np.linspace(0, 1, POINTS)

Floats = NDArray[np.float64]
Curve = tuple[Floats, Floats, float]
"""x and y (points,), both from 0 to 1, x rising, and the area under the curve."""
Curves = tuple[dict[str, Curve], dict[str, Curve]]
"""Those of classes, by name, and those of all classes together, by how they are put together."""


class _Kind(NamedTuple):
    """How a curve comes about.

    Attributes:
        points: x and y from the numbers of positives and of items at falling thresholds.
        at: y on the grid from x and y.
        area: under the curve of (items,) positives and scores; NaN where there is no curve.
    """

    points: Callable[[Floats, Floats], tuple[Floats, Floats]]
    at: Callable[[Floats, Floats], Floats]
    area: Callable[[NDArray[np.bool_], Floats], float]

    def curve(self, positive: NDArray[np.bool_], scores: Floats) -> Curve:
        return (*self.points(*ranking(positive, scores)), self.area(positive, scores))


def precision_recall(group: Group, level: str) -> Curves:
    """Precision (y) by recall (x), steps whose area is the average precision, of the classes that some items have."""
    return _of_group(group, level, _Kind(_precision_by_recall, _next_step, average_precision.of_class))


def roc(group: Group, level: str) -> Curves:
    """True (y) by false positives (x), as shares, of the classes that some items have and some have not."""
    return _of_group(group, level, _Kind(_true_by_false, _between, roc_auc.of_class))


def _of_group(group: Group, level: str, kind: _Kind) -> Curves:
    """Curves over the answers of all seeds together, of songs by mean probabilities.

    `all answers (micro)` ranks all pairs of an item and a class; `mean of classes (macro)` is the mean of their curves
    at each x.
    """
    answers = list(group.answers(level, MeanProbability()).values())
    probabilities = np.concatenate([some.probabilities for some in answers])
    classes = next(iter(group.pooled.values())).classes
    true = np.concatenate([some.truth for some in answers])[:, None] == np.arange(len(classes))
    pairs = dict(zip(classes, zip(true.T, probabilities.T, strict=True), strict=True))
    of_classes = {name: kind.curve(*pair) for name, pair in pairs.items() if not np.isnan(kind.area(*pair))}
    if not of_classes:
        return {}, {}
    heights = np.mean([kind.at(x, y) for x, y, _ in of_classes.values()], axis=0)
    mean = GRID, heights, float(np.mean([area for _, _, area in of_classes.values()]))
    combined = {"all answers (micro)": kind.curve(true.ravel(), probabilities.ravel()), "mean of classes (macro)": mean}
    return {name: _thinned(*c) for name, c in of_classes.items()}, {name: _thinned(*c) for name, c in combined.items()}


def _precision_by_recall(hits: Floats, found: Floats) -> tuple[Floats, Floats]:
    more = np.diff(hits, prepend=0) > 0  # a lower threshold that finds nothing new is worse, and counts in no area
    precision = (hits / found)[more]
    return np.append(0, hits[more] / hits[-1]), np.append(precision[0], precision)


def _true_by_false(hits: Floats, found: Floats) -> tuple[Floats, Floats]:
    false = found - hits
    return np.append(0, false / false[-1]), np.append(0, hits / hits[-1])


def _next_step(x: Floats, y: Floats) -> Floats:
    """A recall in between is reached with the next threshold."""
    heights: Floats = y[np.searchsorted(x, GRID, side="left")]
    return heights


def _between(x: Floats, y: Floats) -> Floats:
    return np.interp(GRID, x, y)


def _thinned(x: Floats, y: Floats, area: float) -> Curve:
    """The points that are nearest to equal steps along the curve, first and last among them."""
    way = np.cumsum(np.hypot(np.diff(x, prepend=0), np.diff(y, prepend=y[0])))
    chosen = np.unique(np.searchsorted(way, np.linspace(0, way[-1], POINTS)))
    return x[chosen], y[chosen], area
