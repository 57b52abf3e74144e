"""The sample command: pictures and arrays from a trained run."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vae_tf
from vae_tf.config import RunConfig
from vae_tf.runs.run_dir import RunDir
from vae_tf.sample import COMMAND, SampleOptions, main
from vae_tf.support import cli
from vae_tf.training.run import run_training

SHAPE = (12, 10, 1)
NUM_TEST = 12


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small run that binarizes its data."""
    folder = tmp_path_factory.mktemp("sample")
    generator = np.random.default_rng(0)
    x_train, x_test = (generator.integers(0, 256, (count, *SHAPE[:2]), dtype=np.uint8) for count in (40, NUM_TEST))
    np.savez(folder / "tiny.npz", x_train=x_train, x_test=x_test)
    config = RunConfig(
        dataset="npz",
        data_dir=str(folder / "tiny.npz"),
        binarize="static",
        arch="dense",
        hidden_sizes=(16,),
        latent_dim=3,
        epochs=2,
        sample_every=2,
        batch_size=8,
        learning_rate=0.01,
    )
    return run_training(config, folder / "run")


def sample(run: RunDir, *words: object) -> None:
    main(cli.parse(SampleOptions, COMMAND, ["--run", str(run.path), *map(str, words)]))


@pytest.fixture
def arrays(run, tmp_path):
    """Calls the command and returns the arrays it wrote."""

    def call(*words: object) -> dict[str, np.ndarray]:
        sample(run, *words, "--out", tmp_path / "out.npz")
        with np.load(tmp_path / "out.npz", allow_pickle=False) as archive:
            return dict(archive)

    return call


def test_npz_holds_samples_in_data_units(arrays):
    written = arrays("--num", 5)
    assert set(written) == {"samples"}
    assert written["samples"].shape == (5, *SHAPE)
    assert written["samples"].dtype == np.float32
    assert written["samples"].min() >= 0
    assert written["samples"].max() <= 1


def test_default_number_of_samples_is_64(arrays):
    assert len(arrays()["samples"]) == 64


def test_samples_are_those_of_the_model(arrays, run):
    expected = run.load_model().sample(5, seed=7)
    np.testing.assert_array_equal(arrays("--num", 5, "--seed", 7)["samples"], expected)


