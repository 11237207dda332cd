"""What is left of this machine's memory and disks."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Room:
    """What an experiment may take.

    Attributes:
        memory: bytes that could still be used.
        for_features, for_results: bytes free on the disks of the feature store and of the results.
        one_disk: whether these are the same.
        cores: that this process may use.
    """

    memory: int
    for_features: int
    for_results: int
    one_disk: bool
    cores: int


def here(features: Path, results: Path) -> Room:
    """What this machine has left, for folders that need not exist yet."""
    from joblib import cpu_count

    one = _existing(features).stat().st_dev == _existing(results).stat().st_dev
    return Room(available_memory(), free_disk(features), free_disk(results), one, cpu_count())


def free_disk(folder: Path) -> int:
    """Bytes free on the disk where a folder is, or would be made."""
    return shutil.disk_usage(_existing(folder)).free


def available_memory(proc: Path = PROC, cgroups: Path = CGROUPS) -> int:
    """Bytes of memory that could still be used: by the machine, and by each container that this process is in.

    What the system keeps of files it would give back, so that counts as free. Where there is no `/proc`, it is all the
    memory of the machine.

    Args:
        proc, cgroups: where Linux tells of processes and of containers (version 1 or 2).
    """
    try:
        lines = (proc / "meminfo").read_text().splitlines()
    except OSError:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    kilobytes = {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines)}
    left = [kilobytes.get("MemAvailable", kilobytes["MemFree"]) * 1024]
    for folder, limit, usage, cached in _groups(proc, cgroups):
        try:
            most = (folder / limit).read_text().strip()
            used = int((folder / usage).read_text())
            told = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        except OSError:
            continue
        if most != "max":
            left.append(int(most) - used + int(told.get(cached, 0)))
    return max(0, min(left))


def _groups(proc: Path, cgroups: Path) -> Iterator[tuple[Path, str, str, str]]:
    """Each control group of this process up to the root: its folder and the names of its limit, usage and cache."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            top, names = cgroups / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        elif controllers == "":
            top, names = cgroups, ("memory.max", "memory.current", "inactive_file")
        else:
            continue
        folder = top / path.lstrip("/")
        for place in (folder, *folder.parents):
            if place.is_relative_to(top):
                yield (place, *names)


def _existing(folder: Path) -> Path:
    return next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
