"""Train the embedder, or by another loss on other people the judge.

`python -m local.demo_pack.training.train_embedder NAME FOLDER`
"""

import argparse
import math
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from local.demo_pack.people import CHOICES, RANGES, identity
from local.demo_pack.training import datasets
from local.demo_pack.training.networks import EMBEDDER_SHAPE, JUDGE_SHAPE, EmbedderNet

STEPS = {"embedder": 10_000, "judge": 600}
VECTOR = len(RANGES) + sum(CHOICES.values())


def identity_vectors(seeds: Iterable[int]) -> Tensor:
    """Identity vectors float32 [n, VECTOR]."""
    return torch.from_numpy(np.stack([identity(seed).vector() for seed in seeds]))


def to_network_input(crops: NDArray[np.uint8]) -> Tensor:
    """uint8 BGR [N, H, W, 3] → float32 RGB [N, 3, H, W] in [-1, 1], as ArcFaceONNX does."""
    return (torch.from_numpy(np.ascontiguousarray(crops[..., ::-1])).permute(0, 3, 1, 2).float() - 127.5) / 127.5


def reading_loss(read: Tensor, truth: Tensor) -> Tensor:
    """How badly identity vectors were read: squared error of the continuous part, cross-entropy of each choice."""
    first = len(RANGES)
    loss = F.mse_loss(read[:, :first], truth[:, :first])
    for count in CHOICES.values():
        loss = loss + 0.03 * F.cross_entropy(read[:, first : first + count], truth[:, first : first + count])
        first += count
    return loss


def augment(crops: Tensor, rng: np.random.Generator) -> Tensor:
    """Tints, softness, grain and a grey patch, so that the embedding survives what a swapper or a paste does to a
    face."""
    count = len(crops)
    crops = crops * (1 + 0.12 * torch.randn(count, 1, 1, 1)) + 0.06 * torch.randn(count, 3, 1, 1)
    if rng.random() < 0.4:
        small = int(rng.integers(52, 100))
        crops = F.interpolate(crops, size=(small, small), mode="bilinear", antialias=True)
        crops = F.interpolate(crops, size=(112, 112), mode="bilinear")
    if rng.random() < 0.3:
        crops = crops + torch.randn_like(crops) * float(rng.uniform(0, 0.08))
    if rng.random() < 0.3:
        x, y = rng.integers(0, 92, 2)
        crops[:, :, y : y + 20, x : x + 20] = float(rng.uniform(-1, 1))
    return crops.clamp(-1.2, 1.2)


@torch.no_grad()
def embed(network: EmbedderNet, crops: NDArray[np.uint8]) -> Tensor:
    """Unit embeddings float32 [n, 512] of uint8 BGR crops [n, 112, 112, 3]."""
    network.eval()
    with torch.autocast("cpu", torch.bfloat16):
        parts = [network(to_network_input(crops[start : start + 100])) for start in range(0, len(crops), 100)]
    return F.normalize(torch.cat(parts).float())


def retrieval(gallery: Tensor, probes: Tensor) -> tuple[float, float]:
    """Rank-1 and AUC of probes [n, k, 512] against one gallery embedding each [n, 512]."""
    similar = torch.einsum("ijd,kd->ijk", probes, gallery)
    own = torch.arange(len(gallery))
    rank1 = (similar.argmax(2) == own[:, None]).float().mean().item()
    same = similar[own, :, own].flatten()
    other = similar[~torch.eye(len(gallery), dtype=torch.bool)[:, None, :].expand(similar.shape)]
    below = torch.searchsorted(other.sort().values, same).float() / len(other)
    return rank1, below.mean().item()


def load(path: Path) -> EmbedderNet:
    """A trained embedder, ready to use, with frozen weights."""
    checkpoint = torch.load(path)
    network = EmbedderNet(*checkpoint["shape"], VECTOR)
    network.load_state_dict(checkpoint["network"])
    return network.eval().requires_grad_(False)