def test_same_seed_gives_the_same_samples(arrays):
    first, second = (arrays("--num", 5, "--seed", 3)["samples"] for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_other_seed_gives_other_samples(arrays):
    first, second = (arrays("--num", 5, "--seed", seed)["samples"] for seed in (3, 4))
    assert (first != second).any(axis=(1, 2, 3)).all()


def test_samples_of_one_call_differ(arrays):
    assert len(np.unique(arrays("--num", 5)["samples"], axis=0)) == 5


def test_temperature_0_gives_the_prior_mean_alone(arrays, run):
    samples = arrays("--num", 5, "--temperature", 0)["samples"]
    expected = run.load_model().decode(np.zeros((5, 3), np.float32))
    np.testing.assert_array_equal(samples, expected)


def test_temperature_1_is_the_default(arrays):
    np.testing.assert_array_equal(arrays("--num", 5, "--temperature", 1)["samples"], arrays("--num", 5)["samples"])


def test_reconstruct_gives_originals_and_reconstructions(arrays, run):
    written = arrays("--reconstruct", "--num", 4)
    assert set(written) == {"originals", "reconstructions"}
    assert written["originals"].shape == written["reconstructions"].shape == (4, *SHAPE)
    np.testing.assert_array_equal(written["reconstructions"], run.load_model().reconstruct(written["originals"]))


def test_originals_are_test_pictures_as_the_model_saw_its_data(arrays, run):
    originals = arrays("--reconstruct", "--num", 4)["originals"]
    assert np.unique(originals).tolist() == [0, 1]
    with np.load(run.path.parent / "tiny.npz") as archive:
        grey = archive["x_test"][:4, ..., np.newaxis]
    assert originals[grey == 255].all()
    assert not originals[grey == 0].any()
    assert np.corrcoef(originals.ravel(), grey.ravel())[0, 1] > 0.4


def test_default_number_of_reconstructions_is_10(arrays):
    assert len(arrays("--reconstruct")["reconstructions"]) == 10


def test_interpolations_are_rows_of_pictures(arrays):
    written = arrays("--interpolate", "--num", 3)
    assert set(written) == {"interpolations"}
    count, *shape = written["interpolations"].shape
    assert tuple(shape) == SHAPE
    assert count % 3 == 0
    assert count // 3 > 2


def test_interpolation_leads_from_one_test_picture_to_another(arrays, run):
    model = run.load_model()
    ends = model.decode(model.encode(arrays("--reconstruct", "--num", 6)["originals"]))
    rows = arrays("--interpolate", "--num", 3)["interpolations"].reshape(3, -1, *SHAPE)
    np.testing.assert_allclose(rows[:, 0], ends[0::2], atol=1e-5)
    np.testing.assert_allclose(rows[:, -1], ends[1::2], atol=1e-5)


def test_interpolation_steps_are_equal_in_the_latents(arrays, run):
    model = run.load_model()
    first, last = model.encode(arrays("--reconstruct", "--num", 2)["originals"])
    row = arrays("--interpolate", "--num", 1)["interpolations"]
    path = np.stack([first + (last - first) * step / (len(row) - 1) for step in range(len(row))])
    np.testing.assert_allclose(row, model.decode(path), atol=1e-5)


def test_traversals_are_rows_of_pictures_the_most_informative_first(arrays):
    written = arrays("--traverse")
    assert set(written) == {"traversals", "values", "dimensions", "kl"}
    assert written["traversals"].shape == (3, 7, *SHAPE)
    assert sorted(written["dimensions"]) == [0, 1, 2]
    assert (np.diff(written["kl"]) <= 0).all()


def test_num_is_the_number_of_traversed_dimensions(arrays):
    every, two = arrays("--traverse"), arrays("--traverse", "--num", 2)
    np.testing.assert_array_equal(two["traversals"], every["traversals"][:2])


def test_traversal_begins_at_the_first_test_picture(arrays, run):
    written, model = arrays("--traverse"), run.load_model()
    z = model.encode(arrays("--reconstruct", "--num", 1)["originals"])
    z[0, written["dimensions"][1]] = written["values"][-1]
    np.testing.assert_allclose(written["traversals"][1, -1], model.decode(z)[0], atol=1e-5)


@pytest.mark.parametrize(
    ("words", "tiles"),
    [
        (["--num", 5], (1, 5)),
        (["--num", 20], (3, 8)),
        (["--reconstruct", "--num", 4], (2, 4)),
        (["--interpolate", "--num", 2], (2, 10)),
    ],
)
def test_png_has_the_size_of_its_grid(run, tmp_path, words, tiles):
    sample(run, *words, "--out", tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as image:
        assert image.format == "PNG"
        zoom, rest = divmod(image.height - 40, tiles[0] * (SHAPE[0] + 2) - 2)
        assert rest == 0
        grid_width = zoom * (tiles[1] * (SHAPE[1] + 2) - 2)
        assert image.width == grid_width or grid_width < image.width < 400  # room for the title


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ([], "samples.png"),
        (["--reconstruct"], "reconstructions.png"),
        (["--interpolate", "--num", 2], "interpolations.png"),
        (["--traverse"], "traversals.png"),
    ],
)
def test_default_file_is_named_after_the_picture(run, tmp_path, monkeypatch, capsys, words, name):
    monkeypatch.chdir(tmp_path)
    sample(run, *words)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert capsys.readouterr() == (f"{name}\n", "")


def test_folder_of_the_file_is_made(run, tmp_path):
    sample(run, "--num", 1, "--out", tmp_path / "new" / "folder" / "one.png")
    assert (tmp_path / "new" / "folder" / "one.png").is_file()


