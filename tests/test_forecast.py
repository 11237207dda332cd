"""What an experiment will take is foretold, and what cannot fit is refused."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from crnn_bench import config, feature_store, forecast, forecasting, planning, preparing, room
from crnn_bench.cells import Experiment
from crnn_bench.engines.local import Local
from crnn_bench.forecast import Forecast
from crnn_bench.planning import Plan
from crnn_bench.records import Predictions
from crnn_bench.results import Result
from tests.conftest import RATE, tones, write_music

PLENTY = room.Room(memory=2**50, for_features=2**50, for_results=2**50, one_disk=True, cores=2)
GIGABYTE = 10**9
NETWORK = "{class_path: CRNN, init_args: {conv_channels: [2, 2, 2, 2], recurrent_width: 2}}"
YAML = """
name: small
dataset: {{class_path: Folder, init_args: {{root: {music}}}}}
grid:
  split: [SongSplit]
  clip_seconds: [{clip}]
  model: [{models}]
  seed: [0, 1]
trainer: {{max_epochs: {epochs}, batch_size: 4, residency: {residency}}}
"""


def experiment(
    folder: Path, music: Path, models: str, clip: float = 3, epochs: int = 3, residency: str = "auto"
) -> Experiment:
    path = folder / "small.yaml"
    path.write_text(YAML.format(music=music, models=models, clip=clip, epochs=epochs, residency=residency))
    return config.load(path, [])


def foretold(work: Experiment, folder: Path, **more: Any) -> Forecast:
    listed = preparing.listings(work)
    given: dict[str, Any] = {"room": PLENTY, "trials": False} | more
    return forecasting.forecast(work, listed, folder / "features", folder / "out", **given)


def extract(work: Experiment, root: Path) -> list[Plan]:
    """Stores what the cells hear, and plans them."""
    ((chosen, tracks),) = preparing.listings(work).items()
    features = {built.key: built for built in (cell.features.build() for cell in work.cells)}
    list(feature_store.extract(chosen.build(), tracks, list(features.values()), root, Local()))
    return [planning.plan(cell, planning.catalogue(cell, tracks, root), root) for cell in work.cells]


def stored_bytes(root: Path) -> int:
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def lengthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 songs of 20 to 43 s."""
    root = tmp_path_factory.mktemp("lengthy")
    for number in range(24):
        folder = root / f"artist {number % 3}" / f"album {number % 6}"
        folder.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / f"song {number}.flac", tones(number % 3, number % 6, number, 20.0 + number), RATE)
    return root


def test_extraction_writes_what_was_foretold(lengthy: Path, tmp_path: Path) -> None:
    work = experiment(tmp_path, lengthy, "CRNN, MfccSVM")
    before = foretold(work, tmp_path)
    plans = extract(work, tmp_path / "features")
    assert before.features_bytes == pytest.approx(stored_bytes(tmp_path / "features"), rel=0.03)
    assert [some.tracks for some in before.features] == [24]
    assert foretold(work, tmp_path, plans=plans).features == ()


def test_what_is_missing_is_foretold_and_nothing_else(lengthy: Path, tmp_path: Path) -> None:
    work = experiment(tmp_path, lengthy, "CRNN")
    ((chosen, tracks),) = preparing.listings(work).items()
    feature = work.cells[0].features.build()
    list(feature_store.extract(chosen.build(), tracks[:18], [feature], tmp_path / "features", Local()))
    already = stored_bytes(tmp_path / "features")
    before = foretold(work, tmp_path)
    assert before.features[0].tracks == 6
    extract(work, tmp_path / "features")
    written = stored_bytes(tmp_path / "features") - already
    assert before.features_bytes == pytest.approx(written, rel=0.25)  # six songs that are longer than most


def test_slices_are_foretold_before_extraction(music: Path, tmp_path: Path) -> None:
    work = experiment(tmp_path, music, NETWORK, clip=1)
    before = foretold(work, tmp_path, trials=True)
    plans = extract(work, tmp_path / "features")
    after = foretold(work, tmp_path, plans=plans, trials=True)
    for cell in (*before.cells, *after.cells):
        assert cell.most_seconds
        assert cell.memory
        assert cell.memory > 10**7
    assert [cell.most_seconds for cell in before.cells] == pytest.approx([cell.most_seconds for cell in after.cells])
    assert before.results_bytes == after.results_bytes


