"""How fast this machine is at what an experiment asks of it: measured by short trials, and kept in a file."""

import json
import math
import platform
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from crnn_bench.audio import UnusableAudioError
from crnn_bench.cells import Cell
from crnn_bench.datasets import Dataset
from crnn_bench.errors import BenchError
from crnn_bench.features import Feature
from crnn_bench.models import Network
from crnn_bench.numerics import numerics_of, trial_step
from crnn_bench.plugins import FAULTS, digest
from crnn_bench.slicing import slice_frames
from crnn_bench.song import Song
from crnn_bench.whole import replacing

VERSION = 1  # raise it whenever the trials measure otherwise
HEADERS = 256  # read of a dataset, evenly over its tracks
TRIAL_TRACKS = 2
EXCERPT_SECONDS = 30.0  # of a trial track that each feature hears
WARMING_SECONDS = 2.0
SAMPLE_RATE = 16000.0  # at which tracks without a file are read, to learn their length
TRIAL_STEPS = 3
PREDICT_BATCH = 4
STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Pace:
    """What a network costs on slices of one shape.

    Attributes:
        train_seconds, predict_seconds: a slice.
        peak_bytes: memory of a process that trains it, without the slices; `None` where the system does not tell.
        n_parameters: that it has.
        width: of its bottleneck.
    """

    train_seconds: float
    predict_seconds: float
    peak_bytes: int | None
    n_parameters: int
    width: int


@dataclass(frozen=True)
class Extraction:
    """What reading a dataset and computing its features costs on one core, in seconds a second of audio.

    Attributes:
        read: by sample rate.
        compute: by the feature's key.
    """

    read: Mapping[float, float] = field(default_factory=dict)
    compute: Mapping[str, float] = field(default_factory=dict)

    def of(self, features: Iterable[Feature]) -> float | None:
        """Of some features together; `None` where one was not measured."""
        wanted = list(features)
        if any(feature.key not in self.compute or feature.sample_rate not in self.read for feature in wanted):
            return None
        rates = {feature.sample_rate for feature in wanted}
        return sum(self.read[rate] for rate in rates) + sum(self.compute[feature.key] for feature in wanted)


