"""Sweeps: one spec run with many values; their jobs may halt at a step."""

from __future__ import annotations

import django.db.models.deletion
import jobs.ids
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0023_what_runs_bring'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='SweepEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(auto_now_add=True)),
                ('actor', models.CharField(max_length=150)),
                ('text', models.TextField()),
            ],
            options={
                'ordering': ['id'],
            },
        ),
        migrations.AddField(
            model_name='job',
            name='halt_at_step',
            field=models.PositiveIntegerField(null=True),
        ),
        migrations.AddField(
            model_name='job',
            name='is_halted',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='job',
            name='sweep_number',
            field=models.PositiveIntegerField(null=True),
        ),
        migrations.CreateModel(
            name='Sweep',
            fields=[
                ('id', models.CharField(default=jobs.ids.new_id, editable=False, max_length=12, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=100)),
                ('spec', models.JSONField()),
                ('definition', models.JSONField()),
                ('points', models.JSONField()),
                ('refused', models.JSONField(default=dict)),
                ('rungs', models.JSONField()),
                ('decisions', models.JSONField(default=list)),
                ('state', models.CharField(choices=[('running', 'Running'), ('paused', 'Paused'), ('finished', 'Finished'), ('cancelled', 'Cancelled')], db_index=True, default='running', max_length=10)),
                ('reason', models.TextField(blank=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('ended_at', models.DateTimeField(null=True)),
                ('owner', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='sweeps', to=settings.AUTH_USER_MODEL)),
                ('team', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='sweeps', to='jobs.team')),
            ],
            options={
                'ordering': ['-created_at'],
            },
        ),
        migrations.AddField(
            model_name='job',
            name='sweep',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='jobs', to='jobs.sweep'),
        ),
        migrations.AddConstraint(
            model_name='job',
            constraint=models.UniqueConstraint(fields=('sweep', 'sweep_number'), name='one_job_per_point_of_a_sweep'),
        ),
        migrations.AddField(
            model_name='sweepevent',
            name='sweep',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='events', to='jobs.sweep'),
        ),
        migrations.AddIndex(
            model_name='sweep',
            index=models.Index(fields=['team', '-created_at'], name='jobs_sweep_team_id_8fd4d3_idx'),
        ),
    ]
