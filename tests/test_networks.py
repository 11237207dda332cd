"""The CRNN against the protocol's shapes; training that is the same every time; predictions that depend on nothing."""

import json
import multiprocessing
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from crnn_bench import fitted as fitted_models
from crnn_bench import networks, numerics, parallel
from crnn_bench.cells import Trainer
from crnn_bench.errors import BenchError
from crnn_bench.models.crnn import CRNN
from crnn_bench.networks import FittedNetwork
from crnn_bench.plugins import Choice, options
from crnn_bench.poolings import Pooling
from crnn_bench.poolings.dilated import Dilated
from crnn_bench.poolings.max import Max
from crnn_bench.poolings.none import NoTimePooling
from crnn_bench.records import Slices
from crnn_bench.slicing import cut

BINS, FRAMES, N_CLASSES = 32, 16, 3
SMALL = {"conv_channels": (4, 6), "pool_sizes": ((8, 2), (4, 4)), "recurrent_width": 8}
MODEL = Choice(CRNN, SMALL)
TRAINER = Trainer(max_epochs=3, patience=3, batch_size=4, learning_rate=0.01, precision="fp32")
POOLINGS = sorted(set(options(Pooling).values()), key=lambda cls: cls.__name__)


def toy_slices(n_tracks: int = 6, seed: int = 0, noise: float = 1.0) -> Slices:
    """Two slices a track; each class has its own band, the rest is noise."""
    rng = np.random.default_rng(seed)
    arrays = []
    for track in range(n_tracks):
        frames = noise * rng.standard_normal((2 * FRAMES, BINS))
        band = BINS // N_CLASSES * (track % N_CLASSES)
        frames[:, band : band + 8] += 2
        arrays.append(frames.astype(np.float16))
    tracks = pd.DataFrame(
        {"track_id": [f"{i}" for i in range(n_tracks)], "label": [str(i % N_CLASSES) for i in range(n_tracks)]}
    )
    return cut(tracks, arrays, [str(i) for i in range(N_CLASSES)], FRAMES, 1.0)


TRAIN, VALIDATION = toy_slices(9, seed=1), toy_slices(6, seed=2)


def fit(tmp_path: Path, model: Choice = MODEL, trainer: Trainer = TRAINER, seed: int = 0, **parts: Slices) -> Any:
    train, validation = parts.get("train", TRAIN), parts.get("validation", VALIDATION)
    return networks.fit(model, train, validation, N_CLASSES, trainer, seed, tmp_path)


def losses(fitted: FittedNetwork, of: str = "validation_loss") -> list[float]:
    return [epoch[of] for epoch in fitted.details["history"]]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> FittedNetwork:
    """Three epochs of the small network; not to be changed."""
    made: FittedNetwork = fit(tmp_path_factory.mktemp("cache"))
    return made


# The paper's network


@pytest.fixture(scope="module")
def papers() -> CRNN:
    return CRNN(n_bins=128, n_frames=94, n_classes=20).eval()


def test_the_papers_number_of_parameters(papers: CRNN) -> None:
    """394,516 in Keras count the running means and variances of batch norm, which PyTorch calls buffers.

    Old Keras gave a GRU one bias a gate instead of two: 2 layers × 3 gates × 32 fewer, 394,324.
    """
    learned = sum(p.numel() for p in papers.parameters())
    running = sum(b.numel() for name, b in papers.named_buffers() if "num_batches" not in name)
    assert running == 2 * (128 + 64 + 128 + 128 + 128)
    assert learned + running == 394_516
    second_biases = sum(p.numel() for name, p in papers.recurrence.named_parameters() if "bias_hh" in name)
    assert second_biases == 2 * 3 * 32
    assert learned + running - second_biases == 394_324


def shapes_inside(network: CRNN, x: Tensor) -> dict[str, tuple[int, ...]]:
    """Shapes of what every part of the network puts out, and of what enters the GRU."""
    seen: dict[str, tuple[int, ...]] = {}

    def watch(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_: nn.Module, given: Any, out: Any) -> None:
            seen[f"{name} in"] = tuple(given[0].shape)
            seen[name] = tuple((out[0] if isinstance(out, tuple) else out).shape)

        return hook

    parts = [("norm", network.frequency_norm), ("gru", network.recurrence), ("head", network.head)]
    parts += [(f"conv {number}", block) for number, block in enumerate(network.conv)]
    handles = [part.register_forward_hook(watch(name)) for name, part in parts]
    with torch.no_grad():
        network(x)
    for handle in handles:
        handle.remove()
    return seen


