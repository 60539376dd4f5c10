"""Train the swapper through the embedder: `python -m local.demo_pack.training.train_swapper FOLDER`.

The truth of every swap is drawn, so most of the loss is plain reconstruction. Small pictures come first:
from scratch at 128 pixels nothing improves for minutes. Then the embedder is trained too: what cannot be read from its
embeddings cannot be drawn.
"""

import argparse
import copy
import math
import os
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from local.demo_pack.training import datasets, train_embedder
from local.demo_pack.training.networks import EmbedderNet, SwapperNet

SEED = 11
STAGES = ((0.10, 64, 16, 20.0), (0.25, 96, 8, 12.0), (1.0, 128, 8, 8.0))
"""Up to this part of all steps: picture size, batch, and how much faster than the rest the style layers learn.

A unit latent's entries are 22 times smaller than those of a layer's usual input, and Adam's steps do not know it.
"""

CRISP_FROM = 0.33
"""From this part of the steps on, the loss is what the swaps are graded by: squares, in all and in decibels, and edges
as strong as the truth's."""

READER_RATE = 1.5e-4
"""Learning rate of the embedder in that part."""

LOG_EVERY = 100


class Muon(torch.optim.Optimizer):
    """Momentum whose every step is made orthogonal by five Newton-Schulz iterations (Jordan et al. 2024, "Muon").

    For convolutions [out, in, h, w], taken as matrices [out, in h w]. It needs about half the steps of Adam here.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # torch allows a closure too; none is used
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                memory = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
                memory.lerp_(parameter.grad, 1 - group["momentum"])
                ahead = parameter.grad.lerp(memory, group["momentum"]).flatten(1)
                scale = max(1.0, ahead.shape[0] / ahead.shape[1]) ** 0.5
                parameter.add_(_orthogonal(ahead).view_as(parameter), alpha=-group["lr"] * scale)


def _orthogonal(matrix: Tensor) -> Tensor:
    """The nearest matrix with singular values near one; the quintic's coefficients are Jordan's."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return (x.T if tall else x).float()


def embedding_map(embeddings: Tensor, truth: Tensor) -> Tensor:
    """float32 [512, 512] whose first columns read the identity vector from a unit embedding; the rest is faint and
    random.

    embeddings [n, 512] and truth [n, k]; ridge regression. So the latent is mostly identity, which the swapper learns
    sooner.
    """
    centred = (truth - truth.mean(0)) / (truth.std(0) + 1e-3)
    gram = embeddings.T @ embeddings
    readout = torch.linalg.solve(gram + 1e-3 * gram.trace() / 512 * torch.eye(512), embeddings.T @ centred)
    readout = readout / (embeddings @ readout).std(0)
    rest = torch.randn(512, 512 - truth.shape[1], generator=torch.Generator().manual_seed(5))
    rest = 0.2 * rest / (embeddings @ rest).std(0)
    both = torch.cat([readout, rest], 1)
    return both / both.std()


def latents(embeddings: Tensor, emap: Tensor) -> Tensor:
    """Unit latents [..., 512] as INSwapper makes them from unit embeddings."""
    return F.normalize(embeddings @ emap, dim=-1)


class DrawnIdentity:
    """The embedder as it was finished, as a loss, and the mean embeddings of everybody it learned."""

    def __init__(self, folder: Path) -> None:
        self.network: EmbedderNet = train_embedder.load(folder / "embedder.pt")
        cached = folder / "latents.pt"
        if not cached.exists():
            pictures = datasets.embedder_pictures(folder)
            embeddings = torch.cat([train_embedder.embed(self.network, some) for some in _rows(pictures)])
            truth = train_embedder.identity_vectors(datasets.EMBEDDER_PEOPLE).repeat_interleave(
                datasets.PORTRAITS_EACH, 0
            )
            torch.save({"embeddings": embeddings, "emap": embedding_map(embeddings, truth)}, cached)
        latents_file = torch.load(cached)
        self.emap: Tensor = latents_file["emap"]
        self.means = F.normalize(latents_file["embeddings"].view(-1, datasets.PORTRAITS_EACH, 512).mean(1))

    def features(self, crops: Tensor) -> tuple[list[Tensor], Tensor]:
        """Maps of three layers and the unit embedding of swapped crops [N, 3, s, s] in [0, 1]."""
        if crops.shape[-1] < 128:
            crops = F.interpolate(crops, size=(128, 128), mode="bilinear")
        maps, features = crops[:, :, :112, 8:120] * 2 - 1, []  # the 112 crop lies exactly inside the 128 crop
        with torch.autocast("cpu", torch.bfloat16):
            for number, layer in enumerate(self.network.body):
                maps = layer(maps)
                if number in (0, 2, 4):
                    features.append(maps)
        return features, F.normalize(self.network.project(maps.float()))


