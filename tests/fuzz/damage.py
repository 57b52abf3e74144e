"""Files as they should not be: bytes cut, flipped, spliced, and numbers in them replaced by extreme ones."""

import io
import struct
import zipfile
import zlib

from hypothesis import strategies as st

HEADER = 100  # bytes in which most of what a reader believes stands
EXTREME = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
PNG_BEGIN = b"\x89PNG\r\n\x1a\n"


@st.composite
def damaged(draw: st.DrawFn, files: list[bytes]) -> bytes:
    """One of the files after one to five changes, each somewhere, as often as not in the header."""
    content = draw(st.sampled_from(files))
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, min(len(content), HEADER)) | st.integers(0, len(content)))
        head, tail = content[:start], content[start:]
        kind = draw(st.sampled_from(("flip", "extreme", "random", "cut", "remove", "repeat", "splice")))
        if kind == "flip":
            content = head + bytes(byte ^ 1 << draw(st.integers(0, 7)) for byte in tail[:1]) + tail[1:]
        elif kind == "extreme":
            value, (code, size) = draw(st.sampled_from(EXTREME)), draw(st.sampled_from((("B", 1), ("H", 2), ("I", 4))))
            order = draw(st.sampled_from("<>"))
            content = head + struct.pack(order + code, value & 256**size - 1) + tail[size:]
        elif kind == "random":
            new = draw(st.binary(min_size=1, max_size=16))
            content = head + new + tail[draw(st.sampled_from((0, len(new)))) :]
        elif kind == "cut":
            content = head
        elif kind == "remove":
            content = head + tail[draw(st.integers(1, 64)) :]
        elif kind == "repeat":
            content = head + tail[: draw(st.integers(1, 64))] + tail
        else:
            other = draw(st.sampled_from(files))
            content = head + other[draw(st.integers(0, len(other))) :]
    return content


def with_checksums(png: bytes) -> bytes:
    """A PNG whose chunks have the checksums they should have, so that their content is looked at."""
    if not png.startswith(PNG_BEGIN):
        return png
    made, rest = PNG_BEGIN, png[len(PNG_BEGIN) :]
    while len(rest) > 12:
        size = min(int.from_bytes(rest[:4]), len(rest) - 12)
        kind_and_content = rest[4 : 8 + size]
        made += size.to_bytes(4) + kind_and_content + zlib.crc32(kind_and_content).to_bytes(4)
        rest = rest[12 + size :]
    return made + rest


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip file of the members, with right checksums."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()