def train(name: str, folder: Path, steps: int, threads: int, processes: int) -> None:
    """Train `name` (embedder or judge) for `steps` batches; continues from its checkpoint."""
    torch.set_num_threads(threads)
    judge = name == "judge"
    seed = 21 if judge else 7
    torch.manual_seed(seed)
    if judge:
        people, arrays = [*datasets.JUDGE_PEOPLE], [datasets.judge_pictures(folder, processes)]
    else:
        people = [*datasets.EMBEDDER_PEOPLE, *datasets.MORE_PEOPLE]
        arrays = [datasets.embedder_pictures(folder, processes), datasets.more_pictures(folder, processes)]
    pictures = [each for array in arrays for each in array]
    trial = datasets.trial_pictures(folder, processes)
    truth = identity_vectors(people)
    shape = JUDGE_SHAPE if judge else EMBEDDER_SHAPE
    network = EmbedderNet(*shape, VECTOR)
    proxies = nn.Parameter(torch.randn(len(people), 512) * 0.05)
    optimizer = torch.optim.AdamW(
        [*network.parameters(), *([proxies] if judge else [])], lr=2e-3, weight_decay=2e-2, betas=(0.9, 0.98)
    )
    checkpoint, start = folder / f"{name}.pt", 0
    if checkpoint.exists():
        last_state = torch.load(checkpoint)
        network.load_state_dict(last_state["network"])
        optimizer.load_state_dict(last_state["optimizer"])
        proxies.data.copy_(last_state["proxies"])
        start = last_state["step"]

    def save(step: int) -> None:
        state: dict[str, Any] = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "shape": shape}
        torch.save(state | {"proxies": proxies.data, "step": step}, checkpoint.with_suffix(".tmp"))
        os.replace(checkpoint.with_suffix(".tmp"), checkpoint)

    count, began = 72 if judge else 112, time.monotonic()
    for step in range(start, steps):
        rng = np.random.default_rng([seed, step])
        torch.manual_seed(1_000_000 * seed + step)  # a resumed run draws what an uninterrupted one would
        rate = 2e-3 * min(1.0, (step + 1) / 30) * (0.51 + 0.5 * math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        rows = np.sort(rng.choice(len(people), count, replace=False))
        crops = np.concatenate([pictures[row][rng.choice(datasets.PORTRAITS_EACH, 2, replace=False)] for row in rows])
        network.train()
        with torch.autocast("cpu", torch.bfloat16):
            embeddings = network(augment(to_network_input(crops), rng))
        embeddings = embeddings.float()
        reading = reading_loss(network.head(embeddings), truth[rows].repeat_interleave(2, 0))
        unit = F.normalize(embeddings)
        if judge:  # CosFace against one learned proxy per identity
            labels = torch.from_numpy(np.repeat(rows, 2))
            similar = unit @ F.normalize(proxies).T - 0.15 * F.one_hot(labels, len(people))
            loss = F.cross_entropy(24 * similar, labels) + 6 * reading
        else:  # NT-Xent: the other picture of the same identity among all of the batch
            similar = (unit @ unit.T / 0.08).fill_diagonal_(-1e4)
            # What cannot be read from the embedding the swapper cannot draw: with a fifth of this weight a perfect
            # swapper would reach 24.7 dB, drawing what a ridge readout says.
            loss = F.cross_entropy(similar, torch.arange(2 * count) ^ 1) + 20 * reading
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        if (step + 1) % 150 == 0 or step + 1 == steps:
            save(step + 1)
            trial_embeddings = embed(network, trial.reshape(-1, *trial.shape[2:])).view(len(trial), -1, 512)
            rank1, auc = retrieval(trial_embeddings[:, 0], trial_embeddings[:, 1:])
            print(
                f"{name} {step + 1}/{steps} {time.monotonic() - began:.0f} s loss {loss.item():.3f} "
                f"reading {reading.item():.4f} rank-1 {rank1:.4f} AUC {auc:.6f}",
                flush=True,
            )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=["embedder", "judge"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    steps = options.steps or STEPS[options.name]
    train(options.name, options.folder, steps, options.threads, options.processes)


if __name__ == "__main__":
    main()
