"""Songs whose bars come in another order."""

import numpy as np
from numpy.typing import NDArray

from crnn_bench.altered import Form, drawn_from
from crnn_bench.augmentations import Alteration
from crnn_bench.beats import beats
from crnn_bench.song import Song

BEATS_IN_BAR = 4


def bars_remixed(song: Song) -> NDArray[np.float32]:
    """(n,) cut between zero crossings, as `librosa.effects.remix`; what lies around the bars stays where it is.

    The order is drawn from the samples themselves, so it is the same on every machine. A song of fewer than two bars
    stays as it is.
    """
    import librosa

    edges = beats(song)[::BEATS_IN_BAR]
    n_bars = len(edges) - 1
    if n_bars < 2:
        return song.samples
    bars = np.stack([edges[:-1], edges[1:]], axis=1)
    order = drawn_from(song).permutation(n_bars)
    if (order == np.arange(n_bars)).all():
        order = np.roll(order, 1)
    around = np.array([[0, edges[0]], [edges[-1], len(song.samples)]])
    samples: NDArray[np.float32] = librosa.effects.remix(song.samples, [around[0], *bars[order], around[1]])
    return samples


class BarRemix(Alteration):
    """The song's bars of four beats in another order.

    Where the beat tracker's beats are not the music's, or its first beat does not begin a bar, the pieces are still
    four beats long.

    Args:
        probability: that a slice comes from the remix.
    """

    def __init__(self, probability: float = 0.5) -> None:
        super().__init__(probability, (Form(bars_remixed),))
