"""Jobs can be paused: what a person wants of a job that stops is a state, not only that it stops."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models


def keep_the_wishes(apps: Any, schema_editor: Any) -> None:
    apps.get_model("jobs", "Job").objects.filter(wants_stop=True).update(wanted_state="cancelled")


class Migration(migrations.Migration):
    dependencies = [("jobs", "0010_causes_of_gangs")]

    operations = [
        migrations.AddField("job", "wanted_state", models.CharField(blank=True, default="", max_length=10), False),
        migrations.RunPython(keep_the_wishes, migrations.RunPython.noop),
        migrations.RemoveField("job", "wants_stop"),
        migrations.AlterField(
            "job",
            "state",
            models.CharField(
                choices=[
                    ("queued", "Queued"),
                    ("scheduled", "Scheduled"),
                    ("starting", "Starting"),
                    ("running", "Running"),
                    ("stopping", "Stopping"),
                    ("paused", "Paused"),
                    ("succeeded", "Succeeded"),
                    ("failed", "Failed"),
                    ("cancelled", "Cancelled"),
                ],
                db_index=True,
                default="queued",
                max_length=10,
            ),
        ),
    ]