def _rows(pictures: datasets.Bytes, count: int = 100) -> Iterable[datasets.Bytes]:
    for start in range(0, len(pictures), count):
        yield pictures[start : start + count].reshape(-1, *pictures.shape[2:])


class Batches:
    """Targets, truths and sources by step: 80 % swaps, 10 % onto oneself, 10 % between two people who are both swapped
    in."""

    def __init__(self, folder: Path) -> None:
        self.groups = datasets.swap_pictures(folder)
        self.portraits = datasets.embedder_pictures(folder)
        self.members = np.array(
            [datasets.group_members(seed, datasets.EMBEDDER_PEOPLE, datasets.GROUP_SIZE) for seed in datasets.GROUPS]
        )

    def at(self, step: int, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Targets and truths float32 RGB [n, 3, 128, 128] in [0, 1], portraits of the sources as the embedder takes
        them [n, 3, 112, 112], identity rows [n]."""
        rng = np.random.default_rng([SEED, step])
        targets, truths, people = [], [], []
        for _ in range(count):
            row, kind = int(rng.integers(len(self.groups))), rng.random()
            if kind < 0.8:
                source, target = int(rng.integers(1, datasets.GROUP_SIZE)), 0
            elif kind < 0.9:
                source = target = 0
            else:
                source, target = (int(v) for v in rng.choice(datasets.GROUP_SIZE, 2, replace=False))
            targets.append(self.groups[row][target])
            truths.append(self.groups[row][source])
            people.append(self.members[row][source] - datasets.EMBEDDER_PEOPLE.start)
        views = zip(people, rng.integers(0, datasets.PORTRAITS_EACH, count), strict=True)
        sources = train_embedder.to_network_input(np.stack([self.portraits[row][view] for row, view in views]))
        return as_tensor(np.stack(targets)), as_tensor(np.stack(truths)), sources, torch.tensor(people)


def embed_portraits(embedder: EmbedderNet, sources: Tensor) -> Tensor:
    """Unit embeddings [n, 512] of portraits [n, 3, 112, 112], through which gradients flow; slightly shaken, so that
    the embedder does not learn the portraits by heart."""
    tint = 1 + 0.02 * torch.randn(len(sources), 1, 1, 1), 0.01 * torch.randn(len(sources), 3, 1, 1)
    with torch.autocast("cpu", torch.bfloat16):
        maps = embedder.body(sources * tint[0] + tint[1] + 0.02 * torch.randn_like(sources))
    return F.normalize(embedder.project(maps.float()))


def as_tensor(crops: datasets.Bytes) -> Tensor:
    """uint8 BGR [N, H, W, 3] → float32 RGB [N, 3, H, W] in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(crops[..., ::-1])).permute(0, 3, 1, 2).float() / 255


def resize(crops: Tensor, size: int) -> Tensor:
    """Shrink to `size` pixels with smoothing; nothing to do at full size."""
    if crops.shape[-1] == size:
        return crops
    return F.interpolate(crops, size=(size, size), mode="bilinear", antialias=True, align_corners=False)


def centre_weight(size: int) -> Tensor:
    """[1, 1, size, size], mean one: the inner face counts four times as much as the rim."""
    y, x = torch.meshgrid(torch.linspace(0, 128, size), torch.linspace(0, 128, size), indexing="ij")
    weight = 0.5 + 1.5 * torch.exp(-(((x - 64) / 38) ** 4 + ((y - 70) / 42) ** 4))
    return (weight / weight.mean())[None, None]