class Kept:
    """Earlier measurements of this machine, in a file.

    Args:
        path: of the file; a damaged one is made anew.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.known: dict[str, Any] = json.loads(path.read_text())
        except (FileNotFoundError, ValueError):
            self.known = {}

    def get(self, *what: object) -> Any:
        """What was measured of this, or `None`."""
        return self.known.get(_key(what))

    def put(self, measured: Any, *what: object) -> None:
        """Keeps what was measured of this."""
        self.known[_key(what)] = measured
        with replacing(self.path) as part:
            part.write_text(json.dumps(self.known, indent=1))


def _key(what: Iterable[object]) -> str:
    machine = [platform.node(), platform.processor() or platform.machine(), torch.__version__]
    return digest([VERSION, *machine, torch.get_num_threads(), *map(str, what)])


def seconds_of(dataset: Dataset, tracks: pd.DataFrame) -> list[float]:
    """Lengths of some tracks, evenly over all, as their headers tell; of a dataset without files, as they are read."""
    import soundfile

    found = []
    for path in filter(None, _evenly(tracks, HEADERS)["path"]):
        try:
            found.append(float(soundfile.info(path).duration))
        except (soundfile.LibsndfileError, RuntimeError, OSError, UnicodeEncodeError):
            continue
    rate = dataset.features.sample_rate if dataset.features else SAMPLE_RATE
    return found or [len(samples) / rate for samples in _read(dataset, tracks, rate)[0]]


def extraction(dataset: Dataset, tracks: pd.DataFrame, features: Iterable[Feature], kept: Kept) -> Extraction:
    """Reads two tracks and lets each feature hear half a minute of them, where that is not known from before."""
    wanted, known = list(features), Extraction({}, {})
    for rate in sorted({feature.sample_rate for feature in wanted}):
        here = [feature for feature in wanted if feature.sample_rate == rate]
        name = (type(dataset).__name__, digest(tracks["fingerprint"].tolist()), rate)
        compute = {feature.key: kept.get("compute", *name, feature.key) for feature in here}
        read = kept.get("read", *name)
        if read is None or None in compute.values():
            songs, seconds = _read(dataset, tracks, rate)
            if not songs:
                continue
            read = seconds / (sum(map(len, songs)) / rate)
            kept.put(read, "read", *name)
            for feature in here:
                if compute[feature.key] is None:
                    compute[feature.key] = _compute_seconds(feature, songs[-1], rate)
                    kept.put(compute[feature.key], "compute", *name, feature.key)
        known = Extraction({**known.read, rate: read}, {**known.compute, **compute})
    return known


def _compute_seconds(feature: Feature, samples: Any, rate: float) -> float:
    """Seconds a second of audio."""
    excerpt = samples[: math.ceil(EXCERPT_SECONDS * rate)]
    feature.compute(Song(excerpt[: math.ceil(WARMING_SECONDS * rate)], rate))  # compiles and imports
    song = Song(excerpt, rate)
    return _seconds(lambda: feature.compute(song).astype(feature.dtype)) / (len(excerpt) / rate)


def _read(dataset: Dataset, tracks: pd.DataFrame, rate: float) -> tuple[list[Any], float]:
    """The samples of the first usable tracks, and how long they took, the very first left out."""
    songs: list[Any] = []
    seconds = 0.0
    for _, track in _evenly(tracks, 4 * TRIAL_TRACKS).iterrows():
        started = time.perf_counter()
        try:
            samples = dataset.read(track, rate)
            if not songs:  # imports, opens the disk
                started = time.perf_counter()
                samples = dataset.read(track, rate)
        except (UnusableAudioError, OSError):
            continue
        seconds += time.perf_counter() - started
        songs.append(samples)
        if len(songs) == TRIAL_TRACKS:
            break
    return songs, seconds


def pace(cell: Cell, feature: Feature, n_classes: int, kept: Kept, cache: Path) -> Pace | None:
    """Trains a network for a few steps on noise, where that is not known from before.

    Args:
        cell: whose model is a network.
        feature: that it hears.
        n_classes: of its dataset.
        kept: earlier measurements.
        cache: folder that remembers which number format is fastest here.

    Returns:
        `None` where it cannot be known before the first cell: whole songs, a table, a network that cannot be built.
    """
    if not cell.trainer or cell.clip_seconds is None or not feature.n_bins:
        return None
    shape = (cell.trainer.batch_size, feature.n_bins, slice_frames(cell.clip_seconds, feature.frames_per_second))
    name = ("pace", cell.model.describe(), cell.code, shape, n_classes, cell.trainer.precision)
    known = kept.get(*name)
    if known is None:
        try:
            measured = _trial(cell, shape, n_classes, cache)
        except (BenchError, *FAULTS):
            return None  # the planning of the cell says what is wrong with it
        known = asdict(measured)
        kept.put(known, *name)
    return Pace(**known)


def _trial(cell: Cell, shape: tuple[int, int, int], n_classes: int, cache: Path) -> Pace:
    assert cell.trainer
    batch, n_bins, n_frames = shape

    def build() -> Network:
        network: Network = cell.model.build(n_bins=n_bins, n_frames=n_frames, n_classes=n_classes)
        return network

    with torch.random.fork_rng():
        numerics = numerics_of(cell.trainer.precision, build, shape, cache)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        network = numerics.lay_out(build()).to(device).train()
        optimizer = torch.optim.Adam([weight for weight in network.parameters() if weight.requires_grad])
        x, y = torch.randn(shape, device=device), torch.zeros(batch, dtype=torch.long, device=device)

        def step() -> float:
            return trial_step(network, optimizer, numerics, x, y).item()  # waits for a device

        _forget_peak()
        step()
        training = min(_seconds(step) for _ in range(TRIAL_STEPS))
        peak = _peak()
        with torch.no_grad():
            few = x[:PREDICT_BATCH]
            width = network.eval().embed(few).shape[1]
            predicting = min(_seconds(lambda: network(few).sum().item()) for _ in range(TRIAL_STEPS))
    sizes = sum(weight.numel() for weight in network.parameters())
    return Pace(training / batch, predicting / len(few), peak, sizes, int(width))


def _seconds(function: Any) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def _evenly(tracks: pd.DataFrame, most: int) -> pd.DataFrame:
    return tracks.iloc[np.unique(np.linspace(0, len(tracks) - 1, most).astype(int))]


def _forget_peak() -> None:
    """Lets Linux count this process's greatest memory from now on."""
    if STATUS.exists():
        (STATUS.parent / "clear_refs").write_text("5")


def _peak() -> int | None:
    """The greatest memory of this process since then, in bytes."""
    if not STATUS.exists():
        return None
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) * 1024
