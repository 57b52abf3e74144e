"""scikit-learn's own checks, and what they don't ask: numbers, pickles, seeds, odd tables."""

import copy
import pickle
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import joblib
import keras
import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from vae_tf.estimator import VAEEstimator
from vae_tf.support.errors import InputError

TINY = {"latent_dim": 2, "epochs": 1, "hidden_sizes": (8,), "random_state": 0}
TABLE = np.random.default_rng(0).normal(size=(40, 3)) * (1, 10, 100) + (0, 5, -50)
# Two factors behind five columns: a normal distribution whose density is known.
LOADINGS = np.array([[1.0, 1.0, 0.0, 2.0, 0.5], [0.0, 1.0, 1.0, -1.0, 0.5]])
NOISE, SCALES, OFFSETS = 0.3, np.array([1.0, 20.0, 0.1, 1.0, 3.0]), np.array([0.0, 100.0, 0.0, -5.0, 1.0])
DENSITY = multivariate_normal(OFFSETS, (LOADINGS.T @ LOADINGS + NOISE**2 * np.eye(5)) * np.outer(SCALES, SCALES))


@pytest.fixture(scope="module")
def fitted():
    return VAEEstimator(4, 1e-2, batch_size=100, epochs=50, hidden_sizes=(32,), random_state=0).fit(rows(2000, seed=0))


def rows(count, seed):
    return DENSITY.rvs(count, random_state=seed)


def tiny(table=TABLE, **params):
    return VAEEstimator(**{**TINY, **params}).fit(table)


@pytest.mark.slow
@parametrize_with_checks([VAEEstimator(epochs=1, latent_dim=2, hidden_sizes=(8,))])
def test_scikit_learns_check(estimator, check):
    check(estimator)


def test_reconstructs_far_better_than_the_column_means(fitted):
    x = rows(1000, seed=1)
    error = ((fitted.inverse_transform(fitted.transform(x)) - x) ** 2).mean(axis=0)
    assert (error < 0.2 * x.var(axis=0)).all()


def test_score_is_below_the_log_density_of_the_columns_as_they_came_and_near_it(fitted):
    x = rows(4000, seed=2)
    assert 0 < DENSITY.logpdf(x).mean() - fitted.score(x) < 0.5


def test_score_of_a_row_is_its_elbo(fitted):
    x = rows(20, seed=4)
    scaled = fitted.scaler_.transform(x).astype(np.float32)
    elbo = -fitted.model_.elbo_terms(scaled, num_samples=20_000, seed=1).negative_elbo()
    np.testing.assert_allclose(fitted.score_samples(x), elbo - np.log(fitted.scaler_.scale_).sum(), atol=0.1)


def test_scores_of_rows_order_them_as_their_density_does(fitted):
    x = rows(500, seed=3)
    assert np.corrcoef(fitted.score_samples(x), DENSITY.logpdf(x))[0, 1] > 0.95


def test_draws_have_the_moments_of_the_data(fitted):
    drawn = fitted.sample(20_000)
    deviations = np.sqrt(np.diag(DENSITY.cov))
    np.testing.assert_allclose((drawn.mean(axis=0) - OFFSETS) / deviations, 0, atol=0.1)
    np.testing.assert_allclose(drawn.std(axis=0) / deviations, 1, atol=0.1)
    expected = DENSITY.cov / np.outer(deviations, deviations)
    np.testing.assert_allclose(np.corrcoef(drawn.T), expected, atol=0.15)


def test_generate_returns_a_table_like_the_one_it_was_fitted_to():
    model = tiny()
    assert model.generate().shape == TABLE.shape
    np.testing.assert_array_equal(model.generate(), model.sample(len(TABLE)))


def test_score_falls_by_the_logarithm_of_the_unit():
    in_metres, in_millimetres = tiny(TABLE), tiny(1000 * TABLE)
    difference = in_metres.score(TABLE) - in_millimetres.score(1000 * TABLE)
    assert difference == pytest.approx(3 * np.log(1000), abs=1e-3)


def test_score_is_the_mean_over_rows():
    model = tiny()
    assert model.score(TABLE) == pytest.approx(model.score_samples(TABLE).mean())


def test_blocks_don_t_show():
    model = tiny()
    many = np.tile(TABLE, (60, 1))
    for method in (model.transform, model.score_samples):
        np.testing.assert_array_equal(method(many), np.concatenate([method(TABLE)] * 60))


def test_train_does_what_fit_does():
    model = VAEEstimator(**TINY)
    assert model.train(TABLE) is model
    np.testing.assert_array_equal(model.transform(TABLE), tiny().transform(TABLE))


@pytest.mark.parametrize("epochs", [1, 40])  # eager, and compiled
def test_a_seed_gives_one_result_whatever_the_global_seeds_are(epochs):
    results = []
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        model = tiny(epochs=epochs)
        results.append((model.transform(TABLE), model.generate(), model.score_samples(TABLE)))
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)


