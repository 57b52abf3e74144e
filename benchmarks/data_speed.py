"""Time reading a folder of JPEGs, compared with PyTorch's DataLoader, and how long training waits for images.

    python benchmarks/data_speed.py

It creates its own images in a temporary folder, or uses those in `--data-dir`. The peers need
`pip install -e ".[bench]"`; without them, it prints only the results of this package.
"""

import argparse
import importlib.util
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT, FIELD = 500, 375, 2048
QUALITIES = (80, 90)
WORKERS = 2
AUTOTUNED = 24  # batches until tf.data has tuned its parallelism
WARM_UP, STEPS = 3, 20


def make_images(folder: Path, count: int) -> None:
    """Writes JPEGs that compress like photographs: crops of random colour fields with a similar spectrum."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(FIELD)[:, None], np.fft.rfftfreq(FIELD)[None])
    frequency[0, 0] = 1.0
    phases = np.exp(2j * np.pi * rng.random((3, *frequency.shape)))
    fields = np.fft.irfft2(phases / frequency**1.1, s=(FIELD, FIELD)).astype(np.float32)
    fields /= fields.std(axis=(1, 2), keepdims=True)
    colours = 0.85 * fields[:1] + 0.5 * fields
    places = rng.integers(0, (FIELD - WIDTH, FIELD - WIDTH), (count, 2))

    def write(number: int) -> None:
        left, top = places[number]
        width, height = (WIDTH, HEIGHT) if number % 4 else (HEIGHT, WIDTH)
        part = colours[:, top : top + height, left : left + width].transpose(1, 2, 0)
        pixels = np.clip(50 * (part - part.mean()) + 120, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:06}.jpg", quality=QUALITIES[number % 2])

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, range(count)))


def serve_ours(connection: Connection, options: argparse.Namespace) -> None:
    """Sends the time to start, then images/s over an epoch at every request, then how long training waits."""
    from vae_tf.support.quiet_tensorflow import load_tensorflow

    load_tensorflow()
    from vae_tf.config import DataConfig
    from vae_tf.data.loading import load_splits
    from vae_tf.data.pipeline import num_batches, training_batches

    config = DataConfig(
        dataset="folder",
        data_dir=options.data_dir,
        image_size=options.image_size,
        channels=options.channels,
        val_fraction=0,
        batch_size=options.batch_size,
    )
    began = time.perf_counter()
    splits = load_splits(config)
    shape = splits.spec.example_shape
    count = num_batches(splits.train, config.batch_size)
    batches = training_batches(splits.train, config, shape)
    connection.send(time.perf_counter() - began)
    while connection.recv():
        iterator = iter(batches)  # a new one, because the old one read ahead while others were timed
        for _ in range(AUTOTUNED):
            next(iterator)
        began = time.perf_counter()
        for _ in range(count):
            next(iterator)
        connection.send(len(splits.train) / (time.perf_counter() - began))
        del iterator
    connection.send(waiting(iter(batches), shape, options))


def waiting(batches: Iterator[Any], shape: tuple[int, ...], options: argparse.Namespace) -> tuple[float, float]:
    """Returns images/s of training the conv net, and the fraction of that time in which it waits for a batch."""
    import keras

    from vae_tf.model import build_vae

    model = build_vae(shape, 128, "conv", "bn")
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
    waits = []
    for step in range(WARM_UP + STEPS):
        if step == WARM_UP:
            began = time.perf_counter()
        asked = time.perf_counter()
        batch = next(batches)
        waits.append(time.perf_counter() - asked)
        model.train_on_batch(batch)
    took = time.perf_counter() - began
    return STEPS * options.batch_size / took, sum(waits[WARM_UP:]) / took


class ImageFiles:
    """A PyTorch dataset of image files: decoded and resized by Pillow, channels first, uint8.

    Args:
        paths: The files.
        options: Options of the benchmark.
        is_draft: Whether the JPEG decoder first shrinks the image by a power of two.
    """

    def __init__(self, paths: list[str], options: argparse.Namespace, is_draft: bool) -> None:
        self.paths = paths
        self.mode = "RGB" if options.channels == 3 else "L"
        self.size = (options.image_size, options.image_size)
        self.is_draft = is_draft

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Any:
        import torch

        with Image.open(self.paths[index]) as image:
            if self.is_draft:
                image.draft(self.mode, self.size)
            small = image.convert(self.mode).resize(self.size, Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(small))
        return pixels.permute(2, 0, 1) if pixels.ndim == 3 else pixels[None]


def serve_torch(connection: Connection, options: argparse.Namespace, is_draft: bool) -> None:
    """Sends images/s over an epoch at every request."""
    from torch.utils.data import DataLoader

    paths = sorted(str(path) for path in Path(options.data_dir).iterdir())
    loader: Any = DataLoader(
        ImageFiles(paths, options, is_draft),
        batch_size=options.batch_size,
        shuffle=True,
        num_workers=WORKERS,
        persistent_workers=True,
    )
    next(iter(loader))  # starts the workers
    connection.send(0.0)
    while connection.recv():
        began = time.perf_counter()
        for batch in loader:
            batch.float().div_(255)
        connection.send(len(paths) / (time.perf_counter() - began))
    connection.send((0.0, 0.0))


def started(context: Any, serve: Callable[..., None], *arguments: Any) -> Connection:
    """Starts a process that serves a contender, and returns the connection to it."""
    connection, theirs = context.Pipe()
    context.Process(target=serve, args=(theirs, *arguments)).start()
    theirs.close()
    return connection


def measure(options: argparse.Namespace) -> None:
    """Runs the rounds and prints the table."""
    context = multiprocessing.get_context("spawn")
    contenders = {"vae_tf": started(context, serve_ours, options)}
    if importlib.util.find_spec("torch"):
        contenders["torch, whole decode"] = started(context, serve_torch, options, False)
        contenders["torch, draft"] = started(context, serve_torch, options, True)
    starts = {name: connection.recv() for name, connection in contenders.items()}
    rounds = [{name: _asked(connection) for name, connection in contenders.items()} for _ in range(options.rounds)]
    for name in contenders:
        rates = [one[name] for one in rounds]
        ratios = "  ".join(
            f"{np.median([one[name] / one[peer] for one in rounds]):6.2f} x {peer}"
            for peer in contenders
            if peer.startswith("torch") and not name.startswith("torch")
        )
        print(f"{name:20} {np.median(rates):9,.0f} images/s (best {max(rates):9,.0f})  {ratios}", flush=True)
    for name, connection in contenders.items():
        connection.send(False)
        rate, waited = connection.recv()
        if rate:
            print(f"{name}: start {starts[name]:.1f} s; conv net {rate:.0f} images/s, waiting {waited:.2%} of the time")


def _asked(connection: Connection) -> float:
    connection.send(True)
    rate: float = connection.recv()
    return rate


def main() -> None:
    """Creates the images if no folder is given, and measures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", help="folder of images, without subfolders")
    parser.add_argument("--images", type=int, default=20_000, help="how many to make")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--channels", type=int, default=3, choices=(1, 3))
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.data_dir is None:
            options.data_dir = folder
            make_images(Path(folder), options.images)
        sizes = [path.stat().st_size for path in Path(options.data_dir).iterdir()]
        print(f"{len(sizes):,} files of {np.mean(sizes) / 1e3:.0f} KB to {options.image_size}x{options.channels}")
        measure(options)


if __name__ == "__main__":
    main()
