"""ResNet-18 (He et al., CVPR 2016) that looks at a spectrogram as at a picture."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from crnn_bench import hub
from crnn_bench.models import Network, shape_after

RESNET18 = {"depths": [2, 2, 2, 2], "hidden_sizes": [64, 128, 256, 512], "embedding_size": 64, "layer_type": "basic"}
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ResNet18(Network):
    """Residual blocks over the slice as a picture; the bottleneck is the mean of the last maps.

    Each slice is scaled to 0..1 by its own least and largest value, as a plot of it would be, then by ImageNet's mean
    and deviation; it is not resized to 224×224.

    Shapes at 3 s (94 frames of 128 bins), batch b, one channel:
        (b, 1, 128, 94) → (b, 64, 32, 24) → (b, 64, 32, 24) → (b, 128, 16, 12) → (b, 256, 8, 6) → (b, 512, 4, 3)
        → mean (b, 512) → dense (b, n_classes).

    Args:
        pretrained: a name (`microsoft/resnet-18`) or a folder; `None` draws the weights at random.
        freeze: `backbone` retrains the last layer alone, as the report on GTZAN did with pretrained weights.
        channels: 3 shows the spectrogram as red, green and blue; 1 adds up what pretrained kernels do to the three.
        config: overrides for random weights, as transformers' `ResNetConfig` calls them.
    """

    picture_mean: Tensor
    picture_std: Tensor

    def __init__(
        self,
        n_bins: int,
        n_frames: int,
        n_classes: int,
        pretrained: str | None = None,
        freeze: Literal["nothing", "backbone"] = "nothing",
        channels: Literal[1, 3] = 3,
        config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        settings = None if pretrained and not config else {**RESNET18, "num_channels": channels, **(config or {})}
        self.backbone = hub.model(pretrained, settings, "resnet")
        self.channels = channels
        if channels == 1 and self.backbone.config.num_channels == 3:
            _add_up_colours(self.backbone)
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        mean, std = (mean, std) if channels == 3 else (mean.mean(), std.mean())
        self.register_buffer("picture_mean", mean.view(1, -1, 1, 1), persistent=False)
        self.register_buffer("picture_std", std.view(1, -1, 1, 1), persistent=False)
        self.eval()
        shape_after(self._all_but_one_pixel, n_bins, n_frames, "ResNet18", remedy="leave out stages in `config`")
        self.train()
        self.head = nn.Linear(self.backbone.config.hidden_sizes[-1], n_classes)
        if freeze == "backbone":
            self.freeze([self.backbone])

    @classmethod
    def own_weights(cls, **arguments: Any) -> str | None:
        return arguments.get("pretrained")

    def embed(self, x: Tensor) -> Tensor:
        bottleneck: Tensor = self.backbone(self.picture(x)).pooler_output
        return bottleneck.flatten(1)

    def picture(self, x: Tensor) -> Tensor:
        """(batch, n_bins, n_frames) to (batch, channels, n_bins, n_frames), scaled."""
        x = x.unsqueeze(1)
        low, high = x.amin(dim=(2, 3), keepdim=True), x.amax(dim=(2, 3), keepdim=True)
        x = (x - low) / (high - low).clamp(min=1e-6)
        return (x.expand(-1, self.channels, -1, -1) - self.picture_mean) / self.picture_std

    def _all_but_one_pixel(self, x: Tensor) -> Tensor:
        """Of the last maps: one pixel of one slice has no variance that batch norm could learn from."""
        maps: Tensor = self.backbone(self.picture(x)).last_hidden_state
        return maps.flatten(2)[:, :, 1:]


@torch.no_grad()
def _add_up_colours(backbone: Any) -> None:
    """Makes the first layer take one channel and answer as it did to three equal ones."""
    conv = backbone.embedder.embedder.convolution
    conv.weight = nn.Parameter(conv.weight.sum(dim=1, keepdim=True))
    conv.in_channels = backbone.embedder.num_channels = backbone.config.num_channels = 1
