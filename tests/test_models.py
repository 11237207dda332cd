"""One battery for every network; the layers and numbers of the CRNN family; what it is put together from."""

import copy
import math
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from crnn_bench.errors import BenchError
from crnn_bench.models import Network
from crnn_bench.models.crnn import CRNN
from crnn_bench.models.crnn1d import CRNN1D
from crnn_bench.models.crnn_larger import CRNNLarger
from crnn_bench.models.crnn_lstm import CRNNLSTM
from crnn_bench.models.crnn_vgg import CRNNVGG
from crnn_bench.models.rnn import RNN
from crnn_bench.plugins import options
from crnn_bench.poolings.dilated import Dilated
from crnn_bench.readouts import Readout
from crnn_bench.readouts.attention import Attention
from crnn_bench.readouts.last import Last
from crnn_bench.readouts.mean import Mean
from crnn_bench.readouts.statistics import Statistics
from crnn_bench.recurrences import Recurrence
from crnn_bench.recurrences.elman import Elman
from crnn_bench.recurrences.gru import Gru
from crnn_bench.recurrences.lstm import Lstm
from crnn_bench.recurrences.none import NoRecurrence

N_CLASSES = 3
BLOCKS: dict[str, Any] = {"conv_channels": (4, 6), "pool_sizes": ((3, 2), (4, 2))}
TINY = {**BLOCKS, "recurrent_width": 8}
# Weights in so narrow layers have to be drawn wider than the library's 0.02, or nothing comes through.
TRANSFORMER = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8}
TRANSFORMER |= {"initializer_range": 0.3}
ENCODER = {**TRANSFORMER, "conv_dim": (8, 8), "conv_kernel": (20, 8), "conv_stride": (16, 8)}
ENCODER |= {"num_feat_extract_layers": 2, "num_conv_pos_embeddings": 3, "num_conv_pos_embedding_groups": 2}
X_VECTORS = {**ENCODER, "tdnn_dim": (8, 8, 8, 8, 8), "xvector_output_dim": 8}

# By class: bins and frames of a slice, odd where they may be, and arguments that keep it small.
# A network that brings its own features has as many bins as those; one that is not named here is built as it is.
SMALL: dict[str, tuple[int, int, dict[str, Any]]] = {
    "AST": (33, 61, {"config": {**TRANSFORMER, "num_mel_bins": 33}}),
    "CRNN": (33, 13, TINY),
    "CRNN1D": (33, 47, {"conv_channels": (4, 6), "recurrent_width": 8}),
    "CRNNLSTM": (33, 13, {**TINY, "dense_width": 8}),
    "CRNNLarger": (33, 13, BLOCKS),
    "CRNNVGG": (33, 13, {**BLOCKS, "convs_per_block": (2, 3)}),
    "ConvNet4": (65, 65, {}),
    "NaiveCNN": (33, 33, {}),
    "Pretrained": (320, 13, {"config": ENCODER, "freeze": "nothing"}),
    "RNN": (33, 13, {"recurrent_width": 8}),
    "ResNet18": (33, 43, {"config": {"hidden_sizes": [4, 6, 8, 8], "embedding_size": 4}}),
    "SpeakerEmbedding": (320, 21, {"name": None, "config": X_VECTORS, "freeze": "nothing"}),
}

NETWORKS = sorted(set(options(Network).values()), key=lambda cls: cls.__name__)
every_network = pytest.mark.parametrize("cls", NETWORKS)


def case(cls: type) -> tuple[int, int, dict[str, Any]]:
    return SMALL.get(cls.__name__, (128, 94, {}))


def build(cls: type, seed: int = 0, more_bins: int = 0, n_frames: int | None = None) -> Network:
    n_bins, usual, arguments = case(cls)
    torch.manual_seed(seed)
    frames = usual if n_frames is None else n_frames
    network: Network = cls(n_bins + more_bins, frames, N_CLASSES, **arguments)
    return network


def slices(cls: type, batch: int, more_bins: int = 0, n_frames: int | None = None, seed: int = 0) -> Tensor:
    """Decibels about as log-mel frames have them; where the network brings its own features, as a filter bank's logs.

    How loud a waveform is matters to none that hears one.
    """
    n_bins, usual, arguments = case(cls)
    frames = usual if n_frames is None else n_frames
    noise = torch.randn(batch, n_bins + more_bins, frames, generator=torch.Generator().manual_seed(seed))
    is_own = issubclass(cls, Network) and cls.own_features(**arguments) is not None
    return 4.5 * noise - 4 if is_own else 15 * noise - 40


