"""Model options: which parts the model consists of."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from vae_tf import registry
from vae_tf.config.base import MAX_WIDTH, OneOf
from vae_tf.config.parts import PartsConfig
from vae_tf.support.errors import InputError
from vae_tf.support.names import check_name

DEFAULT_MOMENTUM = 0.99  # of Keras


def _resolve_variant(name: object) -> str:
    known = (*registry.VARIANTS, *registry.VARIANT_ALIASES)
    name = check_name("variant", str(name), known)
    return registry.VARIANT_ALIASES.get(name, name)


Variant = Annotated[str, OneOf("variant", registry.VARIANTS), BeforeValidator(_resolve_variant)]


class ModelConfig(PartsConfig):
    """The parts of a model, and their options."""

    heading = "model"

    arch: Annotated[str, OneOf("arch", registry.NETWORKS, unlisted=(registry.CUSTOM,))] = "conv"
    """Network architecture: convolutional, or dense (fully connected)."""
    variant: Variant = "bn"
    """Network variant: bn (alias v2) uses batch normalization, plain (alias v1) does not."""
    batch_norm_momentum: float = Field(DEFAULT_MOMENTUM, ge=0, lt=1)
    """Momentum of the moving averages of batch normalization, which take about 5 / (1 - momentum) updates to forget
    their initial values (500 at 0.99, 50 at 0.9); lower it for short runs."""
    latent_dim: int = Field(128, ge=1, le=MAX_WIDTH)
    """Number of latent dimensions."""
    latents: Annotated[str, OneOf("latents", registry.LATENTS)] = "flat"
    """Structure of the latent variables; flat: one vector per example, without a hierarchy."""
    posterior: Annotated[str, OneOf("posterior", registry.POSTERIORS)] = "diagonal_normal"
    """Family of the approximate posterior."""
    prior: Annotated[str, OneOf("prior", registry.PRIORS)] = "standard_normal"
    """Prior distribution of the latents."""
    likelihood: Annotated[str, OneOf("likelihood", registry.LIKELIHOODS)] = "bernoulli"
    """Distribution of the data given the latents: bernoulli, gaussian, learned_gaussian (learns sigma),
    continuous_bernoulli or logistic_mixture (for 8-bit pixels)."""
    objective: Annotated[str, OneOf("objective", registry.OBJECTIVES)] = "elbo"
    """Training objective."""
    beta: float = Field(1.0, ge=0, le=1e6, allow_inf_nan=False)
    """Weight of the KL term in the training loss."""
    kl_schedule: Literal["constant", "linear", "cyclical"] = "constant"
    """Schedule of the KL weight: constant at beta; linear, which raises it from 0 to beta during the warm-up; or
    cyclical, which alternates the warm-up with equally long phases at beta."""
    kl_warmup_epochs: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Length of the KL warm-up in epochs; required if --kl-schedule is linear or cyclical, and not allowed
    otherwise."""

    @model_validator(mode="after")
    def _check_momentum(self) -> Self:
        if self.variant != "bn" and self.batch_norm_momentum != DEFAULT_MOMENTUM:
            raise InputError(
                f"batch_norm_momentum needs variant=bn. Received: variant={self.variant}, "
                f"batch_norm_momentum={self.batch_norm_momentum}"
            )
        return self

    @model_validator(mode="after")
    def _check_kl_warmup(self) -> Self:
        if (self.kl_warmup_epochs is None) != (self.kl_schedule == "constant"):
            raise InputError(
                "kl_warmup_epochs is required with kl_schedule=linear or cyclical, and not allowed otherwise. "
                f"Received: kl_schedule={self.kl_schedule}, kl_warmup_epochs={self.kl_warmup_epochs}"
            )
        return self
