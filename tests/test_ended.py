"""A run whose cells are all finished: it says what it said, from its note, as long as the note holds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from crnn_bench import cli, config, ended

YAML = """
name: ended
dataset: {{class_path: Folder, init_args: {{root: {music}}}}}
clip_seconds: 1
grid: {{split: [SongSplit], model: [MajorityClass], seed: [0, 1]}}
"""
HEAVY = ("mlflow", "pytorch_lightning", "sklearn", "matplotlib", "librosa", "transformers", "torchmetrics", "scipy")


@pytest.fixture(scope="module")
def finished(music: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An experiment and its folder."""
    folder = tmp_path_factory.mktemp("ended")
    path = folder / "ended.yaml"
    path.write_text(YAML.format(music=music))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRNN_BENCH_CACHE", str(folder / "cache"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert cli.main(["run", str(path), "--out", str(folder / "out")]) == 0
    return path, folder / "out"


@pytest.fixture(autouse=True)
def cache(finished: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The features that the experiment has extracted."""
    monkeypatch.setenv("CRNN_BENCH_CACHE", str(finished[0].parent / "cache"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def told(finished: tuple[Path, Path], *overrides: str) -> bool:
    path, out = finished
    return ended.tell(config.load(path, overrides), out, None)


def test_it_needs_no_library_that_trains_tracks_or_draws(finished: tuple[Path, Path]) -> None:
    path, out = finished
    code = f"import sys; from crnn_bench import cli; cli.main(['run', {str(path)!r}, '--out', {str(out)!r}]);"
    code += f"print(sorted(set({HEAVY}) & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert ran.stdout.splitlines()[-1] == "[]"
    assert ran.stdout.count("finished before") == 2


def test_it_says_what_a_run_that_asks_and_computes_says(
    finished: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = finished
    assert told(finished)
    quick = capsys.readouterr().out
    (out / "ended.json").unlink()
    assert cli.main(["run", str(path), "--out", str(out)]) == 0
    whole = capsys.readouterr().out
    assert [line for line in quick.splitlines() if " cells in " not in line] == [
        line for line in whole.splitlines() if " cells in " not in line
    ]
    assert (out / "ended.json").is_file()


def test_another_grid_is_not_told(finished: tuple[Path, Path]) -> None:
    assert not told(finished, "grid.seed=[0]")
    assert told(finished)


def test_newer_or_lost_predictions_are_not_told(finished: tuple[Path, Path]) -> None:
    note, prediction = finished[1] / "ended.json", next((finished[1] / "predictions").glob("*.parquet"))
    before = prediction.stat()
    os.utime(prediction, ns=(before.st_atime_ns, note.stat().st_mtime_ns + 1))
    assert not told(finished)
    os.utime(prediction, ns=(before.st_atime_ns, before.st_mtime_ns))
    moved = prediction.rename(prediction.with_suffix(".away"))
    assert not told(finished)
    moved.rename(prediction)
    assert told(finished)


def test_another_store_or_one_that_is_gone_is_not_told(
    finished: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    database = finished[1] / "mlflow.db"
    moved = database.rename(database.with_suffix(".away"))
    assert not told(finished)
    moved.rename(database)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{finished[1]}/other.db")
    assert not told(finished)


def test_a_damaged_note_is_not_told(finished: tuple[Path, Path]) -> None:
    note = finished[1] / "ended.json"
    text = note.read_text()
    note.write_text(text[:-20])
    assert not told(finished)
    note.write_text(text)
    assert told(finished)


def test_the_note_holds_no_address_of_a_store(finished: tuple[Path, Path]) -> None:
    """A server's may hold a password."""
    content = json.loads((finished[1] / "ended.json").read_text())
    assert "mlflow.db" not in json.dumps(content)
