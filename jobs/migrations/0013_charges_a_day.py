import datetime

from django.db import migrations, models


def spread(apps, schema_editor):
    """Charges were one a month; each becomes one a day. What was wasted lies at the attempt's end, as it was booked.
    Energy was not kept with charges then: it is not measured."""
    Charge = apps.get_model('jobs', 'Charge')
    for old in list(Charge.objects.select_related('attempt__job').order_by('id')):
        attempt = old.attempt
        found = list(_days(attempt.assigned_at, attempt.ended_at or attempt.assigned_at, old.month))
        wasted = old.wasted_device_s
        new = []
        for day, seconds in reversed(found):
            device_s = seconds * attempt.job.num_devices
            new.append(Charge(
                attempt=attempt, team_id=old.team_id, pool_id=old.pool_id, day=day, month=old.month,
                device_s=device_s, wasted_device_s=min(device_s, wasted),
            ))
            wasted -= min(device_s, wasted)
        old.delete()
        Charge.objects.bulk_create(reversed(new))


def _days(begin, end, month):
    begin, end = begin.astimezone(datetime.UTC), end.astimezone(datetime.UTC)
    while begin < end:
        border = datetime.datetime.combine(begin.date() + datetime.timedelta(days=1), datetime.time(), datetime.UTC)
        if begin.strftime('%Y-%m') == month:
            yield begin.date(), (min(border, end) - begin).total_seconds()
        begin = border


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0012_pool_settings'),
    ]

    operations = [
        migrations.RemoveConstraint(model_name='charge', name='one_charge_per_attempt_and_month'),
        migrations.AddField(model_name='charge', name='day', field=models.DateField(null=True)),
        migrations.AddField(model_name='charge', name='energy_j', field=models.FloatField(null=True)),
        migrations.AddField(model_name='charge', name='energy_device_s', field=models.FloatField(default=0.0)),
        migrations.AddField(model_name='charge', name='price_per_device_hour', field=models.FloatField(null=True)),
        migrations.AddField(model_name='charge', name='tariff_per_kwh', field=models.FloatField(null=True)),
        migrations.AddField(
            model_name='charge', name='currency', field=models.CharField(blank=True, default='', max_length=3),
            preserve_default=False,
        ),
        migrations.AddField(model_name='charge', name='device_money', field=models.FloatField(null=True)),
        migrations.AddField(model_name='charge', name='energy_money', field=models.FloatField(null=True)),
        migrations.RunPython(spread, migrations.RunPython.noop, elidable=True),
    ]
