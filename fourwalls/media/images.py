"""Images from files, arrays, tensors, PIL and matplotlib, stored as PNG."""

from __future__ import annotations

import io
import math
import struct
import zlib
from typing import Any, Optional

from fourwalls.media.base import FileMedia, MediaError, find_file, get_extension, to_array

EXTENSIONS = ("png", "jpg", "jpeg", "gif", "webp", "bmp")
SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # channels -> PNG's number
COMPRESSION = 3  # a third of the time of zlib's default, a tenth more bytes


class Image(FileMedia):
    """`data`: a path, PIL image, matplotlib figure, tensor (channels first) or array (channels last). Floats are
    expected in [0, 1], or in [-1, 1] if any is negative; larger ones count as 0 to 255."""

    kind = "image"

    def __init__(
        self,
        data_or_path: Any,
        mode: Optional[str] = None,
        caption: Any = None,
        grouping: Any = None,
        classes: Any = None,
        boxes: Any = None,
        masks: Any = None,
        file_type: Optional[str] = None,
        normalize: bool = True,
    ) -> None:
        del grouping, classes, file_type
        self.boxes, self.masks = boxes, masks
        self.width = self.height = 0
        if isinstance(data_or_path, Image):
            content, extension = data_or_path.content, data_or_path.extension
            self.width, self.height = data_or_path.width, data_or_path.height
        elif path := find_file(data_or_path, "image"):
            content, extension = path.read_bytes(), get_extension(path, EXTENSIONS)
        else:
            content, extension = self._encode(data_or_path, mode, normalize), "png"
        super().__init__(content, extension, caption)

    @property
    def image(self) -> Any:
        """The image as one of PIL, which must be installed."""
        from PIL import Image as pil

        return pil.open(io.BytesIO(self.content if isinstance(self.content, bytes) else b""))

    def details(self) -> dict[str, Any]:
        return {"width": self.width, "height": self.height} if self.width else {}

    def _encode(self, data: Any, mode: Optional[str], normalize: bool) -> bytes:
        if callable(getattr(data, "savefig", None)):  # a figure, or matplotlib.pyplot with its current one
            file = io.BytesIO()
            data.savefig(file, format="png")
            return file.getvalue()
        if callable(getattr(data, "get_figure", None)):
            return self._encode(data.get_figure(), mode, normalize)
        if hasattr(data, "mode") and callable(getattr(data, "save", None)):  # of PIL
            self.width, self.height = data.size
            file = io.BytesIO()
            (data if data.mode in ("1", "L", "LA", "P", "RGB", "RGBA") else data.convert("RGB")).save(
                file, "PNG"
            )
            return file.getvalue()
        pixels = to_pixels(data, is_channels_first=hasattr(data, "detach"), normalizes=normalize)
        self.height, self.width = pixels.shape[:2]
        return encode_png(pixels)


def to_pixels(data: Any, *, is_channels_first: bool, normalizes: bool = True) -> Any:
    """An array (height, width, channels) of bytes; a batch becomes a grid. Raises MediaError."""
    import numpy

    array = to_array(data)
    if array.dtype == object or array.size == 0 or array.ndim > 4:
        raise MediaError(f"An array of shape {array.shape} and type {array.dtype} is no image.")
    if is_channels_first and array.ndim >= 3:
        array = numpy.moveaxis(array, -3, -1)
    if array.ndim == 4:
        array = tile(array)
    while array.ndim > 3 or (array.ndim == 3 and array.shape[-1] not in COLOUR_TYPES and 1 in array.shape):
        array = array.squeeze(axis=array.shape.index(1))
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in COLOUR_TYPES:
        raise MediaError(
            f"An array of shape {array.shape} is no image: its last axis has 1, 3 or 4 channels."
        )
    return to_bytes(array, normalizes)


def to_bytes(array: Any, normalizes: bool = True) -> Any:
    """Values as bytes: truth values as black and white, floats by their range, integers clipped to 0 to 255."""
    import numpy

    if array.dtype == numpy.uint8:
        return array
    if array.dtype == bool:
        return array.astype(numpy.uint8) * 255
    if array.dtype.kind == "f" and normalizes:
        array = numpy.nan_to_num(array.astype(numpy.float32))
        low, high = float(array.min()), float(array.max())
        if low < 0:
            array = (array + 1) / 2 if low >= -1 and high <= 1 else (array - low) / ((high - low) or 1)
            high = 1.0
        if high <= 1:
            array = array * 255
    return numpy.clip(array, 0, 255).astype(numpy.uint8)


def tile(batch: Any) -> Any:
    """The images of a batch (n, height, width, channels) in a grid that is about square."""
    import numpy

    count, height, width, channels = batch.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    grid = numpy.zeros((rows * height, columns * width, channels), batch.dtype)
    for index in range(count):
        top, left = index // columns * height, index % columns * width
        grid[top : top + height, left : left + width] = batch[index]
    return grid


def encode_png(pixels: Any) -> bytes:
    """PNG of an array (height, width, channels) of bytes (ISO/IEC 15948)."""
    height, width, channels = pixels.shape
    head = struct.pack(">IIBBBBB", width, height, 8, COLOUR_TYPES[channels], 0, 0, 0)
    body = zlib.compress(_scanlines(pixels), COMPRESSION)
    return SIGNATURE + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def encode_animation(frames: Any, fps: float) -> bytes:
    """Animated PNG of an array (time, height, width, channels) of bytes, which browsers play as an image."""
    count, height, width, channels = frames.shape
    head = struct.pack(">IIBBBBB", width, height, 8, COLOUR_TYPES[channels], 0, 0, 0)
    parts = [SIGNATURE, chunk(b"IHDR", head), chunk(b"acTL", struct.pack(">II", count, 0))]
    delay = struct.pack(">HH", 1000, max(1, min(65_535, round(fps * 1000))))
    number = 0
    for index in range(count):
        control = struct.pack(">IIIII", number, width, height, 0, 0) + delay + b"\0\0"
        parts.append(chunk(b"fcTL", control))
        body = zlib.compress(_scanlines(frames[index]), 1)
        number += 1
        if index == 0:
            parts.append(chunk(b"IDAT", body))
            continue
        parts.append(chunk(b"fdAT", struct.pack(">I", number) + body))
        number += 1
    return b"".join([*parts, chunk(b"IEND", b"")])


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _scanlines(pixels: Any) -> bytes:
    """Rows of pixels, each after the number of its filter (0: none)."""
    import numpy

    height = pixels.shape[0]
    rows = numpy.ascontiguousarray(pixels).reshape(height, -1)
    return numpy.concatenate([numpy.zeros((height, 1), numpy.uint8), rows], axis=1).tobytes()
