"""A dilated convolution in the place of pooling over time."""

from torch import Tensor, nn

from crnn_bench.poolings import Pooling


class Dilated(Pooling):
    """Max over frequency alone, then a 3-wide dilated convolution over time: (b, c, f, t) to (b, c, f // size[0], t).

    Where layers before have pooled time by S in all, a convolution of 3 frames and a pooling by s widen what a frame
    has heard by 2 · S + (s - 1) · S input frames. Here they have pooled nothing, the convolution widens it by 2, and
    the dilation d = (S · (s + 1) - 2) / 2, rounded up, by the remaining 2 · d. So networks of blocks of one convolution
    hear about as far as with pooling (the paper's: 47 frames instead of 46), but keep every frame. Dilation
    instead of pooling: Yu & Koltun 2016.
    """

    def __init__(self, channels: int, size: tuple[int, int], stride_so_far: int = 1) -> None:
        super().__init__(channels, size, stride_so_far)
        dilation = max(1, (stride_so_far * (size[1] + 1) - 1) // 2)
        self.conv = nn.Conv2d(channels, channels, (1, 3), padding=(0, dilation), dilation=(1, dilation))

    def forward(self, x: Tensor) -> Tensor:
        widened: Tensor = self.conv(nn.functional.max_pool2d(x, (self.size[0], 1)))
        return widened
