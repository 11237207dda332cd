"""Networks from transformers: tiny ones saved and loaded again, frozen or not; image networks; what they hear."""

import json
import os
import re
import socket
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from crnn_bench import features, hub, networks
from crnn_bench.cells import Trainer
from crnn_bench.errors import BenchError
from crnn_bench.features import Feature
from crnn_bench.features.fbank import Fbank
from crnn_bench.features.waveform import Waveform
from crnn_bench.models import Network
from crnn_bench.models.ast import AST
from crnn_bench.models.conv_net4 import ConvNet4
from crnn_bench.models.naive_cnn import NaiveCNN
from crnn_bench.models.pretrained import Pretrained
from crnn_bench.models.resnet18 import ResNet18
from crnn_bench.models.speaker_embedding import SpeakerEmbedding
from crnn_bench.plugins import Choice
from crnn_bench.records import Slices
from crnn_bench.song import Song
from tests.test_networks import BINS, FRAMES, N_CLASSES, toy_slices

transformers = pytest.importorskip("transformers")

TRANSFORMER = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
WAVES = {
    **TRANSFORMER,
    "conv_dim": [8, 8, 8],
    "conv_kernel": [10, 4, 4],
    "conv_stride": [5, 4, 4],
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
X_VECTOR = {"tdnn_dim": [8, 8, 8], "tdnn_kernel": [3, 3, 1], "tdnn_dilation": [1, 2, 1], "xvector_output_dim": 8}
RESNET = {"embedding_size": 4, "hidden_sizes": [4, 8], "depths": [1, 1], "layer_type": "basic"}
PATCHES = {**TRANSFORMER, "num_mel_bins": 32, "max_length": 76}  # 2 rows of 7 patches
SAMPLES = 80  # in a frame

Saved = Callable[[str], Path]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """Writes a tiny random model of an architecture, with its feature extractor, once; not to be changed."""
    root = tmp_path_factory.mktemp("models")

    def save(architecture: str) -> Path:
        folder = root / architecture
        if not folder.exists():
            torch.manual_seed(7)
            model, extractor = MADE[architecture]()
            _shake(model)
            model.save_pretrained(folder)
            if extractor:
                extractor.save_pretrained(folder)
        return folder

    return save


def _shake(model: nn.Module) -> None:
    """Gives values of their own to what starts as 0 or 1, such as running means and position embeddings."""
    with torch.no_grad():
        for value in [*model.parameters(), *model.buffers()]:
            if value.is_floating_point():
                value.add_(0.1 * torch.rand_like(value))


def _waves(model_type: str, kind: str = "AutoModel", **settings: Any) -> Callable[[], tuple[Any, Any]]:
    def make() -> tuple[Any, Any]:
        return hub.model(None, {**WAVES, **settings}, model_type, kind), transformers.Wav2Vec2FeatureExtractor()

    return make


MADE: dict[str, Callable[[], tuple[Any, Any]]] = {
    "wav2vec2": _waves("wav2vec2"),
    "hubert": _waves("hubert"),
    "wavlm": _waves("wavlm"),
    "raw": lambda: (hub.model(None, WAVES, "wav2vec2"), transformers.Wav2Vec2FeatureExtractor(do_normalize=False)),
    "music": lambda: (hub.model(None, WAVES, "hubert"), transformers.Wav2Vec2FeatureExtractor(sampling_rate=24000)),
    "x-vector": _waves("wavlm", "AutoModelForAudioXVector", **X_VECTOR),
    "resnet": lambda: (hub.model(None, RESNET, "resnet"), None),
    "ast": lambda: (hub.model(None, PATCHES, "audio-spectrogram-transformer"), None),
}


def original(folder: Path, kind: str = "AutoModel") -> Any:
    return getattr(transformers, kind).from_pretrained(folder).eval()


def sound(n: int, frames: int, seed: int = 0) -> Tensor:
    """Slices of waveform frames, (n, SAMPLES, frames), of unlike loudness and with an offset."""
    noise = torch.randn(n, SAMPLES, frames, generator=torch.Generator().manual_seed(seed))
    return 0.1 * noise * torch.arange(1, n + 1).view(-1, 1, 1) + 0.05


def as_samples(x: Tensor) -> list[NDArray[np.float32]]:
    """Frame by frame, each slice's samples in their order."""
    return [np.concatenate([one[:, frame] for frame in range(one.shape[1])]) for one in x.numpy()]


# Loading


@pytest.mark.parametrize("architecture", ["wav2vec2", "hubert", "wavlm", "raw"])
def test_an_encoder_answers_as_transformers_own(saved: Saved, architecture: str) -> None:
    folder = saved(architecture)
    network = Pretrained(SAMPLES, 40, 3, name=str(folder)).eval()
    x = sound(2, 40)
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    heard = extractor(as_samples(x), sampling_rate=16000, return_tensors="pt").input_values
    with torch.no_grad():
        expected = original(folder)(heard).last_hidden_state.mean(dim=1)
        assert torch.allclose(network.embed(x), expected, atol=1e-5)
        assert torch.equal(network(x), network.head(network.embed(x)))


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_any_layer_can_be_read(saved: Saved, layer: int) -> None:
    folder = saved("raw")
    network = Pretrained(SAMPLES, 40, 3, name=str(folder), layer=layer).eval()
    x = sound(2, 40)
    heard = torch.from_numpy(np.stack(as_samples(x)))
    with torch.no_grad():
        states = original(folder)(heard, output_hidden_states=True).hidden_states
        assert len(states) == 3
        assert torch.allclose(network.embed(x), states[layer].mean(dim=1), atol=1e-6)


def test_a_layer_that_there_is_not_is_refused() -> None:
    with pytest.raises(BenchError, match="layer must lie between 0 and 2, got 3"):
        Pretrained(SAMPLES, 40, 3, config=WAVES, layer=3)


def test_a_speaker_embedding_answers_as_transformers_own(saved: Saved) -> None:
    folder = saved("x-vector")
    network = SpeakerEmbedding(SAMPLES, 40, 3, name=str(folder)).eval()
    x = sound(2, 40)
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    heard = extractor(as_samples(x), sampling_rate=16000, return_tensors="pt").input_values
    with torch.no_grad():
        expected = original(folder, "AutoModelForAudioXVector")(heard).embeddings
        assert torch.allclose(network.embed(x), expected, atol=1e-5)


def test_resnet_answers_as_transformers_own(saved: Saved) -> None:
    folder = saved("resnet")
    network = ResNet18(32, 33, 3, pretrained=str(folder)).eval()
    x = 20 * torch.randn(2, 32, 33) - 30
    picture = (x - x.amin(dim=(1, 2), keepdim=True)) / (x.amax(dim=(1, 2)) - x.amin(dim=(1, 2))).view(2, 1, 1)
    colours = [(picture - mean) / std for mean, std in zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)]
    with torch.no_grad():
        expected = original(folder)(torch.stack(colours, dim=1)).last_hidden_state.mean(dim=(2, 3))
        assert torch.allclose(network.embed(x), expected, atol=1e-5)