def test_sampling_leaves_the_run_as_it_is(run, tmp_path):
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    sample(run, "--reconstruct", "--out", tmp_path / "out.png")
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


def refused(monkeypatch, capsys, *words: object) -> str:
    """The one line with which the command refuses; fails where it does anything else."""
    monkeypatch.setattr(sys, "argv", ["sample.py", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.run(main, SampleOptions, COMMAND)
    assert ended.value.code == 2
    written = capsys.readouterr()
    assert written.out == ""
    [line] = written.err.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--reconstruct", "--interpolate"], "--reconstruct and --interpolate"),
        (["--interpolate", "--traverse"], "--interpolate and --traverse"),
        (["--traverse", "--seed", 1], "seed applies to prior samples"),
        (["--traverse", "--num", 4], "num must be at most 3, by the latent dimensions there are. Received: num=4"),
        (["--reconstruct", "--temperature", 0.5], "temperature"),
        (["--interpolate", "--temperature", 1], "temperature"),
        (["--reconstruct", "--seed", 3], "seed applies to prior samples"),
        (["--num", 10**8], "num must be at most 100000"),
        (["--temperature", -1], "temperature=-1"),
        (["--temperature", "nan"], "temperature=nan"),
        (["--num", 0], "num=0"),
        (["--seed", -1], "seed=-1"),
        (["--out", "grid.jpg"], "grid.jpg"),
        (["--out", "grid"], "out=grid"),
    ],
)
def test_wrong_options_are_refused(run, monkeypatch, capsys, words, named):
    assert named in refused(monkeypatch, capsys, "--run", run.path, *words)


@pytest.mark.parametrize(
    ("words", "most"),
    [(["--reconstruct", "--num", NUM_TEST + 1], NUM_TEST), (["--interpolate", "--num", NUM_TEST], NUM_TEST // 2)],
)
def test_more_test_pictures_than_there_are_is_refused(run, monkeypatch, capsys, tmp_path, words, most):
    out = tmp_path / "out.png"
    line = refused(monkeypatch, capsys, "--run", run.path, *words, "--out", out)
    assert f"num must be at most {most}, " in line
    assert not out.exists()


def test_default_takes_what_a_small_test_split_has(arrays):
    assert len(arrays("--interpolate")["interpolations"]) == 10 * min(8, NUM_TEST // 2)


def test_run_that_is_not_there_is_refused(monkeypatch, capsys, tmp_path):
    assert "nowhere" in refused(monkeypatch, capsys, "--run", tmp_path / "nowhere")


def test_run_that_has_not_finished_is_refused(monkeypatch, capsys, tmp_path):
    RunDir.create(tmp_path / "run", overwrite=False).write_config(RunConfig())
    assert "model.keras" in refused(monkeypatch, capsys, "--run", tmp_path / "run")


def test_file_that_cannot_be_written_is_refused(run, monkeypatch, capsys, tmp_path):
    (tmp_path / "file").touch()
    line = refused(monkeypatch, capsys, "--run", run.path, "--num", 1, "--out", tmp_path / "file" / "grid.png")
    assert "can be written" in line


def test_data_that_has_gone_is_named(run, monkeypatch, capsys, tmp_path):
    config = run.read_config().model_copy(update={"data_dir": str(tmp_path / "gone.npz")})
    moved = RunDir.create(tmp_path / "run", overwrite=False)
    moved.write_config(config)
    (moved.path / "model.keras").write_bytes((run.path / "model.keras").read_bytes())
    assert "gone.npz" in refused(monkeypatch, capsys, "--run", moved.path, "--reconstruct")


def test_command_works_as_a_process(run, tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "vae_tf.sample", "--run", str(run.path), "--num", "5", "--out", "grid.npz"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(vae_tf.__file__).resolve().parents[1])},
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "grid.npz\n", "")
    with np.load(tmp_path / "grid.npz") as archive:
        np.testing.assert_array_equal(archive["samples"], run.load_model().sample(5, seed=0))
