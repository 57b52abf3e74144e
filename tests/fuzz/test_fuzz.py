"""Whatever a file holds and a command line says: success, or one line; never another exception, a hang, or much memory.

`make test` runs 300 cases, the same every time. More of them, others every time:

    VAE_TF_FUZZ_CASES=10000 python -m pytest tests/fuzz
"""

import contextlib
import gzip
import io
import json
import os
import string
import struct
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from damage import damaged, with_checksums, zipped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from limits import kept
from PIL import Image

import vae_tf
from vae_tf.config import DataConfig, RunConfig
from vae_tf.data.loading import load_splits
from vae_tf.runs.run_dir import RunDir
from vae_tf.support import cli
from vae_tf.train import COMMAND, TrainOptions

FEW = 300
CASES = int(os.environ.get("VAE_TF_FUZZ_CASES", FEW))


def share(of_hundred: int) -> settings:
    """Settings for a part of all cases."""
    return settings(
        max_examples=CASES * of_hundred // 100,
        derandomize=CASES == FEW,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def read_all(**options) -> None:
    """Reads every image of every split, as training does."""
    splits = load_splits(DataConfig(batch_size=2, **options))
    for examples in (splits.train, splits.val, splits.test):
        if examples is not None:
            examples.read(np.arange(len(examples)))


# Configs and command lines

NAMES = st.sampled_from([*TrainOptions.model_fields, "latent_dims", "self", ""]) | st.text(max_size=8)
WORDS = st.sampled_from(
    [
        "1",
        "3",
        "0",
        "-1",
        "0.5",
        "nan",
        "inf",
        "1e400",
        "64x48",
        "conv",
        "dense",
        "bn",
        "plain",
        "cosine",
        "gaussian",
        "gaussian:0.3",
        "mask:2",
        "none",
        "static",
        "true",
        "512,256",
        "npz",
        "folder",
        "mnist",
        "moons",
        "learned_gaussian",
        "auto",
        "~",
        "~nobody",
        ".",
        "/",
        "wrong.yml",
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=12) | st.dates()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3))
MAPPINGS = st.dictionaries(NAMES, VALUES, max_size=5)
YAML_SIGNS = "[]{}:,-&*!?|>%@`'\"#~<= \n\t" + string.ascii_lowercase + string.digits
YAML_PARTS = st.sampled_from(("&a ", "*a", "<<: ", "!!int ", "!!python/name:os.system", "[" * 99, "? ", "0x", "- "))
TEXTS = (
    MAPPINGS.map(lambda mapping: yaml.safe_dump(mapping).encode())
    | st.lists(NAMES | WORDS | YAML_PARTS | st.text(YAML_SIGNS, max_size=9), max_size=12).map(
        lambda parts: "".join(parts).encode(errors="surrogateescape")
    )
    | st.binary(max_size=60)
    | damaged([RunConfig().to_yaml().encode(), RunConfig(dataset="moons").to_yaml().encode()])
)
OPTIONS = NAMES.map(lambda name: "--" + name.replace("_", "-"))
COMMAND_LINES = st.lists(
    OPTIONS | WORDS | st.builds("{}={}".format, OPTIONS, SCALARS) | st.text(max_size=9), max_size=6
)


@share(15)
@given(TEXTS)
def test_config_files(text):
    with tempfile.TemporaryDirectory() as folder, kept():
        path = Path(folder, "config.yml")
        path.write_bytes(text)
        assert RunConfig.from_yaml(path).to_yaml()


@share(10)
@given(MAPPINGS)
def test_mappings(mapping):
    with kept():
        config = TrainOptions(**mapping)
        assert config.subset(RunConfig).to_yaml()


@share(15)
@given(COMMAND_LINES, TEXTS)
def test_command_lines(words, text):
    with tempfile.TemporaryDirectory() as folder, kept():
        path = Path(folder, "config.yml")
        path.write_bytes(text)
        with contextlib.suppress(SystemExit):  # after --help; other ends are errors of one line
            cli.parse(TrainOptions, COMMAND, [*words, f"--config={path}"])


# Images


def image_files() -> list[bytes]:
    """Small images of every format and of unusual modes."""
    grey = np.random.default_rng(0).integers(0, 256, (12, 16), np.uint8)
    rgb = Image.fromarray(np.stack([grey, grey.T.reshape(12, 16), 255 - grey], -1))
    turned = Image.Exif()
    turned[0x0112] = 6
    saves = [
        (rgb, "JPEG", {"exif": turned}),
        (rgb.convert("CMYK"), "JPEG", {"progressive": True}),
        (rgb, "PNG", {"exif": turned}),
        (rgb.quantize(4), "PNG", {"transparency": 1}),
        (rgb.convert("LA"), "PNG", {}),
        (Image.fromarray(grey.astype(np.uint16) * 257), "PNG", {}),
        (rgb, "PNG", {"save_all": True, "append_images": [rgb.rotate(90)]}),
        (rgb, "WEBP", {"exif": turned}),
        (rgb.convert("RGBA"), "WEBP", {"lossless": True, "save_all": True, "append_images": [rgb.rotate(90)]}),
        (rgb.quantize(4), "GIF", {"transparency": 1, "save_all": True, "append_images": [rgb.rotate(90)]}),
        (rgb, "BMP", {}),
        (rgb.quantize(4), "BMP", {}),
        (rgb, "TIFF", {}),
    ]
    return [_saved(*save) for save in saves]


def _saved(image: Image.Image, kind: str, options: dict) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


IMAGES = image_files()
EXTENSIONS = st.sampled_from(("jpg", "png", "webp", "gif", "bmp"))
DAMAGED_IMAGES = damaged(IMAGES) | damaged(IMAGES).map(with_checksums) | st.binary(max_size=200)