def test_one_channel_answers_as_three_equal_ones(saved: Saved) -> None:
    one, three = (ResNet18(32, 33, 3, pretrained=str(saved("resnet")), channels=n).eval() for n in (1, 3))
    x = torch.randn(2, 1, 32, 33)
    with torch.no_grad():
        maps = [net.backbone(y).last_hidden_state for net, y in ((one, x), (three, x.repeat(1, 3, 1, 1)))]
    assert torch.allclose(maps[0], maps[1], atol=1e-5)
    assert one.picture(x[:, 0]).shape == (2, 1, 32, 33)


def test_silence_is_a_picture_too() -> None:
    network = ResNet18(32, 33, 3, config=RESNET).eval()
    assert network(torch.full((1, 32, 33), -100.0)).isfinite().all()


def test_ast_answers_as_transformers_own(saved: Saved) -> None:
    """For slices of the length that it was trained for."""
    folder = saved("ast")
    network = AST(32, 76, 3, pretrained=str(folder)).eval()
    x = 4 * torch.randn(2, 32, 76) - 4
    extractor = transformers.ASTFeatureExtractor
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="At least one mel filter has all zero values")
        heard = extractor(num_mel_bins=32).normalize(x.numpy())
    with torch.no_grad():
        expected = original(folder)(torch.from_numpy(heard).transpose(1, 2)).pooler_output
        assert torch.allclose(network.embed(x), expected, atol=1e-5)


