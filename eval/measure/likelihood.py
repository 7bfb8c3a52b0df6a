"""Values that a model itself computes: bits per dimension of held-out images."""

from __future__ import annotations

from dataclasses import replace

from eval.measure.baselines import Baselines
from eval.measure.one_pass import one_pass
from eval.measure.plan import Plan
from eval.measure.reference_features import ReferenceFeatures
from eval.measure.setting import Setting
from eval.measure.values import values_of
from eval.metric import BitsPerDim
from eval.result.record import Value
from eval.source.likelihood import with_likelihood
from zoo.data.image_set import ImageSet
from zoo.module import DiffusionModule


def likelihood_values(setting: Setting, plan: Plan) -> tuple[dict[str, Value], dict[str, str]]:
    """The numbers that the model itself computes, by name, and the reasons for missing ones.

    Raises:
        ValueError: ``num_images`` of a metric is below two, or more than are held out.
    """
    values: dict[str, Value] = {}
    absent: dict[str, str] = {}
    for measurement in plan.against("model"):
        metric = measurement.factory()
        assert isinstance(metric, BitsPerDim)
        reason = _no_likelihood(setting)
        if reason is not None:
            absent[measurement.name] = reason
            continue
        module, held_out = setting.subject, setting.reference_set.test
        assert isinstance(module, DiffusionModule) and held_out is not None
        count = len(held_out) if metric.num_images is None else metric.num_images
        if not 2 <= count <= len(held_out):
            raise ValueError(
                f"metric.{metric.stem}.num_images is 2 to {len(held_out)}, the held-out images of "
                f"{setting.reference_set.name}, got {count}"
            )
        how = setting.generation
        options = metric.num_steps, how.seed, how.batch_size
        batches = with_likelihood(module, held_out, count, *options)
        own_plan = plan.only([replace(measurement, num_images=count)])
        tallies = one_pass(batches, own_plan, ReferenceFeatures(own_plan), count)
        own_values, reasons = values_of(tallies, Baselines())
        values |= own_values
        absent |= reasons
    return values, absent


def _no_likelihood(setting: Setting) -> str | None:
    if isinstance(setting.subject, ImageSet):
        return "images have no model whose likelihood could be computed"
    if setting.reference_set.test is None:
        return "there are no held-out images: say held_out=..."
    assert isinstance(setting.subject, DiffusionModule)
    if setting.subject.first_stage.bounds is None:
        return "a latent model diffuses no 8-bit values: it has no bits per dimension"
    return None
