"""Video and audio from files and arrays."""

from __future__ import annotations

import importlib.util
import io
import wave
from typing import Any, Optional

from fourwalls.media.base import FileMedia, MediaError, find_file, get_extension, to_array
from fourwalls.media.images import COLOUR_TYPES, encode_animation, to_bytes

VIDEO_EXTENSIONS = ("mp4", "webm", "gif", "ogg", "png", "apng")
AUDIO_EXTENSIONS = ("wav", "mp3", "ogg", "flac", "m4a")
FULL_SCALE = 32_767


class Video(FileMedia):
    """`data`: a path, or an array (time, channels, height, width) or (batch, time, channels, height, width), whose
    first video is kept. An array becomes an animated PNG, or what `format` asks for where imageio is installed."""

    kind = "video"

    def __init__(
        self,
        data_or_path: Any,
        caption: Any = None,
        fps: Optional[float] = None,
        format: Optional[str] = None,
    ) -> None:
        if isinstance(data_or_path, io.BytesIO):
            super().__init__(data_or_path.getvalue(), format or "gif", caption)
        elif path := find_file(data_or_path, "video"):
            super().__init__(path.read_bytes(), get_extension(path, VIDEO_EXTENSIONS), caption)
        else:
            super().__init__(*_encode_video(data_or_path, float(fps or 4), format), caption)


class Audio(FileMedia):
    """`data`: a path, or samples in [-1, 1] as an array (time) or (time, channels) with their rate per second."""

    kind = "audio"

    def __init__(self, data_or_path: Any, sample_rate: Optional[int] = None, caption: Any = None) -> None:
        self.sample_rate = int(sample_rate or 0)
        if path := find_file(data_or_path, "audio file"):
            super().__init__(path.read_bytes(), get_extension(path, AUDIO_EXTENSIONS), caption)
        else:
            if not self.sample_rate:
                raise MediaError("Audio from an array needs its sample_rate.")
            super().__init__(_encode_wave(data_or_path, self.sample_rate), "wav", caption)

    def details(self) -> dict[str, Any]:
        return {"sample_rate": self.sample_rate} if self.sample_rate else {}


def _encode_video(data: Any, fps: float, wanted: Optional[str]) -> tuple[bytes, str]:
    import numpy

    array = to_array(data)
    if array.ndim == 5:
        array = array[0]
    if array.ndim != 4:
        raise MediaError(f"An array of shape {array.shape} is no video: (time, channels, height, width).")
    if array.shape[1] in COLOUR_TYPES:
        array = numpy.moveaxis(array, 1, -1)
    if array.shape[-1] not in COLOUR_TYPES:
        raise MediaError(f"A video of shape {array.shape} has no axis of 1, 3 or 4 channels.")
    frames = to_bytes(array)
    if wanted in ("mp4", "webm", "gif") and importlib.util.find_spec("imageio"):
        try:
            from imageio import v3 as imageio

            return imageio.imwrite("<bytes>", frames, extension=f".{wanted}", fps=fps), wanted
        except Exception:  # noqa: BLE001 - its encoder is not installed: the animated PNG follows
            pass
    return encode_animation(frames, fps), "png"


def _encode_wave(data: Any, sample_rate: int) -> bytes:
    import numpy

    samples = to_array(data)
    if samples.ndim == 1:
        samples = samples[:, None]
    if samples.ndim == 2 and samples.shape[0] < samples.shape[1] and samples.shape[0] <= 8:
        samples = samples.T  # channels first, as audio libraries for tensors have them
    if samples.ndim != 2 or samples.shape[1] > 8:
        raise MediaError(f"An array of shape {samples.shape} is no audio: (time) or (time, channels).")
    if samples.dtype.kind == "f":
        samples = numpy.clip(numpy.nan_to_num(samples), -1, 1) * FULL_SCALE
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(samples.shape[1])
        writer.setsampwidth(2)
        writer.setframerate(sample_rate)
        writer.writeframes(numpy.ascontiguousarray(samples).astype("<i2").tobytes())
    return file.getvalue()
