"""KL(posterior || prior), in closed form if available, otherwise estimated from samples."""

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
        posterior: The family of distributions of q.
        params: Raw parameters of q `(B, P)`.
        prior: The prior p.
        log_posterior: log q(z | x) of samples from q `(K, B)`.
        log_prior: log p(z) of the same samples `(K, B)`.

    Returns:
        float32 `(B, Z)`, one value per latent dimension, if there is a closed form. Otherwise `(B, 1)`, the mean of
        log q - log p over the samples, which is unbiased but may be negative.
    """
    closed_form = _CLOSED_FORMS.get((type(posterior), type(prior)))
    if closed_form is not None:
        return closed_form(posterior, params, prior)
    return ops.mean(log_posterior - log_prior, axis=0)[:, None]


@register_kl(DiagonalNormal, StandardNormal)
def _normal_to_standard_normal(posterior: DiagonalNormal, params: keras.KerasTensor, prior: Prior) -> keras.KerasTensor:
    """Returns the closed form from Kingma & Welling (2014), appendix B."""
    mean, log_var = posterior.mean_and_log_var(params)
    return 0.5 * (ops.square(mean) + ops.exp(log_var) - 1.0 - log_var)
