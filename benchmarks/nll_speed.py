"""Time the importance-sampled likelihood, compared with pythae's on the same weights and with the matmul rate.

    python benchmarks/nll_speed.py --data-dir FOLDER_WITH_MNIST_IDX_FILES

Without `--data-dir`, it uses the bundled sample. Needs `pip install -e ".[bench]"`.
"""

import argparse
import itertools
import multiprocessing
import resource
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

LATENT_DIM, HIDDEN, PIXELS = 50, 200, 784
FLOPS_PER_SAMPLE = 2 * (LATENT_DIM * HIDDEN + HIDDEN * HIDDEN + HIDDEN * PIXELS)  # the decoder's matrix products
MATMUL_SIDE = 2048


def serve_ours(connection: Connection, options: argparse.Namespace) -> None:
    """Trains the network, sends test images, weights and NLL, then the numbers of a round at every request."""
    from vae_tf.data.loading import load_arrays
    from vae_tf.support.quiet_tensorflow import load_tensorflow

    load_tensorflow()
    import keras
    import tensorflow as tf

    from vae_tf.metrics.elbo import NLLEstimator, max_batch_size
    from vae_tf.model import build_vae

    keras.utils.set_random_seed(0)
    dataset = "fashion_mnist_sample" if options.data_dir is None else "mnist"
    (train, _), (test, _) = load_arrays(dataset, options.data_dir)
    grey, rng = (train[:20_000], test[: options.images]), np.random.default_rng(0)
    train, test = ((rng.random(part.shape, np.float32) < part).astype(np.float32) for part in grey)
    vae = build_vae((28, 28, 1), LATENT_DIM, "dense", "plain", hidden_sizes=(HIDDEN, HIDDEN), activation="tanh")
    vae.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
    vae.fit(train, batch_size=128, epochs=5, verbose=0)

    steps = np.split(test, range(0, len(test), max_batch_size(vae, options.samples))[1:])
    results = NLLEstimator(vae, options.samples, seed=0).estimate(itertools.cycle(steps))
    square = tf.random.normal((MATMUL_SIDE, MATMUL_SIDE))
    matmul = tf.function(lambda: tf.matmul(square, square)[0, 0])
    values = np.concatenate([next(results) for _ in steps])
    connection.send((test, [vae.encoder.get_weights(), vae.decoder.get_weights()], values))
    while connection.recv():
        rate = 2 * MATMUL_SIDE**3 / min(seconds(lambda: matmul().numpy()) for _ in range(3))
        speed = len(test) / seconds(lambda: [next(results) for _ in steps])
        connection.send((speed, rate, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20))  # Linux: KiB


def seconds(run: Callable[[], Any]) -> float:
    """Returns how long a call takes."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def peer_with(weights: list[list[np.ndarray]]) -> Any:
    """Returns pythae's VAE with the same layers and weights."""
    import torch
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    def stack(arrays: list[np.ndarray]) -> torch.nn.Sequential:
        layers: list[torch.nn.Module] = []
        for kernel, bias in zip(arrays[::2], arrays[1::2], strict=True):
            linear = torch.nn.Linear(*kernel.shape)
            linear.weight.data, linear.bias.data = torch.tensor(kernel.T), torch.tensor(bias)
            layers += [linear, torch.nn.Tanh()]
        return torch.nn.Sequential(*layers[:-1])

    class Encoder(BaseEncoder):
        def forward(self, x: torch.Tensor) -> ModelOutput:
            mean, log_var = self.layers(x.flatten(1)).chunk(2, dim=-1)
            return ModelOutput(embedding=mean, log_covariance=log_var)

    class Decoder(BaseDecoder):
        def forward(self, z: torch.Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=torch.sigmoid(self.layers(z)).reshape(-1, 1, 28, 28))

    encoder, decoder = Encoder(), Decoder()
    encoder.layers, decoder.layers = (stack(arrays) for arrays in weights)
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENT_DIM, reconstruction_loss="bce")
    return VAE(config, encoder, decoder).eval()


def peer_nll(peer: Any, images: np.ndarray, num_samples: int, batch_size: int) -> np.ndarray:
    """Returns -log p(x) of each image. `get_nll` also takes the images one by one, but returns their mean."""
    import torch

    with torch.inference_mode():
        images = torch.tensor(images).permute(0, 3, 1, 2)
        return np.array([-peer.get_nll(image[None], num_samples, batch_size) for image in images])


def main() -> None:
    """Runs the rounds and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", help="folder with the MNIST IDX files")
    parser.add_argument("--samples", type=int, default=5000, help="posterior draws per image, a multiple of 50")
    parser.add_argument("--images", type=int, default=128, help="test images for this package")
    parser.add_argument("--peer-images", type=int, default=16, help="the first of them, for pythae")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    connection, theirs = context.Pipe()
    context.Process(target=serve_ours, args=(theirs, options), daemon=True).start()
    theirs.close()  # so that the end of the process ends the wait
    images, weights, values = connection.recv()

    peer, few = peer_with(weights), images[: options.peer_images]
    sizes = [options.samples // parts for parts in (1, 2, 5, 10, 20, 50)]
    runs = {size: partial(peer_nll, peer, few, options.samples, size) for size in sizes}
    size = min(runs, key=lambda size: min(seconds(runs[size]) for _ in range(2)))
    rows = []
    for _ in range(options.rounds):
        connection.send(True)
        ours, rate, memory = connection.recv()
        rows.append((ours, len(few) / seconds(runs[size]), rate / options.samples / FLOPS_PER_SAMPLE))

    connection.send(False)
    print(f"{options.samples:,} samples an image, {options.rounds} interleaved rounds; pythae's batches: {size:,}")
    print_table(np.array(rows))
    peer_values = runs[size]()
    difference = values[: len(few)] - peer_values
    error = difference.std(ddof=1) / np.sqrt(len(few))
    print(f"NLL of the first {len(few)}: vae_tf {values[: len(few)].mean():.3f}, pythae {peer_values.mean():.3f} nats")
    print(f"difference {difference.mean():.3f} +- {error:.3f} nats; peak memory of vae_tf {memory:.2f} GiB")


def print_table(rows: np.ndarray) -> None:
    """Prints the median and the best of the rounds; other load on the machine can only slow a round down."""
    ours, theirs, matmul = np.stack([np.median(rows, axis=0), rows.max(axis=0)], axis=1)
    names = ("vae_tf, images/s", "pythae, images/s", "matmul rate, images/s", "vae_tf / pythae", "vae_tf / matmul rate")
    for name, values in zip(names, (ours, theirs, matmul, ours / theirs, ours / matmul), strict=True):
        print(f"{name:22} {values[0]:8.2f} {values[1]:8.2f}")


if __name__ == "__main__":
    main()
