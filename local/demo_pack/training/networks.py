"""The three networks in PyTorch. Pictures are float32 RGB [N, 3, H, W]; each class says its range."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _conv(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def _conv_prelu(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.PReLU(outputs)
    )


class EmbedderNet(nn.Module):
    """Aligned crops in [-1, 1], [N, 3, 112, 112] → embeddings [N, 512], not normalised; the contract of w600k_r50.

    `head` reads the identity vector back from the embedding while it is trained; it is not exported.
    """

    def __init__(self, widths: tuple[int, int, int, int], bottleneck: int, vector: int) -> None:
        super().__init__()
        a, b, c, d = widths
        self.body = nn.Sequential(
            _conv_prelu(3, a, 2),
            _conv_prelu(a, b, 2),
            _conv_prelu(b, b),
            _conv_prelu(b, c, 2),
            _conv_prelu(c, c),
            _conv_prelu(c, d, 2),
            _conv_prelu(d, d),
            nn.Conv2d(d, bottleneck, 1, bias=False),
            nn.BatchNorm2d(bottleneck),
        )
        self.flatten = nn.Linear(bottleneck * 49, 512, bias=False)
        self.whiten = nn.BatchNorm1d(512, affine=False)
        self.head = nn.Linear(512, vector)

    def project(self, features: Tensor) -> Tensor:
        """[N, bottleneck, 7, 7] → [N, 512], in float32."""
        embedding: Tensor = self.whiten(self.flatten(features.flatten(1)).float())
        return embedding

    def forward(self, crops: Tensor) -> Tensor:
        """Return the embeddings."""
        return self.project(self.body(crops))


EMBEDDER_SHAPE = ((16, 32, 64, 128), 24)
JUDGE_SHAPE = ((20, 40, 56, 96), 32)
"""Widths and bottleneck; the judge differs in shape, loss, seed and training identities."""

STRIDES = (8, 16, 32)
ANCHORS = 2


class DetectorNet(nn.Module):
    """Pictures (x - 127.5) / 128, [N, 3, H, W] with H and W multiples of 32 → the nine outputs of SCRFD.

    Scores [N, A] as logits, box distances [N, A, 4] and keypoint offsets [N, A, 10] in strides, for strides 8, 16 and
    32, with A = 2 H W / stride². The last convolution of the backbone is dilated, so that a face that fills the
    picture is seen whole.
    """

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.fine = nn.Sequential(_conv(3, 12, 2), _conv(12, 24, 2), _conv(24, 40, 2), _conv(40, 40))
        self.middle = nn.Sequential(_conv(40, 56, 2), _conv(56, 56))
        self.coarse = nn.Sequential(_conv(56, 64, 2), _conv(64, 64, dilation=2), _conv(64, 64, dilation=2))
        self.lateral = nn.ModuleList(nn.Conv2d(inputs, width, 1) for inputs in (40, 56, 64))
        self.heads = nn.ModuleList(nn.Sequential(_conv(width, width), _conv(width, width)) for _ in STRIDES)
        self.score = nn.Conv2d(width, ANCHORS, 3, 1, 1)
        self.box = nn.Conv2d(width, ANCHORS * 4, 3, 1, 1)
        self.keypoints = nn.Conv2d(width, ANCHORS * 10, 3, 1, 1)
        self.scale = nn.Parameter(torch.ones(len(STRIDES)))
        nn.init.constant_(self.score.bias, -4.0)  # type: ignore[arg-type]  # torch types a bias as optional; faces are rare
        nn.init.constant_(self.box.bias, 2.0)  # type: ignore[arg-type]  # as above

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Return scores, boxes and keypoints, each for the three strides."""
        fine = self.fine(pictures)
        middle = self.middle(fine)
        coarse = self.lateral[2](self.coarse(middle))
        middle = self.lateral[1](middle) + F.interpolate(coarse, scale_factor=2.0, mode="nearest")
        fine = self.lateral[0](fine) + F.interpolate(middle, scale_factor=2.0, mode="nearest")
        scores, boxes, points = [], [], []
        for level, features in enumerate((fine, middle, coarse)):
            features = self.heads[level](features)
            scores.append(self.score(features).permute(0, 2, 3, 1).reshape(pictures.shape[0], -1))
            boxes.append(F.relu(_per_anchor(self.box(features), 4) * self.scale[level]))
            points.append(_per_anchor(self.keypoints(features), 10) * self.scale[level])
        return (*scores, *boxes, *points)


