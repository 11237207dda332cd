"""Attention over time."""

from torch import Tensor, nn

from crnn_bench.readouts import Readout


class Attention(Readout):
    """A mean over time whose weights are learned (Lin et al. 2017, one hop; the score is Bahdanau et al.'s of 2015).

    Each step is scored by v · tanh(W · step + c); softmax over time makes weights of the scores:
    (b, steps, n) → scores (b, steps, 1) → (b, n).
    """

    def __init__(self, n_inputs: int, bidirectional: bool) -> None:
        super().__init__(n_inputs, bidirectional)
        # The last layer has no bias: softmax would not notice it.
        self.score = nn.Sequential(nn.Linear(n_inputs, n_inputs), nn.Tanh(), nn.Linear(n_inputs, 1, bias=False))

    def weights(self, x: Tensor) -> Tensor:
        """(b, steps, n) to (b, steps, 1); a slice's weights sum to one."""
        scores: Tensor = self.score(x)
        return scores.float().softmax(dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return (self.weights(x) * x).sum(dim=1)