@pytest.mark.parametrize(("frames", "first", "columns"), [(76, 0, 7), (66, 0, 6), (56, 1, 5), (31, 2, 2), (16, 3, 1)])
def test_position_embeddings_of_shorter_slices_are_the_middle_columns(
    saved: Saved, frames: int, first: int, columns: int
) -> None:
    """As the authors' code cuts them: from `7 // 2 - columns // 2` on."""
    known = original(saved("ast")).embeddings.position_embeddings[0].detach()
    fitted = AST(32, frames, 3, pretrained=str(saved("ast"))).backbone.embeddings.position_embeddings[0].detach()
    assert torch.equal(fitted[:2], known[:2])
    assert len(fitted) == 2 + 2 * columns
    for row in range(2):
        mine = fitted[2 + row * columns : 2 + (row + 1) * columns]
        assert torch.equal(mine, known[2 + row * 7 + first :][:columns])


def test_position_embeddings_of_longer_slices_are_interpolated(saved: Saved) -> None:
    known = original(saved("ast")).embeddings.position_embeddings[0].detach().numpy()
    network = AST(32, 16 + 13 * 10, 3, pretrained=str(saved("ast"))).eval()
    fitted = network.backbone.embeddings.position_embeddings[0].detach().numpy()
    assert fitted.shape == (2 + 2 * 14, 16)
    at = np.clip((np.arange(14) + 0.5) / 2 - 0.5, 0, 6)  # twice as many columns, their centres aligned
    for row in range(2):
        for width in range(16):
            expected = np.interp(at, np.arange(7), known[2 + row * 7 : 9 + row * 7, width])
            assert fitted[2 + row * 14 : 16 + row * 14, width] == pytest.approx(expected, abs=1e-6)
    assert network(torch.randn(2, 32, 146)).shape == (2, 3)


def test_ast_wants_its_own_number_of_bins(saved: Saved) -> None:
    with pytest.raises(BenchError, match="the model hears 32 mel bins, the features have 64"):
        AST(64, 76, 3, pretrained=str(saved("ast")))


def test_a_name_in_the_cache_needs_no_network(saved: Saved, offline: Path) -> None:
    repository = offline / "models--somebody--hubert"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "snapshots").mkdir()
    copied(saved("hubert"), repository / "snapshots" / ("0" * 40))
    x = sound(2, 40)
    named, of_folder = (
        Pretrained(SAMPLES, 40, 3, name=name).eval() for name in ("somebody/hubert", str(saved("hubert")))
    )
    assert torch.equal(named.embed(x), of_folder.embed(x))
    assert hub.version("somebody/hubert") == "0" * 40  # the commit


@pytest.mark.parametrize(
    ("cls", "architecture", "key"),
    [(ResNet18, "resnet", "pretrained"), (AST, "ast", "pretrained"), (Pretrained, "hubert", "name")],
)
def test_other_weights_in_the_same_folder_are_another_version(
    saved: Saved, tmp_path: Path, cls: type[Network], architecture: str, key: str
) -> None:
    folder = copied(saved(architecture), tmp_path / "model")
    model = Choice(cls, {key: str(folder)})
    before = networks.version(model)
    assert before
    assert networks.version(Choice(cls, {key: str(copied(folder, tmp_path / "moved"))})) == before
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert networks.version(model) != before
    assert not networks.version(Choice(cls, {key: None}))