def test_no_global_random_state_is_touched():
    def draws_after(action):
        keras.utils.set_random_seed(0)
        action()
        return random.random(), np.random.rand(), float(keras.random.normal(()))  # noqa: NPY002  # the global one

    def everything():
        model = copy.deepcopy(tiny(epochs=40))
        model.generate()
        model.score(TABLE)

    assert draws_after(everything) == draws_after(lambda: None)


def test_a_seed_gives_the_same_model_in_every_thread():
    state = random.getstate()
    with ThreadPoolExecutor(4) as pool:
        latents = list(pool.map(lambda _: tiny().transform(TABLE), range(4)))
    for each in latents:
        np.testing.assert_array_equal(each, tiny().transform(TABLE))
    assert random.getstate() == state


def test_another_seed_gives_another_model():
    assert not np.allclose(tiny().transform(TABLE), tiny(random_state=1).transform(TABLE))


def test_a_random_state_moves_on():
    model = tiny(random_state=np.random.RandomState(0))
    assert not np.allclose(model.sample(5), model.sample(5))


@pytest.mark.parametrize("keep", [lambda model: pickle.loads(pickle.dumps(model)), copy.deepcopy])
def test_a_copy_computes_the_same(keep):
    model = tiny(variant="bn", epochs=2)
    again = keep(model)
    np.testing.assert_array_equal(again.transform(TABLE), model.transform(TABLE))
    np.testing.assert_array_equal(again.score_samples(TABLE), model.score_samples(TABLE))
    np.testing.assert_array_equal(again.generate(), model.generate())


@pytest.mark.slow
def test_a_joblib_file_opens_in_a_new_process(tmp_path):
    model = tiny()
    joblib.dump((model, TABLE), tmp_path / "model.joblib")
    code = "import joblib, sys; model, table = joblib.load(sys.argv[1]); print(model.score(table))"
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "model.joblib"], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) == pytest.approx(model.score(TABLE), abs=1e-4)


def test_a_model_that_is_not_fitted_can_be_pickled():
    assert pickle.loads(pickle.dumps(VAEEstimator(latent_dim=3))).latent_dim == 3


def test_latents_are_named_columns():
    table = pd.DataFrame(TABLE, columns=["a", "b", "c"])
    latents = VAEEstimator(**TINY).set_output(transform="pandas").fit_transform(table)
    assert list(latents.columns) == ["vaeestimator0", "vaeestimator1"]


def test_works_in_a_pipeline_in_a_grid_search():
    pipeline = make_pipeline(MinMaxScaler(), VAEEstimator(**TINY))
    search = GridSearchCV(pipeline, {"vaeestimator__latent_dim": np.arange(1, 3)}, cv=2, error_score="raise")
    search.fit(TABLE)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_score_ == max(search.cv_results_["mean_test_score"])
    back = search.best_estimator_.inverse_transform(search.best_estimator_.transform(TABLE))
    assert back.shape == TABLE.shape


def test_a_constant_column_comes_back_as_its_constant():
    table = TABLE.copy()
    table[:, 1] = 0.1
    model = tiny(table)
    np.testing.assert_allclose(model.generate()[:, 1], 0.1, rtol=1e-12)
    np.testing.assert_allclose(model.inverse_transform(model.transform(table))[:, 1], 0.1, rtol=1e-12)
    assert np.isfinite(model.score(table))


@pytest.mark.slow
def test_a_column_of_time_stamps_keeps_its_spread():
    table = TABLE.copy()
    table[:, 1] = 1.7e15 + np.round(30 * table[:, 0])  # in microseconds, where a double has steps of a quarter
    model = tiny(table, epochs=300, learning_rate=1e-2)
    drawn = model.sample(2000)[:, 1] - 1.7e15
    assert model.scaler_.scale_[1] == pytest.approx(table[:, 1].std(), rel=1e-3)
    assert drawn.std() == pytest.approx((table[:, 1] - 1.7e15).std(), rel=0.25)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_column_that_varies_only_by_rounding_is_constant(dtype):
    table = TABLE.astype(dtype)
    table[:, 1] = 0.1
    table[::2, 1] += 2 * np.spacing(dtype(0.1))
    model = tiny(table)
    assert model.scaler_.scale_[1] == 1
    np.testing.assert_allclose(model.generate()[:, 1], 0.1, rtol=1e-6)


def test_a_deviation_from_a_constant_scores_low():
    table = TABLE.copy()
    table[:, 1] = 0.1
    deviating = table + np.array([0, 5, 0])
    model = tiny(table)
    assert (model.score_samples(deviating) < model.score_samples(table)).all()


def test_a_table_of_one_constant_stays_it():
    model = tiny(np.full((10, 2), 7.0), epochs=2)
    np.testing.assert_array_equal(model.generate(), np.full((10, 2), 7.0))
    assert np.isfinite(model.score(np.full((3, 2), 7.0)))


def test_one_column_is_enough():
    model = tiny(TABLE[:, :1])
    assert model.inverse_transform(model.transform(TABLE[:, :1])).shape == (40, 1)