@share(30)
@given(st.lists(st.tuples(DAMAGED_IMAGES, EXTENSIONS), min_size=1, max_size=3), st.booleans(), st.booleans())
def test_images(files, among_good_ones, is_cached):
    with tempfile.TemporaryDirectory() as folder, kept():
        place = Path(folder, "images")
        place.mkdir()
        for number, (content, extension) in enumerate([*files, *[(IMAGES[2], "png")] * (3 * among_good_ones)]):
            (place / f"{number}.{extension}").write_bytes(content)
        cache = str(Path(folder, "cache")) if is_cached else None
        read_all(dataset="folder", data_dir=str(place), image_size=8, cache_dir=cache)


# Arrays


def array_files() -> list[bytes]:
    """npy files of many types, orders and ranks."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 8, 8), np.uint8)
    arrays = [
        pixels,
        np.asarray(pixels, order="F"),
        pixels.astype(">f4"),
        pixels.astype("<i8") // 256,
        pixels[..., np.newaxis].repeat(3, -1),
        np.zeros((2, 8, 8), object),
        np.zeros((2, 8, 8), [("a", "<f4"), ("b", "|u1")]),
        np.arange(20),
    ]
    return [_npy(array) for array in arrays]


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


ARRAYS = array_files()
SHAPES = st.lists(st.integers(-1, 20) | st.sampled_from((2**31, 2**32 - 1, 2**63, 2**64)), max_size=4).map(tuple)
DTYPES = st.sampled_from(("|u1", "<f8", ">i4", "|O", "|V0", "<U0", "|S9", "<m8", "<c8", "<f16", "x", ["|u1", "<f4"]))
HEADERS = st.fixed_dictionaries({"descr": DTYPES, "fortran_order": st.booleans(), "shape": SHAPES})


def _with_header(header: dict, content: bytes) -> bytes:
    text = repr(header).encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + content


NPY = damaged(ARRAYS) | st.builds(_with_header, HEADERS, st.binary(max_size=2000)) | st.sampled_from(ARRAYS)
MEMBERS = st.fixed_dictionaries(
    {"x_train.npy": NPY, "x_test.npy": NPY}, optional={"y_train.npy": NPY, "y_test.npy": NPY}
)
NPZ = st.builds(zipped, MEMBERS, st.sampled_from((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA)))
WHOLE_NPZ = [
    zipped({"x_train.npy": ARRAYS[0], "x_test.npy": ARRAYS[0], "y_test.npy": ARRAYS[-1]}, method)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
]
PIXELS, LABELS = idx(np.zeros((20, 28, 28), np.uint8)), idx(np.zeros(20, np.uint8))
IDX = damaged([PIXELS, LABELS]) | st.sampled_from((PIXELS, LABELS))
GZIPPED = IDX.map(gzip.compress) | damaged([gzip.compress(PIXELS), gzip.compress(LABELS)])


@share(10)
@given(NPY)
def test_npy_files(content):
    with tempfile.TemporaryDirectory() as folder, kept():
        path = Path(folder, "data.npy")
        path.write_bytes(content)
        read_all(dataset="npy", data_dir=str(path))


@share(10)
@given(NPZ | damaged(WHOLE_NPZ))
def test_npz_files(content):
    with tempfile.TemporaryDirectory() as folder, kept():
        path = Path(folder, "data.npz")
        path.write_bytes(content)
        read_all(dataset="npz", data_dir=str(path))


@share(8)
@given(IDX | GZIPPED, IDX, IDX | GZIPPED)
def test_idx_files(train, test, labels):
    with tempfile.TemporaryDirectory() as folder, kept():
        for name, content in (("train-images-idx3", train), ("t10k-images-idx3", test), ("train-labels-idx1", labels)):
            suffix = ".gz" if content.startswith(b"\x1f\x8b") else ""
            Path(folder, f"{name}-ubyte{suffix}").write_bytes(content)
        read_all(dataset="mnist", data_dir=folder)


# Models


@pytest.fixture(scope="module")
def model_file(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("model") / "model.keras"
    vae_tf.build_vae((8, 8, 1), latent_dim=2, arch="dense", variant="plain", hidden_sizes=(3,)).save(path)
    return path.read_bytes()


def names(config: object) -> list[dict]:
    """Every `{"class_name": ...}` in a nested config."""
    inside = config.values() if isinstance(config, dict) else config if isinstance(config, list) else ()
    return [found for value in inside for found in names(value)] + [config] * (
        isinstance(config, dict) and "class_name" in config
    )


CLASSES = st.sampled_from(("Lambda", "Dense", "VAE", "__lambda__", "function", "StringLookup", "get_file", "system"))
MODULES = st.sampled_from(("keras.layers", "keras.utils", "vae_tf", "os", "builtins", "keras.src.utils.file_utils"))


@share(2)
@given(st.data())
def test_model_files(model_file, data):
    with zipfile.ZipFile(io.BytesIO(model_file)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    way = data.draw(st.sampled_from(("zip", "class", *members)))
    if way == "zip":
        content = data.draw(damaged([model_file]))
    else:
        if way == "class":
            config = json.loads(members["config.json"])
            chosen = data.draw(st.sampled_from(names(config)))
            chosen |= {"class_name": data.draw(CLASSES), "module": data.draw(MODULES), "registered_name": None}
            members["config.json"] = json.dumps(config).encode()
        else:
            members[way] = data.draw(damaged([members[way]]))
        content = zipped(members)
    with tempfile.TemporaryDirectory() as folder, kept():
        Path(folder, "config.yml").write_text(RunConfig().to_yaml())
        Path(folder, "model.keras").write_bytes(content)
        RunDir.open(Path(folder)).load_model()
