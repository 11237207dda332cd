"""Number format and memory layout of training: which is fastest on this machine, found by a short trial."""

import ctypes
import hashlib
import json
import os
import platform
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import nn

from crnn_bench import fused
from crnn_bench.whole import machine

Module = TypeVar("Module", bound=nn.Module)

WORTH = 1.1  # a format must beat plain fp32 by this much, or plain fp32 stays
TRIAL_STEPS = 3
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # as malloc.h has them


@dataclass(frozen=True)
class Numerics:
    """How numbers are held while training; predictions are always made in fp32.

    Attributes:
        name: for the record.
        lightning: the same for Lightning's trainer.
        channels_last: whether maps lie in memory pixel by pixel, as CPU and GPU convolutions want them.
        fused: whether ELU, batch norm and pooling are computed together.
    """

    name: str
    lightning: Literal["32-true", "bf16-mixed"]
    channels_last: bool
    fused: bool = False

    def lay_out(self, network: Module) -> Module:
        """Returns the network with its weights in the layout, and its blocks fused."""
        if self.channels_last:
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.fused:
            _keep_memory()
            fused.fuse(network)
        return network

    def autocast(self, device: str) -> torch.autocast:
        """The context in which a step runs."""
        return torch.autocast(device, torch.bfloat16, enabled=self.lightning == "bf16-mixed")


PLAIN = Numerics("fp32", "32-true", channels_last=False)
CHANNELS_LAST = Numerics("fp32, channels-last", "32-true", channels_last=True)
BF16 = Numerics("bf16, channels-last", "bf16-mixed", channels_last=True)
FUSED = Numerics("fp32, channels-last, fused", "32-true", channels_last=True, fused=True)
FUSED_BF16 = Numerics("bf16, channels-last, fused", "bf16-mixed", channels_last=True, fused=True)


def numerics_of(precision: str, build: Callable[[], nn.Module], shape: tuple[int, int, int], cache: Path) -> Numerics:
    """Returns what `trainer.precision` stands for: `auto` is the fastest for training steps on this machine.

    The choice is kept in a file, and of processes that try at once the first to write it has chosen for all, so that a
    cell trained twice on one machine gives the same numbers.

    Args:
        precision: `auto`, `bf16` (fused where that can be done) or `fp32` (the plain one).
        build: makes the network anew.
        shape: of a batch, (batch, bins, frames).
        cache: the file lies in its folder `numerics`.
    """
    if precision == "fp32":
        return PLAIN
    can_fuse = fused.can_fuse(build())
    if precision == "bf16":
        return FUSED_BF16 if can_fuse else BF16
    key = "|".join(
        [platform.node(), _processor(), torch.__version__, str(torch.get_num_threads()), repr(build()), str(shape)]
    )
    path = cache / "numerics" / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
    formats: tuple[Numerics, ...] = (PLAIN, CHANNELS_LAST, BF16, *((FUSED, FUSED_BF16) if can_fuse else ()))
    candidates = {numerics.name: numerics for numerics in formats}
    chosen = _chosen(path)
    if chosen not in candidates:
        path.unlink(missing_ok=True)
        with torch.random.fork_rng():
            rates = {name: _steps_per_second(build(), shape, numerics) for name, numerics in candidates.items()}
        fastest = max(rates, key=lambda name: rates[name])
        chosen = fastest if rates[fastest] > WORTH * rates[PLAIN.name] else PLAIN.name
        chosen = _keep(path, {"format": chosen, "steps_per_second": rates, "of": key})
    return candidates[chosen]


def _chosen(path: Path) -> str:
    """What was chosen earlier; nothing where the file is absent or damaged, since a new trial mends it."""
    try:
        return str(json.loads(path.read_text())["format"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return ""


def _keep(path: Path, choice: dict[str, Any]) -> str:
    """Writes a choice, whole, unless another process was first; returns the format of the one that is there now."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{machine()}.{os.getpid()}.{uuid.uuid4().hex[:12]}.part")
    try:
        part.write_text(json.dumps(choice, indent=1))
        os.link(part, path)
    except FileExistsError:
        return _chosen(path) or choice["format"]
    except OSError:  # a disk without hard links: the last of those that try at once is heard then
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return str(choice["format"])


def _steps_per_second(network: nn.Module, shape: tuple[int, int, int], numerics: Numerics) -> float:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = numerics.lay_out(network).to(device).train()
    optimizer = torch.optim.Adam(network.parameters())
    x, y = torch.randn(shape, device=device), torch.zeros(shape[0], dtype=torch.long, device=device)

    def step() -> None:
        trial_step(network, optimizer, numerics, x, y)

    step()
    best = min(_seconds(step) for _ in range(TRIAL_STEPS))
    return 1 / best


def trial_step(
    network: nn.Module, optimizer: torch.optim.Optimizer, numerics: Numerics, x: torch.Tensor, y: torch.Tensor
) -> torch.Tensor:
    """One step of training, as trials time it; its loss."""
    optimizer.zero_grad()
    with numerics.autocast(x.device.type):
        loss = nn.functional.cross_entropy(network(x), y)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.detach()


def _seconds(function: Callable[[], Any]) -> float:
    started = time.perf_counter()
    function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def _keep_memory() -> None:
    """Lets glibc keep large blocks that were freed: to get a map's pages anew takes longer than to fill them."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 2**30)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def _processor() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
