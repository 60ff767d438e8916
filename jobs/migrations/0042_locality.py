"""Copies of checkpoints on other nodes, and paths relative to the folder of a node."""

import re

import django.db.models.deletion
from django.db import migrations, models

from jobs.migrations._at_once import AtOnce

ON_NODE = re.compile(r"(?:^|/)(attempts/[^/]+-\d+(?:/checkpoints/step-\d+)?)/?$")
SHARED = re.compile(r"(?:^|/)([^/]+-\d+/step-\d+)/?$")
COLUMNS = {
    "Attempt": ("directory", "checkpoint", "resumed_from"),
    "AttemptNode": ("directory",),
    "Checkpoint": ("path",),
}
ROWS = 500
HEALTH = [
    ('ok', 'Ok'), ('suspect', 'Suspect'), ('unreachable', 'Unreachable'), ('failed', 'Failed'), ('stopped', 'Stopped'),
]
COPY_STATES = [('copying', 'Copying'), ('ready', 'Ready'), ('failed', 'Failed')]


def relative_path(path):
    """Return the part below the folder of the node or the shared root; other paths are returned unchanged."""
    found = ON_NODE.search(path) or SHARED.search(path)
    return found[1] if found else path


def make_paths_relative(apps, editor):
    for name, columns in COLUMNS.items():
        rows = apps.get_model("jobs", name).objects
        changed = []
        for row in rows.only("id", *columns).order_by("id").iterator(chunk_size=ROWS):
            for column in columns:
                setattr(row, column, relative_path(getattr(row, column)))
            changed.append(row)
            if len(changed) == ROWS:
                rows.bulk_update(changed, columns)
                changed = []
        rows.bulk_update(changed, columns)


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0041_storage_limits'),
    ]

    operations = [
        AtOnce([
            migrations.AddField(model_name='artefact', name='missing_since', field=models.DateTimeField(null=True)),
            migrations.AddField(model_name='checkpoint', name='damage', field=models.CharField(blank=True, max_length=300)),
            migrations.AddField(
                model_name='job',
                name='preferred_node',
                field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='jobs.node'),
            ),
            migrations.AddField(model_name='node', name='storage_problem', field=models.CharField(blank=True, max_length=300)),
        ]),
        AtOnce([
            migrations.AddField(model_name='checkpoint', name='root_id', field=models.CharField(blank=True, max_length=32)),
            migrations.AddField(model_name='job', name='restarts', field=models.JSONField(default=list)),
            migrations.AlterField(
                model_name='node', name='health', field=models.CharField(choices=HEALTH, default='ok', max_length=12),
            ),
        ]),
        migrations.AddField(model_name='checkpoint', name='is_given_up', field=models.BooleanField(default=False)),
        migrations.CreateModel(
            name='CheckpointCopy',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('state', models.CharField(choices=COPY_STATES, default='copying', max_length=10)),
                ('path', models.CharField(max_length=500)),
                ('root_id', models.CharField(blank=True, max_length=32)),
                ('files', models.JSONField(default=list)),
                ('size_bytes', models.BigIntegerField(null=True)),
                ('sent_bytes', models.BigIntegerField(default=0)),
                ('received_bytes', models.BigIntegerField(default=0)),
                ('num_tries', models.PositiveIntegerField(default=0)),
                ('reason', models.CharField(blank=True, max_length=300)),
                ('requested_at', models.DateTimeField(auto_now_add=True)),
                ('ended_at', models.DateTimeField(null=True)),
                ('checkpoint', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='copies', to='jobs.checkpoint')),
                ('node', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='checkpoint_copies', to='jobs.node')),
                ('source', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='jobs.node')),
            ],
            options={
                'indexes': [
                    models.Index(fields=['node', 'state'], name='jobs_checkp_node_id_a8c38a_idx'),
                    models.Index(fields=['source', 'state'], name='jobs_checkp_source__1f1436_idx'),
                ],
                'constraints': [
                    models.UniqueConstraint(fields=('checkpoint', 'node'), name='one_copy_per_checkpoint_and_node'),
                ],
            },
        ),
        migrations.CreateModel(
            name='CheckpointPart',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('content', models.BinaryField()),
                ('copy', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='parts', to='jobs.checkpointcopy')),
            ],
            options={
                'constraints': [
                    models.UniqueConstraint(fields=('copy', 'number'), name='one_part_per_copy_and_number'),
                ],
            },
        ),
        migrations.RunPython(make_paths_relative, migrations.RunPython.noop),
    ]
