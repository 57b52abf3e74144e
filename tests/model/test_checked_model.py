"""Data that a model can't be trained or evaluated on is refused, however it is passed."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import vae_tf
from vae_tf.support.errors import InputError

SHAPE, COUNT = (8, 8, 1), 8  # as many examples as lines, so that an image without its channel axis broadcasts
X = np.random.default_rng(0).random((COUNT, *SHAPE), np.float32)
LABELS = np.arange(COUNT) % 3
METHODS = ("fit", "evaluate", "predict", "train_on_batch", "test_on_batch")


def tiny(likelihood="bernoulli", jit=False, run_eagerly=False, **options):
    keras.utils.set_random_seed(0)
    vae = vae_tf.build_vae(SHAPE, 2, "dense", "plain", likelihood, hidden_sizes=(4,), **options)
    vae.compile(keras.optimizers.SGD(1e-3), jit_compile=jit, run_eagerly=run_eagerly)
    return vae


def use(vae, method, x, y=None):
    options = {} if method.endswith("on_batch") else {"verbose": 0}
    return getattr(vae, method)(x, **({} if y is None else {"y": y}), **options)


def as_dataset(*arrays):
    return tf.data.Dataset.from_tensors(arrays if len(arrays) > 1 else arrays[0])


def refusal(*arguments):
    with pytest.raises(InputError) as caught:
        use(*arguments)
    return str(caught.value)


@pytest.mark.parametrize("method", METHODS)
def test_images_without_their_channel_are_refused_as_encode_refuses_them(method):
    expected = "The array must have shape (N, 8, 8, 1) with N at least 1. Received: (8, 8, 8)"
    assert refusal(tiny(), method, X[..., 0]) == expected


def test_calling_the_model_refuses_images_without_their_channel():
    with pytest.raises(InputError, match=r"must have shape \(N, 8, 8, 1\) with N at least 1\. Received: \(8, 8, 8\)"):
        tiny()(X[..., 0])


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_a_dataset_of_images_without_their_channel_is_refused(method):
    assert "must have shape (N, 8, 8, 1)" in refusal(tiny(), method, as_dataset(X[..., 0]))


def test_a_target_without_its_channel_is_refused():
    with pytest.raises(ValueError, match=r"The target must have the same shape as the input\."):
        use(tiny(), "fit", X, X[..., 0])


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
@pytest.mark.parametrize(("x", "received"), [(255.0 * np.round(X), "0 to 255"), (2 * np.round(X) - 1, "-1 to 1")])
def test_values_outside_the_range_of_the_likelihood_are_refused(method, x, received):
    message = refusal(tiny(), method, x)
    assert message.startswith("Values must be from 0 to 1 for the likelihood ")
    assert message.endswith(f"Received: values from {received}; rescale the data, or use a Gaussian likelihood")


@pytest.mark.parametrize("likelihood", ["continuous_bernoulli", "logistic_mixture"])
def test_every_likelihood_of_values_up_to_1_refuses_others(likelihood):
    assert "values from 0 to 255;" in refusal(tiny(likelihood), "fit", 255 * np.round(X))


@pytest.mark.parametrize("options", [{}, {"jit": True}, {"run_eagerly": True}])
@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_values_of_a_dataset_outside_the_range_are_refused(method, options):
    assert "values from 0 to 255;" in refusal(tiny(**options), method, as_dataset(255 * np.round(X)))


def test_validation_data_is_checked_before_the_first_step():
    vae = tiny()
    with pytest.raises(InputError, match="values from 0 to 255;"):
        vae.fit(X, validation_data=255 * np.round(X), verbose=0)
    assert int(vae.optimizer.iterations) == 0


def test_the_input_of_a_restoring_model_may_have_any_values():
    history = use(tiny(), "fit", 10 * X - 5, X).history
    assert np.isfinite(history["loss"]).all()
    assert "values from 0 to 255" in refusal(tiny(), "fit", X, 255 * np.round(X))


def test_rounding_beyond_the_range_is_accepted():
    assert np.isfinite(use(tiny(), "fit", np.round(X) * np.float32(1.0000001)).history["loss"]).all()


@pytest.mark.parametrize("likelihood", ["gaussian", "learned_gaussian"])
def test_a_gaussian_takes_any_values(likelihood):
    assert np.isfinite(use(tiny(likelihood), "fit", 10 * X - 5).history["loss"]).all()


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: as_dataset((x,))])  # a batch of inputs, without a target
@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_float_labels_are_refused_as_encode_refuses_them(method, jit, wrap):
    vae, labels = tiny(num_classes=3, jit=jit), LABELS + 0.5
    with pytest.raises(InputError) as caught:
        vae.encode(X, labels)
    assert str(caught.value) == "labels must be integers of shape (8,). Received: float64 of shape (8,)"
    data = [X, labels] if method == "predict" else wrap((X, labels))
    assert refusal(vae, method, data) == str(caught.value)


@pytest.mark.parametrize("method", METHODS)
def test_labels_out_of_range_are_refused_as_encode_refuses_them(method):
    vae = tiny(num_classes=3)
    with pytest.raises(InputError) as caught:
        vae.encode(X, LABELS + 1)
    assert str(caught.value) == "labels must be from 0 to 2. Received: 1 to 3"
    assert refusal(vae, method, [X, LABELS + 1]) == str(caught.value)


@pytest.mark.parametrize("method", ["fit", pytest.param("evaluate", marks=pytest.mark.slow)])
def test_labels_of_a_dataset_out_of_range_are_refused_under_xla(method):
    vae = tiny(num_classes=3, jit=True)
    assert refusal(vae, method, as_dataset((X, LABELS + 1), X)) == "labels must be from 0 to 2. Received: 1 to 3"


def test_one_hot_labels_are_refused():
    message = "labels must be integers of shape (8,). Received: float64 of shape (8, 3)"
    assert refusal(tiny(num_classes=3), "fit", [X, np.eye(3)[LABELS]]) == message


def test_a_list_of_labels_is_refused():
    message = refusal(tiny(num_classes=3), "fit", [X, LABELS.tolist()])
    assert message.startswith("x and labels must be two arrays. Received: ndarray, list;")


@pytest.mark.parametrize("wrap", [dict, tf.data.Dataset.from_tensors])
def test_a_dict_is_refused(wrap):
    message = refusal(tiny(), "fit", wrap({"image": X}))
    assert message == "x must be an array. Received: dict; convert them with np.asarray, or, in a dataset, with map()"


def test_the_range_of_a_batch_is_no_weight():
    vae = tiny()
    use(vae, "fit", X)
    assert len(vae.get_weights()) == len(vae.encoder.get_weights()) + len(vae.decoder.get_weights())


@pytest.mark.parametrize("after", ["nothing", "fit"])
@pytest.mark.parametrize("num_classes", [None, 3])
def test_the_exported_model_predicts_what_the_model_predicts(num_classes, after, tmp_path):
    vae = tiny(num_classes=num_classes)
    x = X if num_classes is None else [X, LABELS]
    if after == "fit":
        use(vae, "fit", x)
    vae.export(tmp_path / "exported", verbose=False)
    again = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(again.serve(x), use(vae, "predict", x), rtol=1e-5)
