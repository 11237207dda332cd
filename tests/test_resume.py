"""A training that is killed goes on from its file as if nothing had been, and from no file that is not its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from crnn_bench import networks, training
from crnn_bench.augmentations.mixup import Mixup
from crnn_bench.augmentations.random_crop import RandomCrop
from crnn_bench.augmentations.time_mask import TimeMask
from crnn_bench.augmenting import Augmenter
from crnn_bench.cells import Trainer
from crnn_bench.fitted import FittedNetwork
from crnn_bench.schedules.constant import Constant
from crnn_bench.schedules.plateau import Plateau
from tests import test_networks as made

TIMES = ("train_seconds", "slices_per_second")
LONG = Trainer(max_epochs=7, patience=7, batch_size=4, learning_rate=0.01, precision="fp32")
STOPPED = replace(LONG, max_epochs=40, patience=2, learning_rate=0.3)
SETTINGS = {
    "plain": (LONG, False),
    "plateau": (replace(LONG, schedule=Plateau, patience=4, learning_rate=3.0), False),
    "stopped early": (STOPPED, False),
    "augmented": (LONG, True),
    "from disk": (replace(LONG, residency="disk"), False),
}


@pytest.fixture(autouse=True)
def every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0)


def fit(
    folder: Path,
    checkpoint: Path | None,
    setting: str = "plain",
    on_epoch: Callable[[training.Epoch], None] = lambda _: None,
    **changed: Any,
) -> FittedNetwork:
    trainer, augmented = SETTINGS[setting]
    augmenter = Augmenter(made.TRAIN, {}, [RandomCrop(), TimeMask(), Mixup()], made.N_CLASSES, 5)
    trainer, seed = replace(trainer, **changed.pop("trainer", {})), changed.pop("seed", 0)
    parts = {"train": made.TRAIN, "validation": made.VALIDATION} | changed
    return networks.fit(
        made.MODEL,
        parts["train"],
        parts["validation"],
        made.N_CLASSES,
        trainer,
        seed,
        folder,
        on_epoch,
        augmenter if augmented else None,
        checkpoint=checkpoint,
    )


def same(one: FittedNetwork, other: FittedNetwork) -> bool:
    """Weights to the last bit, and history but for times."""
    pairs = zip(one.network.state_dict().items(), other.network.state_dict().items(), strict=True)
    histories = [[{k: v for k, v in e.items() if k not in TIMES} for e in m.details["history"]] for m in (one, other)]
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs) and histories[0] == histories[1]


class KilledError(Exception):
    """Ends a training in the middle."""


def killed_at(folder: Path, checkpoint: Path, setting: str, epoch: int) -> None:
    """Trains until an epoch's record is told: before its end, and so before what its file would hold of it."""

    def kill(told: training.Epoch) -> None:
        if told["epoch"] == epoch:
            raise KilledError

    with pytest.raises(KilledError):
        fit(folder, checkpoint, setting, kill)


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_training_goes_on_as_if_nothing_had_been(tmp_path: Path, setting: str) -> None:
    undisturbed = fit(tmp_path, None, setting)
    assert 3 < undisturbed.details["epochs"] < 40
    for epoch in (0, 1, 3, undisturbed.details["epochs"] - 1):
        killed_at(tmp_path, tmp_path / "cell.ckpt", setting, epoch)
        torch.rand(7)
    told: list[training.Epoch] = []
    resumed = fit(tmp_path, tmp_path / "cell.ckpt", setting, told.append)
    assert same(resumed, undisturbed)
    assert "remark" not in resumed.details
    assert told == resumed.details["history"], "the earlier epochs are told again"


def test_the_settings_are_what_they_say(tmp_path: Path) -> None:
    stopped = fit(tmp_path, None, "stopped early").details
    assert stopped["epochs"] == stopped["best_epoch"] + 1 + STOPPED.patience
    plateau = fit(tmp_path, None, "plateau")
    assert not same(plateau, fit(tmp_path, None, "plateau", trainer={"schedule": LONG.schedule}))


@pytest.mark.parametrize("setting", ["plain", "stopped early"])
def test_one_that_had_ended_trains_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    undisturbed = fit(tmp_path, tmp_path / "cell.ckpt", setting)
    monkeypatch.setattr(training.Classifier, "training_step", None)
    told: list[training.Epoch] = []
    again = fit(tmp_path, tmp_path / "cell.ckpt", setting, told.append)
    assert same(again, undisturbed)
    assert again.details["history"] == undisturbed.details["history"] == told


CHILD = """
import sys
from pathlib import Path
from crnn_bench import training
from tests import test_resume
training.CHECKPOINT_SECONDS = 0

def tell(epoch):
    print(int(epoch["epoch"]), flush=True)

test_resume.fit(Path(sys.argv[1]), Path(sys.argv[1]) / "cell.ckpt", "augmented", tell)
print("done", flush=True)
"""


