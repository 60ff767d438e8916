"""Templates, and from which run or template a job was made."""

from __future__ import annotations

import django.db.models.deletion
import jobs.ids
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0017_projects_params_tags_metrics'),
    ]

    operations = [
        migrations.AddField(
            model_name='job',
            name='cloned_from',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='clones', to='jobs.run'),
        ),
        migrations.CreateModel(
            name='Template',
            fields=[
                ('id', models.CharField(default=jobs.ids.new_id, editable=False, max_length=12, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=60)),
                ('description', models.CharField(blank=True, max_length=300)),
                ('spec', models.JSONField()),
                ('version', models.PositiveIntegerField(default=1)),
                ('created_by', models.CharField(max_length=150)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('changed_by', models.CharField(max_length=150)),
                ('changed_at', models.DateTimeField(auto_now=True)),
                ('team', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='templates', to='jobs.team')),
            ],
            options={
                'ordering': ['name'],
            },
        ),
        migrations.AddField(
            model_name='job',
            name='template',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='jobs', to='jobs.template'),
        ),
        migrations.CreateModel(
            name='TemplateEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(auto_now_add=True)),
                ('actor', models.CharField(max_length=150)),
                ('text', models.TextField()),
                ('team', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='template_events', to='jobs.team')),
                ('template', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='events', to='jobs.template')),
            ],
            options={
                'ordering': ['id'],
            },
        ),
        migrations.AddConstraint(
            model_name='template',
            constraint=models.UniqueConstraint(fields=('team', 'name'), name='one_template_per_team_and_name'),
        ),
    ]
