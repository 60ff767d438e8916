"""The series: a journal of batches, folded into segments, sealed into chunks. Written only by jobs.series.

Times are whole microseconds since 1970, values float64; a point never has a row of its own.
"""

from __future__ import annotations

from django.db import models

from jobs.models.runs import Run


class Stream(models.Model):
    """What one writer of one attempt says, in batches numbered from 0."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="streams")
    attempt = models.PositiveIntegerField()
    name = models.CharField(max_length=100)
    last_seq = models.BigIntegerField(default=-1)  # newest batch that is folded; older ones are known
    first_step = models.BigIntegerField(null=True)  # lowest folded so far
    first_at_us = models.BigIntegerField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "attempt", "name"], name="one_stream_per_writer")
        ]


class Batch(models.Model):
    """The journal: one delivered batch as one blob, until the fold takes it."""

    pk = models.CompositePrimaryKey("stream_id", "seq")
    stream = models.ForeignKey(Stream, on_delete=models.CASCADE, related_name="batches")
    seq = models.BigIntegerField()
    first_step = models.BigIntegerField(null=True)
    first_at_us = models.BigIntegerField(null=True)  # NULL: an empty batch
    data = models.BinaryField()


class Delivery(models.Model):
    """A request of a writer that does not number its batches, by its digest: a retry of it finds this row."""

    pk = models.CompositePrimaryKey("stream_id", "digest")
    stream = models.ForeignKey(Stream, on_delete=models.CASCADE, related_name="deliveries")
    digest = models.BinaryField(max_length=16)
    seq = models.BigIntegerField()  # of the batch it became


class StoredSeries(models.Model):
    """One metric of one source within a stream; counts what is folded."""

    stream = models.ForeignKey(Stream, on_delete=models.CASCADE, related_name="series")
    metric = models.CharField(max_length=250)
    source = models.CharField(max_length=100)
    count = models.BigIntegerField(default=0)
    pending = models.PositiveIntegerField(default=0)  # of these, points still in segments
    chunks = models.PositiveIntegerField(default=0)
    last_step = models.BigIntegerField(null=True)
    last_at_us = models.BigIntegerField(default=0)
    last_value = models.FloatField(null=True)  # NULL is NaN, which SQLite cannot hold

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["stream", "metric", "source"], name="one_series_per_metric_and_source"
            )
        ]


class Segment(models.Model):
    """Raw columns of the open tail of a series."""

    pk = models.CompositePrimaryKey("series_id", "seq")
    series = models.ForeignKey(StoredSeries, on_delete=models.CASCADE, related_name="segments")
    seq = models.BigIntegerField()  # newest batch in it
    count = models.PositiveIntegerField()
    data = models.BinaryField()


class Chunk(models.Model):
    """Up to 4,096 points, sealed and never changed: their extremes, and a summary of each 64 points."""

    series = models.ForeignKey(StoredSeries, on_delete=models.CASCADE, related_name="sealed")
    index = models.PositiveIntegerField()
    count = models.PositiveIntegerField()
    first_step = models.BigIntegerField(null=True)  # lowest and highest, whatever the order; NULL: no steps
    last_step = models.BigIntegerField(null=True)
    first_at_us = models.BigIntegerField()
    last_at_us = models.BigIntegerField()
    low = models.FloatField(null=True)  # of the finite values; NULL: there is none
    high = models.FloatField(null=True)
    mean = models.FloatField(null=True)
    num_finite = models.PositiveIntegerField()
    num_nan = models.PositiveIntegerField()
    num_plus = models.PositiveIntegerField()  # +infinity; what is left is -infinity
    summary = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["series", "index"], name="chunk_indexes_are_unique")]


class ChunkData(models.Model):
    """The points of a chunk: delta-coded, byte-shuffled, zstd-compressed columns."""

    chunk = models.OneToOneField(Chunk, on_delete=models.CASCADE, primary_key=True, related_name="points")
    data = models.BinaryField()