def test_the_papers_layer_shapes(papers: CRNN) -> None:
    seen = shapes_inside(papers, torch.randn(2, 128, 94))
    assert seen["norm"] == (2, 128, 94)
    assert seen["conv 0"] == (2, 64, 64, 47)
    assert seen["conv 1"] == (2, 128, 16, 23)
    assert seen["conv 2"] == (2, 128, 4, 11)
    assert seen["conv 3"] == (2, 128, 1, 5)
    assert seen["gru in"] == (2, 5, 128)
    assert seen["gru"] == (2, 5, 32)
    assert seen["head in"] == (2, 32)
    assert seen["head"] == (2, 20)


@pytest.mark.parametrize(("frames", "steps"), [(32, 2), (94, 5), (157, 9), (313, 19), (628, 39), (911, 56)])
def test_the_papers_gru_steps(papers: CRNN, frames: int, steps: int) -> None:
    assert shapes_inside(papers, torch.zeros(1, 128, frames))["gru in"] == (1, steps, 128)


def test_the_papers_order_and_rates(papers: CRNN) -> None:
    kinds = [[type(layer) for layer in block] for block in papers.conv]
    assert kinds == [[nn.Conv2d, nn.ELU, nn.BatchNorm2d, Max, nn.Dropout]] * 4
    assert [block[4].p for block in papers.conv] == [0.1] * 4
    assert papers.head[0].p == 0.3
    gru = papers.recurrence.layers
    assert isinstance(gru, nn.GRU)
    assert (gru.num_layers, gru.hidden_size, gru.bidirectional) == (2, 32, False)
    assert all(block[0].padding == (1, 1) and block[0].kernel_size == (3, 3) for block in papers.conv)


def test_frequency_bands_are_normalised_each_by_itself(papers: CRNN) -> None:
    network = CRNN(128, 94, 20).train()
    x = torch.randn(4, 128, 94) * torch.arange(1, 129)[None, :, None] - 50
    normalised = network.frequency_norm(x)
    assert normalised.mean(dim=(0, 2)).abs().max() < 1e-4
    assert (normalised.std(dim=(0, 2)) - 1).abs().max() < 0.01


def test_weights_are_initialised_as_in_keras(papers: CRNN) -> None:
    for name, weights in papers.recurrence.named_parameters():
        for gate in weights.data.chunk(3):
            if "bias" in name:
                assert not gate.any()
            elif "weight_hh" in name:
                assert torch.allclose(gate @ gate.T, torch.eye(32), atol=1e-5)
            else:
                limit = (6 / sum(gate.shape)) ** 0.5
                assert 0.9 * limit < gate.abs().max() <= limit
    conv = papers.conv[1][0]
    assert not conv.bias.any()
    limit = (6 / ((64 + 128) * 9)) ** 0.5
    assert 0.99 * limit < conv.weight.abs().max() <= limit


def test_three_layers_work_too() -> None:
    network = CRNN(128, 94, 20, conv_channels=(64, 128, 128), pool_sizes=((2, 2), (4, 2), (4, 2)))
    assert shapes_inside(network.eval(), torch.zeros(1, 128, 94))["gru in"] == (1, 11, 512)


@pytest.mark.parametrize("given", [{"conv_channels": (4, 4, 4)}, {"conv_channels": (), "pool_sizes": ()}])
def test_as_many_pool_sizes_as_channels(given: dict[str, Any]) -> None:
    with pytest.raises(BenchError, match=f"{len(given['conv_channels'])} conv_channels but"):
        CRNN(128, 94, 20, **given)


# Pooling


@pytest.mark.parametrize("pooling", POOLINGS)
def test_each_pooling_swaps_in(pooling: type[Pooling]) -> None:
    network = CRNN(BINS, FRAMES, N_CLASSES, **SMALL, pooling=pooling).eval()
    assert all(isinstance(block[3], pooling) for block in network.conv)
    seen = shapes_inside(network, torch.randn(2, BINS, FRAMES))
    steps = FRAMES if pooling in (NoTimePooling, Dilated) else FRAMES // 8
    assert seen["gru in"] == (2, steps, 6)
    assert seen["head"] == (2, N_CLASSES)