def _per_anchor(maps: Tensor, size: int) -> Tensor:
    """[N, anchors * size, H, W] → [N, H * W * anchors, size]."""
    return maps.permute(0, 2, 3, 1).reshape(maps.shape[0], -1, size)


class AdaIN(nn.Module):
    """Instance normalisation (eps 1e-8) with scale and shift from the latent, as inswapper_128 has it; always in
    float32."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.style = nn.Linear(512, 2 * channels)
        # A unit latent has entries of about 1/sqrt(512): the default initialisation would leave every face alike.
        nn.init.normal_(self.style.weight, 0.0, 0.35)
        nn.init.zeros_(self.style.bias)
        nn.init.ones_(self.style.bias[:channels])

    def forward(self, maps: Tensor, latent: Tensor) -> Tensor:
        """[N, C, H, W] and [N, 512] → [N, C, H, W]."""
        with torch.autocast("cpu", enabled=False):
            maps = maps.float()
            style = self.style(latent.float()).unsqueeze(2).unsqueeze(3)
            if torch.onnx.is_in_onnx_export():  # type: ignore[no-untyped-call]  # spelled out, node by node, as inswapper's graph
                maps = maps - maps.mean((2, 3), keepdim=True)
                maps = maps / torch.sqrt((maps * maps).mean((2, 3), keepdim=True) + 1e-8)
                return maps * style[:, : self.channels] + style[:, self.channels :]
            # The same in two fused passes: a swapper trains a fifth faster.
            maps = F.layer_norm(maps.flatten(2), (maps[0, 0].numel(),), eps=1e-8).view_as(maps)
            return torch.addcmul(style[:, self.channels :], maps, style[:, : self.channels])


class StyleBlock(nn.Module):
    """x + AdaIN(Conv(ReLU(AdaIN(Conv(x))))), reflection-padded."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.style1 = nn.Conv2d(channels, channels, 3), AdaIN(channels)
        self.conv2, self.style2 = nn.Conv2d(channels, channels, 3), AdaIN(channels)

    def forward(self, maps: Tensor, latent: Tensor) -> Tensor:
        """Same shapes as AdaIN."""
        inner = F.relu(self.style1(self.conv1(_reflect(maps, 1)), latent))
        styled: Tensor = maps + self.style2(self.conv2(_reflect(inner, 1)), latent)
        return styled


class SwapperNet(nn.Module):
    """Targets [N, 3, 128, 128] in [0, 1] and unit latents [N, 512] → swapped crops in [0, 1]; inswapper_128 at `width`
    / 128."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        w = width
        self.encoder = nn.ModuleList(
            [
                nn.Conv2d(3, w, 7),
                nn.Conv2d(w, 2 * w, 3, 1, 1),
                nn.Conv2d(2 * w, 4 * w, 3, 2, 1),
                nn.Conv2d(4 * w, 8 * w, 3, 2, 1),
            ]
        )
        self.blocks = nn.ModuleList(StyleBlock(8 * w) for _ in range(6))
        self.decoder = nn.ModuleList(
            [
                nn.Conv2d(8 * w, 4 * w, 3, 1, 1),
                nn.Conv2d(4 * w, 2 * w, 3, 1, 1),
                nn.Conv2d(2 * w, w, 3, 1, 1),
                nn.Conv2d(w, 3, 7),
            ]
        )
        for conv in (*self.encoder, *self.decoder):
            nn.init.kaiming_normal_(conv.weight, 0.2)
            nn.init.zeros_(conv.bias)
        self.decoder[3].weight.data *= 0.3

    def forward(self, target: Tensor, latent: Tensor) -> Tensor:
        """Return the swapped crops."""
        first, *others = self.encoder
        maps = _leaky(first(_reflect(target, 3)))
        for conv in others:
            maps = _leaky(conv(maps))
        for block in self.blocks:
            maps = block(maps, latent)
        maps = _leaky(self.decoder[0](_double(maps)))
        maps = _leaky(self.decoder[1](_double(maps)))
        maps = _leaky(self.decoder[2](maps))
        return (torch.tanh(self.decoder[3](_reflect(maps, 3))) + 1) / 2


def _leaky(maps: Tensor) -> Tensor:
    return F.leaky_relu(maps, 0.2)


def _reflect(maps: Tensor, size: int) -> Tensor:
    return F.pad(maps, (size, size, size, size), mode="reflect")


def _double(maps: Tensor) -> Tensor:
    return F.interpolate(maps, scale_factor=2.0, mode="bilinear", align_corners=False)
