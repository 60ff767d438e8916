"""Tables and columns renamed to standard terms."""

import django.db.models.deletion
from django.db import migrations, models

from jobs.migrations._at_once import AtOnce

ATTEMPT_NODE_STATES = [
    ('assigned', 'Assigned'), ('preparing', 'Preparing'), ('armed', 'Prepared'), ('running', 'Running'),
    ('succeeded', 'Succeeded'), ('stopped', 'Stopped'), ('failed', 'Failed'), ('lost', 'Lost'),
]


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0037_contended_forecasts'),
    ]

    operations = [
        AtOnce([
            migrations.RenameModel(old_name='Sign', new_name='ComponentHeartbeat'),
            migrations.RenameModel(old_name='BroughtLog', new_name='UploadedLog'),
            migrations.RenameModel(old_name='LastView', new_name='LastQuery'),
            migrations.RenameModel(old_name='TracePiece', new_name='TraceChunk'),
        ]),
        AtOnce([
            migrations.RenameField(model_name='componentheartbeat', old_name='part', new_name='component'),
            migrations.RenameField(model_name='run', old_name='heard_at', new_name='last_seen_at'),
            migrations.RenameField(model_name='attemptnode', old_name='is_witness', new_name='is_secondary_failure'),
            migrations.AlterField(
                model_name='attemptnode',
                name='attempt',
                field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='attempt_nodes', to='jobs.attempt'),
            ),
            migrations.AlterField(
                model_name='attemptnode',
                name='node',
                field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='attempt_nodes', to='jobs.node'),
            ),
            migrations.AlterField(
                model_name='attemptnode',
                name='state',
                field=models.CharField(choices=ATTEMPT_NODE_STATES, db_index=True, default='assigned', max_length=10),
            ),
            migrations.AlterField(
                model_name='uploadedlog',
                name='attempt',
                field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='uploaded_logs', to='jobs.attempt'),
            ),
            migrations.AlterField(
                model_name='tracechunk',
                name='file',
                field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='chunks', to='jobs.tracefile'),
            ),
        ]),
        # On SQLite a changed constraint builds its table again from the models, so columns and indexes change apart from
        # it. The constraint of TraceChunk keeps its name: every chunk would be copied.
        AtOnce([
            migrations.RemoveConstraint(model_name='attemptnode', name='one_part_per_attempt_and_node'),
            migrations.AddConstraint(
                model_name='attemptnode',
                constraint=models.UniqueConstraint(fields=('attempt', 'node'), name='one_row_per_attempt_and_node'),
            ),
            migrations.RemoveConstraint(model_name='uploadedlog', name='one_brought_log_per_attempt_and_rank'),
            migrations.AddConstraint(
                model_name='uploadedlog',
                constraint=models.UniqueConstraint(fields=('attempt', 'rank'), name='one_uploaded_log_per_attempt_and_rank'),
            ),
            migrations.RemoveConstraint(model_name='lastquery', name='one_last_view_per_page'),
            migrations.AddConstraint(
                model_name='lastquery',
                constraint=models.UniqueConstraint(fields=('user', 'page'), name='one_last_query_per_page'),
            ),
        ]),
        migrations.RenameIndex(
            model_name='uploadedlog',
            new_name='jobs_upload_node_id_1df585_idx',
            old_name='jobs_brough_node_id_8e9f6c_idx',
        ),
    ]
