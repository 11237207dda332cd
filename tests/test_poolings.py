"""Poolings against loops over their blocks, and how far a network hears with each."""

import pytest
import torch
from torch import Tensor, nn

from crnn_bench.models.crnn import CRNN
from crnn_bench.poolings import Pooling
from crnn_bench.poolings.attention import Attention
from crnn_bench.poolings.average import Average
from crnn_bench.poolings.dilated import Dilated
from crnn_bench.poolings.max import Max
from crnn_bench.poolings.mixed import Mixed
from crnn_bench.poolings.none import NoTimePooling
from crnn_bench.poolings.strided import Strided

SIZE = (3, 2)


def blocks(x: Tensor, size: tuple[int, int] = SIZE) -> Tensor:
    """(b, c, f, t) to (b, c, f // size[0], t // size[1], places of a block), by cutting each out."""
    rows = []
    for first in range(0, x.shape[2] - size[0] + 1, size[0]):
        row = []
        for start in range(0, x.shape[3] - size[1] + 1, size[1]):
            row.append(x[:, :, first : first + size[0], start : start + size[1]].flatten(2))
        rows.append(torch.stack(row, dim=2))
    return torch.stack(rows, dim=2)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 4, 10, 9, generator=torch.Generator().manual_seed(0))


def test_the_largest_and_the_mean_of_each_block(x: Tensor) -> None:
    assert torch.equal(Max(4, SIZE)(x), blocks(x).amax(dim=-1))
    assert torch.allclose(Average(4, SIZE)(x), blocks(x).mean(dim=-1), atol=1e-6)
    assert torch.equal(NoTimePooling(4, SIZE)(x), blocks(x, (3, 1)).amax(dim=-1))


def test_a_strided_convolution_is_a_weighted_sum_of_each_block(x: Tensor) -> None:
    strided = Strided(4, SIZE)
    weighted = torch.einsum("bcftp,dcp->bdft", blocks(x), strided.conv.weight.flatten(2))
    assert torch.allclose(strided(x), weighted + strided.conv.bias.view(1, -1, 1, 1), atol=1e-5)


def test_mixed_starts_halfway_and_stays_between_average_and_max(x: Tensor) -> None:
    mixed, largest, mean = Mixed(4, SIZE), Max(4, SIZE)(x), Average(4, SIZE)(x)
    assert torch.allclose(mixed(x), (largest + mean) / 2, atol=1e-6)
    for mix, share in ((-1.0, 1 / (1 + torch.e)), (30.0, 1.0), (-30.0, 0.0)):
        nn.init.constant_(mixed.mix, mix)
        assert torch.allclose(mixed(x), share * largest + (1 - share) * mean, atol=1e-6)
    assert sum(p.numel() for p in mixed.parameters()) == 1


def test_attention_weighs_the_places_of_a_block_alike_in_all_channels(x: Tensor) -> None:
    torch.manual_seed(0)
    attention = Attention(4, SIZE)
    scores = (attention.score.weight.view(1, 4, 1, 1) * x).sum(dim=1, keepdim=True)
    weights = blocks(scores).softmax(dim=-1)
    out = attention(x)
    assert torch.allclose(out, (weights * blocks(x)).sum(dim=-1), atol=1e-6)
    assert (out <= blocks(x).amax(dim=-1) + 1e-6).all()
    assert (out >= blocks(x).amin(dim=-1) - 1e-6).all()
    assert not torch.allclose(out, Average(4, SIZE)(x), atol=1e-3)


def test_attention_to_equal_scores_is_the_average_and_to_clear_ones_the_largest(x: Tensor) -> None:
    attention = Attention(4, SIZE)
    nn.init.zeros_(attention.score.weight)
    assert torch.allclose(attention(x), Average(4, SIZE)(x), atol=1e-6)
    with torch.no_grad():
        attention.score.weight[0, 1] = 1e4  # listens to the second channel alone
    assert torch.allclose(attention(x)[:, 1], Max(4, SIZE)(x)[:, 1], atol=1e-3)


def heard(pooling: type[Pooling], factors: tuple[int, ...]) -> list[int]:
    """Input frames that reach one step in the middle of what a CRNN's blocks put out, by the gradient."""
    torch.manual_seed(0)
    sizes = tuple((1, factor) for factor in factors)
    network = CRNN(2, 256, 2, (2,) * len(factors), sizes, pooling=pooling, recurrent_width=1).eval()
    x = torch.randn(1, 1, 2, 256, requires_grad=True)
    out = network.conv(x)
    out[..., out.shape[3] // 2].sum().backward()
    assert x.grad is not None
    reached: list[int] = x.grad.abs().sum(dim=(0, 1, 2)).nonzero().flatten().tolist()
    return reached


@pytest.mark.parametrize("factors", [(2, 2, 2, 2), (2, 2, 2, 1, 1), (3, 1, 2), (4, 4)])
def test_dilated_hears_as_far_as_pooling_and_skips_nothing(factors: tuple[int, ...]) -> None:
    pooled, dilated = heard(Average, factors), heard(Dilated, factors)
    assert dilated == list(range(dilated[0], dilated[-1] + 1))
    assert len(pooled) <= len(dilated) <= len(pooled) + len(factors)


def test_how_far_the_papers_network_hears() -> None:
    """A conv of 3 and a pooling by 2, at 1, 2, 4 and 8 frames a step: 1 + 3 · 15."""
    assert len(heard(Average, (2, 2, 2, 2))) == 46
    assert len(heard(Dilated, (2, 2, 2, 2))) == 47
    assert len(heard(NoTimePooling, (2, 2, 2, 2))) == 1 + 4 * 2


@pytest.mark.parametrize("frames", [1, 2, 9])
@pytest.mark.parametrize("stride_so_far", [1, 2, 8])
def test_dilated_keeps_every_frame(frames: int, stride_so_far: int) -> None:
    out = Dilated(4, (5, 2), stride_so_far)(torch.randn(2, 4, 11, frames))
    assert out.shape == (2, 4, 2, frames)
