"""The real music beside the checkout, where it is: what the toy cannot show."""

from pathlib import Path

import librosa
import numpy as np
import pandas as pd
import pytest

from crnn_bench import audio, catalogue, cli, splitting
from crnn_bench.datasets.folder import Folder
from crnn_bench.engines.local import Local
from crnn_bench.feature_store import FeatureStore, default_root, extract
from crnn_bench.features.gtzan_table import GtzanTable
from crnn_bench.features.log_mel import LogMel
from crnn_bench.song import Song
from crnn_bench.splits.album_split import AlbumSplit
from crnn_bench.splits.song_split import SongSplit

pytestmark = pytest.mark.real


@pytest.mark.parametrize(
    ("name", "artists", "songs"), [("game-music", 6, 104), ("piano-composers", 11, 113)], ids=["game", "piano"]
)
def test_the_folders_hold_what_their_lists_say(real_music: Path, name: str, artists: int, songs: int) -> None:
    tracks = catalogue.listing(Folder(str(real_music / name)))
    assert (tracks["artist"].nunique(), len(tracks)) == (artists, songs)


def test_stored_log_mel_of_an_mp3_equals_librosa(real_music: Path) -> None:
    """Before it is stored, to 1e-3 dB; after it, to float16's 0.032 dB."""
    dataset = Folder(str(real_music / "game-music"), artists=["Wansti"])
    tracks = catalogue.listing(dataset)[:2]
    feature = LogMel()
    list(extract(dataset, tracks, [feature], default_root(), Local()))
    for path, stored in zip(tracks["path"], FeatureStore(default_root(), feature).arrays(tracks), strict=True):
        samples, _ = librosa.load(path, sr=16000)
        expected = librosa.power_to_db(
            librosa.feature.melspectrogram(y=samples, sr=16000, n_fft=2048, hop_length=512)
        ).T
        assert np.abs(feature.compute(Song(audio.load(Path(path), 16000), 16000)) - expected).max() <= 1e-3
        assert np.abs(stored.astype(np.float32) - expected).max() <= 0.033


@pytest.mark.slow
def test_the_svm_tells_the_game_composers_apart(real_music: Path, tmp_path: Path) -> None:
    """Published with the data: an RBF SVM on MFCC means and deviations reaches about 0.70 per slice."""
    yaml = Path(__file__).parents[1] / "experiments" / "game_music.yaml"
    dataset = f"dataset.root={real_music / 'game-music'}"
    assert cli.main(["run", str(yaml), "--set", dataset, "--set", "grid.model=[MfccSVM]", "--out", str(tmp_path)]) == 0
    table = pd.read_csv(tmp_path / "results.csv")
    assert list(table["n_test_songs"]) == [11, 11, 11]
    assert 0.6 < table["f1_slice"].mean() < 0.8
    assert table["f1_song"].between(0.6, 1).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_piano_can_be_split_both_ways(real_music: Path, seed: int) -> None:
    tracks = catalogue.listing(Folder(str(real_music / "piano-composers")))
    findings = tracks[["track_id"]].assign(seconds=60.0, content="", reason="", n_frames=1900)
    made = catalogue.build(tracks, findings, 3.0)
    for strategy in (SongSplit(), AlbumSplit()):
        tested = splitting.split(made, strategy, seed).test
        assert {track.split("/")[0] for track in tested} == set(made.classes)


def three_second_rows(real_music: Path, path: Path, seconds: int) -> Path:
    """The usual `features_3_sec.csv`, of the beginnings of 104 pieces of real music; the usual ones take 30 seconds."""
    feature = GtzanTable()
    rows = []
    for _, track in catalogue.listing(Folder(str(real_music / "game-music"))).iterrows():
        whole = audio.load(Path(track["path"]), feature.sample_rate)
        samples = whole[: seconds * feature.sample_rate]
        parts = np.array_split(samples, max(1, len(samples) // (3 * feature.sample_rate)))
        for number, part in enumerate(parts):
            values = feature.compute(Song(part, feature.sample_rate))[0]
            rows.append([f"{track['track_id']}.{number}", track["label"], *values])
    pd.DataFrame(rows, columns=["filename", "label", *feature.columns]).to_csv(path, index=False)
    return path


@pytest.mark.slow
def test_rows_of_one_song_on_both_sides_flatter(real_music: Path, tmp_path: Path) -> None:
    """`experiments/gtzan_leakage.yaml` on a table of real music: every model loses when songs stay whole."""
    table = three_second_rows(real_music, tmp_path / "features_3_sec.csv", seconds=9)
    settings = [f"dataset.path={table}", "grid.model=[KNN, XGBoost]", "grid.seed=[0, 21]"]
    arguments = [word for setting in settings for word in ("--set", setting)]
    yaml, out = Path(__file__).parents[1] / "experiments" / "gtzan_leakage.yaml", tmp_path / "out"
    assert cli.main(["run", str(yaml), "--out", str(out), *arguments]) == 0
    results = pd.read_csv(out / "results.csv")
    row, song = (
        results[results["dataset.unit"] == unit].groupby("model")["f1_slice"].mean() for unit in ("row", "song")
    )
    assert (row - song > 0.05).all()