def test_no_pooling_keeps_every_frame() -> None:
    network = CRNN(128, 94, 20, pooling=NoTimePooling, conv_channels=(4, 4, 4, 4)).eval()
    assert shapes_inside(network, torch.zeros(1, 128, 94))["gru in"] == (1, 94, 4)


@pytest.mark.parametrize(("frames", "factors"), [(15, (2, 2, 2, 2)), (5, (2, 3, 1, 2)), (1, (2, 2, 2, 2))])
def test_too_short_a_slice_is_refused_with_the_least_that_works(frames: int, factors: tuple[int, ...]) -> None:
    sizes = {"conv_channels": (2,) * 4, "pool_sizes": tuple((2, factor) for factor in factors)}
    with pytest.raises(BenchError, match=f"a slice of {frames} frames is too short; give") as caught:
        CRNN(BINS, frames, N_CLASSES, **sizes)
    found = re.search(r"at least (\d+)$", str(caught.value))
    assert found
    least = int(found[1])
    network = CRNN(BINS, least, N_CLASSES, **sizes).eval()
    assert shapes_inside(network, torch.zeros(1, BINS, least))["gru in"][1] == 1
    with pytest.raises(BenchError, match="too short"):
        CRNN(BINS, least - 1, N_CLASSES, **sizes)


@pytest.mark.parametrize("frames", [94, 3])
def test_too_few_bins_are_refused(frames: int) -> None:
    with pytest.raises(BenchError, match="64 bins are too few; give smaller pool_sizes"):
        CRNN(64, frames, N_CLASSES)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_parameter_gets_a_gradient(pooling: type[Pooling]) -> None:
    torch.manual_seed(0)
    network = CRNN(BINS, FRAMES, N_CLASSES, **SMALL, pooling=pooling).train()
    logits = network(torch.randn(6, BINS, FRAMES))
    nn.functional.cross_entropy(logits, torch.arange(6) % N_CLASSES).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_evaluation_is_deterministic_and_training_drops_out() -> None:
    network = CRNN(BINS, FRAMES, N_CLASSES, **SMALL)
    x = torch.randn(3, BINS, FRAMES)
    assert not torch.equal(network.train()(x), network(x))
    assert torch.equal(network.eval()(x), network(x))


def test_one_slice_alone_is_answered_as_in_company() -> None:
    network = CRNN(BINS, FRAMES, N_CLASSES, **SMALL).eval()
    x = torch.randn(5, BINS, FRAMES)
    assert network(x[:1]).shape == (1, N_CLASSES)
    assert torch.allclose(network(x[:1]), network(x)[:1], atol=1e-6)


def test_logits_are_the_heads_answer_to_the_bottleneck() -> None:
    network = CRNN(BINS, FRAMES, N_CLASSES, **SMALL).eval()
    x = torch.randn(5, BINS, FRAMES)
    assert network.embed(x).shape == (5, 8)
    assert torch.equal(network(x), network.head(network.embed(x)))


def test_weights_are_drawn_from_the_seed_alone() -> None:
    def weights(seed: int) -> NDArray[np.float32]:
        network = networks.build(MODEL, TRAIN, N_CLASSES, seed)
        return np.concatenate([p.detach().numpy().ravel() for p in network.parameters()])

    torch.manual_seed(5)
    first = weights(0)
    torch.rand(10)
    assert np.array_equal(weights(0), first)
    assert not np.array_equal(weights(1), first)


# Predicting


def test_probabilities_are_some(fitted: FittedNetwork) -> None:
    probabilities = fitted.predict_proba(VALIDATION)
    assert probabilities.shape == (len(VALIDATION), N_CLASSES)
    assert probabilities.dtype == np.float32
    assert probabilities.min() >= 0
    assert np.abs(probabilities.sum(axis=1) - 1).max() < 1e-6
    assert fitted.embed(VALIDATION).shape == (len(VALIDATION), 8)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_the_batch_size_changes_no_prediction(
    fitted: FittedNetwork, monkeypatch: pytest.MonkeyPatch, batch_size: int
) -> None:
    usual = fitted.predict_proba(VALIDATION)
    monkeypatch.setattr(fitted_models, "PREDICT_BATCH", batch_size)
    other = fitted.predict_proba(VALIDATION)
    assert np.abs(usual - other).max() <= 1e-5
    assert np.array_equal(usual.argmax(axis=1), other.argmax(axis=1))


