"""Encoders of raw waveforms from the transformers library: frozen with a linear probe, or fine-tuned."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from crnn_bench import hub
from crnn_bench.errors import BenchError
from crnn_bench.features.waveform import Waveform
from crnn_bench.models import Network, TooShortError


class Pretrained(Network):
    """Any waveform encoder of the wav2vec 2.0 family (HuBERT, WavLM, data2vec …), the mean over time, a dense layer.

    Shapes at 3 s (150 frames of 320 samples), batch b, base size:
        (b, 320, 150) → samples (b, 48000) → hidden states (b, 149, 768) → mean (b, 768) → dense (b, n_classes).

    Args:
        name: on the Hugging Face Hub (`facebook/hubert-base-ls960`), or a folder; `None` draws weights at random.
        sample_rate: of the waveform, in Hz; has to be the encoder's own.
        freeze: `backbone` trains the dense layer alone (a linear probe).
        layer: which hidden states to read, 0 being what enters the transformer; `None`: the last.
        config: of random weights: `model_type` (wav2vec2 if not given) and what transformers' configuration calls them.

    Each slice is brought to zero mean and unit variance where the encoder's feature extractor does so. Fine-tuning
    masks spans of hidden states as the encoder's configuration says, but none in slices that they would fill by half.
    """

    kind: ClassVar[str] = "AutoModel"
    spare: ClassVar[tuple[str, ...]] = ("masked_spec_embed",)

    def __init__(
        self,
        n_bins: int,
        n_frames: int,
        n_classes: int,
        name: str | None = None,
        sample_rate: int = 16000,
        freeze: Literal["nothing", "backbone"] = "backbone",
        layer: int | None = None,
        config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if name is None and config is None:
            whose = "give the name or folder of a trained encoder, or the config of a random one"
            raise BenchError(f"{type(self).__name__}: {whose}", argument="name")
        rate, self.normalizes = hub.how_it_hears(name) if name else (sample_rate, True)
        if rate != sample_rate:
            raise BenchError(f"{name} hears {rate} Hz, sample_rate is {sample_rate}; give sample_rate: {rate}")
        self.backbone = hub.model(name, config, "wav2vec2" if name is None else None, self.kind, self.spare)
        settings = _of_a_waveform_encoder(self.backbone)
        if layer is not None and not 0 <= layer <= settings.num_hidden_layers:
            raise BenchError(f"layer must lie between 0 and {settings.num_hidden_layers}, got {layer}", "layer")
        self.layer = layer
        least = math.ceil(_samples_before(settings, self.least_states()) / n_bins)
        if n_frames < least:
            raise TooShortError(type(self).__name__, n_frames, least)
        masked = settings.mask_time_length * max(1, settings.mask_time_min_masks)
        if freeze == "backbone" or 2 * masked > _states_after(settings, n_bins * n_frames):
            _mask_nothing(self.backbone)
        self.head = nn.Linear(self.width(), n_classes)
        if freeze == "backbone":
            self.freeze([self.backbone])

    @classmethod
    def own_features(cls, **arguments: Any) -> Waveform:
        return Waveform(arguments.get("sample_rate", 16000))

    @classmethod
    def own_weights(cls, **arguments: Any) -> str | None:
        return arguments.get("name")

    def embed(self, x: Tensor) -> Tensor:
        samples = x.transpose(1, 2).flatten(1)
        if self.normalizes:
            deviation = samples - samples.mean(dim=1, keepdim=True)
            samples = deviation / (samples.var(dim=1, keepdim=True, correction=0) + 1e-7).sqrt()
        if not self.backbone.training:
            return self.read(samples)
        with _drawn_from_torch():
            return self.read(samples)

    def read(self, samples: Tensor) -> Tensor:
        """(batch, samples) to the bottleneck (batch, width)."""
        answer = self.backbone(samples, output_hidden_states=self.layer is not None)
        states: Tensor = answer.last_hidden_state if self.layer is None else answer.hidden_states[self.layer]
        return states.mean(dim=1)

    def width(self) -> int:
        """Of the bottleneck."""
        return int(self.backbone.config.hidden_size)

    def least_states(self) -> int:
        """Hidden states that the encoder needs."""
        return 1


def _of_a_waveform_encoder(backbone: Any) -> Any:
    """The configuration of a model whose first layers are convolutions over samples; refuses any other."""
    if not hasattr(backbone.config, "conv_kernel") or backbone.main_input_name != "input_values":
        raise BenchError(f"a {backbone.config.model_type} takes no waveform; give a wav2vec2, hubert, wavlm …")
    return backbone.config


def _states_after(settings: Any, n_samples: int) -> int:
    """Hidden states that the convolutions make of so many samples."""
    for kernel, stride in zip(settings.conv_kernel, settings.conv_stride, strict=True):
        n_samples = (n_samples - kernel) // stride + 1
    return n_samples


def _samples_before(settings: Any, n_states: int) -> int:
    """Samples that the convolutions need for so many hidden states."""
    for kernel, stride in zip(reversed(settings.conv_kernel), reversed(settings.conv_stride), strict=True):
        n_states = (n_states - 1) * stride + kernel
    return n_states


def _mask_nothing(backbone: Any) -> None:
    """Switches masking off, and forgets what would be put in a masked state's place."""
    backbone.config.apply_spec_augment = False  # the parts share this configuration
    for module in backbone.modules():
        if hasattr(module, "masked_spec_embed"):
            module.masked_spec_embed = None


@contextmanager
def _drawn_from_torch() -> Iterator[None]:
    """transformers draws its masks from NumPy's global generator, which nobody seeds: here PyTorch's does."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(int(torch.randint(2**31, ())))  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