def more_bins(cls: type) -> int:
    """Another number of bins than usual, where the features are free."""
    return 0 if issubclass(cls, Network) and cls.own_features(**case(cls)[2]) is not None else 2


def train_a_step(network: Network, x: Tensor, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    nn.functional.cross_entropy(network(x), torch.arange(len(x)) % N_CLASSES).backward()
    optimizer.step()


# The battery


@every_network
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("longer", [0, 1, 6])
def test_any_size_gives_logits_and_a_bottleneck(cls: type, batch: int, longer: int) -> None:
    n_frames, more = case(cls)[1] + longer, more_bins(cls) * longer
    network = build(cls, 0, more, n_frames).eval()
    x = slices(cls, batch, more, n_frames)
    with torch.no_grad():
        bottleneck, logits = network.embed(x), network(x)
    assert logits.shape == (batch, N_CLASSES)
    assert bottleneck.ndim == 2
    assert len(bottleneck) == batch
    assert logits.isfinite().all()
    assert torch.equal(network.head(bottleneck), logits)


@every_network
def test_a_new_network_is_ready_to_be_trained(cls: type) -> None:
    """Lightning leaves each part in the mode that it finds; a batch norm in evaluation mode would learn nothing."""
    network = build(cls)
    idle = [name for name, part in network.named_modules() if not part.training]
    frozen = {id(part) for module in network.frozen for part in module.modules()}
    assert [name for name in idle if id(network.get_submodule(name)) not in frozen] == []


@every_network
@torch.no_grad()
def test_one_slice_is_answered_as_in_company(cls: type) -> None:
    network, x = build(cls).eval(), slices(cls, 5)
    together = network(x)
    assert (together[1:] - together[:1]).abs().max() > 1e-5, "slices that differ have answers that do"
    for number in range(5):
        assert torch.allclose(network(x[number : number + 1]), together[number : number + 1], atol=1e-5)


@every_network
def test_a_batch_of_one_can_be_trained_on(cls: type) -> None:
    network, x = build(cls).train(), slices(cls, 1)
    train_a_step(network, x, torch.optim.SGD(network.parameters(), lr=1e-3))
    assert network.eval()(x).isfinite().all()


@every_network
def test_eight_slices_are_learnt_by_heart(cls: type) -> None:
    """Noise with arbitrary labels; without dropout nothing but memory can tell them apart."""
    network, x = build(cls), slices(cls, 8)
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    learning = [p for p in network.parameters() if p.requires_grad]
    few = sum(p.numel() for p in learning) < 100_000
    optimizer = torch.optim.Adam(learning, lr=0.01 if few else 0.001)
    loss = math.inf
    for _ in range(40):
        network.train()
        for _ in range(5):
            train_a_step(network, x, optimizer)
        with torch.no_grad():
            loss = float(nn.functional.cross_entropy(network.eval()(x), torch.arange(8) % N_CLASSES))
        if loss < 0.05:
            break
    assert loss < 0.05


@every_network
def test_gradients_reach_every_parameter_that_may_learn(cls: type) -> None:
    network = build(cls).train()
    nn.functional.cross_entropy(network(slices(cls, 6)), torch.arange(6) % N_CLASSES).backward()
    learning = {name: p for name, p in network.named_parameters() if p.requires_grad}
    assert learning
    for name, parameter in network.named_parameters():
        if name not in learning:
            assert parameter.grad is None, name
            continue
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@every_network
@torch.no_grad()
def test_evaluation_is_deterministic_and_changes_nothing(cls: type) -> None:
    network, x = build(cls).eval(), slices(cls, 3)
    before = copy.deepcopy(network.state_dict())
    first = network(x)
    torch.manual_seed(99)
    assert torch.equal(network(x), first)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@every_network
def test_a_checkpoint_brings_back_the_same_answers(cls: type, tmp_path: Path) -> None:
    trained, x = build(cls), slices(cls, 6)
    optimizer = torch.optim.Adam([p for p in trained.parameters() if p.requires_grad], lr=0.01)
    untrained = trained.eval()(x)
    for _ in range(2):
        train_a_step(trained.train(), x, optimizer)
    torch.save(trained.state_dict(), tmp_path / "weights.pt")
    reloaded = build(cls, seed=1)
    reloaded.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    with torch.no_grad():
        assert torch.equal(reloaded.eval()(x), trained.eval()(x))
        assert not torch.equal(trained(x), untrained)


def least_frames(cls: type) -> int:
    """What the refusal of a slice of one frame names; one where that is enough."""
    try:
        build(cls, n_frames=1)
    except BenchError as error:
        told = str(error)
    else:
        return 1
    found = re.fullmatch(rf"{cls.__name__}: a slice of 1 frames is too short; give at least (\d+)", told)
    assert found, told
    return int(found[1])


@every_network
@torch.no_grad()
def test_too_short_a_slice_is_refused_with_the_least_length(cls: type) -> None:
    """Whatever is refused names a length; that one works, also in training, and one frame less does not."""
    least = least_frames(cls)
    if least > 1:
        with pytest.raises(BenchError, match=f"{least - 1} frames is too short; give at least {least}$"):
            build(cls, n_frames=least - 1)
    network, x = build(cls, n_frames=least), slices(cls, 2, n_frames=least)
    assert network.train()(x).isfinite().all()
    assert network.eval()(x).isfinite().all()


# The CRNN family as it is released or printed: shapes and numbers by hand


def conv(before: int, after: int, places: int) -> int:
    return (before * places + 1) * after


def gates(number: int, before: int, width: int) -> int:
    """Of a recurrent layer; PyTorch has two biases a gate."""
    return number * width * (before + width + 2)


def learned(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def shapes_inside(network: Network, *names: str) -> list[tuple[int, ...]]:
    """Of what the named parts put out for two slices of 3 s."""
    seen: dict[str, tuple[int, ...]] = {}
    for name in names:
        part = network.get_submodule(name)
        part.register_forward_hook(lambda _, __, out, name=name: seen.update({name: tuple(out.shape)}))
    with torch.no_grad():
        network.eval()(torch.zeros(2, 128, 94))
    return [seen[name] for name in names]


LARGER = [1, 64, 128, 256, 512, 512]
LARGER_MAPS = [(2, 64, 64, 47), (2, 128, 32, 23), (2, 256, 16, 11), (2, 512, 4, 11), (2, 512, 1, 11)]


def test_the_papers_network() -> None:
    network = CRNN(128, 94, 20)
    channels = [1, 64, 128, 128, 128]
    convs = sum(conv(a, b, 9) + 2 * b for a, b in pairwise(channels))
    assert learned(network) == 2 * 128 + convs + gates(3, 128, 32) + gates(3, 32, 32) + conv(32, 20, 1)
    assert shapes_inside(network, "conv", "recurrence", "readout", "head") == [
        (2, 128, 1, 5),
        (2, 5, 32),
        (2, 32),
        (2, 20),
    ]


def test_the_larger_network() -> None:
    network = CRNNLarger(128, 94, 20)
    convs = sum(conv(a, b, 9) + 2 * b for a, b in pairwise(LARGER))
    assert learned(network) == 2 * 128 + convs + gates(3, 512, 32) + gates(3, 32, 32) + conv(32, 20, 1)
    assert shapes_inside(network, *(f"conv.{block}" for block in range(5))) == LARGER_MAPS
    assert shapes_inside(network, "recurrence", "readout", "head") == [(2, 11, 32), (2, 32), (2, 20)]
    assert [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)] == [0.1] * 5 + [0.3]


def test_the_network_after_vgg() -> None:
    network = CRNNVGG(128, 94, 20)
    convs = 0
    for before, width, number in zip(LARGER, LARGER[1:], (2, 2, 3, 3, 3), strict=False):
        convs += conv(before, width, 9) + (number - 1) * conv(width, width, 9) + number * 2 * width
    assert learned(network) == 2 * 128 + convs + gates(3, 512, 32) + gates(3, 32, 32) + conv(32, 20, 1)
    assert shapes_inside(network, *(f"conv.{block}" for block in range(5))) == LARGER_MAPS
    assert shapes_inside(network, "recurrence", "readout", "head") == [(2, 11, 32), (2, 32), (2, 20)]
    assert [type(layer) for layer in network.conv[1]][:6] == [nn.Conv2d, nn.ELU, nn.BatchNorm2d] * 2
    assert [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)] == [0.1] * 5 + [0.2]