# What cannot be loaded


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """As `HF_HUB_OFFLINE=1` before the start, with an empty cache, which it returns."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


BY_NAME = [
    (ResNet18, {"pretrained": "microsoft/resnet-18"}),
    (AST, {"pretrained": "MIT/ast-finetuned-audioset-10-10-0.4593"}),
    (Pretrained, {"name": "facebook/hubert-base-ls960"}),
    (SpeakerEmbedding, {}),
]


@pytest.mark.parametrize(("cls", "arguments"), BY_NAME)
@pytest.mark.usefixtures("offline")
def test_a_name_that_cannot_be_fetched_is_one_line(cls: type[Network], arguments: dict[str, Any]) -> None:
    name = next(iter(arguments.values()), "microsoft/wavlm-base-plus-sv")
    expected = (
        f"{name} is neither a folder nor in the local Hugging Face cache, and cannot be fetched "
        "(HF_HUB_OFFLINE is set); connect once, or give a folder made by save_pretrained"
    )
    with pytest.raises(BenchError, match=f"^{re.escape(expected)}$"):
        Choice(cls, arguments).build(n_bins=128, n_frames=94, n_classes=3)


def test_a_hub_that_does_not_answer_is_asked_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{unheard.getsockname()[1]}"
        monkeypatch.setattr(constants, "ENDPOINT", nobody)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with pytest.raises(BenchError, match=rf"cannot be fetched \({nobody} does not answer: .*refused\)"):
            ResNet18(128, 94, 3, pretrained="microsoft/resnet-18")


def test_without_transformers_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(BenchError, match=r"pip install 'crnn-bench\[pretrained\]'"):
        AST(32, 40, 3)


def copied(folder: Path, to: Path, **changed: Any) -> Path:
    """A copy of a saved model, its configuration changed."""
    to.mkdir()
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    config = json.loads((to / "config.json").read_text())
    (to / "config.json").write_text(json.dumps({**config, **changed}))
    return to


def test_a_sample_rate_of_another_kind_is_refused(saved: Saved) -> None:
    folder = saved("music")
    with pytest.raises(BenchError, match="hears 24000 Hz, sample_rate is 16000; give sample_rate: 24000"):
        Pretrained(320, 50, 3, name=str(folder))
    assert Pretrained(480, 50, 3, name=str(folder), sample_rate=24000).eval()(torch.zeros(1, 480, 50)).isfinite().all()
    assert Pretrained.own_features(sample_rate=24000).hop_samples == 480


def refusal(architecture: Path, cls: type[Network] = ResNet18) -> str:
    argument = "pretrained" if cls in (ResNet18, AST) else "name"
    with pytest.raises(BenchError) as caught:
        Choice(cls, {argument: str(architecture)}).build(n_bins=80, n_frames=40, n_classes=3)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(architecture))
    return str(caught.value).removeprefix(str(architecture))


def test_another_architecture_is_refused(saved: Saved) -> None:
    assert "holds a model of the architecture 'wav2vec2', expected 'resnet'" in refusal(saved("wav2vec2"))
    assert "lacks 14 weights that a Wav2Vec2ForXVector needs" in refusal(saved("wav2vec2"), SpeakerEmbedding)
    assert "save its feature extractor" in refusal(saved("resnet"), Pretrained)
    with pytest.raises(BenchError, match="a resnet takes no waveform"):
        Pretrained(SAMPLES, 40, 3, config={**RESNET, "model_type": "resnet"})


def test_weights_that_do_not_fit_are_refused(saved: Saved, tmp_path: Path) -> None:
    deeper = copied(saved("resnet"), tmp_path / "deeper", depths=[1, 2])
    wider = copied(saved("resnet"), tmp_path / "wider", hidden_sizes=[4, 12])
    assert "lacks 12 weights that a ResNetModel needs, among them encoder.stages.1.layers.1" in refusal(deeper)
    assert re.search(r"lacks \d+ weights that a ResNetModel needs, among them encoder.stages.1", refusal(wider))


def test_damaged_folders_are_refused(saved: Saved, tmp_path: Path) -> None:
    cut = copied(saved("resnet"), tmp_path / "cut")
    weights = (cut / "model.safetensors").read_bytes()
    (cut / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    assert "cannot be loaded as AutoModel" in refusal(cut)
    (cut / "model.safetensors").unlink()
    assert "cannot be loaded as AutoModel" in refusal(cut)
    (cut / "config.json").write_text("{")
    assert "cannot be loaded as AutoConfig" in refusal(cut)
    (cut / "config.json").unlink()
    assert "cannot be loaded as AutoConfig" in refusal(cut)


class Intruder:
    """Would write a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_no_code_is_run_that_comes_with_a_model(saved: Saved, tmp_path: Path) -> None:
    pickled = copied(saved("resnet"), tmp_path / "pickled")
    (pickled / "model.safetensors").unlink()
    torch.save({"weights": Intruder(tmp_path / "intruded")}, pickled / "pytorch_model.bin")
    assert "hold more than numbers, which is never loaded" in refusal(pickled)
    auto_map = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}
    foreign = copied(saved("resnet"), tmp_path / "foreign", model_type="own", auto_map=auto_map)
    (foreign / "own.py").write_text(f"import os; os.mkdir({str(tmp_path / 'intruded')!r})")
    assert "code that comes with a model is never run" in refusal(foreign)
    assert not (tmp_path / "intruded").exists()