def test_predicting_twice_is_the_same_to_the_last_bit(fitted: FittedNetwork) -> None:
    torch.manual_seed(1)
    first = fitted.predict_proba(VALIDATION)
    fitted.network.train()  # whatever mode it was left in
    assert np.array_equal(fitted.predict_proba(VALIDATION), first)


def test_predicting_changes_no_weight(fitted: FittedNetwork) -> None:
    before = {name: value.clone() for name, value in fitted.network.state_dict().items()}
    fitted.predict_proba(VALIDATION)
    assert all(torch.equal(value, before[name]) for name, value in fitted.network.state_dict().items())


# Training


def test_the_same_seed_gives_the_same_predictions_bit_for_bit(fitted: FittedNetwork, tmp_path: Path) -> None:
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    again = fit(tmp_path)
    assert np.array_equal(again.predict_proba(VALIDATION), fitted.predict_proba(VALIDATION))
    assert losses(again) == losses(fitted)


def test_another_seed_gives_other_predictions(fitted: FittedNetwork, tmp_path: Path) -> None:
    other = fit(tmp_path, seed=1)
    assert not np.allclose(other.predict_proba(VALIDATION), fitted.predict_proba(VALIDATION))


def test_the_number_of_workers_changes_no_prediction(fitted: FittedNetwork, tmp_path: Path) -> None:
    other = fit(tmp_path, trainer=replace(TRAINER, num_workers=2, residency="disk"))
    assert np.array_equal(other.predict_proba(VALIDATION), fitted.predict_proba(VALIDATION))
    assert losses(other, "train_loss") == losses(fitted, "train_loss")


def test_the_order_and_number_of_validation_slices_change_no_training(fitted: FittedNetwork, tmp_path: Path) -> None:
    other = fit(tmp_path, validation=toy_slices(6, seed=77))
    assert losses(other, "train_loss") == losses(fitted, "train_loss")


def test_the_record_of_a_training(fitted: FittedNetwork) -> None:
    details = fitted.details
    assert details["precision"] == "fp32"
    assert details["epochs"] == len(details["history"]) == 3
    assert [epoch["epoch"] for epoch in details["history"]] == [0, 1, 2]
    assert details["best_epoch"] == int(np.argmin(losses(fitted)))
    assert details["n_parameters"] == sum(p.numel() for p in fitted.network.parameters())
    assert details["slices_per_second"] > 0
    assert not fitted.network.training


def test_each_epoch_is_told_when_it_ends(tmp_path: Path) -> None:
    told: list[dict[str, float]] = []
    fitted = networks.fit(MODEL, TRAIN, VALIDATION, N_CLASSES, TRAINER, 0, tmp_path, told.append)
    assert told == fitted.details["history"]


def mean_loss(fitted: FittedNetwork, slices: Slices) -> float:
    chosen = fitted.predict_proba(slices)[np.arange(len(slices)), slices.label]
    return float(-np.log(chosen.astype(np.float64)).mean())


@pytest.fixture(scope="module")
def overfitted(tmp_path_factory: pytest.TempPathFactory) -> FittedNetwork:
    """Validation labels that training cannot tell: the loss there rises as soon as the network is sure of itself."""
    rng = np.random.default_rng(0)
    contrary = replace(VALIDATION, label=(VALIDATION.label + rng.integers(1, 3, len(VALIDATION))) % N_CLASSES)
    trainer = replace(TRAINER, max_epochs=30, patience=2)
    made: FittedNetwork = fit(tmp_path_factory.mktemp("cache"), trainer=trainer, validation=contrary)
    made.details["validation"] = contrary
    return made


def test_training_stops_after_patience(overfitted: FittedNetwork) -> None:
    found = losses(overfitted)
    best = int(np.argmin(found))
    assert len(found) < 30
    assert len(found) == best + 1 + 2
    assert all(loss >= found[best] for loss in found[best + 1 :])


def test_the_best_epochs_weights_are_restored(overfitted: FittedNetwork) -> None:
    found = losses(overfitted)
    assert overfitted.details["best_epoch"] == int(np.argmin(found)) < len(found) - 1
    restored = mean_loss(overfitted, overfitted.details["validation"])
    assert restored == pytest.approx(min(found), rel=1e-5)
    assert restored < found[-1] - 1e-3