def test_the_network_over_time_alone() -> None:
    """94 - 4 = 90, halved 45; 45 - 4 = 41, halved 20; 20 - 4 = 16, halved 8."""
    network = CRNN1D(128, 94, 20)
    convs = conv(128, 64, 5) + conv(64, 128, 5) + conv(128, 128, 5)
    assert learned(network) == 2 * 128 + convs + gates(3, 128, 64) + gates(3, 64, 64) + conv(64, 20, 1)
    assert shapes_inside(network, "conv.2", "conv.5", "conv.8") == [(2, 64, 45), (2, 128, 20), (2, 128, 8)]
    assert shapes_inside(network, "recurrence", "head") == [(2, 8, 64), (2, 20)]
    assert [type(layer) for layer in network.conv] == [nn.Conv1d, nn.ReLU, nn.MaxPool1d] * 3


def test_the_network_without_convolutions() -> None:
    network = RNN(128, 94, 20)
    assert learned(network) == 2 * 128 + gates(4, 128, 64) + gates(4, 64, 64) + conv(64, 20, 1)
    assert shapes_inside(network, "recurrence", "head") == [(2, 94, 64), (2, 20)]


def test_the_network_of_the_slides() -> None:
    network = CRNNLSTM(128, 94, 20)
    channels = [1, 32, 64, 64, 128, 128]
    convs = sum(conv(a, b, 9) for a, b in pairwise(channels))
    dense = conv(64, 64, 1) + conv(64, 20, 1)
    assert learned(network) == 2 * 128 + convs + gates(4, 4 * 128, 64) + dense
    pooled = [f"conv.{layer}" for layer in (2, 5, 8, 11, 14)]
    sizes = [(64, 47), (32, 23), (16, 11), (8, 5), (4, 2)]
    assert shapes_inside(network, *pooled) == [(2, b, *size) for b, size in zip(channels[1:], sizes, strict=True)]
    assert shapes_inside(network, "recurrence", "dense", "head") == [(2, 2, 64), (2, 64), (2, 20)]
    kinds = [type(layer) for layer in network.modules()]
    counted = (nn.Conv2d, nn.MaxPool2d, nn.ReLU, nn.LSTM, nn.Linear)
    assert [kinds.count(kind) for kind in counted] == [5, 5, 5 + 1, 1, 2]


