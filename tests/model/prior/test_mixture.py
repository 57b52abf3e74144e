"""The learned mixture prior against scipy, and through the commands."""

import json

import keras
import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from vae_tf.config import RunConfig
from vae_tf.model import build_vae
from vae_tf.model.kl import kl_divergence
from vae_tf.model.posterior import DiagonalNormal
from vae_tf.model.prior.mixture import GaussianMixturePrior
from vae_tf.runs.run_dir import RunDir
from vae_tf.support.errors import InputError

WEIGHTS = np.array([0.2, 0.5, 0.3])
MEANS = np.array([[-2.0, 0.0], [1.0, 1.0], [0.0, 3.0]])
SIGMAS = np.array([[0.5, 1.0], [1.5, 0.3], [1.0, 2.0]])


@pytest.fixture
def mixture():
    prior = GaussianMixturePrior(2, components=3, name="prior")
    prior.build((None, 2))
    prior.logits.assign(np.log(WEIGHTS) + 1.7)  # a constant that the softmax removes
    prior.means.assign(MEANS)
    prior.log_sigmas.assign(np.log(SIGMAS))
    return prior


def test_log_prob_is_that_of_the_mixture(mixture):
    z = np.random.default_rng(0).normal(size=(4, 5, 2)).astype("float32")
    components = [stats.norm(m, s).logpdf(z).sum(-1) for m, s in zip(MEANS, SIGMAS, strict=True)]
    expected = logsumexp(np.stack(components, -1) + np.log(WEIGHTS), axis=-1)
    np.testing.assert_allclose(mixture.log_prob(z), expected, rtol=1e-5)


def test_log_prob_per_dimension_is_that_of_the_marginals(mixture):
    z = np.random.default_rng(0).normal(size=(6, 2)).astype("float32")
    components = np.stack([stats.norm(m, s).logpdf(z) for m, s in zip(MEANS, SIGMAS, strict=True)], axis=-2)
    expected = logsumexp(components + np.log(WEIGHTS)[:, None], axis=-2)
    np.testing.assert_allclose(mixture.log_prob_per_dimension(z), expected, rtol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_samples_have_the_moments_of_the_mixture(mixture, temperature):
    z = np.asarray(mixture.sample(20_000, 3, temperature))
    mean = WEIGHTS @ MEANS
    variance = WEIGHTS @ ((temperature * SIGMAS) ** 2 + MEANS**2) - mean**2
    np.testing.assert_allclose(z.mean(axis=0), mean, atol=4 * np.sqrt(variance.max() / len(z)))
    np.testing.assert_allclose(z.var(axis=0), variance, rtol=0.05)


def test_samples_without_temperature_are_the_means_of_the_components(mixture):
    z = np.asarray(mixture.sample(200, 3, 0.0))
    assert {tuple(row) for row in z.tolist()} == {tuple(row) for row in MEANS.tolist()}


def test_a_seed_repeats_samples(mixture):
    np.testing.assert_array_equal(mixture.sample(5, 7), mixture.sample(5, 7))
    generator = keras.random.SeedGenerator(7)
    assert not np.array_equal(mixture.sample(5, generator), mixture.sample(5, generator))


def test_one_component_at_the_standard_normal_has_its_divergence():
    prior = GaussianMixturePrior(3, components=1)
    prior.build((None, 3))
    prior.means.assign(np.zeros((1, 3)))
    mean, log_var = np.array([[0.5, -1.0, 2.0]]), np.array([[0.1, -0.5, 0.3]])
    params = np.concatenate([mean, log_var], axis=-1).astype("float32")
    posterior = DiagonalNormal()
    z = posterior.sample(params, np.random.default_rng(0).standard_normal((200_000, 1, 3)).astype("float32"))
    estimate = kl_divergence(posterior, params, prior, posterior.log_prob(params, z), prior.log_prob(z))
    expected = 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var).sum()
    assert estimate.shape == (1, 1)
    assert float(estimate[0, 0]) == pytest.approx(expected, rel=0.01)


def test_components_start_apart():
    prior = GaussianMixturePrior(4, components=5)
    prior.build((None, 4))
    assert len(np.unique(np.asarray(prior.means), axis=0)) == 5


def test_training_moves_the_prior():
    keras.utils.set_random_seed(0)
    vae = build_vae((8, 8, 1), 2, "dense", "plain", prior="mixture", prior_components=3, hidden_sizes=(8,))
    before = [np.array(weight) for weight in vae.prior.weights]
    vae.compile(keras.optimizers.Adam(0.01))
    vae.fit(np.random.default_rng(0).random((32, 8, 8, 1)).astype("float32"), epochs=2, verbose=0)
    assert all(not np.array_equal(old, new) for old, new in zip(before, vae.prior.weights, strict=True))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            {"prior": "mixture", "prior_components": 0},
            r"prior_components must be at least 1\. Received",
        ),
        ({"prior_components": 3}, r"prior_components needs prior=mixture\. Received: prior=standard_normal"),
    ],
)
def test_options_out_of_place_are_refused_in_one_line(options, reason):
    with pytest.raises(InputError, match=reason):
        RunConfig(**options)


@pytest.fixture(scope="module")
def run(command, made_once):
    def train(folder):
        x = np.random.default_rng(0).integers(0, 256, (150, 8, 8), np.uint8)
        np.savez(folder / "data.npz", x_train=x[:100], x_test=x[100:])
        words = "--dataset npz --arch dense --hidden-sizes 16 --latent-dim 3 --epochs 2"
        words += " --prior mixture --prior-components 4"
        ended = command("train", *words.split(), "--data-dir", folder / "data.npz", "--run-dir", folder / "run")
        assert ended.status == 0, ended.stderr

    return made_once("mixture_run", train) / "run"


@pytest.mark.slow
def test_a_run_is_evaluated(run, command):
    assert command("evaluate", "--run", run, "--nll-images", 4, "--nll-samples", 8).status == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert np.isfinite(metrics["kl_per_dimension"]["values"]).all()
    assert metrics["metrics"]["kl_loss"]["value"] == pytest.approx(
        -metrics["metrics"]["elbo"]["value"] - metrics["metrics"]["reconstruction_loss"]["value"], rel=1e-4
    )


def test_a_run_is_sampled_at_a_temperature(run, command, tmp_path):
    samples = {}
    for temperature in (0, 1):
        out = tmp_path / f"{temperature}.npz"
        assert command("sample", "--run", run, "--num", 50, "--temperature", temperature, "--out", out).status == 0
        with np.load(out) as archive:
            samples[temperature] = archive["samples"]
    model = RunDir(run).load_model()
    means = model.decode(np.asarray(model.prior.means))
    # A matrix product may round a row differently if the other rows of the batch are others.
    distances = abs(samples[0][:, None] - means).max(axis=(2, 3, 4)).min(axis=1)
    assert distances.max() < 1e-5
    assert len(np.unique(samples[1].round(6), axis=0)) == 50


def test_a_run_has_traversals(run, command, tmp_path):
    assert command("sample", "--run", run, "--traverse", "--out", tmp_path / "traversals.png").status == 0
