"""Speed as ratios, each pair measured in turns within one run: `make bench`.

Every line compares what the package does with the plain way to do the same, on this machine.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import kurtosis, skew
from sklearn.metrics import f1_score

from crnn_bench import catalogue, feature_store, networks, slicing
from crnn_bench.app import neighbours
from crnn_bench.cells import Trainer
from crnn_bench.datasets import Dataset
from crnn_bench.datasets.folder import Folder
from crnn_bench.datasets.toy import Toy
from crnn_bench.features import Feature
from crnn_bench.features.fma_table import FmaTable
from crnn_bench.features.gtzan_table import GtzanTable
from crnn_bench.features.log_mel import LogMel
from crnn_bench.metrics.weighted_f1 import WeightedF1
from crnn_bench.models.crnn import CRNN
from crnn_bench.numerics import Numerics, numerics_of
from crnn_bench.plugins import Choice
from crnn_bench.records import Slices
from crnn_bench.song import Song
from crnn_bench.statistics import RESAMPLES, Answers, interval

REAL_MUSIC = Path(__file__).parents[2] / "shared" / "data" / "game-music"
ROUNDS = 3
STEPS = 12
BATCH = 16
N_CLASSES = 6
N_CLIPS = 4
N_RESAMPLES = 50
TABLE_RATE = 22050
N_SONGS = 1_000_000  # synthetic
N_CENTRES = 2000
N_QUERIES = 200
MODEL = Choice(CRNN, {})


def in_turns(*functions: Callable[[], float], rounds: int = ROUNDS) -> list[float]:
    """The median rate of each, measured a, b, a, b … so that a drifting machine treats them alike."""
    rates = [[function() for function in functions] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*rates, strict=True)]


def timed(function: Callable[[], object], amount: float) -> float:
    """Amount a second."""
    started = time.perf_counter()
    function()
    return amount / (time.perf_counter() - started)


def songs(folder: Path) -> Dataset:
    """Real music where there is some, toy music written as FLAC otherwise."""
    if REAL_MUSIC.is_dir():
        return Folder(str(REAL_MUSIC))
    import soundfile

    toy = Toy(seconds=120.0)
    for _, track in toy.tracks().iterrows():
        path = folder / f"{track['track_id']}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, toy.read(track, 16000), 16000)
    return Folder(str(folder))


def extraction(dataset: Dataset, tracks: pd.DataFrame) -> list[float]:
    """Tracks a second: librosa's load + log-mel in one process, and the store's extraction, process start included."""
    import librosa

    def plainly() -> None:
        for path in tracks["path"]:
            samples, _ = librosa.load(path, sr=16000)
            librosa.power_to_db(librosa.feature.melspectrogram(y=samples, sr=16000, n_fft=2048, hop_length=512))

    def ours() -> None:
        with tempfile.TemporaryDirectory() as folder:
            list(feature_store.extract(dataset, tracks, [LogMel()], Path(folder)))

    librosa.power_to_db(librosa.feature.melspectrogram(y=np.ones(4096, np.float32), sr=16000))  # compiles
    return in_turns(lambda: timed(plainly, len(tracks)), lambda: timed(ours, len(tracks)))


def clips() -> list[NDArray[np.float32]]:
    """Toy music of 30 s at 22050 Hz, one clip an artist."""
    toy = Toy(seconds=30.0)
    tracks = toy.tracks().drop_duplicates("artist")[:N_CLIPS]
    return [toy.read(track, TABLE_RATE) for _, track in tracks.iterrows()]


def plain_fma(y: NDArray[np.float32]) -> None:
    """The Free Music Archive's 518 numbers, each feature called from the samples."""
    from librosa import feature

    sr, octaves = TABLE_RATE, {"y": y, "sr": TABLE_RATE, "bins_per_octave": 12, "n_chroma": 12, "n_octaves": 7}
    for values in (
        feature.chroma_cens(**octaves),
        feature.chroma_cqt(**octaves),
        feature.chroma_stft(y=y, sr=sr, n_chroma=12),
        feature.mfcc(y=y, sr=sr, n_mfcc=20),
        feature.rms(y=y),
        feature.spectral_bandwidth(y=y, sr=sr),
        feature.spectral_centroid(y=y, sr=sr),
        feature.spectral_contrast(y=y, sr=sr, n_bands=6),
        feature.spectral_rolloff(y=y, sr=sr),
        feature.tonnetz(chroma=feature.chroma_cens(**octaves)),
        feature.zero_crossing_rate(y, frame_length=2048, hop_length=512),
    ):
        for statistic in (kurtosis, np.max, np.mean, np.median, np.min, skew, np.std):
            statistic(values, axis=1)