@pytest.mark.parametrize(("cls", "least"), [(CRNN, 16), (CRNNLarger, 8), (CRNN1D, 36), (CRNNLSTM, 32)])
def test_the_least_lengths_of_the_defaults(cls: type[Network], least: int) -> None:
    with pytest.raises(BenchError, match=f"^{cls.__name__}: a slice of 7 frames is too short; give at least {least}$"):
        cls(128, 7, 20)


@pytest.mark.parametrize("cls", [CRNN1D, RNN])
def test_the_released_codes_missing_norm_can_be_had(cls: type[CRNN1D | RNN]) -> None:
    x = torch.rand(2, 33, 47)
    without, normed = (cls(33, 47, 3, frequency_norm=given) for given in (False, True))
    assert torch.equal(without.frequency_norm(x), x)
    assert learned(normed) - learned(without) == 2 * 33


# Depths, recurrences and readouts of the CRNN


@pytest.mark.parametrize(
    ("sizes", "inputs"),
    [(((2, 2), (4, 2), (4, 2)), 4 * 4), (((2, 2), (4, 2), (4, 2), (4, 2)), 4), (((2, 2),) * 4 + ((4, 2),), 2 * 4)],
)
def test_depths_three_four_and_five(sizes: tuple[tuple[int, int], ...], inputs: int) -> None:
    network = CRNN(128, 94, 20, conv_channels=(4,) * len(sizes), pool_sizes=sizes)
    assert len(network.conv) == len(sizes)
    assert network.recurrence.layers.input_size == inputs
    assert network.eval()(torch.zeros(1, 128, 94)).shape == (1, 20)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("readout", [Last, Mean, Attention, Statistics])
@pytest.mark.parametrize("recurrence", [Gru, Lstm, Elman, NoRecurrence])
def test_each_recurrence_goes_with_each_readout(
    recurrence: type[Recurrence], readout: type[Readout], bidirectional: bool
) -> None:
    """But for none with the last step: a map of 6 channels × 2 bins is what none hands on."""
    given: dict[str, Any] = {**TINY, "recurrence": recurrence, "readout": readout, "bidirectional": bidirectional}
    if (recurrence, readout) == (NoRecurrence, Last):
        with pytest.raises(BenchError, match="choose the readout mean, attention or statistics") as caught:
            CRNN(33, 13, N_CLASSES, **given)
        assert caught.value.argument == "readout"
        return
    torch.manual_seed(0)
    network = CRNN(33, 13, N_CLASSES, **given)
    steps = 6 * 2 if recurrence is NoRecurrence else 8 * (1 + bidirectional)
    x = slices(CRNN, 6)
    assert network.embed(x).shape == (6, steps * (2 if readout is Statistics else 1))
    nn.functional.cross_entropy(network(x), torch.arange(6) % N_CLASSES).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("name", ["recurrence", "readout"])
