"""What a network costs: its parameters, and the arithmetic of one slice."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def of(network: nn.Module, n_bins: int, n_frames: int) -> dict[str, float]:
    """Counts the parameters of a network and the operations of its forward pass; leaves it as it was.

    Args:
        network: takes (1, n_bins, n_frames); on the processor.
        n_bins, n_frames: of a slice.

    Returns:
        `n_parameters`; `n_learned`, those that are not frozen; `mflop_per_slice`, 10⁶ floating-point operations of
        one slice in evaluation: 2 for each multiplication and addition of convolutions, matrix products, attention
        and recurrent layers. Norms, activations and poolings without weights are not counted.
    """
    modes = [(module, module.training) for module in network.modules()]
    counter = FlopCounterMode(display=False, custom_mapping={torch.ops.aten.mkldnn_rnn_layer: _recurrent_layer})
    with torch.no_grad(), _attention_in_the_open(), counter:
        network.eval()(torch.zeros(1, n_bins, n_frames))
    for module, training in modes:
        module.training = training
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in network.parameters()]
    return {
        "n_parameters": sum(size for size, _ in sizes),
        "n_learned": sum(size for size, learns in sizes if learns),
        "mflop_per_slice": counter.get_total_flops() / 1e6,
    }


def _recurrent_layer(x: Sequence[int], into: Sequence[int], onward: Sequence[int], *_: Any, **__: Any) -> int:
    """Operations of one direction of an LSTM layer, which the processor computes in one piece.

    Args:
        x: shape (steps, batch, width) or (batch, steps, width).
        into, onward: shapes of the weights of the input and of the state, (4 · state, width) and (4 · state, state).
    """
    return 2 * x[0] * x[1] * (into[0] * into[1] + onward[0] * onward[1])


@contextmanager
def _attention_in_the_open() -> Iterator[None]:
    """Attention as plain matrix products, which are counted; its fused forms are not."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
