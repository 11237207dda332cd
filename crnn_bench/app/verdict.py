"""What one model says of a song, as plain data that JSON can hold."""

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crnn_bench import playing

if TYPE_CHECKING:
    from crnn_bench.listening import Timeline
    from crnn_bench.shelf import Shelved

SIMILAR = 10  # songs
SAME = 1 - 1e-6  # similarity of a song with itself, sent again
TOLD = ("track_id", "title", "artist", "album", "label")  # of a song

Json = dict[str, Any]


def answer(one: "Shelved", timeline: "Timeline") -> Json:
    """`key, title, label, probabilities, timeline, familiar, similar, score`."""
    means = timeline.compiled()
    return {
        "key": one.key,
        "title": one.title,
        "label": timeline.label,
        "probabilities": dict(zip(timeline.classes, means.tolist(), strict=True)),
        "timeline": {
            "start_seconds": timeline.start_seconds.tolist(),
            "seconds": timeline.seconds,
            "classes": list(timeline.classes),
            "probabilities": timeline.probabilities.round(6).tolist(),
        },
        "familiar": _familiar(one, timeline.vector),
        "similar": _similar(one, timeline.vector),
        "score": score(one),
    }


def score(one: "Shelved") -> Json | None:
    """Weighted F1 on test songs; a bound that is not known is null, as JSON has no NaN."""
    if one.score is None:
        return None
    numbers = {name: getattr(one.score, name) for name in ("value", "low", "high")}
    return {name: number if math.isfinite(number) else None for name, number in numbers.items()}


def _familiar(one: "Shelved", vector: NDArray[np.float64]) -> Json | None:
    if one.familiarity is None:
        return None
    distance = float(one.familiarity.distance(vector[None])[0])
    return {"known": one.familiarity.known(vector), "distance": distance, "threshold": one.familiarity.threshold}


def _similar(one: "Shelved", vector: NDArray[np.float64]) -> list[Json]:
    """The nearest songs of the experiment, but for the song itself; `number` tells the address of its sound."""
    if one.familiarity is None or one.songs is None:
        return []
    parameters = one.bundle.about["parameters"]
    found = zip(*one.familiarity.nearest(vector, 2 * SIMILAR), strict=True)
    others = itertools.islice(((at, near) for at, near in found if near < SAME), SIMILAR)
    rows = [(int(at), float(near), one.songs.table.iloc[at].to_dict()) for at, near in others]
    return [
        {name: row[name] for name in TOLD}
        | {"number": at, "similarity": near, "playable": playing.has_sound(str(row["path"]), parameters)}
        for at, near, row in rows
    ]
