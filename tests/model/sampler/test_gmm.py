"""The Gaussian mixture sampler on a known mixture, and through the commands."""

import shutil

import keras
import numpy as np
import pytest

from vae_tf.model.sampler.gmm import GaussianMixtureSampler
from vae_tf.runs.model_file import load_keras_file, save_keras_file
from vae_tf.support.errors import InputError

MEANS = np.array([[-4.0, 0.0], [4.0, 1.0]])
COVARIANCES = np.array([[[1.0, 0.6], [0.6, 0.5]], [[0.3, 0.0], [0.0, 2.0]]])


def latents(count, seed=0):
    rng = np.random.default_rng(seed)
    parts = [rng.multivariate_normal(m, c, count // 2) for m, c in zip(MEANS, COVARIANCES, strict=True)]
    return np.concatenate(parts).astype("float32"), np.repeat([0, 1], count // 2)


@pytest.fixture(scope="module")
def fitted():
    sampler = GaussianMixtureSampler(2, components=2, name="gmm")
    sampler.build(None)
    sampler.fit(latents(4_000)[0], None, seed=0)
    return sampler


def test_it_finds_a_known_mixture(fitted):
    order = np.argsort(np.asarray(fitted.means)[0, :, 0])
    np.testing.assert_allclose(np.asarray(fitted.means)[0, order], MEANS, atol=0.1)
    cholesky = np.asarray(fitted.cholesky)[0, order]
    np.testing.assert_allclose(cholesky @ cholesky.transpose(0, 2, 1), COVARIANCES, atol=0.12)


def test_samples_have_the_moments_of_the_latents(fitted):
    known, drawn = latents(4_000)[0], fitted.sample(20_000, None, 1)
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(drawn.mean(axis=0), known.mean(axis=0), atol=0.15)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(known.T), atol=0.3)


def test_samples_at_temperature_0_are_the_means(fitted):
    drawn = fitted.sample(100, None, 1, temperature=0.0)
    np.testing.assert_allclose(np.unique(drawn, axis=0), np.unique(np.asarray(fitted.means)[0], axis=0), rtol=1e-6)


def test_a_seed_repeats_samples_and_a_generator_moves_on(fitted):
    np.testing.assert_array_equal(fitted.sample(5, None, 3), fitted.sample(5, None, 3))
    generator = keras.random.SeedGenerator(3)
    assert not np.array_equal(fitted.sample(5, None, generator), fitted.sample(5, None, generator))


def test_each_class_has_a_mixture_of_its_own():
    sampler = GaussianMixtureSampler(2, num_classes=2, components=1, name="gmm")
    sampler.build(None)
    sampler.fit(*latents(2_000), seed=0)
    labels = np.repeat([1, 0], 500)
    drawn = sampler.sample(1_000, labels, 0)
    for label in (0, 1):
        np.testing.assert_allclose(drawn[labels == label].mean(axis=0), MEANS[label], atol=0.3)


def test_a_file_restores_it(fitted, tmp_path):
    save_keras_file(fitted, tmp_path / "sampler.keras")
    restored = load_keras_file(tmp_path / "sampler.keras", root_class=None)
    assert restored.name == "gmm"
    np.testing.assert_array_equal(restored.sample(10, None, 5), fitted.sample(10, None, 5))


def test_fewer_latents_than_components_are_refused():
    sampler = GaussianMixtureSampler(2, components=5)
    sampler.build(None)
    with pytest.raises(InputError, match=r"sampler_components=5 needs at least 5 training examples\. Received: 4 "):
        sampler.fit(latents(4)[0], None, seed=0)


def test_fewer_latents_of_a_class_than_components_are_refused():
    sampler = GaussianMixtureSampler(2, num_classes=2, components=5)
    sampler.build(None)
    x, labels = latents(20)
    with pytest.raises(InputError, match=r"needs at least 5 training examples of each class\. Received: 4 "):
        sampler.fit(x[:14], labels[:14], seed=0)


# Through the commands


@pytest.fixture(scope="module")
def trained(command, made_once):
    def train(folder):
        x = np.random.default_rng(0).integers(0, 256, (150, 8, 8), np.uint8)
        np.savez(folder / "data.npz", x_train=x[:100], x_test=x[100:])
        words = "--dataset npz --arch dense --hidden-sizes 16 --latent-dim 3 --epochs 1"
        words += " --sampler gmm --sampler-components 2"
        ended = command("train", *words.split(), "--data-dir", folder / "data.npz", "--run-dir", folder / "run")
        assert ended.status == 0, ended.stderr
        assert "sampler.keras" in ended.stdout

    return made_once("gmm_run", train) / "run"


def samples(command, run, out, *words):
    ended = command("sample", "--run", run, "--num", 20, *words, "--out", out)
    assert ended.status == 0, ended.stderr
    with np.load(out) as archive:
        return archive["samples"], ended.stdout


def test_sample_uses_it_and_says_so(trained, command, tmp_path):
    drawn, said = samples(command, trained, tmp_path / "a.npz")
    assert "Samples come from the gmm sampler" in said
    from_prior, said = samples(command, trained, tmp_path / "b.npz", "--sampler", "prior")
    assert "sampler" not in said
    assert not np.array_equal(drawn, from_prior)


def test_evaluate_and_its_report_say_so(trained, command, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    ended = command("evaluate", "--run", run, "--nll-images", 4, "--nll-samples", 4)
    assert ended.status == 0, ended.stderr
    assert "Samples come from the gmm sampler" in ended.stdout
    assert "come from its gmm sampler" in (run / "report.html").read_text()


def test_a_finished_run_gets_one_that_replaces_its_evaluation(trained, command, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    (run / "sampler.keras").unlink()
    for name in ("metrics.json", "per_image.npz", "report.html"):
        (run / name).write_text("of the prior")
    without, _ = samples(command, run, tmp_path / "a.npz")
    ended = command("fit_sampler", "--run", run, "--sampler", "gmm", "--sampler-components", 2)
    assert (ended.status, ended.stdout.strip()) == (0, str(run / "sampler.keras"))
    assert not (run / "metrics.json").exists()
    again, _ = samples(command, run, tmp_path / "b.npz", "--sampler", "prior")
    np.testing.assert_array_equal(without, again)
    refitted, _ = samples(command, run, tmp_path / "c.npz")
    np.testing.assert_array_equal(refitted, samples(command, trained, tmp_path / "d.npz")[0])


def test_more_components_than_training_examples_are_refused_in_one_line(trained, command):
    ended = command("fit_sampler", "--run", trained, "--sampler", "gmm", "--sampler-components", 1000)
    assert "sampler=gmm with sampler_components=1000 needs at least 1000 training examples" in ended.error


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "at least 101 training examples. Received: 100"),
        (["--conditional"], "at least 101 training examples of each class. Received: 40"),
    ],
)
def test_more_components_than_training_examples_are_refused_before_training(command, tmp_path, words, expected):
    x, y = np.zeros((110, 8, 8), np.uint8), np.arange(110) % 100 >= 60
    np.savez(tmp_path / "data.npz", x_train=x[:100], y_train=y[:100].astype(int), x_test=x[100:], y_test=y[100:] * 1)
    run = "--dataset npz --arch dense --hidden-sizes 16 --sampler gmm --sampler-components 101 --val-fraction 0"
    paths = ["--data-dir", tmp_path / "data.npz", "--run-dir", tmp_path / "run"]
    assert expected in command("train", *run.split(), *words, *paths).error
    assert not (tmp_path / "run").exists()


def test_options_of_a_sampler_need_one(command, tmp_path):
    ended = command("train", "--sampler-components", 3, "--run-dir", tmp_path / "run")
    assert ended.error == "error: sampler_components needs sampler=gmm. Received: sampler=none, sampler_components=3"
