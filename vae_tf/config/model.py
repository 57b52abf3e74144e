"""Options of the model: which parts it has."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo

from vae_tf import registry
from vae_tf.config import parts
from vae_tf.config.base import LARGEST_WIDTH, Config, one_of
from vae_tf.config.parts import PartOptions
from vae_tf.support.errors import InputError
from vae_tf.support.names import check_name, did_you_mean

OptionsT = TypeVar("OptionsT", bound=PartOptions)


def _variant(name: object) -> str:
    known = (*registry.VARIANTS, *registry.VARIANT_ALIASES)
    name = check_name("variant", str(name), known)
    return registry.VARIANT_ALIASES.get(name, name)


Variant = Annotated[str, BeforeValidator(_variant)]


class ModelConfig(Config):
    """The parts of the model, and the options of those parts.

    The options of a part (`vae_tf.config.parts`) are attributes like all others, but only if the part is chosen.
    """

    model_config = ConfigDict(extra="allow")  # for the options of parts, which the validator below checks

    arch: Annotated[str, one_of("arch", registry.NETWORKS)] = "conv"
    """conv or dense."""
    variant: Variant = "bn"
    """plain (v1), or bn (v2) with batch normalization."""
    latent_dim: int = Field(128, ge=1, le=LARGEST_WIDTH)
    """Number of latent dimensions."""
    posterior: Annotated[str, one_of("posterior", registry.POSTERIORS)] = "diagonal_normal"
    """Family of the approximate posterior: diagonal_normal."""
    prior: Annotated[str, one_of("prior", registry.PRIORS)] = "standard_normal"
    """Distribution of the latents: standard_normal."""
    likelihood: Annotated[str, one_of("likelihood", registry.LIKELIHOODS)] = "bernoulli"
    """bernoulli, gaussian, learned_gaussian, continuous_bernoulli or logistic_mixture (8-bit pixels)."""
    objective: Annotated[str, one_of("objective", registry.OBJECTIVES)] = "elbo"
    """What training minimizes: elbo."""
    beta: float = Field(1.0, ge=0, le=1e6, allow_inf_nan=False)
    """Weight of the KL term in the training loss."""
    kl_schedule: Literal["constant", "linear", "cyclical"] = "constant"
    """How the weight of the KL term gets to beta: constant; linear, from 0 over the warm-up; or cyclical, which repeats
    the warm-up and as long at beta."""
    kl_warmup_epochs: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Epochs in which the weight of the KL term rises, with kl_schedule linear or cyclical."""

    @model_validator(mode="before")
    @classmethod
    def _options_of_chosen_parts(cls, values: dict[str, Any]) -> dict[str, Any]:
        own = {name: value for name, value in values.items() if name in cls.model_fields}
        given = {name: value for name, value in values.items() if name not in own}
        for name in given:
            if not parts.is_option(name):
                known = (*cls.model_fields, *parts.all_fields())
                raise InputError(f"Unknown config key '{name}'{did_you_mean(name, known)}")
        return {**own, **parts.chosen(_parts(cls, own), given)}

    @model_validator(mode="after")
    def _a_warmup_for_a_schedule(self) -> Self:
        if (self.kl_warmup_epochs is None) != (self.kl_schedule == "constant"):
            raise InputError(
                "kl_warmup_epochs goes with kl_schedule=linear or cyclical, and those need it. "
                f"Received: kl_schedule={self.kl_schedule}, kl_warmup_epochs={self.kl_warmup_epochs}"
            )
        return self

    @classmethod
    def further_fields(cls) -> dict[str, FieldInfo]:
        """Returns the options of all parts, for the command line."""
        return parts.all_fields()

    @classmethod
    def merged(cls, from_file: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """Returns options from a file and from the command line together; the command line wins.

        The file's options for a part that the command line replaces are dropped.
        """
        replaced = {kind for kind in registry.PARTS if kind in given}
        before, after = _parts(cls, from_file), _parts(cls, {**from_file, **given})
        dropped = {
            option
            for kind in replaced
            if (options := parts.options_of(kind, before.get(kind, ""))) and before.get(kind) != after.get(kind)
            for option in options.model_fields
            if option not in given
        }
        kept = {name: value for name, value in from_file.items() if name not in dropped}
        return super().merged(kept, given)

    def options(self, options: type[OptionsT]) -> OptionsT:
        """Returns the options of a chosen part in their own class."""
        return options(**{name: getattr(self, name) for name in options.model_fields})

    def arguments(self, kind: str) -> dict[str, Any]:
        """Returns the arguments that the options give the constructor of the chosen part of a kind."""
        options = parts.options_of(kind, getattr(self, kind))
        return {} if options is None else self.options(options).arguments()


def _parts(config: type[Config], values: Mapping[str, Any]) -> dict[str, str]:
    """Returns the name of each part by its kind: as given, otherwise the default."""
    fields = config.model_fields
    return {kind: str(values.get(kind) or fields[kind].default) for kind in registry.PARTS if kind in fields}