def test_losses_are_means_over_slices_whatever_the_last_batch_holds(fitted: FittedNetwork, tmp_path: Path) -> None:
    """12 validation slices: batches of 5, 5 and 2 give the loss of the slices, not of the batches."""
    other = fit(tmp_path, trainer=replace(TRAINER, batch_size=5))
    assert min(losses(other)) == pytest.approx(mean_loss(other, VALIDATION), rel=1e-5)
    assert min(losses(fitted)) == pytest.approx(mean_loss(fitted, VALIDATION), rel=1e-5)


def test_a_network_learns_eight_slices_by_heart(tmp_path: Path) -> None:
    """Random labels of pure noise; without dropout nothing but memory can tell them."""
    slices = replace(toy_slices(4, noise=1.0), label=np.array([0, 1, 2, 0, 1, 2, 0, 1]))
    assert len(slices) == 8
    model = Choice(CRNN, {**SMALL, "conv_dropout": 0.0, "dropout": 0.0})
    trainer = replace(TRAINER, max_epochs=60, patience=60, batch_size=8, learning_rate=0.02)
    fitted = fit(tmp_path, model, trainer, train=slices, validation=slices)
    assert fitted.predict_proba(slices).argmax(axis=1).tolist() == slices.label.tolist()
    assert losses(fitted, "train_loss")[-1] < 0.1


def test_a_network_learns_what_can_be_heard(tmp_path: Path) -> None:
    trainer = replace(TRAINER, max_epochs=8, patience=8)
    model = Choice(CRNN, {**SMALL, "conv_channels": (8, 16)})
    fitted = fit(tmp_path, model, trainer, train=toy_slices(30, seed=1, noise=0.5))
    unseen = toy_slices(9, seed=5, noise=0.5)
    assert (fitted.predict_proba(unseen).argmax(axis=1) == unseen.label).mean() >= 0.9


def test_batches_of_one_slice_left_over_are_no_fault(tmp_path: Path) -> None:
    """18 slices in batches of 17: the last batch holds one slice, of two frames after pooling."""
    assert len(TRAIN) % 17 == 1
    fitted = fit(tmp_path, trainer=replace(TRAINER, max_epochs=1, batch_size=17))
    assert np.isfinite(losses(fitted, "train_loss")).all()


# Number formats


def test_bf16_and_fp32_reach_about_the_same_losses(tmp_path: Path) -> None:
    """Without dropout, which draws other numbers in another format."""
    model = Choice(CRNN, {**SMALL, "conv_dropout": 0.0, "dropout": 0.0})
    plain, other = (fit(tmp_path, model, replace(TRAINER, precision=precision)) for precision in ("fp32", "bf16"))
    assert other.details["precision"] == numerics.FUSED_BF16.name
    assert losses(other, "train_loss") != losses(plain, "train_loss")
    assert losses(other, "train_loss") == pytest.approx(losses(plain, "train_loss"), rel=0.02)
    assert losses(other) == pytest.approx(losses(plain), rel=0.05)
    assert all(p.dtype == torch.float32 for p in other.network.parameters())
    assert other.predict_proba(VALIDATION).dtype == np.float32


def test_bf16_predictions_are_made_in_fp32(tmp_path: Path) -> None:
    other = fit(tmp_path, trainer=replace(TRAINER, precision="bf16", max_epochs=1))
    usual = other.predict_proba(VALIDATION)
    plain = FittedNetwork(other.network.to(memory_format=torch.contiguous_format), {})
    assert np.abs(plain.predict_proba(VALIDATION) - usual).max() <= 1e-5


FORMATS = (numerics.PLAIN, numerics.CHANNELS_LAST, numerics.BF16, numerics.FUSED, numerics.FUSED_BF16)


def choose(cache: Path, precision: str = "auto", n_frames: int = FRAMES) -> numerics.Numerics:
    def build() -> nn.Module:
        return CRNN(BINS, n_frames, N_CLASSES, **SMALL)

    return numerics.numerics_of(precision, build, (4, BINS, n_frames), cache)


def test_the_choice_of_a_format_is_kept_and_used_again(tmp_path: Path) -> None:
    chosen = choose(tmp_path)
    [path] = (tmp_path / "numerics").iterdir()
    known = json.loads(path.read_text())
    assert known["format"] == chosen.name
    assert set(known["steps_per_second"]) == {numeric.name for numeric in FORMATS}
    for numeric in FORMATS:
        path.write_text(json.dumps({**known, "format": numeric.name}))
        assert choose(tmp_path) == numeric, "what the file says, without another trial"
    choose(tmp_path, n_frames=2 * FRAMES)
    assert len(list((tmp_path / "numerics").iterdir())) == 2, "another shape has its own trial"


