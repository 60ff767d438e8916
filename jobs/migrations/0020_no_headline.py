"""Newest values live in RunMetric alone. Those of runs that ended before it existed move there, without a past."""

import math

from django.db import migrations


def move(apps, schema_editor):
    RunMetric = apps.get_model("jobs", "RunMetric")
    known = set(RunMetric.objects.values_list("run_id", "key"))
    for run in apps.get_model("jobs", "Run").objects.only("headline").iterator():
        values = {key: float(value) for key, value in run.headline.items() if (run.id, key) not in known}
        RunMetric.objects.bulk_create(
            RunMetric(run=run, key=key, last=None if math.isnan(value) else value, last_at_us=0)
            for key, value in values.items()
        )


class Migration(migrations.Migration):
    dependencies = [
        ('jobs', '0019_devices_fail_tokens_end'),
    ]

    operations = [
        migrations.RunPython(move, migrations.RunPython.noop),
        migrations.RemoveField(model_name="run", name="headline"),
    ]
