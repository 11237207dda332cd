"""Gated recurrent units, the paper's."""

from torch import nn

from crnn_bench.recurrences import RecurrentLayers


class Gru(RecurrentLayers):
    """Gated recurrent units (Cho et al. 2014): (b, steps, n_inputs) to (b, steps, width), or (…, 2 · width)."""

    layer = nn.GRU
