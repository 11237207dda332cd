"""Learning-rate schedules against torch's own, and in a training."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given
from hypothesis import strategies as st

from crnn_bench import training
from crnn_bench.cells import Trainer
from crnn_bench.errors import BenchError
from crnn_bench.plugins import options
from crnn_bench.schedules import Schedule
from crnn_bench.schedules.constant import Constant
from crnn_bench.schedules.cosine import Cosine
from crnn_bench.schedules.plateau import Plateau
from tests import test_networks as made

SCHEDULES = sorted(set(options(Schedule).values()), key=lambda cls: cls.__name__)
LOSSES = st.lists(st.floats(0, 10), max_size=30)


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


@pytest.mark.parametrize("cls", SCHEDULES)
@given(max_epochs=st.integers(2, 100), passed=st.floats(0, 1), losses=LOSSES, data=st.data())
def test_every_schedule_stays_between_0_and_1_and_warms_up_linearly(
    cls: type[Schedule], max_epochs: int, passed: float, losses: list[float], data: st.DataObject
) -> None:
    warmup = data.draw(st.integers(0, max_epochs - 1))
    schedule = cls(max_epochs, warmup, 6)
    assert 0 <= schedule.rate(passed * max_epochs, losses) <= 1
    if warmup:
        assert schedule.rate(passed * warmup * 0.999, losses) == pytest.approx(passed * 0.999)


def test_constant_is_constant() -> None:
    assert [Constant(10, 0, 5).rate(epochs, [1, 2, 3]) for epochs in (0.1, 3, 10)] == [1, 1, 1]


@pytest.mark.parametrize(("epochs", "steps"), [(5, 3), (20, 7)])
def test_cosine_is_torchs(epochs: int, steps: int) -> None:
    rated = optimizer()
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(rated, T_max=epochs * steps)
    for step in range(1, epochs * steps + 1):
        rated.step()
        theirs.step()
        assert Cosine(epochs, 0, 1).rate(step / steps, []) == pytest.approx(theirs.get_last_lr()[0], abs=1e-6)


def test_cosine_after_the_warm_up_begins_at_the_full_rate_and_ends_at_0() -> None:
    schedule = Cosine(12, 2, 1)
    assert schedule.rate(2, []) == 1
    assert schedule.rate(7, []) == pytest.approx(0.5)
    assert schedule.rate(12, []) == pytest.approx(0)


@given(losses=LOSSES, patience=st.integers(1, 12))
def test_plateau_is_torchs(losses: list[float], patience: int) -> None:
    rated = optimizer()
    waits = max(1, patience // 2) - 1
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(rated, factor=0.5, patience=waits, threshold=0, eps=0)
    for loss in losses:
        theirs.step(loss)
    assert Plateau(100, 0, patience).rate(50, losses) == rated.param_groups[0]["lr"]


def test_a_plateau_begins_to_wait_when_the_warm_up_is_over() -> None:
    assert Plateau(20, 3, 2).rate(4.5, [1.0, 2.0, 3.0, 2.5]) == 1
    assert Plateau(20, 3, 2).rate(5.5, [1.0, 2.0, 3.0, 2.5, 2.6]) == 0.5


def rates_of_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainer: Trainer) -> Sequence[float]:
    """The learning rate of each step of a real training."""
    seen = []
    step = training.Classifier.training_step

    def watched(self: training.Classifier, batch: tuple[torch.Tensor, torch.Tensor], number: int) -> torch.Tensor:
        seen.append(self.trainer.optimizers[0].param_groups[0]["lr"])
        return step(self, batch, number)

    monkeypatch.setattr(training.Classifier, "training_step", watched)
    made.fit(tmp_path, trainer=trainer)
    return seen


def noting(losses: list[float]) -> Callable[..., None]:
    """The end of an epoch, which also notes its validation loss."""
    end = training.EpochRecorder.on_train_epoch_end

    def noted(self: training.EpochRecorder, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        end(self, trainer, module)
        losses.append(self.history[-1]["validation_loss"])

    return noted


def test_a_training_follows_its_schedule_step_by_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(4, 4, batch_size=6, learning_rate=0.1, schedule=Cosine, warmup_epochs=1, precision="fp32")
    rates = rates_of_training(tmp_path, monkeypatch, trainer)
    steps = len(made.TRAIN) // 6
    expected = [0.1 * Cosine(4, 1, 4).rate((step + 0.5) / steps, []) for step in range(4 * steps)]
    assert rates == pytest.approx(expected)
    assert 0 < min(rates) < max(rates) < 0.1, "no step is wasted"


def test_a_plateau_halves_the_rate_in_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a rate at which the loss cannot fall for long, the epoch after one without a new low has half the rate."""
    trainer = Trainer(30, 3, batch_size=18, learning_rate=3.0, schedule=Plateau, precision="fp32")
    seen: list[float] = []
    monkeypatch.setattr(training.EpochRecorder, "on_train_epoch_end", noting(seen))
    rates = rates_of_training(tmp_path, monkeypatch, trainer)
    assert len(rates) == len(seen)
    fell = [True] + [loss < min(seen[: epoch + 1]) for epoch, loss in enumerate(seen[1:])]
    expected = [3.0 / 2 ** fell[:epoch].count(False) for epoch in range(len(seen))]
    assert rates == pytest.approx(expected)
    assert rates[-1] < rates[0]


@pytest.mark.parametrize("warmup", [-1, 5, 9])
def test_a_warm_up_that_leaves_no_epoch_is_refused(warmup: int) -> None:
    with pytest.raises(BenchError, match=r"must be (below max_epochs, 5|at least 0)"):
        Trainer(max_epochs=5, warmup_epochs=warmup)
