"""The training step at 3 s and at 30 s, and the loop around it."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from crnn_bench import networks, slicing
from crnn_bench.cells import Trainer
from crnn_bench.models.crnn import CRNN
from crnn_bench.numerics import Numerics, numerics_of
from crnn_bench.plugins import Choice
from crnn_bench.records import Slices
from tests.bench.measuring import Machine, Row, in_turns, timed

BATCH = 16
BINS = 128
RATE = 31.25  # frames a second
N_CLASSES = 6
MODEL = Choice(CRNN, {})
LENGTHS = ((3.0, 12, 2.5), (30.0, 2, 3.0))  # seconds of a slice, steps a round, least ratio


def rows(console: Console, machine: Machine) -> Iterator[Row]:
    """The step at both lengths, then Lightning's loop at 3 s."""
    console.print(
        f"training step: CRNN, batch {BATCH}; plain way: eager fp32, NCHW; bound: the slower of its operations"
    )
    console.print("  at the rate of matrix products, and of each convolution's maps read and written once each way")
    for seconds, steps, wanted in LENGTHS:
        slices = random_slices(steps * BATCH, seconds)
        with tempfile.TemporaryDirectory() as folder:
            shape = (BATCH, BINS, int(slices.length[0]))
            chosen = numerics_of("auto", lambda slices=slices: built(slices), shape, Path(folder))
            contestants = [bare_steps(slices, None), bare_steps(slices, chosen)]
            if seconds == LENGTHS[0][0]:
                contestants.append(lightning(slices, chosen, Path(folder)))
            eager, fast, *loop = in_turns(*contestants)
        bound, told = roofline(slices, chosen, machine)
        console.print(f"  {seconds:g} s: {chosen.name}; {told}")
        yield Row(f"training step, {seconds:g} s", "slices/s", eager, fast, wanted, bound)
        if loop:
            console.print("training loop: Lightning, loader and logging; plain way and bound: our bare training step")
            yield Row("training loop, 3 s", "slices/s", fast, loop[0], 0.9, fast)


def random_slices(number: int, seconds: float) -> Slices:
    """Slices of noise in the range of decibels."""
    rng = np.random.default_rng(0)
    frames = slicing.slice_frames(seconds, RATE)
    arrays = [rng.normal(-30, 15, (frames, BINS)).astype(np.float16) for _ in range(number)]
    names = [f"{index:04}" for index in range(number)]
    table = pd.DataFrame({"track_id": names, "label": [str(index % N_CLASSES) for index in range(number)]})
    return slicing.cut(table, arrays, [str(index) for index in range(N_CLASSES)], RATE, seconds)


def bare_steps(slices: Slices, numerics: Numerics | None) -> Callable[[], float]:
    """A training loop without Lightning, loader or logging: `None` is plain eager fp32 PyTorch."""
    network = built(slices).train()
    if numerics:
        network = numerics.lay_out(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=bool(numerics) or None)
    batches = [range(first, first + BATCH) for first in range(0, len(slices), BATCH)]
    x = [torch.from_numpy(slices.batch(items)).transpose(1, 2).float().contiguous() for items in batches]
    y = [torch.from_numpy(slices.label[list(items)]) for items in batches]

    def run() -> None:
        for inputs, truth in zip(x, y, strict=True):
            optimizer.zero_grad()
            if numerics:
                with numerics.autocast("cpu"):
                    loss = nn.functional.cross_entropy(network(inputs), truth)
            else:
                loss = nn.functional.cross_entropy(network(inputs), truth)
            loss.backward()
            optimizer.step()

    run()
    return lambda: timed(run, len(slices))


def lightning(slices: Slices, numerics: Numerics, cache: Path) -> Callable[[], float]:
    """Slices a second of `networks.fit`, as its last epoch's record states them; `cache` knows the number format."""

    def run() -> float:
        few = random_slices(BATCH, 3.0)
        fitted = networks.fit(MODEL, slices, few, N_CLASSES, Trainer(max_epochs=2, batch_size=BATCH), 0, cache)
        assert fitted.details["precision"] == numerics.name
        return float(fitted.details["history"][-1]["slices_per_second"])

    return run


def roofline(slices: Slices, numerics: Numerics, machine: Machine) -> tuple[float, str]:
    """Slices a second that neither arithmetic nor memory would let pass, and which of them it is."""
    operations, values = _costs(slices)
    is_bf16 = numerics.lightning == "bf16-mixed"
    arithmetic = (machine.bf16 if is_bf16 else machine.fp32) / operations
    memory = machine.copying / (values * (2 if is_bf16 else 4))
    told = f"{operations / 1e9:.2f} GFLOP and {values * (2 if is_bf16 else 4) / 1e6:.1f} MB a slice at least"
    return min(arithmetic, memory), f"{told}: bound by {'arithmetic' if arithmetic < memory else 'memory'}"


def _costs(slices: Slices) -> tuple[float, float]:
    """Of a slice's way forward and back: floating-point operations, and values that have to pass through memory.

    Forward a convolution reads its input and writes its output; backward it reads both the input and the output's
    gradient, and writes the input's.
    """
    network, values = built(slices), 0

    def count(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal values
        values += 3 * inputs[0].numel() + 2 * output.numel()

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    counter = FlopCounterMode(display=False)
    with counter:
        network(torch.zeros(2, BINS, int(slices.length[0]))).sum().backward()
    return counter.get_total_flops() / 2, values / 2


def built(slices: Slices) -> nn.Module:
    return networks.build(MODEL, slices, N_CLASSES, 0)