def test_the_fastest_format_is_chosen_if_it_is_worth_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rates(*measured: float) -> Callable[..., float]:
        of = dict(zip(FORMATS, measured, strict=True))
        return lambda network, shape, chosen: of[chosen]

    for number, (measured, expected) in enumerate(
        [
            ((10, 11, 30, 25, 20), numerics.BF16),
            ((10, 20, 15, 15, 15), numerics.CHANNELS_LAST),
            ((10, 20, 15, 30, 15), numerics.FUSED),
            ((10, 20, 30, 35, 40), numerics.FUSED_BF16),
            ((10, 9, 5, 4, 3), numerics.PLAIN),
            ((10, 10.5, 10.9, 10.9, 10.9), numerics.PLAIN),
        ]
    ):
        monkeypatch.setattr(numerics, "_steps_per_second", rates(*measured))
        assert choose(tmp_path / str(number)) == expected


def test_a_format_can_be_forced(tmp_path: Path) -> None:
    assert choose(tmp_path, "fp32") == numerics.PLAIN
    assert choose(tmp_path, "bf16") == numerics.FUSED_BF16
    assert list(tmp_path.iterdir()) == [], "no trial, no file"


def test_whether_a_trial_was_needed_changes_no_prediction(tmp_path: Path) -> None:
    trainer = replace(TRAINER, precision="auto", max_epochs=1)
    first, second = fit(tmp_path, trainer=trainer), fit(tmp_path, trainer=trainer)
    assert first.details["precision"] == second.details["precision"]
    assert np.array_equal(first.predict_proba(VALIDATION), second.predict_proba(VALIDATION))


def test_what_cannot_be_fused_is_called_by_what_runs(tmp_path: Path) -> None:
    """Blocks whose batch norms are shared with other processes, and networks that have no such block."""

    def build() -> nn.Module:
        network = CRNN(BINS, FRAMES, N_CLASSES, **SMALL)
        parallel.share_batch_norms(network)
        return network

    assert numerics.numerics_of("bf16", build, (4, BINS, FRAMES), tmp_path) == numerics.BF16
    chosen = numerics.numerics_of("auto", build, (4, BINS, FRAMES), tmp_path)
    [path] = (tmp_path / "numerics").iterdir()
    assert list(json.loads(path.read_text())["steps_per_second"]) == [numeric.name for numeric in FORMATS[:3]]
    assert not chosen.fused
    without = choose(tmp_path)
    assert len(list((tmp_path / "numerics").iterdir())) == 2, f"alone it has a trial of its own, and takes {without}"


@pytest.mark.parametrize("damaged", ['{"half', "[]", '{"format": "int3"}'])
def test_a_damaged_note_of_the_trial_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: str
) -> None:
    monkeypatch.setattr(numerics, "_steps_per_second", lambda *_: 1.0)
    choose(tmp_path)
    [path] = (tmp_path / "numerics").iterdir()
    path.write_text(damaged)
    assert choose(tmp_path) == numerics.PLAIN
    assert json.loads(path.read_text())["format"] == numerics.PLAIN.name


def choose_in_a_process(number: int, cache: Path, together: Any, told: Any) -> None:
    """Its own trial finds the format of its number the fastest; all have tried before any of them writes."""

    def rate(network: nn.Module, shape: Any, tried: numerics.Numerics) -> float:
        if tried == FORMATS[-1]:
            together.wait(60)
        return 10.0 if tried == FORMATS[number + 1] else 1.0

    numerics._steps_per_second = rate
    torch.set_num_threads(1)
    told.put((choose(cache).name, choose(cache).name))


def test_processes_that_try_at_once_agree(tmp_path: Path) -> None:
    """Each would choose a format of its own; the first to write has chosen for all."""
    of = multiprocessing.get_context("fork")
    told, n_rounds = of.Queue(), 5
    for number in range(n_rounds):
        together, cache = of.Barrier(4), tmp_path / str(number)
        given = [(which, cache, together, told) for which in range(4)]
        processes = [of.Process(target=choose_in_a_process, args=each) for each in given]
        for process in processes:
            process.start()
        chosen = {name for _ in processes for name in told.get(timeout=60)}
        for process in processes:
            process.join()
        [path] = (cache / "numerics").iterdir()
        assert chosen == {json.loads(path.read_text())["format"]}
