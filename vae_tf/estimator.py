"""The scikit-learn interface: a VAE for tabular data, usable as a transformer, density estimator and generator.

Importing this module does not load TensorFlow; `fit` does.
"""

import math
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array, check_random_state, check_scalar
from sklearn.utils.validation import check_is_fitted, validate_data

from vae_tf.config import MAX_SEED, RunConfig
from vae_tf.support.errors import InputError
from vae_tf.support.quiet_tensorflow import load_tensorflow_once

if TYPE_CHECKING:
    import keras

    from vae_tf.model.vae import VAE

FLOATS = [np.float64, np.float32]
MIN_ANTITHETIC_PAIRS = 32
ROWS_PER_BLOCK = 256
PAD_ROWS_TO_MULTIPLE_OF = 64
# On iris, the mean error of the correlations of samples is 0.22 after 500 updates, 0.025 after 2,000 and 0.011 after
# 5,000, and the score of held-out rows still rises; see benchmarks/estimator_updates.py.
DEFAULT_UPDATES = 5000
MIN_DEFAULT_EPOCHS = 10


class VAEEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A dense variational autoencoder (Kingma & Welling 2014) for tabular data, arrays `(num_samples, num_features)`.

    Columns are standardized. The likelihood is a normal distribution with a learned standard deviation (sigma-VAE,
    Rybkin et al. 2021), because the amount of noise in a table is not known beforehand and a fixed value would have to
    be tuned.

    A constant column is modelled with a standard deviation of 1, and is restored to its constant value. The estimator
    needs at least two rows and one column.

    Args:
        latent_dim: Number of latent dimensions Z; dimensions that the data does not need collapse to the prior.
        learning_rate: Learning rate of Adam.
        batch_size: Number of rows per update.
        epochs: Number of passes over the rows; by default, enough for 5,000 updates, and at least 10.
        hidden_sizes: Number of units in each hidden layer of the encoder; the decoder mirrors them.
        activation: Activation of the hidden layers: relu, leaky_relu, elu, gelu, silu, softplus or tanh.
        variant: `"plain"`, or `"bn"` with batch normalization.
        beta: Weight of the KL term in the training loss; `score` always uses 1.
        random_state: Random seed for weight initialization, shuffling and noise: an int for the same results at every
            call, a `RandomState` to draw seeds from, or `None` for numpy's global `RandomState`. No other global state
            is changed.

    Attributes:
        model_: The fitted `vae_tf.VAE`; it works in standardized units.
        scaler_: The fitted `StandardScaler`.
        n_samples_: Number of rows seen during `fit`.
        n_features_in_: Number of columns seen during `fit`.
        feature_names_in_: Names of the columns, if all are strings.
    """

    def __init__(
        self,
        latent_dim: int = 20,
        learning_rate: float = 1e-3,
        batch_size: int = 32,
        epochs: int | None = None,
        *,
        hidden_sizes: Sequence[int] = (128, 64),
        activation: str = "relu",
        variant: str = "plain",
        beta: float = 1.0,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.latent_dim = latent_dim
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.hidden_sizes = hidden_sizes
        self.activation = activation
        self.variant = variant
        self.beta = beta
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Trains on rows `(N, F)`, N at least 2, and returns self; `y` is not used.

        Raises:
            ValueError: The rows are not finite numbers, or a parameter is out of range (`InputError`), or training
                diverged (`InputError`).
        """
        X = validate_data(self, X, dtype=FLOATS, ensure_min_samples=2)
        config = self._make_config(len(X))
        load_tensorflow_once()
        from vae_tf.training.rows import fit_scaler, train_on_rows

        self.scaler_ = fit_scaler(X)
        self.model_ = train_on_rows(config, self.scaler_.transform(X).astype(np.float32))
        self.n_samples_ = len(X)
        self._n_features_out = config.latent_dim
        return self

    def train(self, X: Any, y: Any = None) -> Self:
        """Alias of `fit`."""
        return self.fit(X, y)

    def transform(self, X: Any) -> np.ndarray:
        """Returns the posterior means `(N, Z)` of rows `(N, F)`, with the dtype of X."""
        X = self._check_rows(X)
        vae = self.model_
        latents = _apply_in_blocks(lambda x: vae.latents.representation(x, None), self.scaler_.transform(X))
        return latents.astype(X.dtype)

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Returns the mean rows E[x | z] `(N, F)` of latents `(N, Z)`, with the dtype of X.

        Raises:
            ValueError: The latents are not finite numbers, or have the wrong number of columns (`InputError`).
        """
        check_is_fitted(self)
        X = check_array(X, dtype=FLOATS)
        if X.shape[1] != self._n_features_out:
            raise InputError(
                f"X must have {self._n_features_out} columns, one per latent dimension. Received: {X.shape[1]} columns"
            )
        vae = self.model_
        means = _apply_in_blocks(lambda z: vae.likelihood.mean(vae.latents.decode(z, None)), X)
        return self._to_data_units(means).astype(X.dtype)

    def sample(self, n: int = 1) -> np.ndarray:
        """Returns `n` rows sampled from the model, including observation noise, float64 `(n, F)`.

        As in scikit-learn's `GaussianMixture`, an int `random_state` gives the same rows at every call.

        Raises:
            ValueError: `n` is below 1.
            TypeError: `n` is not an integer.
        """
        check_is_fitted(self)
        check_scalar(n, "n", Integral, min_val=1)
        vae = self.model_
        latent_seed, noise_seed = check_random_state(self.random_state).randint(MAX_SEED, size=2).tolist()
        latents = np.asarray(vae.latents.sample(n, None, latent_seed))
        params = _apply_in_blocks(lambda z: vae.latents.decode(z, None), latents)
        return self._to_data_units(np.asarray(vae.likelihood.sample(params, noise_seed)))

    def generate(self) -> np.ndarray:
        """Returns as many sampled rows as `fit` saw, float64 `(n_samples_, F)`."""
        check_is_fitted(self)
        return self.sample(self.n_samples_)

    def score_samples(self, X: Any) -> np.ndarray:
        """Returns the ELBO of each row, a lower bound on its log density, in nats, float64 `(N,)`.

        The density is over the original columns: the log-Jacobian of the standardization is included. All rows use the
        same posterior noise, regardless of `random_state`, so the ELBO of a row does not depend on the other rows.

        Args:
            X: Rows `(N, F)`.
        """
        scaled = self.scaler_.transform(self._check_rows(X))
        noise = _draw_antithetic_noise(self._n_features_out)
        elbo = _apply_in_blocks(lambda x: _compute_elbo(self.model_, x, noise), scaled)
        return elbo.astype(np.float64) - np.log(self.scaler_.scale_).sum()

    def score(self, X: Any, y: Any = None) -> float:
        """Returns the mean of `score_samples`, in nats per row; higher is better. `y` is not used."""
        return float(self.score_samples(X).mean())

    def _make_config(self, num_rows: int) -> RunConfig:
        seed = int(check_random_state(self.random_state).randint(MAX_SEED))
        params = {name: value for name, value in self.get_params().items() if name != "random_state"}
        if self.epochs is None:
            del params["epochs"]
        config = RunConfig(**params, arch="dense", likelihood="learned_gaussian", seed=seed)
        if self.epochs is not None:
            return config
        updates_per_epoch = math.ceil(num_rows / config.batch_size)
        epochs = max(MIN_DEFAULT_EPOCHS, math.ceil(DEFAULT_UPDATES / updates_per_epoch))
        return config.model_copy(update={"epochs": epochs})

    def _check_rows(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        rows: np.ndarray = validate_data(self, X, dtype=FLOATS, reset=False)
        return rows

    def _to_data_units(self, scaled: np.ndarray) -> np.ndarray:
        """Undoes the standardization. `StandardScaler.inverse_transform` would not keep a constant column constant."""
        rows: np.ndarray = scaled * np.sqrt(self.scaler_.var_) + self.scaler_.mean_
        return rows

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "model_" in state:
            import keras

            state["model_"] = keras.saving.serialize_keras_object(self.model_), self.model_.get_weights()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "model_" in state:
            load_tensorflow_once()
            import keras

            import vae_tf.model  # noqa: F401  # registers the classes with Keras

            config, weights = state["model_"]
            self.model_ = keras.saving.deserialize_keras_object(config, safe_mode=True)
            self.model_.set_weights(weights)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")  # a failed fit leaves other attributes, but not this one

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _draw_antithetic_noise(latent_dim: int) -> np.ndarray:
    """Returns noise for a posterior, float32 `(K, 1, Z)`: orthogonal normal draws and their negatives.

    Its first three moments equal those of N(0, I), so that an expectation over it is exact for functions that are
    quadratic in the latents. With the same number of independent draws, shared by all rows, the mean score would be off
    by a few tenths of a nat.
    """
    pairs = max(MIN_ANTITHETIC_PAIRS, latent_dim)
    draws = np.sqrt(pairs) * np.linalg.qr(np.random.default_rng(0).standard_normal((pairs, latent_dim)))[0]
    return np.concatenate([draws, -draws])[:, np.newaxis].astype(np.float32)


def _compute_elbo(vae: "VAE", x: np.ndarray, noise: np.ndarray) -> "keras.KerasTensor":
    """Returns the ELBO `(B,)` of rows `(B, F)`, estimated with noise `(K, 1, Z)`."""
    return -vae.elbo_terms(x, noise=noise).negative_elbo()


def _apply_in_blocks(function: Callable[[Any], Any], rows: np.ndarray) -> np.ndarray:
    """Applies a function to blocks of float32 rows; Keras's `predict` would have to trace it first.

    Rows are padded to a multiple of the SIMD width: the scalar code for the remainder rounds differently, so that the
    result for a row would depend on the number of rows.
    """
    from vae_tf.backend.batches import map_batches

    padded = np.pad(rows.astype(np.float32), ((0, -len(rows) % PAD_ROWS_TO_MULTIPLE_OF), (0, 0)))
    return map_batches(function, [padded], ROWS_PER_BLOCK)[: len(rows)]