def test_short_names_of_the_options(name: str) -> None:
    family = {"recurrence": Recurrence, "readout": Readout}[name]
    short = {"recurrence": {"gru", "lstm", "elman", "none"}, "readout": {"last", "mean", "attention", "statistics"}}
    assert {found for found in options(family) if found.islower()} == short[name]


@pytest.mark.parametrize(
    ("given", "argument", "message"),
    [
        ({"conv_channels": ()}, "pool_sizes", "0 conv_channels but 2 pool_sizes"),
        ({"conv_channels": (), "pool_sizes": ()}, "conv_channels", "0 conv_channels but at least one"),
        ({"conv_channels": (4, 0)}, "conv_channels", "conv_channels must be at least 1"),
        ({"pool_sizes": ((3, 2), (4, 0))}, "pool_sizes", "pool_sizes must be at least 1"),
        ({"convs_per_block": (1,)}, "convs_per_block", "2 conv_channels but 1 convs_per_block"),
        ({"convs_per_block": (2, 0)}, "convs_per_block", "convs_per_block must be at least 1"),
        ({"recurrent_width": 0}, "recurrent_width", "recurrent_width must be at least 1, got 0"),
        ({"recurrent_layers": 0}, "recurrent_layers", "recurrent_layers must be at least 1, got 0"),
        ({"dropout": 1.0}, "dropout", "dropout must be at least 0 and below 1, got 1.0"),
        ({"conv_dropout": -0.1}, "conv_dropout", "conv_dropout must be at least 0 and below 1, got -0.1"),
        ({"dropout": math.nan}, "dropout", "dropout must be at least 0 and below 1, got nan"),
    ],
)
def test_impossible_values_are_refused(given: dict[str, Any], argument: str, message: str) -> None:
    with pytest.raises(BenchError, match=f"^CRNN: {message}") as caught:
        CRNN(33, 13, N_CLASSES, **{**TINY, **given})
    assert caught.value.argument == argument


@pytest.mark.parametrize(
    ("cls", "given"),
    [
        (CRNN1D, {"kernel_size": 0}),
        (CRNN1D, {"conv_channels": ()}),
        (RNN, {"recurrent_layers": 0}),
        (CRNNLSTM, {"dense_width": 0}),
        (CRNNLSTM, {"dropout": 2.0}),
        (CRNNVGG, {"convs_per_block": (1, 1)}),
    ],
)
def test_impossible_values_of_the_family_are_refused(cls: type[Network], given: dict[str, Any]) -> None:
    with pytest.raises(BenchError, match=f"^{cls.__name__}: ") as caught:
        cls(128, 94, N_CLASSES, **given)
    assert caught.value.argument in {*given, "pool_sizes"}


def test_dilated_poolings_know_how_deep_they_stand() -> None:
    network = CRNN(128, 94, 20, conv_channels=(2,) * 4, pooling=Dilated)
    assert [block[3].stride_so_far for block in network.conv] == [1, 2, 4, 8]


# Recurrences


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("cls", "torchs"), [(Gru, nn.GRU), (Lstm, nn.LSTM), (Elman, nn.RNN)])
def test_recurrent_layers_are_torchs(cls: type[Recurrence], torchs: Any, bidirectional: bool) -> None:
    recurrence = cls(5, 4, 2, bidirectional)
    plain = torchs(5, 4, 2, bidirectional=bidirectional, batch_first=True)
    plain.load_state_dict({name.removeprefix("layers."): value for name, value in recurrence.state_dict().items()})
    x = torch.randn(3, 7, 5)
    assert torch.equal(recurrence(x), plain(x)[0])
    assert recurrence(x).shape == (3, 7, recurrence.n_outputs)
    assert recurrence.bidirectional is bidirectional


@pytest.mark.parametrize("cls", sorted(set(options(Recurrence).values()), key=lambda cls: cls.__name__))
def test_recurrences_run_in_fp32_within_autocast(cls: type[Recurrence]) -> None:
    recurrence, x = cls(5, 4, 1, False), torch.randn(3, 7, 5).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        within = recurrence(x)
    assert within.dtype == torch.float32
    assert torch.equal(within, recurrence(x.float()))