def test_two_rows_are_enough():
    assert np.isfinite(tiny(TABLE[:2]).generate()).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_way_there_and_back_keeps_the_dtype(dtype):
    model = tiny()
    latents = model.transform(TABLE.astype(dtype))
    assert latents.dtype == dtype
    assert model.inverse_transform(latents).dtype == dtype


def test_variant_and_activation_reach_the_model():
    layers = tiny(variant="bn", activation="tanh", hidden_sizes=(6, 5)).model_.encoder.layers
    dense = [layer for layer in layers if isinstance(layer, keras.layers.Dense)]
    assert [layer.units for layer in dense] == [6, 5, 4]
    assert dense[0].activation is keras.activations.tanh
    assert any(isinstance(layer, keras.layers.BatchNormalization) for layer in layers)


def test_beta_and_batch_size_reach_the_training():
    model = tiny(beta=3, batch_size=7)
    assert model.model_.objective.beta == 3
    assert int(model.model_.optimizer.iterations) == 6  # of 40 rows


def test_a_loss_that_still_falls_at_the_end_gives_a_warning():
    with pytest.warns(
        ConvergenceWarning,
        match=r"still falling at the end of training\. Received: epochs=20; pass a larger number, such as epochs=40$",
    ):
        tiny(batch_size=40, epochs=20)


@pytest.mark.parametrize(("batch_size", "epochs"), [(40, 60), (7, 10), (1, 10)])
def test_the_default_number_of_epochs_makes_enough_updates(monkeypatch, batch_size, epochs):
    monkeypatch.setattr("vae_tf.estimator.DEFAULT_UPDATES", 60)
    steps = -(-len(TABLE) // batch_size)
    assert int(tiny(batch_size=batch_size, epochs=None).model_.optimizer.iterations) == epochs * steps


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"latent_dim": 0}, "latent_dim must be at least 1. Received: latent_dim=0"),
        ({"batch_size": 0}, "batch_size must be at least 1. Received: batch_size=0"),
        ({"epochs": 1.5}, "epochs must be an integer. Received: epochs=1.5"),
        ({"hidden_sizes": 8}, "hidden_sizes must be a list, such as 512,256. Received: hidden_sizes=8"),
        ({"learning_rate": 0}, "learning_rate must be greater than 0.0. Received: learning_rate=0"),
        ({"beta": -1}, "beta must be at least 0.0. Received: beta=-1"),
        ({"variant": "w"}, "variant must be one of plain, bn, v1, v2. Received: variant=w"),
        ({"epochs": 3, "learning_rate": 1e30}, "Training diverged"),
        ({"epochs": 30, "learning_rate": 1e30}, "Training diverged: losses or gradients were non-finite"),
    ],
)
def test_a_parameter_out_of_range_is_named_at_fit(params, message):
    with pytest.raises(InputError) as caught:
        tiny(**params)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (TABLE[0], "Expected 2D array, got 1D array instead"),
        (TABLE[:1], "a minimum of 2 is required"),
        (np.where(TABLE > 100, np.nan, TABLE), "Input X contains NaN"),
        (np.where(TABLE > 100, np.inf, TABLE), "Input X contains infinity"),
    ],
)
def test_a_table_that_can_t_be_used_is_refused_at_fit(table, message):
    with pytest.raises(ValueError, match=message):
        tiny(table)


@pytest.mark.parametrize("method", ["transform", "score_samples", "score"])
def test_another_number_of_columns_is_refused(method):
    with pytest.raises(ValueError, match="X has 2 features, but VAEEstimator is expecting 3 features"):
        getattr(tiny(), method)(TABLE[:, :2])


def test_latents_of_another_width_are_refused():
    with pytest.raises(InputError, match=r"^X must have 2 columns, one per latent dimension\. Received: 3 columns"):
        tiny().inverse_transform(TABLE)


def test_drawing_no_rows_is_refused():
    with pytest.raises(ValueError, match="n == 0, must be >= 1"):
        tiny().sample(0)


@pytest.mark.parametrize("call", [lambda m: m.sample(2), lambda m: m.generate(), lambda m: m.inverse_transform(TABLE)])
def test_a_model_that_is_not_fitted_says_so(call):
    with pytest.raises(NotFittedError):
        call(VAEEstimator())


def test_a_fit_that_failed_leaves_a_model_that_is_not_fitted():
    model = VAEEstimator(latent_dim=0)
    with pytest.raises(InputError):
        model.fit(TABLE)
    with pytest.raises(NotFittedError):
        model.transform(TABLE)


def test_importing_the_module_loads_no_tensorflow():
    code = "import vae_tf.estimator, sys; print({'tensorflow', 'keras'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_fitting_in_a_new_process_prints_nothing():
    code = (
        "import numpy as np; from vae_tf import VAEEstimator; "
        "VAEEstimator(2, epochs=1, hidden_sizes=(8,)).fit(np.eye(4))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