def test_all_epochs_take_time_in_proportion(music: Path, tmp_path: Path) -> None:
    """The trial of the first forecast serves the second: its times are the same to the last bit."""
    few, many = (
        foretold(experiment(tmp_path, music, NETWORK, epochs=epochs), tmp_path, trials=True) for epochs in (10, 1000)
    )
    kept = (tmp_path / "rates.json").read_bytes()
    again = foretold(experiment(tmp_path, music, NETWORK, epochs=10), tmp_path, trials=True)
    assert again == few
    assert (tmp_path / "rates.json").read_bytes() == kept
    assert few.cells[0].most_seconds
    assert many.cells[0].most_seconds
    assert 90 < many.cells[0].most_seconds / few.cells[0].most_seconds < 100  # but for the prediction at the end


def test_slices_that_live_in_memory_take_some(music: Path, tmp_path: Path) -> None:
    disk, ram = (
        foretold(experiment(tmp_path, music, NETWORK, residency=place), tmp_path, trials=True).cells[0].memory
        for place in ("disk", "ram")
    )
    assert disk
    assert ram
    plans = extract(experiment(tmp_path, music, NETWORK), tmp_path / "features")
    held = [slices.batch(range(len(slices))).nbytes for slices in map(plans[0].slices, ("train", "validation"))]
    assert ram - disk == sum(held)


def test_finished_cells_are_done(music: Path, tmp_path: Path) -> None:
    work = experiment(tmp_path, music, "CRNN, MfccSVM")
    plans = extract(work, tmp_path / "features")
    told = foretold(work, tmp_path, plans=plans, finished={plans[1].identity, plans[2].identity, "another"})
    assert [cell.done for cell in told.cells] == [False, True, True, False]
    assert len(told.todo) == 2
    assert told.results_bytes == sum(told.cells[place].results for place in (0, 3))
    everything = foretold(work, tmp_path, plans=plans, finished={planned.identity for planned in plans})
    assert everything.todo == []
    assert everything.faults == []


def test_a_baseline_is_foretold_by_finished_ones_of_its_kind_alone(music: Path, tmp_path: Path) -> None:
    work = experiment(tmp_path, music, "MfccSVM, KNN")
    plans = extract(work, tmp_path / "features")
    unknown = foretold(work, tmp_path, plans=plans, trials=True)
    assert [(cell.most_seconds, cell.likely_seconds, cell.memory) for cell in unknown.cells] == [(None, None, None)] * 4
    for number, seconds in enumerate((1.0, 4.0, 2.0)):  # of another seed, and of half as many slices
        finish(plans[0], tmp_path / "out", f"svm-{number}", fit_seconds=seconds)
    told = foretold(work, tmp_path, plans=plans)
    likely = {cell.title.partition(" ")[0].strip(","): cell.likely_seconds for cell in told.cells}
    assert likely["MfccSVM"] == pytest.approx(2 * 2.0 + 2 * 0.5)
    assert likely["KNN"] is None


def finish(planned: Plan, out: Path, name: str, fit_seconds: float) -> None:
    """Leaves what a cell with half of a plan's training slices would leave."""
    n_train = len(planned.slices("train")) / 2
    table = pd.DataFrame({"track_id": ["a"], "part": ["test"], "start_seconds": [0.0], "truth": ["x"], "p_x": [1.0]})
    parameters = {**planned.cell.parameters, "model_seed": 99, "split_seed": 99}
    record = {"name": name, "parameters": parameters, "n_train_slices": n_train, "fit_seconds": fit_seconds}
    Result(Predictions(table, ("x",)), record | {"predict_seconds": 0.5}, None).save(out)


def test_a_disk_that_is_too_small_is_refused_by_name(lengthy: Path, tmp_path: Path) -> None:
    work = experiment(tmp_path, lengthy, "CRNN")
    told = foretold(work, tmp_path)
    exact = told.features_bytes + told.results_bytes
    assert replace(told, room=replace(PLENTY, for_features=exact, for_results=exact)).faults == []
    no_results = replace(told, room=replace(PLENTY, for_features=exact - 1, for_results=exact - 1)).faults
    assert len(no_results) == 1
    assert str(tmp_path / "out") in no_results[0]
    assert "--out" in no_results[0]
    elsewhere = replace(PLENTY, for_features=exact - 1, for_results=told.results_bytes, one_disk=False)
    assert replace(told, room=elsewhere).faults == []
    full = replace(PLENTY, for_features=told.features_bytes - 1)
    (line,) = replace(told, room=full).faults
    assert str(tmp_path / "features") in line
    assert "CRNN_BENCH_CACHE" in line
    assert forecast.in_bytes(told.features_bytes) in line