def test_no_recurrence_hands_on_what_comes() -> None:
    none, x = NoRecurrence(5, 4, 2, True), torch.randn(3, 7, 5)
    assert torch.equal(none(x), x)
    assert (none.n_outputs, none.bidirectional) == (5, False), "nothing was read backwards"


@pytest.mark.parametrize(("recurrence", "n_gates"), [(Gru, 3), (Lstm, 4), (Elman, 1)])
def test_recurrent_layers_are_initialised_as_in_keras(recurrence: type[Recurrence], n_gates: int) -> None:
    torch.manual_seed(0)
    layers = CRNN(33, 13, N_CLASSES, **{**TINY, "recurrent_width": 32, "recurrence": recurrence}).recurrence.layers
    for name, weights in layers.named_parameters():
        assert len(weights) == n_gates * 32
        for gate in weights.data.split(32):
            if "weight_hh" in name:
                assert torch.allclose(gate @ gate.T, torch.eye(32), atol=1e-5)
            elif "weight_ih" in name:
                limit = math.sqrt(6 / sum(gate.shape))
                assert 0.9 * limit < gate.abs().max() <= limit
    biases = layers.bias_ih_l0 + layers.bias_hh_l0
    forget = torch.arange(4 * 32) // 32 == 1  # PyTorch's order: input, forget, cell, output
    assert torch.equal(biases, forget.float() if recurrence is Lstm else torch.zeros(n_gates * 32))


# Readouts


def test_the_last_state_has_heard_everything_in_both_directions() -> None:
    x = torch.randn(3, 7, 5)
    forwards, both = Gru(5, 4, 1, False), Gru(5, 4, 1, True)
    assert torch.equal(Last(4, False)(forwards(x)), forwards.layers(x)[1][-1])
    final = both.layers(x)[1]
    assert torch.equal(Last(8, True)(both(x)), torch.cat([final[0], final[1]], dim=1))


def test_means_and_deviations_are_torchs() -> None:
    x = torch.randn(3, 7, 5)
    deviation, mean = torch.std_mean(x, dim=1, correction=0)
    assert torch.allclose(Mean(5, False)(x), mean)
    assert torch.allclose(Statistics(5, False)(x), torch.cat([mean, deviation], dim=1))
    assert Statistics(5, False).n_outputs == 10


@pytest.mark.parametrize("x", [torch.ones(2, 1, 5), torch.ones(2, 7, 5)], ids=["one step", "constant"])
def test_a_deviation_of_nothing_has_a_finite_slope(x: Tensor) -> None:
    x.requires_grad_()
    out = Statistics(5, False)(x)
    out.sum().backward()
    assert out[:, 5:].max() < 1e-4
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_attention_is_a_mean_of_steps_with_weights_that_sum_to_one() -> None:
    torch.manual_seed(0)
    attention, x = Attention(5, False), torch.randn(3, 7, 5)
    weights = attention.weights(x)
    assert weights.shape == (3, 7, 1)
    assert weights.min() > 0
    assert torch.allclose(weights.sum(dim=1), torch.ones(3, 1))
    by_hand = torch.stack([sum(weights[b, t] * x[b, t] for t in range(7)) for b in range(3)])  # type: ignore[misc]
    assert torch.allclose(attention(x), by_hand, atol=1e-6)
    assert not torch.allclose(attention(x), x.mean(dim=1), atol=1e-3)
    nn.init.zeros_(attention.score[2].weight)
    assert torch.allclose(attention(x), x.mean(dim=1), atol=1e-6)


@pytest.mark.parametrize("cls", [Mean, Attention, Statistics])
def test_what_hears_all_steps_does_not_mind_their_order(cls: type[Readout]) -> None:
    readout, x = cls(5, False), torch.randn(3, 7, 5)
    assert torch.allclose(readout(x[:, torch.randperm(7)]), readout(x), atol=1e-6)


@pytest.mark.parametrize("cls", sorted(set(options(Readout).values()), key=lambda cls: cls.__name__))
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 9])
def test_readouts_take_any_number_of_steps(cls: type[Readout], bidirectional: bool, steps: int) -> None:
    readout = cls(6, bidirectional)
    assert readout(torch.randn(3, steps, 6)).shape == (3, readout.n_outputs)
