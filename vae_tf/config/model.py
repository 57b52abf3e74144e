"""Options of the model: which network and which probability model."""

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from vae_tf import registry
from vae_tf.config.base import LARGEST_WIDTH, Config, one_of
from vae_tf.support.errors import InputError
from vae_tf.support.names import check_name

DEFAULT_HIDDEN_SIZES = (512, 256)


def _variant(name: object) -> str:
    known = (*registry.VARIANTS, *registry.VARIANT_ALIASES)
    name = check_name("variant", str(name), known)
    return registry.VARIANT_ALIASES.get(name, name)


def _list_of_numbers(value: object) -> object:
    return value.split(",") if isinstance(value, str) else value


Units = Annotated[int, Field(ge=1, le=LARGEST_WIDTH)]
HiddenSizes = Annotated[tuple[Units, ...], Field(min_length=1), BeforeValidator(_list_of_numbers)]
Variant = Annotated[str, BeforeValidator(_variant)]


class ModelConfig(Config):
    """Which network and which probability model."""

    arch: Annotated[str, one_of("arch", registry.BACKBONES)] = "conv"
    """conv or dense."""
    variant: Variant = "bn"
    """plain (v1), or bn (v2) with batch normalization."""
    latent_dim: int = Field(128, ge=1, le=LARGEST_WIDTH)
    """Number of latent dimensions."""
    hidden_sizes: HiddenSizes | None = None
    """Units of the dense encoder's hidden layers, as 512,256; mirrored in the decoder."""
    activation: Annotated[str, one_of("activation", registry.ACTIVATIONS)] | None = None
    """Activation of the dense hidden layers. Default: relu."""
    likelihood: Annotated[str, one_of("likelihood", registry.LIKELIHOODS)] = "bernoulli"
    """bernoulli, gaussian, learned_gaussian, continuous_bernoulli or logistic_mixture (8-bit pixels)."""
    sigma: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Standard deviation of the gaussian likelihood, where that of learned_gaussian begins. Default: 1."""
    beta: float = Field(1.0, ge=0, le=1e6, allow_inf_nan=False)
    """Weight of the KL term in the training loss."""

    @model_validator(mode="after")
    def _no_option_without_effect(self) -> Self:
        for name, value, owner in (
            ("hidden_sizes", self.hidden_sizes, "arch=dense"),
            ("activation", self.activation, "arch=dense"),
            ("sigma", self.sigma, "likelihood=gaussian or learned_gaussian"),
        ):
            key, _, wanted = owner.partition("=")
            if value is not None and getattr(self, key) not in wanted.split(" or "):
                raise InputError(f"{name} needs {owner}. Received: {key}={getattr(self, key)}, {name}={value}")
        return self
