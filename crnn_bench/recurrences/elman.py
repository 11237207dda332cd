"""The plain recurrent layer."""

from torch import nn

from crnn_bench.recurrences import RecurrentLayers


class Elman(RecurrentLayers):
    """Each state is tanh of a sum of input and last state, no gates (Elman 1990).

    (b, steps, n_inputs) to (b, steps, width), or (…, 2 · width) where bidirectional.
    """

    layer = nn.RNN
