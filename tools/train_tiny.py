"""Train the embedded net on images made here, with the engine's own gradients: ``python -m tools.train_tiny --out dreamopt/data``.

Each batch is passed a few times: one backward pass gives the gradient to the weights, which takes a step of Adam, and to the image,
which moves the image against the net before the next pass, within an L2 ball ("free" adversarial training [1]_). A net that such small
changes cannot fool has gradients that people can read [2]_: that is what makes its class images look like their classes.

References
----------
.. [1] A. Shafahi et al., "Adversarial Training for Free!", NeurIPS 2019, algorithm 1.
.. [2] D. Tsipras et al., "Robustness May Be at Odds with Accuracy", ICLR 2019, section 3.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dreamopt.data.textures import CLASSES, batch
from dreamopt.engine.executor.program import Program
from dreamopt.engine.net import TEST, TRAIN, Net

MEAN = torch.tensor([104.0, 117.0, 123.0]).view(1, 3, 1, 1)
BATCH, REPLAYS, SIZE, CROP = 32, 3, 96, 64
RATE, DECAY = 4e-3, 0.02
RADIUS = 0.04  # of the ball, as root mean square over the image's values, in 0..1
WHOLE = 0.8  # from this share of the run on, images are seen whole instead of as crops
HELD_OUT_SEED = 1_000_003


def to_input(images: np.ndarray) -> Tensor:
    """Return (N, H, W, 3) uint8 RGB as the net's input, (N, 3, H, W) float32 BGR, 0-255 minus the mean."""
    bgr = torch.from_numpy(np.ascontiguousarray(images[..., ::-1])).permute(0, 3, 1, 2).float()
    return bgr - MEAN


def accuracy(program: Program, weights: dict[str, list[Tensor]], per_class: int) -> float:
    """Return the share of freshly made held-out images whose class has the highest score."""
    right = 0
    for k in range(per_class):
        labels = torch.arange(len(CLASSES))
        x = to_input(batch(labels.tolist(), k * len(CLASSES), HELD_OUT_SEED, size=SIZE, held_out=True))
        with torch.no_grad():
            right += int((program({"data": x}, weights)["scores"].argmax(1) == labels).sum())
    return right / (per_class * len(CLASSES))


def make_images(per_class: int, seed: int) -> np.ndarray:
    """Return (per_class, classes, SIZE, SIZE, 3) uint8, telling how far it is."""
    made = np.empty((per_class, len(CLASSES), SIZE, SIZE, 3), np.uint8)
    for k in range(per_class):
        made[k] = batch(range(len(CLASSES)), k * len(CLASSES), seed, size=SIZE)
        say(f"making images: {(k + 1) * len(CLASSES)} of {per_class * len(CLASSES)}", end="\r")
    say("")
    return made


def say(text: str, end: str = "\n") -> None:
    print(text, end=end, file=sys.stderr, flush=True)


def vary(x: Tensor, random: torch.Generator) -> Tensor:
    """Change brightness, contrast and tint of each image, and swap the colours of some."""
    n = len(x)
    x = x + MEAN
    order = torch.stack(
        [torch.randperm(3, generator=random) if swap else torch.arange(3) for swap in torch.rand(n, generator=random) < 0.04]
    )
    x = torch.gather(x, 1, order.view(n, 3, 1, 1).expand_as(x))
    gain = 0.75 + 0.4 * torch.rand(n, 1, 1, 1, generator=random)
    tint = 30 * (torch.rand(n, 3, 1, 1, generator=random) - 0.5)
    return ((x - 128) * gain + 128 + tint).clamp(0, 255) - MEAN


