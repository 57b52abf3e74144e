"""Options of the model: the parts that it has."""

import math

import pytest

from vae_tf.config import ModelConfig
from vae_tf.support.errors import InputError


def error_of(values):
    with pytest.raises(InputError) as caught:
        ModelConfig(**values)
    return str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "requirement"),
    [
        ("latent_dim", 0, "at least 1"),
        ("latent_dim", -3, "at least 1"),
        ("latent_dim", 1.5, "an integer"),
        ("latent_dim", "many", "an integer"),
        ("latent_dim", math.inf, "a finite number"),
        ("beta", -0.1, "at least 0"),
        ("beta", math.nan, "a finite number"),
        ("beta", math.inf, "a finite number"),
        ("arch", "transformer", "one of conv, dense"),
        ("variant", "v9", "one of plain, bn, v1, v2"),
        ("likelihood", "poisson", "one of bernoulli, gaussian"),
    ],
)
def test_value_out_of_range_is_one_line_with_the_requirement_and_what_came(key, value, requirement):
    message = error_of({key: value})

    assert message.startswith(f"{key} must be {requirement}")
    assert f"Received: {key}={value}" in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "variant"),
    [("v1", "plain"), ("v2", "bn"), ("plain", "plain"), ("bn", "bn")],
)
def test_variant_aliases_become_the_variant(name, variant):
    assert ModelConfig(variant=name).variant == variant


@pytest.mark.parametrize("kind", ["latents", "posterior", "prior", "objective"])
def test_an_unknown_part_is_refused(kind):
    message = error_of({kind: "no_such"})

    assert message.startswith(f"{kind} must be one of ")
    assert message.endswith(f"Received: {kind}=no_such")


def test_a_schedule_of_the_kl_weight_comes_with_its_warmup():
    config = ModelConfig(kl_schedule="cyclical", kl_warmup_epochs=2.5)

    assert (config.kl_schedule, config.kl_warmup_epochs) == ("cyclical", 2.5)


@pytest.mark.parametrize(
    "values",
    [
        {"kl_schedule": "linear", "kl_warmup_epochs": None},
        {"kl_schedule": "cyclical", "kl_warmup_epochs": None},
        {"kl_schedule": "constant", "kl_warmup_epochs": 3.0},
    ],
)
def test_a_schedule_and_a_warmup_need_each_other(values):
    received = ", ".join(f"{name}={value}" for name, value in values.items())

    assert error_of(values) == (
        "kl_warmup_epochs is required with kl_schedule=linear or cyclical, and not allowed otherwise. "
        f"Received: {received}"
    )


@pytest.mark.parametrize(
    ("values", "requirement"),
    [
        ({"kl_schedule": "cosine"}, "kl_schedule must be one of 'constant', 'linear' or 'cyclical'"),
        ({"kl_schedule": "linear", "kl_warmup_epochs": 0}, "kl_warmup_epochs must be greater than 0"),
        ({"kl_schedule": "linear", "kl_warmup_epochs": math.inf}, "kl_warmup_epochs must be a finite number"),
    ],
)
def test_a_wrong_schedule_or_warmup_is_refused(values, requirement):
    assert error_of(values).startswith(requirement)


def test_momentum_needs_batch_normalization():
    with pytest.raises(InputError, match=r"batch_norm_momentum needs variant=bn\. Received: variant=plain"):
        ModelConfig(variant="plain", batch_norm_momentum=0.9)
