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
        ValueError: see ``check_likelihood``.
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
        how = setting.generation
        options = metric.num_steps, how.seed, how.batch_size
        batches = with_likelihood(module, held_out, count, *options)
        own_plan = plan.only([replace(measurement, num_images=count)])
        tallies = one_pass(batches, own_plan, ReferenceFeatures(own_plan), count)
        own_values, reasons = values_of(tallies, Baselines())
        values |= own_values
        absent |= reasons
    return values, absent


def check_likelihood(setting: Setting, plan: Plan) -> None:
    """Refuses, before images are generated, a likelihood that could not be measured after them.

    Raises:
        ValueError: ``num_images`` of a metric is below two, or more than are held out; or nothing
            is measured but likelihoods that the model does not have.
    """
    measurements = plan.against("model")
    reason = _no_likelihood(setting) if measurements else None
    if reason is not None:
        if len(measurements) == len(plan.measurements):
            raise ValueError(f"nothing to measure: {measurements[0].name}: {reason}")
        return
    for measurement in measurements:
        metric, held_out = measurement.factory(), setting.reference_set.test
        assert isinstance(metric, BitsPerDim) and held_out is not None
        where, count, steps = f"metric.{metric.stem}", metric.num_images, metric.num_steps
        if count is not None and not (type(count) is int and 2 <= count <= len(held_out)):
            raise ValueError(
                f"{where}.num_images is a whole number from 2 to {len(held_out)}, the held-out "
                f"images of {setting.reference_set.name}, got {count!r}"
            )
        if steps is not None and not (type(steps) is int and steps >= 1):
            raise ValueError(f"{where}.num_steps is a whole number from 1, got {steps!r}")


def _no_likelihood(setting: Setting) -> str | None:
    if isinstance(setting.subject, ImageSet):
        return "images have no model whose likelihood could be computed"
    if setting.reference_set.test is None:
        return "there are no held-out images: say held_out=..."
    assert isinstance(setting.subject, DiffusionModule)
    if setting.subject.first_stage.bounds is None:
        return "a latent model diffuses no 8-bit values: it has no bits per dimension"
    return None
