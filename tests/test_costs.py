"""What a network costs, against formulas by hand."""

import pytest
import torch
from torch import Tensor, nn

from crnn_bench import costs
from crnn_bench.models.crnn import CRNN

BINS, FRAMES, WIDTH = 6, 11, 7


class Layer(nn.Module):
    """A layer that takes (1, BINS, FRAMES) as it is, with frames first, or as a picture."""

    def __init__(self, layer: nn.Module, takes: str = "frames") -> None:
        super().__init__()
        self.layer = layer
        self.takes = takes

    def forward(self, x: Tensor) -> Tensor:
        x = {"bins": x, "frames": x.transpose(1, 2), "picture": x.unsqueeze(1)}[self.takes]
        out = self.layer(x)
        first: Tensor = out[0] if isinstance(out, tuple) else out
        return first


class Attention(nn.Module):
    """Each frame asks all the others, by PyTorch's own attention in two forms."""

    def __init__(self, heads: nn.MultiheadAttention | None = None) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2)
        if self.heads:
            answer: Tensor = self.heads(x, x, x)[0]
            return answer
        return nn.functional.scaled_dot_product_attention(x, x, x)


def flop(network: nn.Module, frames: int = FRAMES) -> int:
    return round(costs.of(network, BINS, frames)["mflop_per_slice"] * 1e6)


def test_a_dense_layer() -> None:
    assert flop(Layer(nn.Linear(BINS, WIDTH))) == 2 * FRAMES * BINS * WIDTH


def test_a_convolution() -> None:
    """Padded 3 × 5 kernels answer at every pixel; a stride of 2 halves both sides, rounded up."""
    kernel = 3 * 5 * WIDTH
    whole = nn.Conv2d(1, WIDTH, (3, 5), padding=(1, 2))
    assert flop(Layer(whole, "picture")) == 2 * BINS * FRAMES * kernel
    strided = nn.Conv2d(1, WIDTH, (3, 5), stride=2, padding=(1, 2))
    assert flop(Layer(strided, "picture")) == 2 * (BINS // 2) * (FRAMES // 2 + 1) * kernel


def test_a_convolution_over_time() -> None:
    assert flop(Layer(nn.Conv1d(BINS, WIDTH, 3), "bins")) == 2 * (FRAMES - 2) * 3 * BINS * WIDTH


@pytest.mark.parametrize(("cell", "gates"), [(nn.RNN, 1), (nn.GRU, 3), (nn.LSTM, 4)])
@pytest.mark.parametrize("directions", [1, 2])
def test_recurrent_layers(cell: type[nn.GRU], gates: int, directions: int) -> None:
    """Every gate of every direction takes the input and the state at every step; layer 2 hears all of layer 1."""
    network = cell(BINS, WIDTH, 2, batch_first=True, bidirectional=directions == 2)
    first = gates * WIDTH * (BINS + WIDTH)
    second = gates * WIDTH * (directions * WIDTH + WIDTH)
    assert flop(Layer(network)) == 2 * FRAMES * directions * (first + second)


def test_attention_by_itself() -> None:
    """Every frame with every frame, once to weigh and once to sum."""
    assert flop(Attention()) == 2 * 2 * FRAMES * FRAMES * BINS


def test_attention_with_its_projections() -> None:
    heads = nn.MultiheadAttention(BINS, 2, batch_first=True)
    assert flop(Attention(heads)) == 4 * 2 * FRAMES * BINS * BINS + 2 * 2 * FRAMES * FRAMES * BINS


def test_a_transformer_layer() -> None:
    layer = nn.TransformerEncoderLayer(BINS, 2, WIDTH, batch_first=True)
    attention = 4 * 2 * FRAMES * BINS * BINS + 2 * 2 * FRAMES * FRAMES * BINS
    assert flop(Layer(layer)) == attention + 2 * 2 * FRAMES * BINS * WIDTH


def test_what_has_no_weights_costs_nothing() -> None:
    layers = nn.Sequential(nn.BatchNorm2d(1), nn.ELU(), nn.MaxPool2d(2), nn.Dropout())
    assert flop(Layer(layers, "picture")) == 0


def test_a_small_crnn_by_hand() -> None:
    """Two blocks, then GRUs, then the dense layer, each from the shapes that its docstring gives."""
    network = CRNN(
        6, 12, 5, conv_channels=(4, 8), pool_sizes=((2, 2), (3, 2)), recurrent_width=WIDTH, recurrent_layers=1
    )
    convolutions = 6 * 12 * 4 * 9 * 1 + 3 * 6 * 8 * 9 * 4
    gru = 3 * 3 * WIDTH * (8 + WIDTH)
    assert flop(network, 12) == 2 * (convolutions + gru + WIDTH * 5)
    convolution_weights = 4 * 9 + 4 + 8 * 9 * 4 + 8
    norms = 2 * (6 + 4 + 8)
    rest = 3 * WIDTH * (8 + WIDTH + 2) + WIDTH * 5 + 5
    assert costs.of(network, 6, 12)["n_parameters"] == convolution_weights + norms + rest


def test_the_papers_network_at_3_s() -> None:
    """Convolutions over 128 × 94, 64 × 47, 16 × 23 and 4 × 11 pixels, as its shapes say; GRUs of 5 steps."""
    pixels = (128 * 94 * 64 * 1, 64 * 47 * 128 * 64, 16 * 23 * 128 * 128, 4 * 11 * 128 * 128)
    gru = 5 * 3 * 32 * ((128 + 32) + (32 + 32))
    expected = 2 * (9 * sum(pixels) + gru + 32 * 20) / 1e6
    assert costs.of(CRNN(128, 94, 20), 128, 94)["mflop_per_slice"] == pytest.approx(expected)
    assert expected == pytest.approx(579.1, abs=0.1)


def test_parameters_that_learn_no_more() -> None:
    network = nn.Sequential(nn.Linear(FRAMES, 3), nn.Linear(3, 2))
    network[0].requires_grad_(False)
    found = costs.of(network, BINS, FRAMES)
    assert (found["n_parameters"], found["n_learned"]) == (FRAMES * 3 + 3 + 3 * 2 + 2, 3 * 2 + 2)


def test_counting_leaves_the_network_as_it_was() -> None:
    """Modes, module by module; running statistics; gradients; and PyTorch's own settings."""
    network = CRNN(BINS, 12, 5, conv_channels=(4,), pool_sizes=((2, 2),), recurrent_width=3)
    network.train()
    network.frequency_norm.eval()
    modes = [module.training for module in network.modules()]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    fused = torch.backends.mha.get_fastpath_enabled()
    state = torch.random.get_rng_state()
    costs.of(network, BINS, 12)
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.backends.mha.get_fastpath_enabled() == fused
    assert torch.equal(torch.random.get_rng_state(), state)
