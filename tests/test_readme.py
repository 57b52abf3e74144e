"""Every command and every Python block of README.md and docs/ runs, made small by options alone; every link works."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# azure/README.md has tests of its own; what the others show was run by hand.
LINKED_PAGES = [
    *sorted(ROOT.glob("*.md")),
    *(page for name in ("docs", "azure", "benchmarks") for page in sorted((ROOT / name).rglob("*.md"))),
]
CODE_BLOCK = re.compile(r"^```(\w*).*?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def text_of(page):
    return page.read_text(encoding="utf-8")


def blocks(language, page):
    return [body for found, body in CODE_BLOCK.findall(text_of(page)) if found == language]


def commands():
    """The commands of all pages, each once."""
    bodies = [body for page in PAGES for body in blocks("bash", page)]
    lines = [line.partition("  #")[0].strip() for body in bodies for line in body.splitlines()]
    return [line for line in dict.fromkeys(lines) if line]


def slow_beyond_readme(lines):
    """The commands of README.md, and those of the other pages marked as slow."""
    first = {line for body in blocks("bash", PAGES[0]) for line in body.splitlines()}
    return [
        line if any(line in each for each in first) else pytest.param(line, marks=pytest.mark.slow) for line in lines
    ]


def module_commands(module):
    return [line for line in commands() if line.startswith(f"python -m vae_tf.{module}")]


def name_of(page):
    return page.relative_to(ROOT).as_posix()


# What makes each training command small: it replaces or adds options and leaves the rest as it stands.
SMALL_TRAINING = {
    "--dataset folder": "--image-size 8 --epochs 1",
    "--config": "--image-size 8 --epochs 1",
    "--dataset moons": "--epochs 1",
    "": "--dataset npz --data-dir tiny.npz --epochs 1",
}
# What one epoch on noise makes training warn of, and what some CPUs do.
EXPECTED_WARNINGS = re.compile("latent dimensions are active|this CPU has no AVX-512")
# A file that the Python blocks of a page write last.
WRITTEN = {"docs/python.md": "vae.keras", "docs/extending.md": "runs/laplace/model.keras"}


def prepare_data(folder):
    """Fills a folder with what training needs: images, arrays and configurations."""
    rng = np.random.default_rng(0)
    (folder / "my_images").mkdir()
    for index in range(24):
        Image.fromarray(rng.integers(0, 256, (12, 10, 3), np.uint8)).save(folder / "my_images" / f"{index}.png")
    images = rng.integers(0, 256, (160, 8, 8), np.uint8)
    labels = np.arange(160) % 2
    np.savez(folder / "tiny.npz", x_train=images[:80], x_test=images[80:], y_train=labels[:80], y_test=labels[80:])
    shutil.copytree(folder / "my_images", folder / "cats")
    shutil.copytree(ROOT / "configs", folder / "configs")


@pytest.fixture(scope="module")
def run(command):
    """Runs a line in a folder: the commands of vae_tf in this process, scripts in one of their own."""

    def run_line(folder, line):
        python, *words = shlex.split(line)
        assert python == "python"
        if words[0] == "-m":
            ended = command(words[1].removeprefix("vae_tf."), *words[2:], cwd=folder)
            assert ended.status == 0, ended.stderr
            return ended
        threads = {name: value for name, value in os.environ.items() if "_NUM_" in name and name.endswith("_THREADS")}
        ended = subprocess.run(
            [sys.executable, *words],
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(folder), **threads},
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, ended.stderr
        return ended

    return run_line


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readme_data")
    prepare_data(folder)
    return folder


@pytest.fixture(scope="module")
def workplace(made_once, run, tmp_path_factory):
    """A folder with what all other commands need: the same data, and finished runs."""

    def prepare(folder):
        prepare_data(folder)
        train = "python -m vae_tf.train --dataset npz --data-dir tiny.npz --arch dense --epochs 1"
        run(folder, f"{train} --run-dir runs/x")
        run(folder, f"{train} --run-dir runs/y --variant plain")
        run(folder, f"{train} --run-dir runs/conditional --conditional")
        run(folder, f"{train} --run-dir runs/restore --corrupt mask:0.5")

    folder = tmp_path_factory.mktemp("readme") / "workplace"
    shutil.copytree(made_once("readme", prepare), folder)
    return folder


def shrunk(command):
    options = next(small for marker, small in SMALL_TRAINING.items() if marker in command)
    return without(command, options.split()[::2]) + " " + options + " --overwrite" * ("--run-dir" in command)


def without(command, names):
    for name in names:
        command = re.sub(rf" {name} \S+", "", command)
    return command


# Those of several machines run in tests/distribute/.
@pytest.mark.parametrize(
    "line", slow_beyond_readme(line for line in module_commands("train") if "multi_worker" not in line)
)
def test_training_command_runs(line, run, data):
    result = run(data, shrunk(line))
    assert "Test ELBO" in result.stdout
    assert [warning for warning in result.stderr.splitlines() if not EXPECTED_WARNINGS.search(warning)] == []


@pytest.mark.parametrize("line", slow_beyond_readme(module_commands("sample") + module_commands("encode")))
def test_command_that_writes_a_file_runs_as_it_stands(line, run, workplace):
    result = run(workplace, line)
    (out,) = re.findall(r"--out (\S+)", line)
    assert result.stdout == f"{out}\n"
    assert (workplace / out).stat().st_size > 0


@pytest.mark.parametrize("line", slow_beyond_readme(module_commands("evaluate")))
def test_evaluating_command_runs_as_it_stands(line, run, workplace):
    assert run(workplace, line).stdout.endswith("report.html\n")


@pytest.mark.parametrize("line", slow_beyond_readme(module_commands("compare")))
def test_comparing_command_runs(line, run, workplace):
    small = " --dataset npz --data-dir tiny.npz --arch dense --epochs 1" if "--variants" in line else ""
    assert run(workplace, line + small).stdout.endswith("compare.json\n")


@pytest.mark.parametrize("line", slow_beyond_readme(module_commands("score")))
def test_scoring_command_runs_as_it_stands(line, run, workplace):
    # The eight validation images of the small run are too few for a quantile of 0.99.
    assert run(workplace, line.replace("0.99", "0.8")).stdout.startswith("scores.csv\nscores.png\n")
    assert len((workplace / "scores.csv").read_text().splitlines()) == 1 + 24


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks("python", page)], ids=name_of)
def test_python_blocks_run_as_they_stand(page, run, workplace):
    for number, body in enumerate(blocks("python", page)):
        named = re.match(r"# (\w+\.py)\n", body)  # a module that later blocks import
        script = named[1] if named else f"block_{number}.py"
        (workplace / script).write_text(body)
        run(workplace, f"python {script}")
    assert (workplace / WRITTEN[name_of(page)]).is_file()


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("train", "-m vae_tf.train --config configs/first_run.yml"),
        ("test", '-m "not slow"'),
        ("test", "ruff check"),
        ("test-all", "-m pytest"),
        ("lint", "ruff check"),
        ("audit", "pip-audit --strict"),
    ],
)
def test_make_targets_say_what_they_will_do(target, expected):
    plan = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=True)
    assert expected in plan.stdout


def test_no_command_is_left_untested():
    elsewhere = {
        "make train",
        "make test",
        "make test-all",
        "pip install .",
        'pip install ".[cuda]"',
        'pip install ".[dev]"',
        'python -m pytest -m "not slow"',
        "tensorboard --logdir runs",  # a server
    }  # the target test above; test_packaging.py; test_dependencies.py
    tested = {
        line
        for module in ("train", "sample", "encode", "score", "evaluate", "compare")
        for line in module_commands(module)
    }
    assert set(commands()) - tested == elsewhere


def anchors_of(page):
    """The anchors that GitHub gives the headings of a page."""
    headings = HEADING.findall(CODE_BLOCK.sub("", text_of(page)))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def is_found(page, target):
    path, _, anchor = target.partition("#")
    there = page.parent / path if path else page
    return there.exists() and (not anchor or anchor in anchors_of(there))


@pytest.mark.parametrize("page", LINKED_PAGES, ids=name_of)
def test_every_link_and_image_is_there(page):
    local = [target for target in LINK.findall(text_of(page)) if "://" not in target]
    assert [target for target in local if not is_found(page, target)] == []


def test_the_readme_links_to_every_page():
    targets = set(LINK.findall(text_of(PAGES[0])))
    assert {name_of(page) for page in PAGES[1:]} <= targets
