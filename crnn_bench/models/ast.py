"""The Audio Spectrogram Transformer (Gong, Chung & Glass, Interspeech 2021, arXiv 2104.01778)."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from crnn_bench import hub
from crnn_bench.errors import BenchError
from crnn_bench.features.fbank import Fbank
from crnn_bench.models import Network, shape_after

AUDIOSET_MEAN, AUDIOSET_STD = -4.2677393, 4.5689974
PATCH = 16


class AST(Network):
    """A transformer over patches of 16×16, 10 apart, of a log-mel filter bank; it brings that feature itself.

    Shapes at 3 s (300 frames of 128 bins), batch b, base size:
        (b, 128, 300) → 12 × 29 patches (b, 348, 768) → with two tokens (b, 350, 768), 12 times
        → mean of the tokens (b, 768) → layer norm, dense (b, n_classes).

    Args:
        pretrained: a name (`MIT/ast-finetuned-audioset-10-10-0.4593`) or a folder; `None` draws the weights at random.
        freeze: `backbone` retrains the last layer alone.
        config: overrides for random weights, as transformers' `ASTConfig` calls them.

    A pretrained model's position embeddings for slices of another length are cut to their middle columns, or
    interpolated bilinearly, as the authors' code does.
    """

    def __init__(
        self,
        n_bins: int,
        n_frames: int,
        n_classes: int,
        pretrained: str | None = None,
        freeze: Literal["nothing", "backbone"] = "nothing",
        config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        given = {"num_mel_bins": n_bins, "max_length": max(n_frames, PATCH)}
        settings = None if pretrained and not config else {**given, **(config or {})}
        self.backbone = hub.model(pretrained, settings, "audio-spectrogram-transformer")
        wanted = self.backbone.config.num_mel_bins
        if wanted != n_bins:
            raise BenchError(f"AST: the model hears {wanted} mel bins, the features have {n_bins}; take features=fbank")
        _, _, rows, columns = shape_after(self._patches, n_bins, n_frames, "AST", remedy="its patches are fixed")
        embeddings = self.backbone.embeddings
        embeddings.position_embeddings = _refitted(embeddings.position_embeddings, rows, columns)
        width = self.backbone.config.hidden_size
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, n_classes))
        if freeze == "backbone":
            self.freeze([self.backbone])

    @classmethod
    def own_features(cls, **arguments: Any) -> Fbank:
        n_mels = (arguments.get("config") or {}).get("num_mel_bins", 128)
        if not isinstance(n_mels, int):
            raise BenchError(f"AST: num_mel_bins must be a whole number, got {n_mels!r}")
        return Fbank(n_mels)

    @classmethod
    def own_weights(cls, **arguments: Any) -> str | None:
        return arguments.get("pretrained")

    def embed(self, x: Tensor) -> Tensor:
        x = (x - AUDIOSET_MEAN) / (2 * AUDIOSET_STD)
        bottleneck: Tensor = self.backbone(x.transpose(1, 2)).pooler_output
        return bottleneck

    def _patches(self, x: Tensor) -> Tensor:
        patches: Tensor = self.backbone.embeddings.patch_embeddings.projection(x.unsqueeze(1))
        return patches


@torch.no_grad()
def _refitted(positions: nn.Parameter, rows: int, columns: int) -> nn.Parameter:
    """(1, 2 + rows × known columns, width) to (1, 2 + rows × columns, width); the two tokens' places stay."""
    tokens, patches = positions[:, :2], positions[:, 2:]
    grid = patches.transpose(1, 2).reshape(1, -1, rows, patches.shape[1] // rows)
    known = grid.shape[3]
    if columns <= known:
        first = known // 2 - columns // 2
        grid = grid[..., first : first + columns]
    else:
        grid = nn.functional.interpolate(grid, size=(rows, columns), mode="bilinear")
    return nn.Parameter(torch.cat([tokens, grid.flatten(2).transpose(1, 2)], dim=1))
