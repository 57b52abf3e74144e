"""The evidence lower bound and the importance-sampled likelihood of each image.

The noise of an image depends only on the seed and on its position in the split, so results do not depend on how images
and samples are batched.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from vae_tf.backend.compiled import compiled
from vae_tf.backend.devices import has_gpu
from vae_tf.model.vae import VAE, Observed

SAMPLES_PER_BLOCK = 500  # for a small decoder; fewer if its layers need more memory
SMALLEST_BLOCK = 50
MEMORY_BYTES = 256 * 2**20
LARGEST_STEP = 64


class ElboTerms(NamedTuple):
    """Minus the ELBO and its two terms, one value per image, float64 `(N,)`, in nats."""

    negative_elbo: np.ndarray
    reconstruction_loss: np.ndarray
    kl_loss: np.ndarray


def elbo_per_image(vae: VAE, batches: Iterable[Any], seed: int) -> ElboTerms:
    """Returns minus the ELBO and its two terms for each image, from one posterior draw per image.

    Args:
        vae: The model.
        batches: Batches as `fit` takes them, in the order of the split.
        seed: Seed of the draws.
    """

    @compiled
    def terms_of(
        seen: Observed, seeds: keras.KerasTensor
    ) -> tuple[keras.KerasTensor, keras.KerasTensor, keras.KerasTensor]:
        terms = vae.elbo_terms(seen.inputs, target=seen.target, labels=seen.labels, seed=seeds)
        return terms.negative_elbo(), terms.reconstruction_loss(), terms.kl_loss()

    parts = [terms_of(seen, seeds) for seen, seeds in seeded(vae, batches, seed)]
    return ElboTerms(*(np.concatenate(part).astype(np.float64) for part in zip(*parts, strict=True)))


def nll_batches(vae: VAE, batches: Iterable[Any], num_samples: int, seed: int) -> Iterator[np.ndarray]:
    """Yields -log p(x) of the images of each batch, estimated by importance sampling.

    The estimate is -log(1/K sum_k p(x, z_k) / q(z_k | x)), z_k ~ q(z | x) (Burda et al. 2016, eq. 8). Its expectation
    is an upper bound on -log p(x) that falls as K grows, and is minus the ELBO at K = 1.

    Args:
        vae: The model.
        batches: Batches as `fit` takes them, in the order of the split.
        num_samples: Posterior draws K per image.
        seed: Seed of the draws.

    Yields:
        float64 `(B,)`, in nats. The log-sum-exp is computed in float32 over blocks of draws, so memory does not grow
        with K.
    """
    block_size = _samples_per_block(vae)
    num_blocks, rest = divmod(num_samples, block_size)
    # XLA fuses everything after the decoder into one pass. The networks are not compiled with it because its matrix
    # products are slower than TensorFlow's on a CPU; on a GPU it is off because it would need the CUDA toolkit.
    log_likelihood = compiled(vae.likelihood.log_prob_of_draws, jit=not has_gpu())

    @compiled
    def log_weight_sum(seen: Observed, seeds: keras.KerasTensor) -> keras.KerasTensor:
        x = seen.target

        def block(index: keras.KerasTensor, size: int) -> keras.KerasTensor:
            noise = vae.latents.noise(ops.shape(x)[0], size, seeds + ops.stack([0, index]))
            inferred = vae.latents.infer(seen.inputs, seen.labels, noise)
            decoded = vae.decode_draws(inferred, seen.labels)
            log_ratio = inferred.log_prior - inferred.log_posterior
            return ops.logsumexp(log_likelihood(decoded, x) + log_ratio, axis=0)

        nothing = ops.full((ops.shape(x)[0],), -math.inf)
        total = ops.fori_loop(0, num_blocks, lambda index, total: _log_add(total, block(index, block_size)), nothing)
        return _log_add(total, block(ops.convert_to_tensor(num_blocks), rest)) if rest else total

    for seen, seeds in seeded(vae, batches, seed):
        yield math.log(num_samples) - log_weight_sum(seen, seeds).numpy().astype(np.float64)


def images_per_step(vae: VAE, num_samples: int) -> int:
    """Returns how many images to process at once so that memory stays bounded for any `num_samples`.

    Args:
        vae: The model; the result depends on the output sizes of its decoder's layers.
        num_samples: Posterior draws per image.
    """
    at_once = min(num_samples, _samples_per_block(vae))
    return int(np.clip(MEMORY_BYTES // (vae.latents.bytes_per_sample() * at_once), 1, LARGEST_STEP))


def _samples_per_block(vae: VAE) -> int:
    return int(np.clip(MEMORY_BYTES // vae.latents.bytes_per_sample(), SMALLEST_BLOCK, SAMPLES_PER_BLOCK))


def _log_add(a: keras.KerasTensor, b: keras.KerasTensor) -> keras.KerasTensor:
    """Returns log(exp(a) + exp(b)); `a` may be minus infinity."""
    high, low = ops.maximum(a, b), ops.minimum(a, b)
    return high + ops.log1p(ops.exp(low - high))


def seeded(vae: VAE, batches: Iterable[Any], seed: int) -> Iterator[tuple[Observed, keras.KerasTensor]]:
    """Yields each batch with int32 seeds `(B, 2)`, one per example; the second number counts blocks of draws."""
    key = np.random.SeedSequence(seed).generate_state(1, np.uint32)[0]
    done = 0
    for batch in batches:
        seen = vae.observed(batch)
        count = len(seen.inputs)
        places = np.arange(done, done + count, dtype=np.uint32)
        seeds = np.stack([(key + places).view(np.int32), np.zeros(count, np.int32)], axis=1)
        tensors = [None if part is None else ops.convert_to_tensor(part) for part in seen]
        yield Observed(*tensors), ops.convert_to_tensor(seeds)
        done += count
