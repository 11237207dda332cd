"""X-vectors (Snyder et al., ICASSP 2018): what tells voices apart may tell artists apart."""

from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from crnn_bench.models.pretrained import Pretrained


class SpeakerEmbedding(Pretrained):
    """A waveform encoder with time-delay layers and statistics pooling, trained to know speakers, and a dense layer.

    Shapes at 3 s (150 frames of 320 samples), batch b, base size:
        (b, 320, 150) → samples (b, 48000) → hidden states (b, 149, 768) → time-delay layers (b, 135, 1500)
        → mean and deviation (b, 3000) → x-vector (b, 512) → dense (b, n_classes).

    Args:
        name: on the Hugging Face Hub, or a folder, of any x-vector model that transformers can load
            (`AutoModelForAudioXVector`: wav2vec 2.0, WavLM, UniSpeech-SAT, data2vec); `None` draws weights at random.
            ECAPA-TDNN weights are in another library's format, SpeechBrain's, and cannot be loaded.
        sample_rate: of the waveform, in Hz; has to be the encoder's own.
        freeze: `backbone` trains the dense layer alone (a linear probe).
        config: of random weights: `model_type` (wav2vec2 if not given) and what transformers' configuration calls them.
    """

    kind: ClassVar[str] = "AutoModelForAudioXVector"
    spare: ClassVar[tuple[str, ...]] = ("masked_spec_embed", "classifier", "objective")

    def __init__(
        self,
        n_bins: int,
        n_frames: int,
        n_classes: int,
        name: str | None = "microsoft/wavlm-base-plus-sv",
        sample_rate: int = 16000,
        freeze: Literal["nothing", "backbone"] = "backbone",
        config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(n_bins, n_frames, n_classes, name, sample_rate, freeze, None, config)
        self.backbone.classifier = self.backbone.objective = nn.Identity()  # of its training, on other people

    def read(self, samples: Tensor) -> Tensor:
        vectors: Tensor = self.backbone(samples).embeddings
        return vectors

    def width(self) -> int:
        return int(self.backbone.config.xvector_output_dim)

    def least_states(self) -> int:
        """As many as the time-delay layers span, and one more, for a deviation."""
        settings = self.backbone.config
        return 2 + sum(int(k - 1) * int(d) for k, d in zip(settings.tdnn_kernel, settings.tdnn_dilation, strict=True))