def plain_gtzan(y: NDArray[np.float32]) -> None:
    """The 57 numbers of the GTZAN table, each feature called from the samples."""
    import librosa
    from librosa import feature

    sr = TABLE_RATE
    librosa.beat.beat_track(y=y, sr=sr)
    for values in (
        feature.chroma_stft(y=y, sr=sr),
        feature.rms(y=y),
        feature.spectral_centroid(y=y, sr=sr),
        feature.spectral_bandwidth(y=y, sr=sr),
        feature.spectral_rolloff(y=y, sr=sr),
        feature.zero_crossing_rate(y),
        *librosa.effects.hpss(y),
        *feature.mfcc(y=y, sr=sr, n_mfcc=20),
    ):
        np.mean(values), np.var(values)


def per_song(plainly: Callable[[NDArray[np.float32]], None], feature: Feature) -> list[float]:
    """Songs a second of the plain script and of ours, one process each; both have compiled before."""
    songs = clips()
    plainly(songs[0])
    feature.compute(Song(songs[0], TABLE_RATE))
    return in_turns(
        lambda: timed(lambda: [plainly(y) for y in songs], len(songs)),
        lambda: timed(lambda: [feature.compute(Song(y, TABLE_RATE)) for y in songs], len(songs)),
    )


def random_slices(number: int) -> Slices:
    """Slices of 3 s of noise in the range of decibels."""
    rng = np.random.default_rng(0)
    arrays = [rng.normal(-30, 15, (94, 128)).astype(np.float16) for _ in range(number)]
    names = [f"{index:04}" for index in range(number)]
    table = pd.DataFrame({"track_id": names, "label": [str(index % N_CLASSES) for index in range(number)]})
    return slicing.cut(table, arrays, [str(index) for index in range(N_CLASSES)], 31.25, 3.0)


def bare_steps(slices: Slices, numerics: Numerics | None, optimizer_options: dict[str, bool]) -> Callable[[], float]:
    """A training loop without Lightning, loader or logging: `None` is plain eager fp32 PyTorch."""
    network = networks.build(MODEL, slices, N_CLASSES, 0).train()
    if numerics:
        network = numerics.lay_out(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, **optimizer_options)
    batches = [range(first, first + BATCH) for first in range(0, len(slices), BATCH)]
    x = [torch.from_numpy(slices.batch(items)).transpose(1, 2).float().contiguous() for items in batches]
    y = [torch.from_numpy(slices.label[list(items)]) for items in batches]

    def run() -> None:
        for inputs, truth in zip(x, y, strict=True):
            optimizer.zero_grad()
            if numerics:
                with numerics.autocast("cpu"):
                    loss = torch.nn.functional.cross_entropy(network(inputs), truth)
            else:
                loss = torch.nn.functional.cross_entropy(network(inputs), truth)
            loss.backward()
            optimizer.step()

    run()
    return lambda: timed(run, len(slices))


def lightning(slices: Slices, numerics: Numerics, cache: Path) -> Callable[[], float]:
    """Slices a second of `networks.fit`, as each epoch's record states them."""
    precision = "bf16" if numerics.lightning == "bf16-mixed" else "fp32"
    trainer = Trainer(max_epochs=2, batch_size=BATCH, precision=precision)

    def run() -> float:
        few = random_slices(BATCH)
        fitted = networks.fit(MODEL, slices, few, N_CLASSES, trainer, 0, cache)
        return float(fitted.details["history"][-1]["slices_per_second"])

    return run


def resampling() -> list[float]:
    """Resamples a second of 20,000 slices of 20 classes in 200 songs: scikit-learn's F1 in a loop, and our interval."""
    rng = np.random.default_rng(0)
    song = rng.integers(200, size=20_000)
    truth = song % 20
    predicted = np.where(rng.random(20_000) < 0.7, truth, rng.integers(20, size=20_000))
    answers = Answers(truth, np.eye(20)[predicted], np.array([f"song {n}" for n in song], dtype=object))
    slices = [np.flatnonzero(song == n) for n in range(200)]

    def plainly() -> None:
        for _ in range(N_RESAMPLES):
            chosen = np.concatenate([slices[n] for n in rng.integers(200, size=200)])
            f1_score(truth[chosen], predicted[chosen], average="weighted")

    return in_turns(
        lambda: timed(plainly, N_RESAMPLES),
        lambda: timed(lambda: interval({0: answers}, WeightedF1()), RESAMPLES),
    )