class Training:
    """A run that can be cut anywhere between two batches: all of its randomness is a function of the seed and the batch's number.

    Parameters
    ----------
    prototxt : Path
        The net; its weights start from its own fillers.
    images : (per_class, classes, SIZE, SIZE, 3) uint8
        What to learn, by class.
    batches : int
        Length of the run; each batch is seen REPLAYS times.
    seed : int
        For fillers, order and variation.
    """

    def __init__(self, prototxt: Path, images: np.ndarray, batches: int, seed: int) -> None:
        self.images, self.batches, self.seed, self.done = images, batches, seed, 0
        self.net = Net(prototxt, TRAIN, seed=seed)
        self.program = self.net.program(["scores"])
        self.test = Net(prototxt, TEST).program(["scores"])
        self.weights = {name: [torch.from_numpy(blob.data.copy()) for blob in blobs] for name, blobs in self.net.params.items()}
        kinds = {name: self.net.layer_dict[name].type for name in self.weights}
        self.statistics = [w for name, ws in self.weights.items() if kinds[name] == "BatchNorm" for w in ws]
        learned = [w.requires_grad_() for name, ws in self.weights.items() if kinds[name] != "BatchNorm" for w in ws]
        matrices, vectors = [w for w in learned if w.dim() > 1], [w for w in learned if w.dim() == 1]
        groups = [{"params": matrices, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.98))
        self.order: tuple[int, np.ndarray] = (-1, np.empty(0))

    def draw(self, number: int, size: int) -> tuple[Tensor, Tensor, torch.Generator]:
        """Return the images and labels of a batch: the next BATCH of an order that is shuffled anew each epoch."""
        total = self.images.shape[0] * self.images.shape[1]
        epoch, at = divmod(number, total // BATCH)
        if self.order[0] != epoch:
            self.order = (epoch, np.random.default_rng([self.seed, epoch]).permutation(total))
        which = self.order[1][at * BATCH : (at + 1) * BATCH]
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        top, left = (int(torch.randint(SIZE - size + 1, (1,), generator=random)) for _ in range(2))
        chosen = self.images.reshape(-1, SIZE, SIZE, 3)[which][:, top : top + size, left : left + size]
        return vary(to_input(chosen), random), torch.from_numpy(which % self.images.shape[1]), random

    def step(self) -> tuple[float, float]:
        """Learn from one batch; return the mean loss over its replays and the share it got right at the first."""
        share = self.done / self.batches
        size = SIZE if share >= WHOLE else CROP
        x, labels, _ = self.draw(self.done, size)
        radius = 255 * RADIUS * math.sqrt(x[0].numel()) * min(1.0, share / 0.3)
        delta, losses, right = torch.zeros_like(x), 0.0, 0.0
        for replay in range(REPLAYS):
            for group in self.optimizer.param_groups:
                group["lr"] = RATE * min(1.0, (share + 1e-3) / 0.05) * (0.5 + 0.5 * math.cos(math.pi * share))
            delta.requires_grad_()
            scores = self.program({"data": x + delta}, self.weights)["scores"]
            loss = torch.nn.functional.cross_entropy(scores, labels)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            assert delta.grad is not None
            delta = self._against(x, delta.detach(), delta.grad, radius, 1.0 if replay == 0 else 0.6)
            losses += loss.item() / REPLAYS
            if replay == 0:
                right = float((scores.argmax(1) == labels).float().mean())
        self.done += 1
        return losses, right

    def _against(self, x: Tensor, delta: Tensor, gradient: Tensor, radius: float, step: float) -> Tensor:
        """Move the images up the loss, back into the ball and into what an image can hold."""

        def norm(t: Tensor) -> Tensor:
            size: Tensor = torch.linalg.vector_norm(t, dim=(1, 2, 3), keepdim=True)
            return size + 1e-12

        delta = delta + step * radius * gradient / norm(gradient)
        delta = delta * (radius / norm(delta)).clamp(max=1)
        return torch.maximum(torch.minimum(x + delta, 255 - MEAN), -MEAN) - x

    def project_params(self, batches: int = 80) -> None:
        """Take the stored statistics anew, from whole images, with the weights as they now stand."""
        with torch.no_grad():
            for w in self.statistics:
                w.zero_()
            for k in range(batches):
                self.program({"data": self.draw(k, SIZE)[0]}, self.weights)

    def save(self, path: Path) -> None:
        """Write the caffemodel, as a Caffe net that was trained and saved would be."""
        for name, weights in self.weights.items():
            for blob, weight in zip(self.net.params[name], weights, strict=True):
                blob.data[...] = weight.detach().numpy()
        self.net.save(path)

    def keep(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        state = {"key": self._key(), "done": self.done, "weights": self.weights, "optimizer": self.optimizer.state_dict()}
        half = path.with_name(path.name + ".part")
        torch.save(state, half)
        os.replace(half, path)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint of a run with the same settings."""
        state = torch.load(path)
        if state["key"] != self._key():
            raise SystemExit(f"{path} is a checkpoint of a run with other settings ({state['key']}): remove it to start anew")
        self.done = state["done"]
        self.optimizer.load_state_dict(state["optimizer"])
        with torch.no_grad():
            for name, weights in state["weights"].items():
                for mine, kept in zip(self.weights[name], weights, strict=True):
                    mine.copy_(kept)

    def _key(self) -> str:
        return f"seed {self.seed}, {self.batches} batches, {self.images.shape[0]} pictures a class"


def train(run: Training, checkpoint: Path) -> None:
    """Run to the end, with a line and a checkpoint every half minute."""
    if checkpoint.exists():
        run.resume(checkpoint)
        say(f"going on from batch {run.done} of {checkpoint}")
    started, said, first = time.monotonic(), time.monotonic(), run.done
    recent: list[tuple[float, float]] = []
    while run.done < run.batches:
        recent.append(run.step())
        now = time.monotonic()
        if now - said > 30 or run.done == run.batches:
            loss, right = np.mean(recent, 0)
            left = (now - started) / (run.done - first) * (run.batches - run.done)
            say(f"batch {run.done} of {run.batches}: loss {loss:.3f}, {right:.1%} right; {left / 60:.1f} min left at this pace")
            run.keep(checkpoint)
            said, recent = now, []


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the embedded net; an interrupted run goes on where it stopped.")
    parser.add_argument(
        "--out", type=Path, default=Path("dreamopt/data"), help="folder with tiny.prototxt; tiny.caffemodel and tiny.txt go there"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batches", type=int, default=2400, help="batches of 32 images, each seen three times")
    parser.add_argument("--pictures", type=int, default=800, help="images a class")
    parser.add_argument("--threads", type=int, default=1, help="the result depends on it in the last digits")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    checkpoint = args.out / "tiny.checkpoint"
    run = Training(args.out / "tiny.prototxt", make_images(args.pictures, args.seed), args.batches, args.seed)
    train(run, checkpoint)
    run.project_params()
    share = accuracy(run.test, run.weights, 30)
    run.save(args.out / "tiny.caffemodel")
    labels = args.out / "tiny.txt"
    half = labels.with_name("tiny.txt.part")
    half.write_text("".join(f"{name}\n" for name in CLASSES))
    os.replace(half, labels)
    checkpoint.unlink()
    say(f"held-out accuracy {share:.1%}; {args.out / 'tiny.caffemodel'} has {(args.out / 'tiny.caffemodel').stat().st_size} bytes")


if __name__ == "__main__":
    main()
