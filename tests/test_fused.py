"""The fused block against the plain modules, in float32 and to what bf16 rounds away."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from crnn_bench import fused, numerics, one_channel
from crnn_bench.fused import FusedBlock
from crnn_bench.models.crnn import CRNN
from crnn_bench.numerics import FUSED, FUSED_BF16, PLAIN
from crnn_bench.poolings.average import Average
from crnn_bench.poolings.max import Max

SMALL = {"conv_channels": (8, 8), "pool_sizes": ((2, 2), (4, 3)), "recurrent_width": 8}
BINS, FRAMES, N_CLASSES = 16, 22, 3
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 8e-3}  # of the largest value; bf16 rounds to 4e-3
SIZES = ((1, 1), (2, 2), (4, 2), (3, 1), (2, 5))

pytest.importorskip("numba")


def rest_of_block(channels: int, size: tuple[int, int], seed: int = 0) -> nn.Sequential:
    """ELU, batch norm and pooling; rising, falling and level lines."""
    block = nn.Sequential(nn.ELU(), nn.BatchNorm2d(channels), Max(channels, size))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        block[1].weight.copy_(torch.randint(-2, 3, (channels,), generator=generator) * 0.7)
        block[1].bias.copy_(torch.randn(channels, generator=generator))
    return block


def map_of(*shape: int, seed: int = 0, ties: bool = False) -> Tensor:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 2 + 0.5
    return (x * 2).round() / 2 if ties else x


def close(ours: Tensor, theirs: Tensor, dtype: torch.dtype) -> bool:
    far = (ours.double() - theirs.double()).abs().max()
    return bool(far <= TOLERANCE[dtype] * theirs.abs().max().clamp_min(1e-3))


def told_apart(x: Tensor, weight: Tensor) -> Tensor:
    """A map whose equal values are no longer so: the first is the best, though not by as much as a float32 could tell.

    The plain modules treat what fills a vector register otherwise than the rest, and so differ in the last bit where
    their input does not: which of several equal values counts would be chance.
    """
    places = torch.arange(x.shape[2] * x.shape[3], dtype=torch.float64).view(x.shape[2:])
    return x.double() - 1e-9 * places * weight.sign().view(-1, 1, 1)


def both(plain: nn.Sequential, x: Tensor, dtype: torch.dtype) -> list[tuple[Tensor, ...]]:
    """Output, all gradients and buffers: of the plain modules in float64, and of the fused ones from the same input."""
    block = FusedBlock(*copy.deepcopy(list(plain)))
    x = x.to(dtype).contiguous(memory_format=torch.channels_last)
    found = []
    slope = None
    for modules, given_x in ((plain.double(), told_apart(x, plain[1].weight)), (block, x)):
        given_x = given_x.detach().requires_grad_()
        y = modules(given_x)
        slope = torch.randn(y.shape, generator=torch.Generator().manual_seed(9)).to(dtype) if slope is None else slope
        y.backward(slope.to(y.dtype))
        assert given_x.grad is not None
        gradients = [parameter.grad for parameter in modules.parameters()]
        found.append((y.detach(), given_x.grad, *gradients, *modules.buffers()))
    assert type(y.grad_fn).__name__ == "_BlockBackward", "it was not fused"
    return found


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(1, 3),
    channels=st.sampled_from((1, 3, 16, 37)),
    bins=st.integers(4, 13),
    frames=st.integers(5, 13),
    size=st.sampled_from(SIZES),
    dtype=st.sampled_from((torch.float32, torch.bfloat16)),
    ties=st.booleans(),
    seed=st.integers(0, 99),
)
def test_it_equals_the_plain_modules(
    batch: int, channels: int, bins: int, frames: int, size: tuple[int, int], dtype: torch.dtype, ties: bool, seed: int
) -> None:
    x = map_of(batch, channels, bins, frames, seed=seed, ties=ties)
    theirs, ours = both(rest_of_block(channels, size, seed), x, dtype)
    names = ("output", "by x", "by weight", "by bias", "running mean", "running variance", "batches")
    for name, our, their in zip(names, ours, theirs, strict=True):
        assert close(our, their, dtype), name


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_of_equal_values_the_first_counts(dtype: torch.dtype) -> None:
    for value in (1.0, -1.0):
        x = torch.full((2, 5, 8, 9), value)
        x[:, :, 3, 4] = 3 * value
        theirs, ours = both(rest_of_block(5, (4, 2), seed=3), x, dtype)
        assert close(ours[1], theirs[1], dtype)
        assert torch.equal(ours[1] == 0, theirs[1] == 0)


@pytest.mark.parametrize("mean", [-6.0, 1e3, 3e4])
def test_the_variance_is_right_where_the_mean_is_far_larger(mean: float) -> None:
    x = map_of(4, 8, 32, 47) * 0.5 + mean
    theirs, ours = both(rest_of_block(8, (2, 2)), x, torch.float32)
    variance = nn.functional.elu(x.double()).var(dim=(0, 2, 3), correction=1)
    assert torch.allclose(ours[-2].double(), 0.9 + 0.1 * variance, rtol=1e-6)
    assert torch.allclose(ours[-3].double(), theirs[-3], rtol=1e-6)


def test_what_is_not_a_number_stays_so() -> None:
    x = map_of(2, 4, 8, 8).contiguous(memory_format=torch.channels_last)
    x[0, 2, 3, 3] = torch.nan
    with torch.no_grad():
        y = FusedBlock(*rest_of_block(4, (2, 2), seed=1))(x)
    assert torch.equal(y.isnan().flatten(2).all(dim=2).all(dim=0), torch.tensor([False, False, True, False]))


def test_dropout_drops_at_its_rate_and_keeps_the_mean() -> None:
    block = FusedBlock(*rest_of_block(16, (2, 2)), nn.Dropout(0.25))
    x = map_of(8, 16, 64, 64).contiguous(memory_format=torch.channels_last).requires_grad_()
    torch.manual_seed(0)
    first, second = block(x), block(x)
    whole = FusedBlock(*list(block)[:3])(x)
    for y in (first, second):
        assert ((y == 0).float().mean() - 0.25).abs() < 0.005
        kept = y != 0
        assert torch.allclose(y[kept], whole[kept] / 0.75, rtol=1e-5)
    dropped = torch.stack([first == 0, second == 0]).float().flatten(1)
    assert torch.corrcoef(dropped)[0, 1].abs() < 0.01
    along = (first == 0).float().permute(0, 2, 3, 1).flatten()
    assert torch.corrcoef(torch.stack([along[1:], along[:-1]]))[0, 1].abs() < 0.01
    slope = torch.ones_like(first)
    (got,) = torch.autograd.grad(first, x, slope, retain_graph=True)
    (expected,) = torch.autograd.grad(whole, x, (first != 0) / 0.75)
    assert torch.allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize("numeric", [FUSED, FUSED_BF16], ids=lambda numeric: numeric.name)
def test_the_same_bits_whatever_the_threads(numeric: numerics.Numerics) -> None:
    block = FusedBlock(*rest_of_block(16, (4, 2)), nn.Dropout(0.1))
    dtype = torch.bfloat16 if numeric is FUSED_BF16 else torch.float32
    threads, found = torch.get_num_threads(), []
    try:
        for number in (1, 2, 3, 2):
            torch.set_num_threads(number)
            torch.manual_seed(0)
            ours = copy.deepcopy(block)
            x = map_of(3, 16, 30, 21).to(dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
            y = ours(x)
            y.float().square().sum().backward()
            found.append([y, x.grad, *(p.grad for p in ours.parameters()), *ours.buffers()])
    finally:
        torch.set_num_threads(threads)
    for others in found[1:]:
        assert all(torch.equal(one, other) for one, other in zip(found[0], others, strict=True))


@pytest.mark.parametrize("padding", [0, 1, (2, 0)])
def test_a_convolution_of_one_channel_has_its_own_gradients(padding: int | tuple[int, int]) -> None:
    conv = nn.Conv2d(1, 7, (3, 5), padding=padding)
    x = map_of(3, 1, 9, 11)
    found = []
    for convolve in (conv, lambda x: one_channel.convolved(x, conv)):
        given_x = x.clone().requires_grad_()
        y = convolve(given_x)
        conv.zero_grad()
        y.square().sum().backward()
        found.append((y, given_x.grad, *(parameter.grad.clone() for parameter in conv.parameters())))
    assert one_channel.fits(conv, given_x)
    for theirs, ours in zip(*found, strict=True):
        assert torch.allclose(theirs, ours, rtol=1e-4, atol=1e-4)


def crnn(**arguments: object) -> CRNN:
    torch.manual_seed(0)
    return CRNN(BINS, FRAMES, N_CLASSES, **{**SMALL, "conv_dropout": 0.0, "dropout": 0.0, **arguments})


def gradients(network: nn.Module) -> dict[str, Tensor]:
    x = torch.randn(4, BINS, FRAMES, generator=torch.Generator().manual_seed(1)) * 15 - 30
    nn.functional.cross_entropy(network(x), torch.arange(4) % N_CLASSES).backward()
    return {name: parameter.grad for name, parameter in network.named_parameters() if parameter.grad is not None}


def test_a_network_keeps_its_names_its_gradients_and_its_predictions() -> None:
    plain, ours = crnn(), FUSED.lay_out(crnn())
    assert [type(block) for block in ours.conv] == [FusedBlock, FusedBlock]
    assert list(ours.state_dict()) == list(plain.state_dict())
    theirs, got = gradients(plain), gradients(ours)
    assert theirs.keys() == got.keys()
    for name in theirs:
        if not name.startswith("conv") or not name.endswith("0.bias"):  # batch norm makes nothing of these
            assert torch.allclose(theirs[name], got[name], rtol=1e-3, atol=2e-5), name
    x = torch.randn(2, BINS, FRAMES)
    same = crnn().to(memory_format=torch.channels_last)
    same.load_state_dict(ours.state_dict())
    assert torch.equal(same.eval()(x), ours.eval()(x))


def test_what_is_frozen_and_what_does_not_fit_is_computed_plainly() -> None:
    x = map_of(2, 4, 8, 8).contiguous(memory_format=torch.channels_last)
    plain = rest_of_block(4, (2, 2))
    frozen = FusedBlock(*copy.deepcopy(list(plain)))
    frozen[1].eval()
    plain[1].eval()
    assert torch.equal(frozen(x), plain(x))
    assert torch.equal(frozen[1].running_mean, torch.zeros(4))
    for modules, given_x in (
        (rest_of_block(4, (2, 2)), x.contiguous()),
        (rest_of_block(4, (2, 2)), x.double()),
        (nn.Sequential(nn.ELU(0.5), *list(rest_of_block(4, (2, 2)))[1:]), x),
        (nn.Sequential(*list(rest_of_block(4, (2, 2)))[:2], Average(4, (2, 2))), x),
        (nn.Sequential(nn.ELU(), nn.BatchNorm2d(4, momentum=None), Max(4, (2, 2))), x),
        (nn.Sequential(nn.ELU(), nn.BatchNorm2d(4, affine=False), Max(4, (2, 2))), x),
    ):
        modules = modules.to(given_x.dtype)
        theirs = copy.deepcopy(modules)
        ours = FusedBlock(*modules)
        assert torch.equal(ours(given_x), theirs(given_x))
        assert all(torch.equal(one, other) for one, other in zip(ours.buffers(), theirs.buffers(), strict=True))


def test_a_frozen_network_learns_only_where_it_may() -> None:
    network = FUSED.lay_out(crnn())
    network.freeze([network.conv[0]])
    before = network.conv[0][2].running_mean.clone()
    learned = gradients(network.train())
    assert torch.equal(network.conv[0][2].running_mean, before)
    assert not any(name.startswith("conv.0") for name in learned)
    assert any(name.startswith("conv.1") for name in learned)


def test_networks_without_such_blocks_and_machines_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fused.can_fuse(crnn())
    assert fused.can_fuse(CRNN(BINS, FRAMES, 3, **SMALL, convs_per_block=(2, 1)))
    assert not fused.can_fuse(crnn(pooling=Average))
    monkeypatch.setattr(fused, "find_spec", lambda _: None)
    assert not fused.can_fuse(crnn())
    assert [type(block) for block in FUSED.lay_out(crnn()).conv] == [nn.Sequential, nn.Sequential]


def test_training_goes_as_it_does_plainly() -> None:
    """Three pitches in noise, told apart as fast and as well."""
    generator = torch.Generator().manual_seed(2)
    y = torch.arange(48) % N_CLASSES
    x = torch.randn(48, BINS, FRAMES, generator=generator) * 5 - 30
    x[torch.arange(48), 5 * y] += 6
    losses = {}
    for numeric in (PLAIN, FUSED, FUSED_BF16):
        network = numeric.lay_out(crnn(conv_dropout=0.1)).train()
        optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
        for step in range(60):
            some = torch.arange(16 * (step % 3), 16 * (step % 3) + 16)
            optimizer.zero_grad()
            with numeric.autocast("cpu"):
                loss = nn.functional.cross_entropy(network(x[some]), y[some])
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            losses[numeric.name] = nn.functional.cross_entropy(network.eval()(x), y).item()
    assert max(losses.values()) < 0.35, losses
    assert max(losses.values()) - min(losses.values()) < 0.2, losses
