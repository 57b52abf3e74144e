"""Peak resident memory of training on few and on many examples, each in its own process.

    python benchmarks/memory.py

The images are written to a temporary folder, which takes about 1.5 GB on disk for 200,000 of them. Linux only.
"""

import argparse
import gzip
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 28
NAMES = ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte")
DIFFERENT = 512  # distinct images; the others repeat them
FOLDERS = 100


def images(count: int) -> np.ndarray:
    """Returns images, uint8 `(count, 28, 28)`."""
    few = np.random.default_rng(0).integers(0, 256, (DIFFERENT, SIDE, SIDE), np.uint8)
    return few[np.arange(count) % DIFFERENT]


def write_folder(place: Path, count: int) -> list[str]:
    """Writes PNG files into subfolders of a folder, and returns the options to train on them."""
    few = [place / f"{number}.png" for number in range(DIFFERENT)]
    for path, pixels in zip(few, images(DIFFERENT), strict=True):
        Image.fromarray(pixels).save(path)
    contents = [path.read_bytes() for path in few]
    for path in few:
        path.unlink()
    for number in range(FOLDERS):
        (place / f"folder {number:03}").mkdir()
    for number in range(count):
        path = place / f"folder {number % FOLDERS:03}" / f"an image among many {number:07}.png"
        path.write_bytes(contents[number % DIFFERENT])
    return ["--dataset=folder", f"--data-dir={place}", f"--image-size={SIDE}", "--channels=1"]


def write_cached_folder(place: Path, count: int) -> list[str]:
    """Does the same as `write_folder`, but reads through a cache."""
    (place / "images").mkdir()
    return [*write_folder(place / "images", count), f"--cache-dir={place / 'cache'}"]


def write_idx(place: Path, count: int, suffix: str = "") -> list[str]:
    """Writes the IDX files of MNIST with `count` training images."""
    for name, number in zip(NAMES, (count, 1000), strict=True):
        content = struct.pack(">BBBBIII", 0, 0, 8, 3, number, SIDE, SIDE) + images(number).tobytes()
        (place / f"{name}{suffix}").write_bytes(gzip.compress(content, 1) if suffix else content)
    return ["--dataset=mnist", f"--data-dir={place}"]


def write_packed_idx(place: Path, count: int) -> list[str]:
    """Does the same as `write_idx`, but gzipped."""
    return write_idx(place, count, ".gz")


def write_npz(place: Path, count: int) -> list[str]:
    """Writes an uncompressed npz file."""
    np.savez(place / "data.npz", x_train=images(count), x_test=images(1000))
    return ["--dataset=npz", f"--data-dir={place / 'data.npz'}"]


def write_packed_npz(place: Path, count: int) -> list[str]:
    """Writes a compressed npz file."""
    np.savez_compressed(place / "data.npz", x_train=images(count), x_test=images(1000))
    return ["--dataset=npz", f"--data-dir={place / 'data.npz'}"]


KINDS: dict[str, Callable[[Path, int], list[str]]] = {
    "folder": write_folder,
    "folder, cache": write_cached_folder,
    "IDX": write_idx,
    "IDX, gzipped": write_packed_idx,
    "npz": write_npz,
    "npz, compressed": write_packed_npz,
}


def peak(kind: str, count: int) -> tuple[float, float]:
    """Returns the peak resident memory in MB, and the seconds, of training for an epoch in its own process."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "data")
        place.mkdir()
        words = KINDS[kind](place, count)
        command = [sys.executable, "-m", "vae_tf.train", *words, "--arch=dense", "--epochs=1", "--run-dir"]
        began = time.perf_counter()
        child = subprocess.Popen([*command, str(Path(folder, "run"))], stdout=subprocess.DEVNULL)
        resident = 0
        while child.poll() is None:
            resident = max(resident, _peak_so_far(child.pid))
            time.sleep(0.05)
        if child.returncode:
            raise SystemExit("training failed")
        return resident / 1e3, time.perf_counter() - began


def _peak_so_far(process: int) -> int:
    """Returns the peak resident memory of a running process so far, in kilobytes."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    line = next((line for line in status.splitlines() if line.startswith("VmHWM")), "VmHWM: 0 kB")
    return int(line.split()[1]) * 1024 // 1000


def main() -> None:
    """Trains on few and on many examples for each kind of file, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--few", type=int, default=2_000)
    parser.add_argument("--many", type=int, default=200_000)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    options = parser.parse_args()
    print(f"{'':16} {options.few:>9,} {options.many:>9,} images, MB; difference, seconds with many")
    for kind in options.kinds:
        few, many = peak(kind, options.few), peak(kind, options.many)
        print(f"{kind:16} {few[0]:9.0f} {many[0]:9.0f} {many[0] - few[0]:+9.0f} {many[1]:9.0f}", flush=True)


if __name__ == "__main__":
    main()