@pytest.mark.slow  # for the imports of two processes
def test_sigkill_loses_nothing_but_the_epoch_in_flight(tmp_path: Path) -> None:
    """Killed in processes of their own, wherever they are a moment after an epoch was told."""
    undisturbed = fit(tmp_path, None, "augmented")
    for epochs in (2, 4):
        command = [sys.executable, "-c", CHILD, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout
            told = [child.stdout.readline().strip() for _ in range(epochs)]
            assert told == [str(epoch) for epoch in range(epochs)]
            os.kill(child.pid, signal.SIGKILL)
        assert (tmp_path / "cell.ckpt").exists()
    assert same(fit(tmp_path, tmp_path / "cell.ckpt", "augmented"), undisturbed)


def test_the_seconds_of_killed_processes_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cell.ckpt"
    killed_at(tmp_path, path, "plain", 3)
    state = torch.load(path, weights_only=True)
    [kept] = [held for held in state["callbacks"].values() if "seconds" in held]
    assert 0 < sum(epoch["train_seconds"] for epoch in kept["history"]) < kept["seconds"]
    kept["seconds"] += 1000  # as if these epochs had taken so long
    torch.save(state, path)
    assert 1000 < fit(tmp_path, path).details["fit_seconds"] < 2000
    assert "remark" in fit(tmp_path, path, seed=1).details
    assert fit(tmp_path, None, seed=1).details["fit_seconds"] < 1000


class Breaking(Constant):
    """Ends the training in its fourth epoch, once: while a file of this name is there."""

    def rate(self, passed: float, losses: Sequence[float]) -> float:
        training.CHECKPOINT_SECONDS = 0  # in processes of their own, which no fixture reaches
        if len(losses) == 3 and os.path.exists(os.environ["BREAKING"]):
            raise KilledError
        return super().rate(passed, losses)


@pytest.mark.slow  # for the imports of three times two processes
def test_two_processes_keep_no_file_and_begin_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With dropout, whose numbers each process draws for itself."""
    flag, path = tmp_path / "flag", tmp_path / "cell.ckpt"
    monkeypatch.setenv("BREAKING", str(flag))
    changed = {"devices": 2, "schedule": Breaking, "max_epochs": 5}
    undisturbed = fit(tmp_path, None, trainer=changed)
    flag.touch()
    with pytest.raises(Exception, match="KilledError"):
        fit(tmp_path, path, trainer=changed)
    flag.unlink()
    assert not path.exists()
    again = fit(tmp_path, path, trainer=changed)
    assert same(again, undisturbed)
    assert not path.exists()


# Files that are of no use


def test_a_damaged_file_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "cell.ckpt"
    undisturbed = fit(tmp_path, path)
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[len(whole) // 2 : len(whole) // 2 + 2000] = bytes(2000)
    for damaged in (b"", b"nonsense", whole[: len(whole) // 2], bytes(changed)):
        path.write_bytes(damaged)
        again = fit(tmp_path, path)
        assert same(again, undisturbed)
        assert again.details["remark"] == "began anew: cell.ckpt is damaged"
    assert "remark" not in fit(tmp_path, path).details, "the new training has left a whole file"


def test_a_file_of_another_training_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "cell.ckpt"
    others: list[dict[str, Any]] = [
        {"seed": 1},
        {"trainer": {"learning_rate": 0.02}},
        {"train": replace(made.TRAIN, label=made.TRAIN.label[::-1].copy())},
    ]
    for other in others:
        fit(tmp_path, path)
        again = fit(tmp_path, path, **other)
        assert again.details["remark"].startswith("began anew: cell.ckpt is of another training")
        assert same(again, fit(tmp_path, None, **other))


def test_a_file_of_another_pytorch_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fit(tmp_path, tmp_path / "cell.ckpt")
    monkeypatch.setattr(torch, "__version__", "3.0.0")
    again = fit(tmp_path, tmp_path / "cell.ckpt")
    assert again.details["remark"] == "began anew: cell.ckpt is of another training, or of another PyTorch"
    assert same(again, first)


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (os.environ["TRAP"],)


def test_no_code_in_a_file_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAP", str(tmp_path / "trapped"))
    torch.save({"mark": Trap()}, tmp_path / "cell.ckpt")
    assert fit(tmp_path, tmp_path / "cell.ckpt").details["remark"] == "began anew: cell.ckpt is damaged"
    assert not (tmp_path / "trapped").exists()


# The file itself


def test_where_frames_live_and_who_loads_them_do_not_bind_a_training(tmp_path: Path) -> None:
    undisturbed = fit(tmp_path, None)
    killed_at(tmp_path, tmp_path / "cell.ckpt", "plain", 3)
    resumed = fit(tmp_path, tmp_path / "cell.ckpt", trainer={"residency": "disk"})
    assert same(resumed, undisturbed)
    assert "remark" not in resumed.details


def test_it_is_there_whole_or_not_at_all_and_stays(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    seen = []

    def look(_: training.Epoch) -> None:
        seen.append([path.name for path in folder.glob("*")] if folder.exists() else [])

    fit(tmp_path, folder / "cell.ckpt", on_epoch=look)
    assert seen == [[], *[["cell.ckpt"]] * (LONG.max_epochs - 1)]
    assert [path.name for path in folder.iterdir()] == ["cell.ckpt"]


def test_short_trainings_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 3600)
    fit(tmp_path, tmp_path / "cell.ckpt")
    assert not (tmp_path / "cell.ckpt").exists()


def test_the_best_weights_come_from_before_the_kill(tmp_path: Path) -> None:
    """Validation labels that training cannot tell: the first epochs are the best, and the file remembers them."""
    rng = np.random.default_rng(0)
    label = (made.VALIDATION.label + rng.integers(1, 3, len(made.VALIDATION))) % made.N_CLASSES
    contrary = replace(made.VALIDATION, label=label)
    undisturbed = fit(tmp_path, None, validation=contrary)
    best = undisturbed.details["best_epoch"]
    assert best < LONG.max_epochs - 2
    path = tmp_path / "cell.ckpt"

    def kill(told: training.Epoch) -> None:
        if told["epoch"] == best + 2:
            raise KilledError

    with pytest.raises(KilledError):
        fit(tmp_path, path, on_epoch=kill, validation=contrary)
    assert same(fit(tmp_path, path, validation=contrary), undisturbed)
