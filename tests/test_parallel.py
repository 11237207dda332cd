"""Training on two processes against one on the same batches; what they share, against the whole."""

import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, distributed, multiprocessing, nn

from crnn_bench import networks, parallel, training
from crnn_bench.errors import BenchError
from crnn_bench.models.crnn import CRNN
from crnn_bench.plugins import Choice
from tests import test_networks as made

PLAIN = Choice(CRNN, {**made.SMALL, "conv_dropout": 0.0, "dropout": 0.0})  # processes draw dropout of their own


@given(n_items=st.integers(0, 40), batch_size=st.integers(1, 9), of=st.integers(1, 5))
def test_shares_of_a_batch_make_it_whole_and_differ_by_one_at_most(n_items: int, batch_size: int, of: int) -> None:
    batches = [list(range(n_items))[first : first + batch_size] for first in range(0, n_items, batch_size)]
    shares = [parallel.Shares(batches, own, of) for own in range(of)]
    assert all(len(share) == len(batches) for share in shares)
    for batch, *parts in zip(batches, *shares, strict=True):
        assert sorted(item for part in parts for item in part) == batch
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_alone_a_batch_is_whole_and_a_total_is_itself() -> None:
    assert list(parallel.Shares([[3, 1], [2]], 0, 1)) == [[3, 1], [2]]
    assert parallel.n_shares() == 1
    assert parallel.total(torch.tensor([2.0, 3.0])).tolist() == [2, 3]
    assert parallel.gathered(torch.tensor([2.0, 3.0])).tolist() == [[2, 3]]


def test_more_devices_than_there_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    with pytest.raises(BenchError, match=r"devices is 3, but this machine has 2; set trainer\.devices=2"):
        made.fit(tmp_path, trainer=replace(made.TRAINER, devices=3))


# Batch norm


def norms() -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Flatten(2), nn.BatchNorm1d(5, momentum=None))
    for norm in (network[1], network[3]):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return network


def learned(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Answer, gradients and state after a pass; the loss is a sum over slices that no norm takes away."""
    x = x.requires_grad_()
    answer = network(x)
    (answer.square() * answer.cos()).sum().backward()
    gradients = {f"gradient of {name}": parameter.grad for name, parameter in network.named_parameters()}
    return {"answer": answer.detach(), "gradient of x": x.grad, **gradients, **network.state_dict()}  # type: ignore[dict-item]


def shared_norms(rank: int, sizes: tuple[int, ...], folder: str) -> None:
    """One process: its share of the slices through shared norms; writes what came of it."""
    network, whole = norms(), torch.randn(sum(sizes), 3, 6, 7, generator=torch.Generator().manual_seed(1)) * 3 + 20
    parallel.share_batch_norms(network)
    found = learned(network, whole.split(list(sizes))[rank].clone())
    torch.save(found, Path(folder) / f"{rank}.pt")


def in_process(
    rank: int, function: Callable[..., None], port: int, n_processes: int, arguments: tuple[Any, ...]
) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    distributed.init_process_group("gloo", rank=rank, world_size=n_processes)
    function(rank, *arguments)
    distributed.destroy_process_group()


def in_processes(function: Callable[..., None], n_processes: int, *arguments: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(in_process, (function, port, n_processes, arguments), n_processes)


def several_norms(rank: int, folder: str) -> None:
    for sizes in SIZES:
        (Path(folder) / str(sizes)).mkdir(exist_ok=True)
        shared_norms(rank, sizes, str(Path(folder) / str(sizes)))


SIZES = ((4, 4), (5, 2), (3, 0))


@pytest.mark.slow  # for the imports of two processes
def test_shared_batch_norms_are_the_whole_batchs(tmp_path: Path) -> None:
    """Answers, gradients, and running statistics; with shares of unequal size, and an empty one."""
    in_processes(several_norms, 2, str(tmp_path))
    for sizes in SIZES:
        shares = [torch.load(tmp_path / str(sizes) / f"{rank}.pt", weights_only=True) for rank in range(2)]
        whole = torch.randn(sum(sizes), 3, 6, 7, generator=torch.Generator().manual_seed(1)) * 3 + 20
        for name, wanted in learned(norms(), whole).items():
            parts = [share[name] for share in shares]
            if name in ("answer", "gradient of x"):
                found = torch.cat(parts)
            elif name.startswith("gradient"):
                found = parts[0] + parts[1]
            else:
                found = parts[0]
                assert torch.equal(parts[0], parts[1]), name
            torch.testing.assert_close(found, wanted, rtol=2e-4, atol=2e-4, msg=lambda said, of=name: f"{of}: {said}")


def test_alone_and_in_evaluation_a_shared_norm_is_the_plain_one() -> None:
    plain, shared = norms(), norms()
    parallel.share_batch_norms(shared)
    x = torch.randn(4, 3, 6, 7)
    for training_mode in (True, False):
        assert torch.equal(plain.train(training_mode)(x), shared.train(training_mode)(x))
    assert list(plain.state_dict()) == list(shared.state_dict())


def test_what_is_frozen_keeps_its_own_norms() -> None:
    network = norms()
    network[1].requires_grad_(False)
    parallel.share_batch_norms(network)
    assert type(network[1]) is nn.BatchNorm2d
    assert type(network[3]) is parallel.SharedBatchNorm


# The whole training


@pytest.mark.slow  # for the imports of twice two processes
@pytest.mark.parametrize("batch_size", [4, 17])
def test_two_processes_train_as_one(tmp_path: Path, batch_size: int) -> None:
    """18 slices in batches of 4: the last holds 2; in batches of 17 it holds one, and a process has none of it.

    In fp32 the sums of two shares round otherwise than the sum of the whole, some 1e-7 a step, which training carries
    on: after its 15 steps, losses agree to 1e-4 and weights to 1e-3 of a step's length.
    """
    told: list[training.Epoch] = []
    fitted = []
    for devices in (1, 2):
        trainer = replace(made.TRAINER, batch_size=batch_size, devices=devices, learning_rate=0.003)
        on_epoch = told.append if devices == 2 else lambda _: None
        fitted.append(networks.fit(PLAIN, made.TRAIN, made.VALIDATION, made.N_CLASSES, trainer, 0, tmp_path, on_epoch))
    one, two = fitted
    for name in ("train_loss", "validation_loss", "validation_accuracy"):
        assert made.losses(two, name) == pytest.approx(made.losses(one, name), rel=1e-4)
    assert one.details["best_epoch"] == two.details["best_epoch"]
    assert told == two.details["history"]
    for (name, ours), theirs in zip(one.network.state_dict().items(), two.network.state_dict().values(), strict=True):
        torch.testing.assert_close(theirs, ours, rtol=1e-3, atol=1e-5, msg=lambda said, of=name: f"{of}: {said}")
    assert all(type(module) is not parallel.SharedBatchNorm for module in two.network.modules())
