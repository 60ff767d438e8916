"""Storage of series.

A journal of batches is folded into segments; full segments are sealed into chunks. Written only by jobs.series. Times
are whole microseconds since 1970, values float64. No point has a row of its own.
"""

from __future__ import annotations

from django.db import models

from jobs.models.runs import Run


class Stream(models.Model):
    """The points of one writer of one attempt, in batches numbered from 0."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="streams")
    attempt = models.PositiveIntegerField()
    name = models.CharField(max_length=100)
    last_seq = models.BigIntegerField(default=-1)  # newest folded batch; older ones are folded too
    first_step = models.BigIntegerField(null=True)  # lowest folded step
    first_at_us = models.BigIntegerField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "attempt", "name"], name="one_stream_per_writer")
        ]


class Batch(models.Model):
    """The journal: one delivered batch as one blob, until it is folded."""

    pk = models.CompositePrimaryKey("stream_id", "seq")
    stream = models.ForeignKey(Stream, on_delete=models.CASCADE, related_name="batches")
    seq = models.BigIntegerField()
    first_step = models.BigIntegerField(null=True)
    first_at_us = models.BigIntegerField(null=True)  # NULL: an empty batch
    data = models.BinaryField()


class Delivery(models.Model):
    """Digest of a request whose writer does not number its batches, so that a retry of the request is recognised."""

    pk = models.CompositePrimaryKey("stream_id", "digest")
    stream = models.ForeignKey(Stream, on_delete=models.CASCADE, related_name="deliveries")
    digest = models.BinaryField(max_length=16)
    seq = models.BigIntegerField()  # of the batch it became


class StoredSeries(models.Model):
    """One metric of one source in a stream. Counts folded points only."""

    stream = models.ForeignKey(Stream, on_delete=models.CASCADE, related_name="series")
    metric = models.CharField(max_length=250)
    source = models.CharField(max_length=100)
    count = models.BigIntegerField(default=0)
    pending = models.PositiveIntegerField(default=0)  # of these, points still in segments
    chunks = models.PositiveIntegerField(default=0)
    last_step = models.BigIntegerField(null=True)
    last_at_us = models.BigIntegerField(default=0)
    last_value = models.FloatField(null=True)  # NULL: NaN, which SQLite cannot store

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["stream", "metric", "source"], name="one_series_per_metric_and_source"
            )
        ]


class Segment(models.Model):
    """Raw columns of the unsealed tail of a series."""

    pk = models.CompositePrimaryKey("series_id", "seq")
    series = models.ForeignKey(StoredSeries, on_delete=models.CASCADE, related_name="segments")
    seq = models.BigIntegerField()  # newest batch in it
    count = models.PositiveIntegerField()
    data = models.BinaryField()


class Chunk(models.Model):
    """Extremes of up to 4,096 sealed points that never change, and a summary of each 64 points."""

    series = models.ForeignKey(StoredSeries, on_delete=models.CASCADE, related_name="sealed")
    index = models.PositiveIntegerField()
    count = models.PositiveIntegerField()
    first_step = models.BigIntegerField(null=True)  # lowest and highest step in any order; NULL: no steps
    last_step = models.BigIntegerField(null=True)
    first_at_us = models.BigIntegerField()
    last_at_us = models.BigIntegerField()
    low = models.FloatField(null=True)  # of the finite values; NULL: there is none
    high = models.FloatField(null=True)
    mean = models.FloatField(null=True)
    num_finite = models.PositiveIntegerField()
    num_nan = models.PositiveIntegerField()
    num_plus = models.PositiveIntegerField()  # +infinity; the remaining points are -infinity
    summary = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["series", "index"], name="chunk_indexes_are_unique")]


class ChunkData(models.Model):
    """The points of a chunk: delta-coded, byte-shuffled, zstd-compressed columns."""

    chunk = models.OneToOneField(Chunk, on_delete=models.CASCADE, primary_key=True, related_name="points")
    data = models.BinaryField()
