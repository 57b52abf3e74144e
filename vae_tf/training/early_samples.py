"""Draws samples during a long first epoch, so that users need not wait for its end."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from vae_tf.config import RunConfig
from vae_tf.data.modality import get_modality
from vae_tf.model.batch import Batch
from vae_tf.model.layers import find_batch_normalization
from vae_tf.model.vae import VAE
from vae_tf.runs.run_dir import RunDir
from vae_tf.training.progress import format_duration

SECONDS_BEFORE_DRAWING = 60.0


class EarlySamples(keras.callbacks.Callback):
    """Draws prior samples once, a minute after training starts, if the first epoch takes longer than that.

    With several replicas, it draws none. The samples are `samples/epoch_0000.png`. Batch normalization uses the
    statistics of a training batch for them, because its moving averages still depend on their initial values.

    Args:
        run_dir: The run folder to write to.
        config: The run's config; its seed determines the latents, which are those of the later samples.
        read_batch: Function that returns a batch of training examples, as `fit` accepts it.
        clock: Function that returns the current time in seconds.
    """

    def __init__(
        self,
        run_dir: RunDir,
        config: RunConfig,
        read_batch: Callable[[], Any],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        super().__init__()
        self._run_dir = run_dir
        self._config = config
        self._read_batch = read_batch
        self._clock = clock
        self._is_due = True

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Notes when training started; nothing is drawn from the second epoch on, or with several replicas."""
        self._is_due = self._is_due and epoch == 0 and self.model.distribute_strategy.num_replicas_in_sync == 1
        self._start = self._clock()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Draws the samples if they are due."""
        seconds = self._clock() - self._start
        if not self._is_due or seconds < SECONDS_BEFORE_DRAWING or batch + 1 == self.params["steps"]:
            return
        self._is_due = False
        examples = self.model.unpack_batch(self._read_batch())
        figures = get_modality(self.model.example_shape).figures
        with batch_statistics(self.model, examples, self._config.seed):
            suffix = f", after {batch + 1:,} steps"
            drawn = figures.epoch_figures(self.model, examples, None, self._config.seed, suffix)
        path = self._run_dir.save_epoch_figure("samples", drawn["samples"], epoch=0)
        note = (
            " (batch normalization uses the statistics of one training batch)" if self._config.variant == "bn" else ""
        )
        print(f"Samples after {format_duration(seconds)}: {path}{note}", flush=True)


@contextmanager
def batch_statistics(model: VAE, examples: Batch, seed: int) -> Iterator[None]:
    """Replaces the moving averages of batch normalization with the statistics of one batch, in this context.

    Args:
        model: The model.
        examples: The batch.
        seed: Random seed of the posterior samples that are decoded.
    """
    layers = [*find_batch_normalization(model.encoder), *find_batch_normalization(model.decoder)]
    momenta = [layer.momentum for layer in layers]
    averages = [layer.get_weights() for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        model.elbo_terms(examples.inputs, target=examples.target, labels=examples.labels, training=True, seed=seed)
        yield
    finally:
        for layer, momentum, weights in zip(layers, momenta, averages, strict=True):
            layer.momentum = momentum
            layer.set_weights(weights)
