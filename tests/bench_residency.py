"""How fast batches come from memory, and from a store that is larger than the page cache may be.

Run alone it prints its lines. As root on Linux with control groups of version 1, the process that reads from disk may
hold so little of the store in memory that nearly every slice comes from the disk; elsewhere only the store's pages are
dropped before each epoch.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

BINS, FRAMES, SONG = 128, 94, 7520  # frames of a slice of 3 s and of a song of 4 min
BATCH, SECONDS = 16, 3.0
GROUP = Path("/sys/fs/cgroup/memory/crnn_bench_residency")


def rates(store_mib: int = 1536, cache_mib: int = 500) -> dict[str, tuple[float, float]]:
    """Slices a second, (from memory, from disk), of the CRNN's training step and of a step that only reads its batch.

    Args:
        store_mib: size of the store.
        cache_mib: what the process may hold of it besides what it needs itself, where that can be limited.
    """
    with tempfile.TemporaryDirectory(dir=os.environ.get("CRNN_BENCH_CACHE")) as folder:
        _write(Path(folder), store_mib)
        memory, disk = (_measured(Path(folder), place, cache_mib) for place in ("ram", "disk"))
    if GROUP.exists():
        GROUP.rmdir()
    return {step: (memory[step], disk[step]) for step in memory}


def _write(folder: Path, mib: int) -> None:
    rng = np.random.default_rng(0)
    songs = (mib << 20) // (SONG * BINS * 2)
    some = rng.normal(-30, 15, (SONG, BINS)).astype(np.float16)
    for shard in range(0, songs, 64):
        np.save(folder / f"{shard:06}.npy", np.concatenate([some] * min(64, songs - shard)))


def _forget(path: Path) -> None:
    """Has the system drop what it keeps of a file."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _measured(folder: Path, place: str, cache_mib: int) -> dict[str, float]:
    """In a process of its own, before which no page of the store is in memory."""
    for path in folder.glob("*.npy"):
        _forget(path)
    command = [sys.executable, __file__, str(folder), place, str(cache_mib)]
    told: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return told


def _measure(folder: Path, place: Any, cache_mib: int) -> dict[str, float]:
    import torch

    from crnn_bench.batches import SliceDataModule
    from crnn_bench.models.crnn import CRNN
    from crnn_bench.numerics import BF16

    network = BF16.lay_out(CRNN(BINS, FRAMES, 20)).train()
    optimizer = torch.optim.Adam(network.parameters(), fused=True)

    def learn(x: torch.Tensor, y: torch.Tensor) -> None:
        with BF16.autocast("cpu"):
            loss = torch.nn.functional.cross_entropy(network(x.float()), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    learn(torch.randn(BATCH, BINS, FRAMES), torch.zeros(BATCH, dtype=torch.long))
    some = _slices(folder)
    data = SliceDataModule(some, some, BATCH, 0, 0, residency=place)
    if place == "disk":
        _limit(cache_mib)
    return {"CRNN": _rate(data, learn), "reading": _rate(data, lambda x, _: x.float())}


def _rate(data: Any, step: Any) -> float:
    """Slices a second of the first seconds of an epoch."""
    started, seen = time.perf_counter(), 0
    for x, y in data.train_dataloader():
        step(x, y)
        seen += len(y)
        if time.perf_counter() - started > SECONDS:
            break
    return seen / (time.perf_counter() - started)


def _slices(folder: Path) -> Any:
    from crnn_bench.records import Slices

    maps = [np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy"))]
    arrays = [whole[first : first + SONG] for whole in maps for first in range(0, len(whole), SONG)]
    track = np.repeat(np.arange(len(arrays)), SONG // FRAMES)
    start = np.tile(np.arange(SONG // FRAMES) * FRAMES, len(arrays))
    names = tuple(str(number) for number in range(len(arrays)))
    return Slices(names, arrays, track, start, np.full_like(start, FRAMES), track % 20, 31.25)


def _limit(cache_mib: int) -> None:
    """Leaves this process so much memory beyond what it takes now, the pages of files included."""
    if not os.access(GROUP.parent, os.W_OK):
        return
    GROUP.mkdir(exist_ok=True)
    (GROUP / "memory.limit_in_bytes").write_text(str(cache_mib << 20))
    (GROUP / "cgroup.procs").write_text(str(os.getpid()))  # what it took before stays charged where it was


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(_measure(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
    else:
        for name, (memory, disk) in rates().items():
            print(f"{name}: {memory:.0f} slices/s from memory, {disk:.0f} from disk, ratio {disk / memory:.3f}")
