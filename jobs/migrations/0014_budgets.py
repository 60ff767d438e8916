import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0013_charges_a_day'),
    ]

    operations = [
        migrations.AlterField(model_name='charge', name='day', field=models.DateField()),
        migrations.AddConstraint(
            model_name='charge',
            constraint=models.UniqueConstraint(fields=('attempt', 'day'), name='one_charge_per_attempt_and_day'),
        ),
        migrations.AddField(model_name='share', name='month_j', field=models.FloatField(default=0.0)),
        migrations.AddField(model_name='share', name='month_money', field=models.FloatField(default=0.0)),
        migrations.AddField(
            model_name='share', name='monthly_budget_j',
            field=models.FloatField(
                blank=True, null=True, validators=[django.core.validators.MinValueValidator(0)]),
        ),
        migrations.AddField(
            model_name='share', name='monthly_budget_money',
            field=models.FloatField(
                blank=True, null=True, validators=[django.core.validators.MinValueValidator(0)]),
        ),
    ]
