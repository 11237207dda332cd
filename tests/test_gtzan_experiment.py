"""`experiments/gtzan_classical.yaml` on a small GTZAN: a few short clips a genre, under their real names."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from crnn_bench import cli
from crnn_bench.datasets.gtzan import GENRES
from crnn_bench.splits import file_split
from tests.conftest import tones

ROOT = Path(__file__).parents[1]
SPLITS = ROOT / "splits" / "gtzan"
RATE = 22050


@pytest.fixture(scope="module")
def gtzan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For each genre a clip or two of every part of every split that the experiment reads."""
    root = tmp_path_factory.mktemp("gtzan")
    chosen: set[str] = set()
    for path in sorted(SPLITS.glob("*.csv")):
        table = file_split.read(path)
        table["genre"] = table["track_id"].str.split("/").str[0]
        chosen |= set(table.groupby(["genre", "part"])["track_id"].first())
    for name in sorted(chosen):
        genre = GENRES.index(name.split("/")[0])
        clip = root / "genres_original" / Path(name).with_suffix(".wav")
        clip.parent.mkdir(parents=True, exist_ok=True)
        seed = int(clip.stem.split(".")[1])
        soundfile.write(clip, tones(genre, 0, seed, 1.5, RATE), RATE)
    return root


def run(gtzan: Path, out: Path, *settings: str) -> pd.DataFrame:
    arguments = [word for setting in (f"dataset.root={gtzan}", *settings) for word in ("--set", setting)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)  # where the splits' paths begin
        yaml = "experiments/gtzan_classical.yaml"
        assert cli.main(["run", yaml, "--out", str(out), *arguments]) == 0
    return pd.read_csv(out / "results.csv")


@pytest.mark.slow
def test_the_five_of_the_web_system(gtzan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On the published fault-filtered lists, whose artists are apart."""
    split = "{class_path: FileSplit, init_args: {path: splits/gtzan/fault_filtered.csv, partial: true}}"
    table = run(gtzan, tmp_path / "out", f"grid.split=[{split}]").set_index("model")
    assert list(table.index) == ["KNN", "LogisticRegression", "SVC", "MLP", "XGBoost", "MajorityClass"]
    assert (table.drop("MajorityClass")["f1_song"] > table.loc["MajorityClass", "f1_song"] + 0.2).all()
    assert (table["n_heard_artists"] == 0).all()
    printed = capsys.readouterr().out
    assert "not 100 clips a genre" in printed
    assert "test artists are heard in training" in printed


@pytest.mark.slow
def test_every_split_of_it(gtzan: Path, tmp_path: Path) -> None:
    table = run(gtzan, tmp_path / "out", "grid.model=[KNN]")
    assert len(table) == 5 + 1 + 5
    folds = table[(table["split"] == "FileSplit") & table["fold"].notna()]
    assert len(folds) == 5
    assert (folds["n_heard_artists"] == 0).all()
    assert folds["n_test_songs"].sum() == len(list(gtzan.rglob("*.wav"))), "each clip is tested once"
    summary = pd.read_csv(tmp_path / "out" / "summary.csv")
    assert sorted(summary["pooled_folds"]) == [1, 5, 5]
    assert np.isfinite(table["f1_song"]).all()