def test_a_wrong_configuration_is_one_line() -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"hiden_size": 16}, "config: unknown name 'hiden_size' (did you mean 'hidden_size'?)"),
        ({"model_type": "wav2vec3"}, "no architecture 'wav2vec3'; did you mean 'wav2vec2'?"),
        ({**WAVES, "num_attention_heads": 5}, "embed_dim must be divisible by num_heads"),
        ({"hidden_size": "wide"}, "expected int, got str"),
    ]
    for config, expected in wrong:
        with pytest.raises(BenchError, match=re.escape(expected)):
            Pretrained(SAMPLES, 40, 3, config=config)
    with pytest.raises(BenchError, match="give either a name or `config`"):
        ResNet18(32, 33, 3, pretrained="microsoft/resnet-18", config=RESNET)


# Frozen and not

TUNED = {**WAVES, "layerdrop": 0.0}
BACKBONES: list[tuple[type[Network], dict[str, Any], tuple[int, int]]] = [
    (ResNet18, {"config": RESNET}, (32, 40)),
    (AST, {"config": TRANSFORMER}, (32, 40)),
    (Pretrained, {"config": TUNED}, (SAMPLES, 40)),
    (SpeakerEmbedding, {"name": None, "config": {**TUNED, **X_VECTOR}}, (SAMPLES, 40)),
]
backbones = pytest.mark.parametrize(
    ("cls", "arguments", "shape"), BACKBONES, ids=[cls.__name__ for cls, *_ in BACKBONES]
)


def trained(network: Network, shape: tuple[int, int], steps: int = 3) -> dict[str, Tensor]:
    """Trains on noise; returns what the network was before."""
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=0.01)
    for step in range(steps):
        torch.manual_seed(step)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(torch.randn(6, *shape)), torch.arange(6) % 3)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return before


