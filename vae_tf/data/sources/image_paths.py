"""Finds the paths of image files, in a folder or in a list file."""

import os
from pathlib import Path

from vae_tf.support.errors import InputError

EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".dib", ".gif")
# Images in formats that can't be read. They are found, so that they are reported as skipped.
OTHER_EXTENSIONS = (
    *(
        ".tif",
        ".tiff",
        ".heic",
        ".heif",
        ".avif",
        ".jp2",
        ".j2k",
        ".jxl",
        ".svg",
        ".ico",
        ".tga",
        ".psd",
        ".exr",
        ".hdr",
    ),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".dng", ".raw", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"),
)


def find_images(folder: Path) -> list[str]:
    """Returns the paths of the image files under `folder`, sorted by path components, excluding hidden files.

    A file counts as an image by its extension, even if images of that format can't be read. Links to folders are
    followed; a folder that is also linked is listed under its own path, and one that is linked twice under the first.

    Raises:
        InputError: The folder does not exist, can't be read, or contains no file with an image extension.
    """
    if not folder.is_dir():
        raise InputError(
            f"data_dir must be a folder of images or a .txt file that lists them. Received: {folder} (no such folder)"
        )
    if not os.access(folder, os.R_OK | os.X_OK):
        raise InputError(f"data_dir must be a readable folder. Received: {folder} (permission denied)")
    found: list[str] = []  # strings, because a Path needs many times as much memory
    visited: set[str] = set()  # links may form a cycle
    tops = [str(folder)]
    for top in tops:  # grows by the links that are found, so that they are followed after all folders
        links = []
        for parent, folders, names in os.walk(top, onerror=_raise_unreadable):
            real = os.path.realpath(parent)
            if real in visited:
                folders.clear()
                continue
            visited.add(real)
            folders[:] = [name for name in folders if not name.startswith(".")]
            links += [str(path) for path in map(Path(parent).joinpath, folders) if path.is_symlink()]
            found += [str(Path(parent, name)) for name in names if _is_image(name)]
        tops += sorted(links, key=_sort_key)
    if not found:
        raise InputError(
            f"data_dir must contain images ({', '.join(EXTENSIONS)}). Received: {folder} (no images found)"
        )
    return sorted(found, key=_sort_key)


def _is_image(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS + OTHER_EXTENSIONS) and not name.startswith(".")


def _sort_key(path: str) -> str:
    """Returns a key that sorts paths component by component, in the same order on every system."""
    return path.replace(os.sep, "\0")


def _raise_unreadable(error: OSError) -> None:
    raise InputError(f"Every subfolder of data_dir must be readable. Received: {error.filename} ({error.strerror})")


def read_list(path: Path) -> list[str]:
    """Returns the paths listed in a text file, sorted and without duplicates; they need not exist.

    Args:
        path: The list: one path per line, absolute or relative to the list's folder. Blank lines and lines that begin
            with `#` are ignored.

    Raises:
        InputError: The list can't be read, is not UTF-8 text, or is empty.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows editors add a byte order mark
    except OSError as error:
        raise InputError(f"data_dir must be a readable list file. Received: {path} ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise InputError(f"data_dir must be a list file in UTF-8. Received: {path} ({error})") from None
    if "\0" in text:
        raise InputError(
            f"data_dir must be a list of paths. Received: {path} (not a text file: it contains null bytes)"
        )
    lines = [line.strip() for line in text.split("\n")]
    base_dir = path.absolute().parent
    listed = {str(base_dir / line) for line in lines if line and not line.startswith("#")}
    if not listed:
        raise InputError(f"data_dir must list at least one image. Received: {path} (an empty list)")
    return sorted(listed, key=_sort_key)
