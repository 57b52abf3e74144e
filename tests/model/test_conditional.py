"""A VAE that is given the class: p(x | class)."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import vae_tf
from vae_tf.support.errors import InputError

SHAPE = (8, 9, 1)
NUM_CLASSES = 3
LABELS = np.array([0, 1, 2, 1, 0])


def images(n=5, seed=0, shape=SHAPE):
    return np.random.default_rng(seed).random((n, *shape)).astype("float32")


def tiny(num_classes=NUM_CLASSES, shape=SHAPE, **options):
    keras.utils.set_random_seed(0)
    return vae_tf.build_vae(shape, 2, "dense", variant="plain", hidden_sizes=(6,), num_classes=num_classes, **options)


@pytest.fixture(scope="module")
def vae():
    return tiny()


@pytest.mark.parametrize("arch", ["dense", "conv"])
@pytest.mark.parametrize("variant", ["plain", "bn"])
def test_encoder_and_decoder_use_the_class(arch, variant):
    keras.utils.set_random_seed(0)
    vae = vae_tf.build_vae(SHAPE, 2, arch, variant, num_classes=NUM_CLASSES)
    x, z = images(1).repeat(NUM_CLASSES, axis=0), np.zeros((NUM_CLASSES, 2), "float32")
    for made in (vae.encode(x, np.arange(NUM_CLASSES)), vae.decode(z, np.arange(NUM_CLASSES))):
        assert len(np.unique(made.round(6), axis=0)) == NUM_CLASSES


def test_classes_cost_a_weight_for_each_unit_they_reach():
    plain, conditional = tiny(None), tiny()
    for part, units in (("encoder", 6), ("decoder", 6)):
        counts = [getattr(vae, part).count_params() for vae in (plain, conditional)]
        assert counts[1] - counts[0] == NUM_CLASSES * units


def test_every_draw_of_an_example_has_its_class(vae):
    x = images()
    inferred = vae.latents.infer(x, LABELS, vae.latents.noise(len(x), 4, seed=1))
    decoded = vae.decode_samples(inferred, LABELS)
    for k in range(4):
        np.testing.assert_allclose(decoded[k], vae.latents.decode(inferred.z[k], LABELS), rtol=1e-5)


def test_fit_learns_what_sets_the_classes_apart():
    labels = np.arange(64) % 2
    x = np.broadcast_to(labels[:, None, None, None], (64, *SHAPE)).astype("float32")
    vae = tiny(2)
    vae.compile(keras.optimizers.Adam(0.1), jit_compile=False)
    vae.fit([x, labels], batch_size=8, epochs=20, verbose=0)
    black, white = (vae.sample(20, seed=0, labels=label).mean() for label in (0, 1))
    assert black < 0.1
    assert white > 0.9


def test_a_restoring_conditional_model_takes_data_labels_and_target():
    vae, x = tiny(), images()
    seen = vae.unpack_batch((([x, LABELS]), x + 1))
    np.testing.assert_array_equal(seen.inputs, x)
    np.testing.assert_array_equal(seen.labels, LABELS)
    np.testing.assert_array_equal(seen.target, x + 1)


def test_calling_the_model_reconstructs(vae):
    x = images()
    np.testing.assert_allclose(vae([x, LABELS]), vae.reconstruct(x, LABELS), rtol=1e-4, atol=1e-6)


def test_samples_take_the_classes_in_turn(vae):
    np.testing.assert_array_equal(vae.sample(7, seed=3), vae.sample(7, seed=3, labels=[0, 1, 2, 0, 1, 2, 0]))


def test_one_label_is_that_of_all_samples(vae):
    np.testing.assert_array_equal(vae.sample(4, seed=3, labels=2), vae.sample(4, seed=3, labels=[2] * 4))


def test_saves_and_loads(vae, tmp_path):
    vae.save(tmp_path / "vae.keras")
    again = keras.saving.load_model(tmp_path / "vae.keras", safe_mode=True)
    assert again.num_classes == NUM_CLASSES
    np.testing.assert_array_equal(again.sample(5, seed=0), vae.sample(5, seed=0))
    np.testing.assert_array_equal(again.encode(images(), LABELS), vae.encode(images(), LABELS))


@pytest.mark.parametrize("method", ["encode", "reconstruct"])
def test_labels_are_needed(vae, method):
    with pytest.raises(ValueError, match="needs labels"):
        getattr(vae, method)(images())


def test_labels_are_needed_to_fit(vae):
    vae.compile(keras.optimizers.Adam(), jit_compile=False)
    with pytest.raises(TypeError, match=r"call fit\(\[x, labels\]\)"):
        vae.fit(images(), verbose=0)


def test_a_model_without_classes_takes_no_labels():
    with pytest.raises(ValueError, match="An unconditional VAE does not accept labels"):
        tiny(None).encode(images(), LABELS)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([0, 1, 2, 3, 0], r"labels must be from 0 to 2\. Received: 0 to 3"),
        ([0, 1, -1, 1, 0], r"labels must be from 0 to 2\. Received: -1 to 2|Received: -1 to 1"),
        ([0, 1], r"integers of shape \(5,\)\. Received: int64 of shape \(2,\)"),
        ([0.0, 1.0, 2.0, 1.0, 0.0], r"integers of shape \(5,\)\. Received: float64"),
    ],
)
def test_labels_that_do_not_fit_are_refused(vae, labels, reason):
    with pytest.raises(ValueError, match=reason):
        vae.encode(images(), np.array(labels))


@pytest.mark.parametrize("label", [-1, 3])
def test_a_step_stops_at_a_label_out_of_range(label):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"labels must be from 0 to 2"):
        tiny().elbo_terms(images(), labels=np.array([0, 1, 2, 0, label]))


@pytest.mark.parametrize(("num_classes", "needed"), [(0, "at least 1"), (2.5, "an integer")])
def test_a_model_has_a_whole_number_of_classes(num_classes, needed):
    with pytest.raises(InputError, match=f"num_classes must be {needed}. Received: num_classes={num_classes}"):
        tiny(num_classes)


def test_the_number_of_classes_may_be_of_a_numpy_type():
    vae = tiny(np.int64(NUM_CLASSES))
    assert type(vae.num_classes) is int
    assert vae.sample(3, seed=0).shape == (3, *SHAPE)


def test_classes_for_a_model_without_any_are_refused():
    vae = tiny(None)
    vae.compile(keras.optimizers.Adam(), jit_compile=False)
    with pytest.raises(TypeError, match="An unconditional VAE needs x without labels"):
        vae.fit([images(), LABELS], verbose=0)