@pytest.mark.parametrize(("memory", "remedy"), [(5, ""), (4, "workers"), (1, "batch_size")])
def test_memory_that_does_not_suffice_is_refused(music: Path, tmp_path: Path, memory: int, remedy: str) -> None:
    told = foretold(experiment(tmp_path, music, "CRNN"), tmp_path, workers=2)
    cells = tuple(replace(cell, memory=size * GIGABYTE) for cell, size in zip(told.cells, (2, 3), strict=True))
    faults = replace(told, cells=cells, room=replace(PLENTY, memory=memory * GIGABYTE)).faults
    assert len(faults) == bool(remedy)
    assert all(remedy in line for line in faults)
    done = tuple(replace(cell, done=True) for cell in cells)
    assert replace(told, cells=done, room=replace(PLENTY, memory=0)).faults == []


def test_files_that_cannot_be_read_and_splits_that_cannot_be_made_are_no_fault_of_the_forecast(tmp_path: Path) -> None:
    root = write_music(tmp_path / "music", artists=2, albums=1, songs=1)
    for artist in root.iterdir():
        (artist / "broken.mp3").write_bytes(b"no audio")
    told = foretold(experiment(tmp_path, root, NETWORK), tmp_path, trials=True)
    assert [cell.most_seconds for cell in told.cells] == [None, None]
    assert told.faults == []


def test_the_forecast_is_told(music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = experiment(tmp_path, music, f"{NETWORK}, MfccSVM")
    forecast.tell(foretold(work, tmp_path, trials=True, workers=2))
    told = capsys.readouterr().out
    assert "4 of 4 cells to do" in told
    assert told.count("to do") == 5
    assert "2 of them take a time that is not known before the first one" in told
    assert str(tmp_path / "features") in told
    plans = extract(work, tmp_path / "features")
    forecast.tell(foretold(work, tmp_path, plans=plans, finished={planned.identity for planned in plans}))
    assert "all cells are done" in capsys.readouterr().out


def lay_out_memory(
    folder: Path, hierarchy: str, groups: Sequence[tuple[str, int | str, int, int]]
) -> tuple[Path, Path]:
    """`/proc` of a machine with 8 GB to give, and control groups with a limit, a usage and a cache each."""
    proc, cgroups = folder / "proc", folder / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text(f"MemTotal: 16000000 kB\nMemFree: 1000 kB\nMemAvailable: {8 * GIGABYTE // 1024} kB\n")
    (proc / "self" / "cgroup").write_text({"1": "3:cpu,memory:/a/b\n2:freezer:/c\n", "2": "0::/a/b\n"}[hierarchy])
    names = {
        "1": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        "2": ("memory.max", "memory.current", "inactive_file"),
    }[hierarchy]
    for group, limit, usage, cached in groups:
        place = cgroups / ("memory" if hierarchy == "1" else "") / group
        place.mkdir(parents=True, exist_ok=True)
        (place / names[0]).write_text(f"{limit}\n")
        (place / names[1]).write_text(f"{usage}\n")
        (place / "memory.stat").write_text(f"anon 5\n{names[2]} {cached}\n")
    return proc, cgroups


@pytest.mark.parametrize("hierarchy", ["1", "2"])
def test_a_container_leaves_what_its_limit_leaves(tmp_path: Path, hierarchy: str) -> None:
    unlimited: int | str = "max" if hierarchy == "2" else 2**63 - 4096
    groups = [("a/b", unlimited, GIGABYTE, 0), ("a", 4 * GIGABYTE, 3 * GIGABYTE, 2 * GIGABYTE)]
    proc, cgroups = lay_out_memory(tmp_path, hierarchy, groups)
    assert room.available_memory(proc, cgroups) == 3 * GIGABYTE
    assert room.available_memory(proc, tmp_path / "none") == pytest.approx(8 * GIGABYTE, abs=1024)


def test_this_machine_has_room(tmp_path: Path) -> None:
    here = room.here(tmp_path / "not" / "yet", tmp_path)
    assert here.one_disk
    assert 0 < here.memory < 2**50
    assert here.for_features == pytest.approx(here.for_results, rel=0.5)
    assert here.cores >= 1


@given(seconds=st.floats(0, 1e7))
def test_times_are_told_to_a_few_percent(seconds: float) -> None:
    told = forecast.in_time(seconds)
    units = {"s": 1, "min": 60, "h": 3600, "days": 86400}
    words = told.split(" ")
    value = sum(float(number) * units[unit] for number, unit in zip(words[::2], words[1::2], strict=True))
    assert value == pytest.approx(seconds, rel=0.051, abs=0.051)


@given(number=st.integers(0, 10**15))
def test_bytes_are_told_to_three_digits(number: int) -> None:
    value, unit = forecast.in_bytes(number).split(" ")
    size = {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}[unit]
    assert float(value) * size == pytest.approx(number, rel=0.006)
    assert np.isfinite(float(value))