def neighbours_of(width: int) -> tuple[list[float], str]:
    """Ten of a million synthetic songs: queries a second by looking at all and by our index, what that costs and finds.

    The songs lie about random centres, as far apart as wide.
    """
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((N_CENTRES, width), np.float32)
    vectors = centres[rng.integers(N_CENTRES, size=N_SONGS)]
    vectors += rng.standard_normal((N_SONGS, width), np.float32)
    queries = vectors[rng.integers(N_SONGS, size=N_QUERIES)]
    queries += 0.3 * rng.standard_normal((N_QUERIES, width), np.float32)
    started = time.perf_counter()
    index = neighbours.build(vectors)
    built = time.perf_counter() - started
    exact, seconds, found = neighbours.Exact(vectors).units, np.zeros((2, N_QUERIES)), 0
    for number, query in enumerate(queries):
        started = time.perf_counter()
        nearest = np.argpartition(-(exact @ query), 10)[:10]
        seconds[0, number] = time.perf_counter() - started
        started = time.perf_counter()
        near, _ = index.search(query[None], 10)
        seconds[1, number] = time.perf_counter() - started
        found += len(np.intersect1d(near, nearest))
    middle, late = 1000 * np.median(seconds[1]), 1000 * np.quantile(seconds[1], 0.95)
    told = f"built in {built:.1f} s, a query takes {middle:.1f} ms (95%: {late:.1f} ms), recall@10 "
    return (1 / np.median(seconds, axis=1)).tolist(), told + f"{found / (10 * N_QUERIES):.3f}"


def main() -> None:
    """Prints the table."""
    console = Console(highlight=False, soft_wrap=True)
    table = Table("what", "plain way", "ours", "ratio", "wanted")
    with tempfile.TemporaryDirectory() as folder:
        dataset = songs(Path(folder))
        tracks = catalogue.listing(dataset)
        plain, ours = extraction(dataset, tracks)
        console.print(f"extraction: {len(tracks)} songs, {os.cpu_count()} cores; plain way: librosa, one process")
        table.add_row("extraction", f"{plain:.1f} tracks/s", f"{ours:.1f} tracks/s", f"{ours / plain:.2f}", "≥ 1.70")

        console.print(f"tables: {N_CLIPS} clips of 30 s, one process; plain way: each librosa feature from the samples")
        for what, plainly, feature, wanted in (
            ("FMA table", plain_fma, FmaTable(), "≥ 2.00"),
            ("GTZAN table", plain_gtzan, GtzanTable(), "≥ 4.00"),
        ):
            plain, ours = per_song(plainly, feature)
            table.add_row(what, f"{plain:.1f} songs/s", f"{ours:.1f} songs/s", f"{ours / plain:.2f}", wanted)

        plain, ours = resampling()
        console.print(
            "bootstrap: 20,000 slices of 20 classes, clustered by song; plain way: scikit-learn's F1 in a loop"
        )
        table.add_row("bootstrap", f"{plain:.0f} resamples/s", f"{ours:.0f} resamples/s", f"{ours / plain:.0f}", "≥ 50")

        slices = random_slices(STEPS * BATCH)
        chosen = numerics_of(
            "auto", lambda: networks.build(MODEL, slices, N_CLASSES, 0), (BATCH, 128, 94), Path(folder)
        )
        contestants = bare_steps(slices, None, {}), bare_steps(slices, chosen, {"foreach": True})
        eager, fast, loop = in_turns(*contestants, lightning(slices, chosen, Path(folder)), rounds=5)
        console.print(f"training step: CRNN, 3 s, batch {BATCH}, {chosen.name}; plain way: eager fp32, NCHW")
        table.add_row("training step", f"{eager:.0f} slices/s", f"{fast:.0f} slices/s", f"{fast / eager:.2f}", "≥ 1.80")
        console.print("training loop: Lightning, loader and logging; plain way: our bare training step")
        table.add_row("training loop", f"{fast:.0f} slices/s", f"{loop:.0f} slices/s", f"{loop / fast:.2f}", "≥ 0.90")
        console.print("neighbours: 1,000,000 vectors about 2,000 centres; plain way: NumPy looks at all of them")
        for width in (32, 128):
            (plain, ours), told = neighbours_of(width)
            console.print(f"  {width} wide: {told}")
            name = f"neighbours, {width}"
            table.add_row(name, f"{plain:.0f} queries/s", f"{ours:.0f} queries/s", f"{ours / plain:.0f}", "≥ 5")
    console.print("medians of rounds in turns:", table)


if __name__ == "__main__":
    main()
