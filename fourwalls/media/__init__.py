"""Images, tables, histograms, video, audio, HTML and texts that a run logs."""

from fourwalls.media.base import Media
from fourwalls.media.images import Image
from fourwalls.media.moving import Audio, Video
from fourwalls.media.tables import Histogram, Html, Plotly, Table, Text

__all__ = ["Audio", "Histogram", "Html", "Image", "Media", "Plotly", "Table", "Text", "Video"]
