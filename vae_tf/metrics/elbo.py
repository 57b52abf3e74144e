"""The evidence lower bound and the importance-sampled likelihood of each image.

The noise of an image depends only on the seed and on the image's position in the split, so results do not depend on how
images and samples are batched.
"""

import math
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from vae_tf.backend.compiled import compile_function
from vae_tf.backend.devices import has_gpu
from vae_tf.model.batch import Batch
from vae_tf.model.vae import VAE

MAX_SAMPLES_PER_BLOCK = 500  # for a small decoder; fewer if its layers need more memory
MIN_SAMPLES_PER_BLOCK = 50
MAX_MEMORY_BYTES = 256 * 2**20
MAX_IMAGES_PER_BATCH = 64


class PerImageELBO(NamedTuple):
    """The negative ELBO and its two terms, one value per image, float64 `(N,)`, in nats."""

    negative_elbo: np.ndarray
    reconstruction_loss: np.ndarray
    kl_loss: np.ndarray


def elbo_per_image(vae: VAE, batches: Iterable[Any], seed: int) -> PerImageELBO:
    """Returns the negative ELBO and its two terms for each image, from one posterior sample per image.

    Args:
        vae: The model.
        batches: Batches in the format that `fit` accepts, in the order of the split.
        seed: Random seed for the posterior samples.
    """

    @compile_function
    def elbo_terms(
        batch: Batch, seeds: keras.KerasTensor
    ) -> tuple[keras.KerasTensor, keras.KerasTensor, keras.KerasTensor]:
        terms = vae.elbo_terms(batch.inputs, target=batch.target, labels=batch.labels, seed=seeds)
        return terms.negative_elbo(), terms.reconstruction_loss(), terms.kl_loss()

    batch_terms = [elbo_terms(batch, seeds) for batch, seeds in with_example_seeds(vae, batches, seed)]
    return PerImageELBO(*(np.concatenate(values).astype(np.float64) for values in zip(*batch_terms, strict=True)))


class NLLEstimator:
    """Estimates -log p(x) of images by importance sampling.

    The estimate is -log(1/K sum_k p(x, z_k) / q(z_k | x)), z_k ~ q(z | x) (Burda et al. 2016, eq. 8). Its expectation
    is an upper bound on -log p(x) that decreases as K grows; for K = 1 it is the negative ELBO. The log-sum-exp is
    computed in float32 over blocks of samples, so memory use does not grow with K.

    Args:
        vae: The model.
        num_samples: Number of posterior samples K per image.
        seed: Random seed for the posterior samples.
    """

    def __init__(self, vae: VAE, num_samples: int, seed: int) -> None:
        self._vae, self._num_samples, self._seed = vae, num_samples, seed
        self._block_size = _samples_per_block(vae)
        self._num_blocks, self._remainder = divmod(num_samples, self._block_size)
        # XLA fuses everything after the decoder into one pass. The networks are not compiled with XLA because its
        # matrix products are slower than TensorFlow's on a CPU; on a GPU, XLA is off because it would need the CUDA
        # toolkit.
        self._log_likelihood = compile_function(vae.likelihood.log_prob_for_evaluation, jit=not has_gpu())
        self._compiled_log_weight_sum = compile_function(self._log_weight_sum)

    def estimate(self, batches: Iterable[Any]) -> Iterator[np.ndarray]:
        """Yields the estimates for each batch, float64 `(B,)`, in nats.

        Args:
            batches: Batches in the format that `fit` accepts, in the order of the split.
        """
        for batch, seeds in with_example_seeds(self._vae, batches, self._seed):
            log_sum = self._compiled_log_weight_sum(batch, seeds, ops.convert_to_tensor(self._num_blocks))
            yield math.log(self._num_samples) - log_sum.numpy().astype(np.float64)

    def seconds_per_batch(self, batch: Any) -> float:
        """Estimates the seconds that a batch takes, by timing at most two blocks of its samples."""
        num_blocks = min(self._num_blocks, 1)
        [(batch, seeds)] = with_example_seeds(self._vae, [batch], self._seed)
        for _ in range(2):  # the first call also compiles
            start = time.perf_counter()
            self._compiled_log_weight_sum(batch, seeds, ops.convert_to_tensor(num_blocks)).numpy()
            seconds = time.perf_counter() - start
        return seconds * self._num_samples / (num_blocks * self._block_size + self._remainder)

    def _log_weight_sum(
        self, batch: Batch, seeds: keras.KerasTensor, num_blocks: keras.KerasTensor
    ) -> keras.KerasTensor:
        """Returns the log of the sum of the weights of `num_blocks` blocks of samples and of the remaining samples."""
        vae, x = self._vae, batch.target

        def add_block(index: keras.KerasTensor, size: int, total: keras.KerasTensor) -> keras.KerasTensor:
            noise = vae.latents.noise(ops.shape(x)[0], size, seeds + ops.stack([0, index]))
            inferred = vae.latents.infer(batch.inputs, batch.labels, noise)
            decoded = vae.decode_samples(inferred, batch.labels)
            log_ratio = inferred.log_prior - inferred.log_posterior
            return _log_add(total, ops.logsumexp(self._log_likelihood(decoded, x) + log_ratio, axis=0))

        total = ops.full((ops.shape(x)[0],), -math.inf)
        if self._num_blocks:
            total = ops.fori_loop(0, num_blocks, lambda index, total: add_block(index, self._block_size, total), total)
        return add_block(num_blocks, self._remainder, total) if self._remainder else total


def max_batch_size(vae: VAE, num_samples: int) -> int:
    """Returns the maximum number of images per batch, which bounds memory for any `num_samples`.

    Args:
        vae: The model; the result depends on the output sizes of its decoder's layers.
        num_samples: Number of posterior samples per image.
    """
    block_size = min(num_samples, _samples_per_block(vae))
    return int(np.clip(MAX_MEMORY_BYTES // (vae.latents.bytes_per_sample() * block_size), 1, MAX_IMAGES_PER_BATCH))


def _samples_per_block(vae: VAE) -> int:
    return int(
        np.clip(MAX_MEMORY_BYTES // vae.latents.bytes_per_sample(), MIN_SAMPLES_PER_BLOCK, MAX_SAMPLES_PER_BLOCK)
    )


def _log_add(a: keras.KerasTensor, b: keras.KerasTensor) -> keras.KerasTensor:
    """Returns log(exp(a) + exp(b)); `a` may be minus infinity."""
    high, low = ops.maximum(a, b), ops.minimum(a, b)
    return high + ops.log1p(ops.exp(low - high))


def with_example_seeds(vae: VAE, batches: Iterable[Any], seed: int) -> Iterator[tuple[Batch, keras.KerasTensor]]:
    """Yields each batch with int32 seeds `(B, 2)`, one per example; the second number counts blocks of samples."""
    key = np.random.SeedSequence(seed).generate_state(1, np.uint32)[0]
    offset = 0
    for data in batches:
        batch = vae.unpack_batch(data)
        count = len(batch.inputs)
        positions = np.arange(offset, offset + count, dtype=np.uint32)
        seeds = np.stack([(key + positions).view(np.int32), np.zeros(count, np.int32)], axis=1)
        tensors = [None if array is None else ops.convert_to_tensor(array) for array in batch]
        yield Batch(*tensors), ops.convert_to_tensor(seeds)
        offset += count
