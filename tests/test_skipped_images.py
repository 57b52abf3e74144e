"""Images that can't be read, through every command: they are skipped and named, and cost no training."""

import csv

import numpy as np
import pytest
from PIL import Image

from vae_tf.data.sources import image_files
from vae_tf.training.trainer import Trainer

OPTIONS = (
    *("--dataset", "folder", "--image-size", "8x10", "--channels", 1, "--arch", "dense", "--hidden-sizes", 8),
    *("--latent-dim", 2, "--batch-size", 16, "--val-fraction", 0.2, "--epochs", 1),
)
BROKEN = "broken data stream when reading image file"


def make_data(folder):
    """A folder of images, two of which are JPEGs that are damaged in the middle: one for training, one for testing."""
    for split, count in (("train", 40), ("test", 24)):
        (folder / split).mkdir(parents=True)
        for number in range(count):
            pixels = np.random.default_rng(number).integers(0, 256, (16, 20), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / split / f"{number:02}.jpg", quality=90)
        content = bytearray((folder / split / "05.jpg").read_bytes())
        middle = (content.index(b"\xff\xda") + len(content)) // 2  # of the scan
        content[middle : middle + 20] = b"\xff\xc0" * 10  # frame headers where there may be none
        (folder / split / "05.jpg").write_bytes(content)
    return folder


def warning(data):
    """The line that names the damaged images."""
    named = ", ".join(f"{data / split / '05.jpg'} ({BROKEN})" for split in ("train", "test"))
    return f"warning: skipped 2 of 64 files: {named}\n"


@pytest.fixture(scope="module")
def process(command):
    """Runs a command as in a new process, which has no images open and has printed no warning."""

    def call(*words):
        image_files._decode_into_temporary_folder.cache_clear()
        image_files._print_once.cache_clear()
        return command(*words)

    return call


@pytest.fixture(scope="module")
def train(process):
    """Trains in a run folder on a folder of images, without figures, which take most of the time."""

    def call(run_dir, data, *words):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("vae_tf.plots.save", lambda figure, file: file.touch())
            return process("train", *OPTIONS, "--data-dir", data, "--run-dir", run_dir, *words)

    return call


@pytest.fixture
def data(tmp_path):
    """The images of `make_data`, for tests that change them."""
    return make_data(tmp_path / "data")


@pytest.fixture(scope="module")
def finished(train, tmp_path_factory):
    """A folder with images and with two runs on them, and how the first ended."""
    folder = tmp_path_factory.mktemp("finished")
    make_data(folder / "data")
    ended = train(folder / "run", folder / "data")
    assert train(folder / "seed1", folder / "data", "--seed", 1).status == 0
    return folder, ended


def result(ended):
    """The line with the test ELBO."""
    assert ended.status == 0, ended.stderr
    return next(line for line in ended.stdout.splitlines() if line.startswith("Test ELBO"))


def test_training_skips_names_and_lists_them_the_same_with_a_cache(train, finished, tmp_path):
    folder, plain = finished
    cached, again = (
        train(tmp_path / name, folder / "data", "--cache-dir", tmp_path / "cache") for name in ("first", "second")
    )

    for ended in (plain, cached, again):
        assert ended.stderr.startswith(warning(folder / "data"))
        assert ended.stderr.count("skipped") == 1
    assert "31 train, 8 val, 23 test images" in plain.stdout
    assert result(plain) == result(cached) == result(again)
    for run in (folder / "run", tmp_path / "first", tmp_path / "second"):
        with (run / "skipped_files.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        damaged = [str(folder / "data" / split / "05.jpg") for split in ("train", "test")]
        assert rows == [["file", "reason"], *([path, BROKEN] for path in damaged)]


@pytest.mark.slow
def test_a_run_resumes_after_they_are_removed(train, data, tmp_path):
    train(tmp_path / "run", data)
    for split in ("train", "test"):
        (data / split / "05.jpg").unlink()

    resumed = train(tmp_path / "run", data, "--epochs", 2)

    assert resumed.status == 0
    assert "skipped" not in resumed.stderr
    assert "Resumed after step 2 of 4" in resumed.stdout
    assert not (tmp_path / "run" / "skipped_files.csv").exists()


@pytest.mark.parametrize("cache", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_images_that_vanish_during_training_do_not_end_it(train, data, finished, tmp_path, monkeypatch, cache):
    test = Trainer._test

    def vanish_and_test(*arguments):
        for path in data.rglob("*.jpg"):
            path.unlink()
        return test(*arguments)

    monkeypatch.setattr(Trainer, "_test", vanish_and_test)
    ended = train(tmp_path / "run", data, *(["--cache-dir", tmp_path / "cache"] if cache else []))

    assert result(ended) == result(finished[1])


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "--nll-images", 4, "--nll-samples", 4],
        ["score"],
        pytest.param(["score", "--split", "all"], marks=pytest.mark.slow),
        ["encode"],
        ["sample", "--reconstruct"],
        pytest.param(["compare", "--nll-images", 4, "--nll-samples", 4, "--out", "comparison"], marks=pytest.mark.slow),
    ],
    ids=lambda words: " ".join(map(str, words)),
)
def test_every_command_that_reads_the_data_skips_and_names_them(finished, process, tmp_path, monkeypatch, words):
    folder, _ = finished
    monkeypatch.chdir(tmp_path)
    runs = [folder / "run", folder / "seed1"] if words[0] == "compare" else ["--run", folder / "run"]

    ended = process(words[0], *runs, *words[1:])

    assert ended.status == 0, ended.stderr
    assert warning(folder / "data") in ended.stderr
    assert ended.stderr.count("skipped 2 of 64 files") == 1
