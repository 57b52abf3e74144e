"""The Kullback-Leibler divergence from a posterior to a prior: closed forms where they exist, otherwise draws."""

from collections.abc import Callable
from typing import TypeAlias

import keras
from keras import ops

from vae_tf.model.posterior import DiagonalNormal, Posterior
from vae_tf.model.prior import Prior, StandardNormal

# (posterior, raw parameters (B, P), prior) -> KL of each latent dimension, (B, Z), in nats.
ClosedForm: TypeAlias = Callable[[Posterior, keras.KerasTensor, Prior], keras.KerasTensor]

_CLOSED_FORMS: dict[tuple[type[Posterior], type[Prior]], ClosedForm] = {}


def register_kl(posterior: type[Posterior], prior: type[Prior]) -> Callable[[ClosedForm], ClosedForm]:
    """Returns a decorator that registers a closed form for exactly these two classes, not for subclasses."""

    def register(function: ClosedForm) -> ClosedForm:
        _CLOSED_FORMS[posterior, prior] = function
        return function

    return register


def kl_divergence(
    posterior: Posterior,
    params: keras.KerasTensor,
    prior: Prior,
    log_posterior: keras.KerasTensor,
    log_prior: keras.KerasTensor,
) -> keras.KerasTensor:
    """Returns KL(q(z | x) || p(z)) in nats.

    Args:
        posterior: The family of q.
        params: Its raw parameters `(B, P)`.
        prior: p.
        log_posterior: log q(z | x) of draws from q `(K, B)`.
        log_prior: log p(z) of the same draws `(K, B)`.

    Returns:
        float32 `(B, Z)`, one value for each latent dimension, if there is a closed form. Otherwise `(B, 1)`, the mean
        of log q - log p over the draws: unbiased, may be negative.
    """
    closed_form = _CLOSED_FORMS.get((type(posterior), type(prior)))
    if closed_form is not None:
        return closed_form(posterior, params, prior)
    return ops.mean(log_posterior - log_prior, axis=0)[:, None]


@register_kl(DiagonalNormal, StandardNormal)
def _normal_to_standard_normal(posterior: DiagonalNormal, params: keras.KerasTensor, prior: Prior) -> keras.KerasTensor:
    """Kingma & Welling 2014, appendix B."""
    mean, log_var = posterior.mean_and_log_var(params)
    return 0.5 * (ops.square(mean) + ops.exp(log_var) - 1.0 - log_var)
