"""The sample command: images and arrays from a trained run."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vae_tf
from vae_tf.config import RunConfig
from vae_tf.runs.new_run import create_run_dir
from vae_tf.runs.run_dir import RunDir

pytestmark = pytest.mark.usefixtures("rendered_figures")

SHAPE = (8, 10, 1)
NUM_TEST = 90


@pytest.fixture(scope="module")
def run(trained):
    """A small run that binarizes its data."""
    return RunDir(trained("binary").path)


@pytest.fixture(scope="module")
def model(run):
    return run.load_model()


@pytest.fixture(scope="module")
def arrays(command, run, tmp_path_factory):
    """Calls the command and returns the arrays it wrote."""
    folder = tmp_path_factory.mktemp("arrays")

    def call(*words: object) -> dict[str, np.ndarray]:
        ended = command("sample", "--run", run.path, *words, "--out", folder / "out.npz")
        assert (ended.status, ended.stderr) == (0, "")
        with np.load(folder / "out.npz", allow_pickle=False) as archive:
            return dict(archive)

    return call


@pytest.fixture(scope="module")
def samples(arrays):
    """What the command writes by default."""
    return arrays()


@pytest.fixture(scope="module")
def reconstructed(arrays):
    return arrays("--reconstruct")


@pytest.fixture(scope="module")
def interpolated(arrays):
    return arrays("--interpolate", "--num", 3)["interpolations"]


@pytest.fixture(scope="module")
def traversed(arrays):
    return arrays("--traverse")


@pytest.fixture
def refused(command, run, tmp_path):
    """Calls the command and returns the line with which it refuses; it prints nothing else."""

    def call(*words: object, path: Path = run.path) -> str:
        ended = command("sample", "--run", path, *words, cwd=tmp_path)
        assert ended.stdout == ""
        assert ended.error.startswith("error: ")
        return ended.error

    return call


def test_npz_holds_64_samples_in_data_units(samples):
    assert set(samples) == {"samples"}
    assert samples["samples"].shape == (64, *SHAPE)
    assert samples["samples"].dtype == np.float32
    assert samples["samples"].min() >= 0
    assert samples["samples"].max() <= 1


def test_samples_of_one_call_differ(samples):
    assert len(np.unique(samples["samples"], axis=0)) == 64


def test_default_seed_is_0(samples, model):
    np.testing.assert_array_equal(samples["samples"], model.sample(64, seed=0))


def test_samples_are_those_of_the_model_with_the_seed(arrays, model):
    np.testing.assert_array_equal(arrays("--num", 5, "--seed", 7)["samples"], model.sample(5, seed=7))


def test_other_seed_gives_other_samples(arrays, samples):
    other = arrays("--seed", 4)["samples"]
    assert (other != samples["samples"]).any(axis=(1, 2, 3)).all()


def test_temperature_0_gives_the_prior_mean_alone(arrays, model):
    drawn = arrays("--num", 5, "--temperature", 0)["samples"]
    np.testing.assert_array_equal(drawn, model.decode(np.zeros((5, 3), np.float32)))


def test_temperature_1_is_the_default(arrays, samples):
    np.testing.assert_array_equal(arrays("--temperature", 1)["samples"], samples["samples"])


def test_reconstruct_gives_originals_and_reconstructions(reconstructed, model):
    assert set(reconstructed) == {"originals", "reconstructions"}
    assert reconstructed["originals"].shape == reconstructed["reconstructions"].shape == (10, *SHAPE)
    expected = model.reconstruct(reconstructed["originals"])
    np.testing.assert_array_equal(reconstructed["reconstructions"], expected)


def test_originals_are_test_images_as_the_model_saw_its_data(reconstructed, images):
    originals = reconstructed["originals"]
    assert np.unique(originals).tolist() == [0, 1]
    with np.load(images / "images.npz") as archive:
        grey = archive["x_test"][:10, ..., np.newaxis]
    assert originals[grey == 255].all()
    assert not originals[grey == 0].any()
    assert np.corrcoef(originals.ravel(), grey.ravel())[0, 1] > 0.4


def test_interpolations_are_rows_of_ten_images(interpolated):
    assert interpolated.shape == (3 * 10, *SHAPE)


def test_interpolation_leads_from_one_test_image_to_another(interpolated, reconstructed, model):
    ends = model.decode(model.encode(reconstructed["originals"][:6]))
    rows = interpolated.reshape(3, -1, *SHAPE)
    np.testing.assert_allclose(rows[:, 0], ends[0::2], atol=1e-5)
    np.testing.assert_allclose(rows[:, -1], ends[1::2], atol=1e-5)


def test_interpolation_steps_are_equal_in_the_latents(interpolated, reconstructed, model):
    first, last = model.encode(reconstructed["originals"][:2])
    path = np.stack([first + (last - first) * step / 9 for step in range(10)])
    np.testing.assert_allclose(interpolated[:10], model.decode(path), atol=1e-5)


def test_traversals_are_rows_of_images_the_most_informative_first(traversed):
    assert set(traversed) == {"traversals", "values", "dimensions", "kl"}
    assert traversed["traversals"].shape == (3, 7, *SHAPE)
    assert sorted(traversed["dimensions"]) == [0, 1, 2]
    assert (np.diff(traversed["kl"]) <= 0).all()


def test_num_is_the_number_of_traversed_dimensions(arrays, traversed):
    two = arrays("--traverse", "--num", 2)
    # The products of a batch of another size may be summed in another order.
    np.testing.assert_allclose(two["traversals"], traversed["traversals"][:2], rtol=1e-6)


def test_traversal_begins_at_the_first_test_image(traversed, reconstructed, model):
    z = model.encode(reconstructed["originals"][:1])
    z[0, traversed["dimensions"][1]] = traversed["values"][-1]
    np.testing.assert_allclose(traversed["traversals"][1, -1], model.decode(z)[0], atol=1e-5)


@pytest.mark.parametrize(
    ("words", "name", "tiles"),
    [
        (["--num", 5], "samples.png", (1, 5)),
        (["--num", 20], "samples.png", (3, 8)),
        (["--reconstruct", "--num", 4], "reconstructions.png", (2, 4)),
        (["--interpolate", "--num", 2], "interpolations.png", (2, 10)),
    ],
)
def test_png_is_named_after_what_it_shows_and_has_the_size_of_its_grid(command, run, tmp_path, words, name, tiles):
    ended = command("sample", "--run", run.path, *words, cwd=tmp_path)
    assert ended == (0, f"{name}\n", "")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with Image.open(tmp_path / name) as image:
        assert image.format == "PNG"
        zoom, rest = divmod(image.height - 40, tiles[0] * (SHAPE[0] + 2) - 2)
        assert rest == 0
        grid_width = zoom * (tiles[1] * (SHAPE[1] + 2) - 2)
        assert image.width == grid_width or grid_width < image.width < 400  # room for the title


def test_traversals_are_drawn(command, run, tmp_path):
    assert command("sample", "--run", run.path, "--traverse", cwd=tmp_path) == (0, "traversals.png\n", "")
    with Image.open(tmp_path / "traversals.png") as image:
        assert image.width > 7 * 8 * SHAPE[1]


def test_folder_of_the_file_is_made_and_the_run_is_left_as_it_is(command, run, tmp_path):
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    command("sample", "--run", run.path, "--num", 1, "--out", tmp_path / "new" / "folder" / "one.png")
    assert (tmp_path / "new" / "folder" / "one.png").is_file()
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--reconstruct", "--interpolate"], "--reconstruct and --interpolate"),
        (["--interpolate", "--traverse"], "--interpolate and --traverse"),
        (["--traverse", "--seed", 1], "seed applies only to samples"),
        (["--traverse", "--num", 4], "num must be at most 3, the number of latent dimensions. Received: num=4"),
        (["--reconstruct", "--temperature", 0.5], "temperature"),
        (["--interpolate", "--temperature", 1], "temperature"),
        (["--reconstruct", "--seed", 3], "seed applies only to samples"),
        (["--num", 10**8], "num must be at most 100000"),
        (["--temperature", -1], "temperature=-1"),
        (["--temperature", "nan"], "temperature=nan"),
        (["--num", 0], "num=0"),
        (["--seed", -1], "seed=-1"),
        (["--out", "grid.jpg"], "grid.jpg"),
        (["--out", "grid"], "out=grid"),
    ],
)
def test_wrong_options_are_refused(refused, words, named):
    assert named in refused(*words)


@pytest.mark.parametrize(
    ("words", "most"),
    [(["--reconstruct", "--num", NUM_TEST + 1], NUM_TEST), (["--interpolate", "--num", NUM_TEST], NUM_TEST // 2)],
)
def test_more_test_images_than_there_are_is_refused(refused, tmp_path, words, most):
    assert f"num must be at most {most}, " in refused(*words)
    assert not list(tmp_path.iterdir())


def test_default_takes_what_a_small_test_split_has(arrays, images, tmp_path):
    with np.load(images / "images.npz") as archive:
        np.savez(tmp_path / "few.npz", x_train=archive["x_train"], x_test=archive["x_test"][:12])
    assert len(arrays("--interpolate", "--data-dir", tmp_path / "few.npz")["interpolations"]) == 10 * 6


def test_run_that_does_not_exist_is_refused(refused, tmp_path):
    assert "nowhere" in refused(path=tmp_path / "nowhere")


def test_run_that_has_not_finished_is_refused(refused, tmp_path):
    create_run_dir(tmp_path / "run", overwrite=False).write_config(RunConfig())
    assert "model.keras" in refused(path=tmp_path / "run")


def test_file_that_cannot_be_written_is_refused(refused, tmp_path):
    (tmp_path / "file").touch()
    assert "out must be a writable file" in refused("--num", 1, "--out", tmp_path / "file" / "grid.png")


def test_data_that_has_gone_is_named(refused, run, tmp_path):
    config = run.read_config().model_copy(update={"data_dir": str(tmp_path / "gone.npz")})
    moved = create_run_dir(tmp_path / "run", overwrite=False)
    moved.write_config(config)
    (moved.path / "model.keras").write_bytes((run.path / "model.keras").read_bytes())
    assert "gone.npz" in refused("--reconstruct", path=moved.path)


def test_command_works_as_a_process(run, model, tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "vae_tf.sample", "--run", str(run.path), "--num", "5", "--out", "grid.npz"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(vae_tf.__file__).resolve().parents[1])},
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "grid.npz\n", "")
    with np.load(tmp_path / "grid.npz") as archive:
        np.testing.assert_array_equal(archive["samples"], model.sample(5, seed=0))
