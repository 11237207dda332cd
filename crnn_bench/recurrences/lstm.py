"""Long short-term memory."""

from torch import nn

from crnn_bench.recurrences import RecurrentLayers


class Lstm(RecurrentLayers):
    """Long short-term memory (Hochreiter & Schmidhuber 1997), with a forget gate (Gers et al. 2000).

    (b, steps, n_inputs) to (b, steps, width), or (…, 2 · width) where bidirectional.
    """

    layer = nn.LSTM
