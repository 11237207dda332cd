"""How fast batches come from memory, and from a store that is larger than the page cache may be.

The CRNN's training step, in the format that `trainer.precision: auto` chooses here, is fed from memory and from disk in
turns. Before each turn of the disk all pages of the store are dropped; as root on Linux with control groups of version
1, the process may besides hold no more of it in memory than its budget. Run alone it prints its lines.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

BINS, FRAMES, SONG = 128, 94, 7520  # frames of a slice of 3 s and of a song of 4 min
BATCH, ROUNDS, SECONDS = 16, 6, 1.0
GROUPS = Path("/sys/fs/cgroup/memory")
Measured = dict[str, tuple[float, float]]


def rates(store_mib: int = 768, cache_mib: int = 150) -> Measured:
    """Slices a second, (from memory, from disk), of the CRNN's training step and of a step that only reads its batch.

    Args:
        store_mib: size of the store.
        cache_mib: what the process may hold of it besides what a step needs, where that can be limited.
    """
    return {step: told for step, told in measured(store_mib, cache_mib).items() if step in ("CRNN", "reading")}


def measured(store_mib: int = 768, cache_mib: int = 150) -> Measured:
    """The same, and the bytes (wanted, read) by turns of the disk, and whether a group limited them (1 or 0)."""
    group = _group()
    try:
        place = Path(os.environ.get("CRNN_BENCH_CACHE", tempfile.gettempdir()))  # which may be another disk
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place) as folder:
            _write(Path(folder), store_mib)
            command = [sys.executable, __file__, folder, str(cache_mib), str(group or "")]
            told: Measured = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    finally:
        if group:
            group.rmdir()
    return told


def _group() -> Path | None:
    """A control group of our own below that of this process, if it may make one."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        own = next(line.split(":", 2)[2] for line in lines if line.split(":", 2)[1] == "memory")
        group = GROUPS / own.lstrip("/") / f"crnn_bench_{os.getpid()}"
        group.mkdir()
    except (OSError, StopIteration):
        return None
    return group


def _songs() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).normal(-30, 15, (SONG, BINS)).astype(np.float16)


def _write(folder: Path, mib: int) -> None:
    songs, some = (mib << 20) // (SONG * BINS * 2), _songs()
    for shard in range(0, songs, 64):
        np.save(folder / f"{shard:06}.npy", np.concatenate([some] * min(64, songs - shard)))


def _forget(folder: Path) -> None:
    """Has the system drop what it keeps of the store; no map of it may be open."""
    for path in folder.glob("*.npy"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _slices(arrays: list[Any]) -> Any:
    from crnn_bench.records import Slices

    track = np.repeat(np.arange(len(arrays)), SONG // FRAMES)
    start = np.tile(np.arange(SONG // FRAMES) * FRAMES, len(arrays))
    names = tuple(str(number) for number in range(len(arrays)))
    return Slices(names, arrays, track, start, np.full_like(start, FRAMES), track % 20, 31.25)


def _mapped(folder: Path) -> list[Any]:
    maps = [np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy"))]
    return [whole[first : first + SONG] for whole in maps for first in range(0, len(whole), SONG)]


def _data(arrays: list[Any], place: Any, seed: int) -> Any:
    from crnn_bench.batches import SliceDataModule

    return SliceDataModule(_slices(arrays), _slices(arrays[:1]), BATCH, 0, seed, residency=place)


def _learner() -> Callable[[Any, Any], None]:
    """A training step of the default CRNN, warm."""
    import torch

    from crnn_bench.models.crnn import CRNN
    from crnn_bench.numerics import numerics_of

    with tempfile.TemporaryDirectory() as cache:
        numerics = numerics_of("auto", lambda: CRNN(BINS, FRAMES, 20), (BATCH, BINS, FRAMES), Path(cache))
    network = numerics.lay_out(CRNN(BINS, FRAMES, 20)).train()
    optimizer = torch.optim.Adam(network.parameters(), fused=True)

    def learn(x: torch.Tensor, y: torch.Tensor) -> None:
        with numerics.autocast("cpu"):
            loss = torch.nn.functional.cross_entropy(network(x.float()), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    for _ in range(3):
        learn(torch.randn(BATCH, BINS, FRAMES), torch.zeros(BATCH, dtype=torch.long))
    return learn


def _measure(folder: Path, cache_mib: int, group: str) -> Measured:
    from crnn_bench.residency import at_random

    steps = {"CRNN": (_learner(), ROUNDS), "reading": (lambda x, _: x.float(), 2)}
    memory = _data([_songs()] * len(_mapped(folder)), "ram", 0)
    if group:
        (Path(group) / "memory.limit_in_bytes").write_text(str(cache_mib << 20))
        (Path(group) / "cgroup.procs").write_text(str(os.getpid()))  # what it took before stays charged where it was
    found: dict[str, tuple[list[float], list[float]]] = {step: ([], []) for step in steps}
    wanted = read = 0
    for step, (function, rounds) in steps.items():
        for number in range(rounds):
            found[step][0].append(_rate(memory, function)[0])
            _forget(folder)
            before = _bytes_read()
            arrays = _mapped(folder)
            with at_random(arrays):
                rate, seen = _rate(_data(arrays, "disk", number), function)
            del arrays
            found[step][1].append(rate)
            wanted, read = wanted + seen * FRAMES * BINS * 2, read + _bytes_read() - before
    told = {step: (median(ram), median(disk)) for step, (ram, disk) in found.items()}
    return {**told, "bytes": (wanted, read), "limited": (bool(group), bool(group))}


def _bytes_read() -> int:
    """What this process has had fetched from disks, where the system tells."""
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return 0
    return int(dict(line.split(": ") for line in lines)["read_bytes"])


def _rate(data: Any, step: Callable[[Any, Any], None]) -> tuple[float, int]:
    """Slices a second from an epoch's first batch on, and how many they were."""
    batches = iter(data.train_dataloader())
    step(*next(batches))
    started, seen = time.perf_counter(), 0
    for x, y in batches:
        step(x, y)
        seen += len(y)
        if time.perf_counter() - started > SECONDS:
            break
    return seen / (time.perf_counter() - started), seen


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(_measure(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])))
    else:
        told = measured()
        for name in ("CRNN", "reading"):
            ram, disk = told[name]
            print(f"{name}: {ram:.0f} slices/s from memory, {disk:.0f} from disk, ratio {disk / ram:.3f}")
        wanted, read = told["bytes"]
        kept = "limited" if told["limited"][0] else "not limited"
        print(f"turns of the disk: {wanted / 2**20:.0f} MiB wanted, {read / 2**20:.0f} MiB fetched; page cache {kept}")