@backbones
def test_a_frozen_backbone_stays_as_it_is_to_the_last_bit(
    cls: type[Network], arguments: dict[str, Any], shape: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    network = cls(*shape, 3, **arguments, freeze="backbone")
    before = trained(network, shape)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith("backbone."), name
    x = torch.randn(2, *shape)
    assert not network.embed(x).requires_grad, "nothing is kept for gradients"
    assert torch.equal(network.train().embed(x), network.eval().embed(x))


@backbones
def test_what_is_not_frozen_learns(cls: type[Network], arguments: dict[str, Any], shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = cls(*shape, 3, **arguments, freeze="nothing")
    before = trained(network, shape)
    stayed = {name for name, value in network.state_dict().items() if torch.equal(value, before[name])}
    assert {name for name in stayed if not name.endswith("k_proj.bias")} == set()
    assert all(p.grad is not None for p in network.parameters())


def test_masks_come_from_the_seed_alone() -> None:
    """100 frames give 99 hidden states, enough to be masked."""
    network = Pretrained(SAMPLES, 100, 3, freeze="nothing", config=TUNED).train()
    assert network.backbone.masked_spec_embed is not None
    x = sound(2, 100)
    answers = []
    for numpy_seed in (1, 2):
        np.random.seed(numpy_seed)  # noqa: NPY002
        upcoming = np.random.RandomState(numpy_seed).rand()
        torch.manual_seed(5)
        answers.append(network(x))
        assert np.random.rand() == upcoming, "nobody else's random numbers are used up"  # noqa: NPY002
    assert torch.equal(*answers)
    assert not torch.allclose(network(x), answers[0])


@pytest.mark.parametrize("frames", [1, 2, 10, 20])
def test_slices_too_short_to_be_masked_are_heard_whole(frames: int) -> None:
    """The library refuses fewer hidden states than a mask is long, and would hide all of a few more."""
    config = {**TUNED, "hidden_dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0}
    network = Pretrained(SAMPLES * 2, frames, 3, freeze="nothing", config={**config, "feat_proj_dropout": 0.0})
    x = torch.randn(2, SAMPLES * 2, frames)
    assert torch.allclose(network.train()(x), network.eval()(x), atol=1e-6)


# Every network


IMAGES: list[tuple[type[Network], dict[str, Any], tuple[int, int]]] = [
    (ConvNet4, {}, (64, 66)),
    (NaiveCNN, {}, (32, 33)),
    (NaiveCNN, {"batch_norm": True}, (32, 33)),
    (ResNet18, {"config": RESNET, "channels": 1}, (32, 33)),
]
EVERY: list[tuple[type[Network], dict[str, Any], tuple[int, int]]] = [
    *BACKBONES,
    *IMAGES,
    (Pretrained, {"config": {**WAVES, "model_type": "wavlm"}, "layer": 1}, (SAMPLES, 40)),
]
every = pytest.mark.parametrize(
    ("cls", "arguments", "shape"), EVERY, ids=[f"{i} {cls.__name__}" for i, (cls, *_) in enumerate(EVERY)]
)


@every
def test_an_exported_network_answers_the_same(
    cls: type[Network], arguments: dict[str, Any], shape: tuple[int, int]
) -> None:
    network = cls(*shape, 3, **arguments).eval()
    example, batch = torch.zeros(2, *shape), {0: torch.export.Dim.DYNAMIC}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)
        exported = torch.export.export(network, (example,), dynamic_shapes=(batch,)).module()
    x = torch.randn(5, *shape)
    with torch.no_grad():
        for n in (1, 2, 5):
            assert torch.allclose(exported(x[:n]), network(x[:n]), atol=1e-5)


@pytest.mark.parametrize(
    ("cls", "arguments", "bins", "least"),
    [
        (ConvNet4, {}, 64, 64),
        (NaiveCNN, {}, 32, 16),
        (ResNet18, {"config": RESNET}, 8, 9),
        (AST, {"config": TRANSFORMER}, 32, 16),
        (Pretrained, {"config": WAVES}, 10, 9),  # one state: 4 → 16 → 85 samples
        (SpeakerEmbedding, {"name": None, "config": {**WAVES, **X_VECTOR}}, 80, 9),  # 8 states: 32 → 128 → 645 samples
    ],
)
def test_the_least_length_is_told_and_works(
    cls: type[Network], arguments: dict[str, Any], bins: int, least: int
) -> None:
    for frames in (1, least - 1):
        with pytest.raises(BenchError, match=rf"a slice of {frames} frames is too short; give at least {least}$"):
            cls(bins, frames, 3, **arguments)
    network = cls(bins, least, 3, **arguments)
    x = torch.randn(1, bins, least)
    assert network.train()(x).isfinite().all(), "a single slice left over in a batch"
    assert network.eval()(x).isfinite().all()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@every
def test_training_runs(
    cls: type[Network], arguments: dict[str, Any], shape: tuple[int, int], precision: str, tmp_path: Path
) -> None:
    trainer = Trainer(max_epochs=1, patience=1, batch_size=4, learning_rate=1e-3, precision=precision)  # type: ignore[arg-type]
    slices = stretched(toy_slices(3), shape)
    fitted = networks.fit(Choice(cls, arguments), slices, slices, N_CLASSES, trainer, 0, tmp_path)
    assert np.isfinite(fitted.details["history"][0]["train_loss"])
    probabilities = fitted.predict_proba(slices)
    assert probabilities.shape == (6, N_CLASSES)
    assert np.abs(probabilities.sum(axis=1) - 1).max() < 1e-5


def stretched(slices: Slices, shape: tuple[int, int]) -> Slices:
    """The same slices, repeated until they have so many bins and frames."""
    bins, frames = shape
    times = (-(-2 * frames // (2 * FRAMES)), -(-bins // BINS))
    arrays = [np.tile(array, times)[: 2 * frames, :bins] for array in slices.arrays]
    return Slices(
        tracks=slices.tracks,
        arrays=arrays,
        track=slices.track,
        start=slices.start // FRAMES * frames,
        length=np.full_like(slices.length, frames),
        label=slices.label,
        frames_per_second=slices.frames_per_second,
        columns=(),
    )


# Layers


def maps(network: Network, conv: nn.Sequential, shape: tuple[int, int]) -> list[tuple[int, ...]]:
    x, seen = torch.zeros(1, 1, *shape), []
    for block in conv:
        x = block(x)
        seen.append(tuple(x.shape[1:]))
    return seen


def n_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_conv_net4_as_printed_but_for_the_dense_layers_inputs() -> None:
    network = ConvNet4(128, 94, 10)
    assert maps(network, network.conv, (128, 94)) == [(64, 64, 47), (128, 32, 23), (256, 8, 5), (512, 2, 1)]
    convolutions = sum(9 * before * after + after for before, after in [(1, 64), (64, 128), (128, 256), (256, 512)])
    assert n_parameters(network.conv) == convolutions
    assert n_parameters(network.dense) == (1024 * 1024 + 1024) + (1024 * 256 + 256)
    assert n_parameters(network.head) == 256 * 10 + 10
    assert n_parameters(network.frequency_norm) == 2 * 128
    assert 17824 % 512 != 0
    assert network.embed(torch.zeros(2, 128, 94)).shape == (2, 256)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_naive_cnn(batch_norm: bool) -> None:
    network = NaiveCNN(128, 94, 8, batch_norm=batch_norm)
    assert maps(network, network.conv, (128, 94)) == [(32, 32, 23), (64, 8, 5)]
    norms = 2 * (32 + 64) if batch_norm else 0
    assert n_parameters(network.conv) == (9 * 32 + 32) + (9 * 32 * 64 + 64) + norms
    assert n_parameters(network.head) == 64 * 8 * 5 * 8 + 8
    assert all(module.training for module in network.modules())


def test_resnet18_is_the_known_one() -> None:
    """11,689,512 numbers with its head for ImageNet's 1,000 classes (He et al., 2016)."""
    network = ResNet18(128, 94, 1000)
    assert n_parameters(network) == 11_689_512
    assert n_parameters(network) - n_parameters(ResNet18(128, 94, 1000, channels=1)) == 2 * 64 * 7 * 7
    assert all(module.training for module in network.modules())


# Features


SOUNDS = {
    "noise": 0.1 * np.random.default_rng(0).standard_normal(50_000).astype(np.float32),
    "tone": np.sin(2 * np.pi * 440 * np.arange(20_000) / 16000).astype(np.float32),
    "silence": np.zeros(8000, np.float32),
    "an offset": np.full(8000, 0.5, np.float32),
    "one window": 0.1 * np.random.default_rng(1).standard_normal(400).astype(np.float32),
    "almost two": 0.1 * np.random.default_rng(2).standard_normal(559).astype(np.float32),
}


@pytest.mark.parametrize("n_mels", [128, 40])
@pytest.mark.parametrize("name", SOUNDS)
def test_fbank_equals_the_extractors(name: str, n_mels: int) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="At least one mel filter has all zero values")
        extractor = transformers.ASTFeatureExtractor(num_mel_bins=n_mels, do_normalize=False)
    samples = SOUNDS[name]
    frames = Fbank(n_mels).compute(Song(samples, 16000))
    assert frames.shape == (len(samples) // 160, n_mels)
    extractor.max_length = len(frames)
    as_they_are = 1 + (len(samples) - 400) // 160
    expected = extractor(samples, sampling_rate=16000).input_values[0]
    assert np.abs(frames[:as_they_are] - expected[:as_they_are]).max() <= 1e-3
    expected = extractor(np.append(samples, np.zeros(240, np.float32)), sampling_rate=16000).input_values[0]
    assert np.abs(frames - expected).max() <= 1e-3


def test_fbank_of_less_than_a_window_is_one_frame() -> None:
    assert Fbank().compute(Song(np.ones(10, np.float32), 16000)).shape == (1, 128)


def test_float16_keeps_fbank_to_the_stated_error() -> None:
    loud = np.sign(np.random.default_rng(0).standard_normal(16000)).astype(np.float32)
    for samples in (loud, SOUNDS["silence"], SOUNDS["tone"]):
        frames = Fbank().compute(Song(samples, 16000))
        assert np.abs(frames).max() < 16
        assert np.abs(frames.astype(np.float16).astype(np.float32) - frames).max() <= 0.004


@pytest.mark.parametrize("feature", [Fbank(), Waveform()], ids=["fbank", "waveform"])
@pytest.mark.parametrize("block", [777, 16000, 10**6])
@pytest.mark.parametrize("slice_frames", [7, 50])
def test_long_songs_give_the_same_frames_piece_by_piece(
    feature: Feature, block: int, slice_frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "LONGEST_PIECE_SECONDS", 1.0)
    samples = np.random.default_rng(0).uniform(-1, 1, 70_000).astype(np.float32)
    blocks = [samples[first : first + block] for first in range(0, len(samples), block)]
    pieces = list(feature.stream(blocks, slice_frames))
    whole = feature.compute(Song(samples, 16000)).astype(np.float16)
    n_frames = len(whole) // slice_frames * slice_frames
    assert np.array_equal(np.concatenate(pieces), whole[:n_frames])
    assert max(map(len, pieces)) <= max(slice_frames, feature.frames_per_second)


@pytest.mark.parametrize(("rate", "hop"), [(16000, 320), (24000, 480), (22050, 441), (11025, 220)])
def test_a_waveform_is_its_samples_in_order(rate: int, hop: int) -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, 10 * hop + hop - 1).astype(np.float32)
    frames = Waveform(rate).compute(Song(samples, rate))
    assert frames.shape == (10, hop)
    assert frames.ravel().tolist() == samples[: 10 * hop].tolist()


@pytest.mark.parametrize("level", [1.0, 0.1, 0.01, 0.001])
def test_float16_keeps_a_waveform_73_decibels_above_its_error(level: float) -> None:
    samples = level * np.clip(np.random.default_rng(0).standard_normal(100_000) / 4, -1, 1).astype(np.float32)
    error = samples.astype(np.float16).astype(np.float32) - samples
    assert 10 * np.log10((samples**2).mean() / (error**2).mean()) > 73


def test_networks_bring_their_features() -> None:
    assert AST.own_features() is not None
    assert AST.own_features().key == Fbank().key
    assert AST.own_features(config={"num_mel_bins": 32}).n_bins == 32
    assert SpeakerEmbedding.own_features().key == Waveform().key
    assert ResNet18.own_features() is None


@pytest.mark.parametrize("cls", [Pretrained, SpeakerEmbedding])
def test_an_encoder_that_is_neither_trained_nor_described_is_refused(cls: type[Pretrained]) -> None:
    """A linear probe on random weights is nobody's wish."""
    with pytest.raises(BenchError, match=rf"{cls.__name__}: give the name or folder of a trained encoder, or the con"):
        cls(320, 150, 3, name=None)
