"""An attempt knows which job it was preempted for."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0015_brought_logs")]

    operations = [
        migrations.AddField(
            "attempt",
            "preempted_by",
            models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="preemptions",
                to="jobs.job",
            ),
        ),
    ]