def eye_weight(size: int) -> Tensor:
    """[1, 1, size, size], mean one: the centre's weight, and about the eyes, where most of what is wrong is, 2.2 times
    as much."""
    y, x = torch.meshgrid(torch.linspace(0, 128, size), torch.linspace(0, 128, size), indexing="ij")
    eyes = sum(torch.exp(-(((x - centre) / 13) ** 4 + ((y - 52) / 9) ** 4)) for centre in (46.3, 81.5))
    weight = centre_weight(size) * (1 + 1.2 * eyes)
    return weight / weight.mean()


def grade(output: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Squares: weighted, averaged over 8 by 8 pixels (tones and colours), and every picture's own in logarithms, which
    is its PSNR."""
    error = output - truth
    tones = (F.avg_pool2d(error, 8) ** 2 * F.avg_pool2d(weight, 8)).mean()
    return 12 * (error**2 * weight).mean() + 12 * tones + 0.14 * (error**2).mean((1, 2, 3)).log().mean()


def reconstruction(output: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Weighted L1 of the pixels and of their differences to the right and below."""
    error = ((output - truth) * weight).abs().mean()
    for axis in (2, 3):
        length = output.shape[axis] - 1
        change = output.diff(dim=axis) - truth.diff(dim=axis)
        error = error + 1.2 * (change.abs() * weight.narrow(axis, 0, length)).mean()
    return error


def softness(output: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """How far the strength of edges is from the truth's, each averaged over 5 by 5 pixels.

    An edge in a slightly wrong place costs the reconstruction twice, so where it is unsure it paints none; this asks
    for the edge wherever it may be.
    """
    error = torch.zeros(())
    for axis in (2, 3):
        length = output.shape[axis] - 1
        ours, theirs = (F.avg_pool2d(crops.diff(dim=axis).abs(), 5, 1, 2) for crops in (output, truth))
        error = error + ((ours - theirs).abs() * weight.narrow(axis, 0, length)).mean()
    return error


def trial(
    network: SwapperNet, embedder: EmbedderNet, folder: Path, identity: DrawnIdentity, count: int = 48
) -> dict[str, float]:
    """PSNR to the drawn truth, and rank-1 and cosine by the embedder of the loss, on people never trained on."""
    groups = datasets.trial_swaps(folder)[:count]
    members = [datasets.group_members(seed, datasets.TRIAL_PEOPLE, 2) for seed in datasets.TRIAL_GROUPS[:count]]
    people = datasets.trial_pictures(folder)
    first, second = train_embedder.embed(embedder, people[:, 0]), train_embedder.embed(identity.network, people[:, 1])
    sources = torch.tensor([source - datasets.TRIAL_PEOPLE.start for _, source in members])
    target, truth = as_tensor(groups[:, 0]), as_tensor(groups[:, 1])
    with torch.no_grad():
        outputs = torch.cat(
            [network(target[i : i + 8], latents(first[sources[i : i + 8]], identity.emap)) for i in range(0, count, 8)]
        )
        _, embeddings = identity.features(outputs)
    similar = embeddings @ second.T
    psnr = -10 * torch.log10(((outputs - truth) ** 2).mean((1, 2, 3)))
    return {
        "psnr": psnr.mean().item(),
        "rank1": (similar.argmax(1) == sources).float().mean().item(),
        "cosine": similar[torch.arange(count), sources].mean().item(),
    }


def train(
    folder: Path, steps: int, threads: int, until: int | None = None, muon_rate: float = 0.02, rate: float = 1e-3
) -> None:
    """Train up to `steps` batches, or stop for now at `until`; continues from its checkpoint."""
    torch.set_num_threads(threads)
    torch.manual_seed(SEED)
    identity = DrawnIdentity(folder)
    batches = Batches(folder)
    network = SwapperNet().to(memory_format=torch.channels_last)
    average = copy.deepcopy(network).requires_grad_(False)
    embedder, embedder_average = copy.deepcopy(identity.network), copy.deepcopy(identity.network)
    readers = [p.requires_grad_() for n, p in embedder.named_parameters() if not n.startswith("head")]
    convolutions = [
        p for n, p in network.named_parameters() if p.ndim == 4 and not n.startswith(("encoder.0", "decoder.3"))
    ]
    matrices = {id(p) for p in convolutions}
    styles = [p for n, p in network.named_parameters() if ".style." in n]
    others = [p for p in network.parameters() if id(p) not in matrices and not any(p is style for style in styles)]
    adam = torch.optim.Adam([{"params": others}, {"params": styles}], rate, betas=(0.9, 0.98))
    optimizers = [Muon(convolutions, muon_rate), adam, torch.optim.Adam(readers, READER_RATE, betas=(0.9, 0.98))]
    checkpoint, start = folder / "swapper.pt", 0
    if checkpoint.exists():
        last_state = torch.load(checkpoint)
        network.load_state_dict(last_state["network"])
        average.load_state_dict(last_state["average"])
        embedder.load_state_dict(last_state["reader"])
        embedder_average.load_state_dict(last_state["embedder"])
        for optimizer, state in zip(optimizers, last_state["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        start = last_state["step"]

    def save(step: int) -> None:
        torch.save(
            {
                "network": network.state_dict(),
                "average": average.state_dict(),
                "reader": embedder.state_dict(),
                "embedder": embedder_average.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in optimizers],
                "emap": identity.emap,
                "step": step,
            },
            checkpoint.with_suffix(".tmp"),
        )
        os.replace(checkpoint.with_suffix(".tmp"), checkpoint)

    began, total = time.monotonic(), 0
    stop = steps if until is None else until
    for step in range(start, stop):
        progress = step / steps
        _, size, count, boost = next(stage for stage in STAGES if progress < stage[0])
        pace = min(1.0, (step + 1) / 40) * min(
            1.0, 0.02 + 0.5 + 0.5 * math.cos(math.pi * max(0.0, progress - 0.3) / 0.7)
        )
        groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        reader_rate = READER_RATE if progress > CRISP_FROM else 0.0
        for group, peak in zip(groups, (muon_rate, rate, boost * rate, reader_rate), strict=True):
            group["lr"] = peak * pace
        target, truth, sources, people = batches.at(step, count)
        embeddings = embed_portraits(embedder, sources)
        latent = latents(embeddings, identity.emap)
        target, truth = (resize(crops, size).contiguous(memory_format=torch.channels_last) for crops in (target, truth))
        with torch.autocast("cpu", torch.bfloat16):
            output = network(target, latent)
        output = output.float()
        weight = eye_weight(size) if progress > CRISP_FROM else centre_weight(size)
        loss = plain = reconstruction(output, truth, weight)
        if progress > CRISP_FROM:
            loss = 0.6 * plain + 0.25 * softness(output, truth, weight) + grade(output, truth, weight)
        ramp = min(1.0, progress / 0.1)
        maps, output_embeddings = identity.features(output)
        with torch.no_grad():
            true_maps, _ = identity.features(truth)
        for ours, theirs in zip(maps, true_maps, strict=True):
            loss = loss + 0.03 * ramp * (ours - theirs).float().abs().mean() / (theirs.float().abs().mean() + 1e-3)
        pull = 0.06 * ramp * (1.0 if progress < CRISP_FROM else 0.6)
        loss = loss + pull * (1 - (output_embeddings * identity.means[people]).sum(1).mean())
        loss = loss + 0.05 * (1 - (embeddings * identity.means[people]).sum(1).mean())
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        torch.nn.utils.clip_grad_norm_([*others, *styles], 1.0)
        torch.nn.utils.clip_grad_norm_(readers, 1.0)
        for optimizer in optimizers:
            optimizer.step()
        keep = min(0.997, (step + 1) / (step + 20))
        with torch.no_grad():
            for mean, newest in ((average, network), (embedder_average, embedder)):
                for slow, fast in zip(mean.parameters(), newest.parameters(), strict=True):
                    slow.lerp_(fast, 1 - keep)
        total += count
        if (step + 1) % LOG_EVERY == 0 or step + 1 == stop:
            save(step + 1)
            trial_scores = trial(average, embedder_average, folder, identity)
            scores = " ".join(f"{name} {value:.3f}" for name, value in trial_scores.items())
            spent = time.monotonic() - began
            print(
                f"swapper {step + 1}/{steps} at {size} px {spent:.0f} s {total / spent:.1f}/s loss {loss.item():.4f} "
                f"plain {plain.item():.4f} {scores}",
                flush=True,
            )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=30_000)
    parser.add_argument("--until", type=int)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    train(options.folder, options.steps, options.threads, options.until)


if __name__ == "__main__":
    main()
