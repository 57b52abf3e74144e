import keras
import pytest

from vae_tf import registry


@pytest.mark.parametrize(
    "target",
    [
        *registry.DATASETS.values(),
        *(target for parts in registry.PARTS.values() for target in parts.values()),
        *dict.fromkeys(registry.OPTIONS.values()),
        *registry.ANOMALY_SCORES.values(),
        *registry.LEARNING_RATE_SCHEDULES.values(),
    ],
)
def test_every_entry_leads_to_what_it_names(target):
    found = registry.resolve(target)

    assert callable(found)
    assert f"{found.__module__}:{found.__name__}" == target


@pytest.mark.parametrize("noun", ["image", "row"])
@pytest.mark.parametrize("table", ["PREPROCESSORS", "FIGURES", "SAMPLE_METRICS", "RECONSTRUCTION_METRICS"])
def test_every_modality_has_what_belongs_to_it(table, noun):
    target = getattr(registry, table)[noun]

    assert target is None or registry.resolve(target) is not None


@pytest.mark.parametrize("name", registry.ACTIVATIONS)
def test_every_activation_is_one_of_keras(name):
    assert callable(keras.activations.get(name))


def test_every_alias_stands_for_a_variant():
    assert set(registry.VARIANT_ALIASES.values()) <= set(registry.VARIANTS)


def test_a_module_that_does_not_exist_is_not_hidden():
    with pytest.raises(ModuleNotFoundError):
        registry.resolve("vae_tf.no_such_module:thing")
