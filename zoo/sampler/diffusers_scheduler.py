"""Any scheduler of diffusers that walks a table of betas, as a sampler."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from zoo.draw import Draw
from zoo.records import Level, Predict, Prediction
from zoo.sampler.sampler import Sampler
from zoo.schedule import NoiseSchedule

_OUTPUTS = ("epsilon", "sample", "v_prediction")


class DiffusersScheduler(Sampler):
    """Runs a scheduler of diffusers on the model's own noise schedule, with the zoo's own noise.

    For published settings that live there only, and for comparison: it visits the scheduler's own
    timesteps (``timestep_spacing`` and the like in its config), gets the kind of output it expects
    (epsilon, sample or v) and takes every random number from the images' streams. It is slower than
    the zoo's samplers. Needs diffusers, which is imported when it is used.

    Args:
        num_steps: as in ``set_timesteps``; some schedulers make more network evaluations.
        scheduler: the class, such as "PNDMScheduler".
        config: its constructor's arguments, as in a folder's ``scheduler_config.json``; betas and
            their number come from the model. Where the scheduler has them, ``clip_sample`` is off
            unless it is set here (the zoo clips before), and ``variance_type: learned_range``
            stands for whatever variance the model has.
        step_options: further arguments of its ``step``, such as ``{"eta": 1.0}``.

    Raises:
        ValueError: on use, where diffusers is absent, has no such scheduler, or the scheduler does
            not walk betas or takes no such argument.
    """

    def __init__(
        self,
        num_steps: int = 50,
        scheduler: str = "DDIMScheduler",
        config: dict[str, Any] | None = None,
        step_options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(num_steps)
        self.scheduler, self.config, self.step_options = scheduler, config, step_options

    def levels(self, schedule: NoiseSchedule) -> list[Level]:
        """The scheduler's own, one for each of its steps and the last; two-stage ones repeat."""
        return _levels(self._scheduler(schedule), schedule)

    def start(self, noise: Tensor, first: Level) -> Tensor:
        """x at the first level from unit noise: sigma times it where the scheduler says so."""
        scheduler = self._scheduler(None)  # its rule does not depend on the betas
        first_sigma = float(max(getattr(scheduler, "sigmas", [0.0])))
        init = float(scheduler.init_noise_sigma)
        in_sigma = init != 1 and math.isclose(init, first_sigma, rel_tol=1e-6)
        return noise * first.sigma if in_sigma else super().start(noise, first)

    def steps(
        self, predict: Predict, x: Tensor, levels: list[Level], draw: Draw, schedule: NoiseSchedule
    ) -> Iterator[Tensor]:
        scheduler = self._scheduler(schedule)
        own = _levels(scheduler, schedule)
        begin = len(own) - len(levels)
        if begin < 0 or own[begin:] != levels:
            raise ValueError(
                f"{self.scheduler} walks its own timesteps or a tail of them; "
                "another grid needs one of the zoo's own samplers"
            )
        times = scheduler.timesteps[begin:]
        if begin and hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(begin)
        scale = float(scheduler.scale_model_input(torch.ones(()), times[0]))
        sample = x / scale  # x / alpha where the scheduler walks over sigma / alpha
        options = self.step_options or {}
        for t, now, to in zip(times, levels, levels[1:], strict=False):
            network_input = scheduler.scale_model_input(sample, t)
            output = _output(scheduler, predict(network_input, now), network_input, now)
            with _OwnNoise(draw):
                sample = scheduler.step(output, t, sample, **options).prev_sample
            yield sample if scale == 1 else sample * to.alpha

    def _scheduler(self, schedule: NoiseSchedule | None) -> Any:
        kind = _class(self.scheduler)
        takes = inspect.signature(kind.__init__).parameters
        if "trained_betas" not in takes:
            raise ValueError(f"{self.scheduler} does not walk a table of betas, as models here do")
        own = {k: v for k, v in (self.config or {}).items() if not k.startswith("_")}
        if unknown := sorted(own.keys() - takes.keys()):
            possible = ", ".join(name for name in takes if name != "self")
            raise ValueError(
                f"{self.scheduler} takes no {', '.join(unknown)}; possible are {possible}"
            )
        settings: dict[str, Any] = {"clip_sample": False, **own}
        if not _uses_variance(kind):
            settings.pop("variance_type", None)  # models' second half of channels never arrives
        if schedule is not None:
            settings["num_train_timesteps"] = int(schedule.end)
            settings["trained_betas"] = _betas(schedule)
            if schedule(schedule.end).alpha == 0:  # x0 cannot be read from epsilon there
                settings = {"prediction_type": "v_prediction", **settings}
                settings["rescale_betas_zero_snr"] = True  # changes no beta, avoids infinities
        scheduler = kind(**{k: v for k, v in settings.items() if k in takes})
        if schedule is not None:
            _sharpen(scheduler, schedule)
        scheduler.set_timesteps(self.num_steps)
        return scheduler


def _class(name: str) -> Any:
    try:
        import diffusers
    except ImportError:
        raise ValueError(
            f"the sampler DiffusersScheduler({name}) needs diffusers, which is not installed: "
            "pip install diffusers, or use one of the zoo's own samplers"
        ) from None
    kind = getattr(diffusers, name, None) if name.endswith("Scheduler") else None
    if not (inspect.isclass(kind) and issubclass(kind, diffusers.SchedulerMixin)):
        raise ValueError(f"diffusers {diffusers.__version__} has no scheduler called '{name}'")
    return kind


def _log_alpha2(schedule: NoiseSchedule) -> np.ndarray:
    """log alpha^2 at t = 1 to T, float64."""
    log_snr = schedule.log_snr(torch.arange(1, int(schedule.end) + 1, dtype=torch.float64)).numpy()
    return np.asarray(-np.logaddexp(0.0, -log_snr))


def _betas(schedule: NoiseSchedule) -> list[float]:
    """The schedule's table of betas, (T,), as diffusers takes it."""
    return list((-np.expm1(np.diff(_log_alpha2(schedule), prepend=0.0))).tolist())


def _sharpen(scheduler: Any, schedule: NoiseSchedule) -> None:
    """Puts exact alphas in place of diffusers' product of float32 betas, which is 1e-6 off."""
    exact = torch.from_numpy(np.exp(_log_alpha2(schedule)))
    exact = torch.where(exact > 0, exact, scheduler.alphas_cumprod.double())
    scheduler.alphas_cumprod = exact
    if float(getattr(scheduler, "final_alpha_cumprod", 1.0)) < 1:
        scheduler.final_alpha_cumprod = exact[0]


def _levels(scheduler: Any, schedule: NoiseSchedule) -> list[Level]:
    """The levels its steps begin at, and the one that the last ends at: clean, or t = 1."""
    begins = [min(float(t) + 1, schedule.end) for t in scheduler.timesteps]
    sigmas: Any = getattr(scheduler, "sigmas", ())
    if len(sigmas) == len(begins) + 1:
        last = float(sigmas[-1])
        stop = schedule.time_at(-2 * np.log(last)) if last > 0 else 0.0
    else:
        stop = 1.0 if float(getattr(scheduler, "final_alpha_cumprod", 1.0)) < 1 else 0.0
    return schedule.levels([*begins, stop])


def _uses_variance(kind: Any) -> bool:
    variance = getattr(kind, "_get_variance", None)
    return variance is not None and "predicted_variance" in inspect.signature(variance).parameters


def _output(scheduler: Any, prediction: Prediction, x: Tensor, level: Level) -> Tensor:
    """The output at x of a network that predicts what the scheduler expects."""
    kind_of_output, x0 = scheduler.config.get("prediction_type", "epsilon"), prediction.x0
    if kind_of_output not in _OUTPUTS:
        raise ValueError(f"prediction_type is one of {', '.join(_OUTPUTS)}, got '{kind_of_output}'")
    output = x0
    if kind_of_output != "sample":
        output = torch.add(x, x0, alpha=-level.alpha).mul_(1 / level.sigma)
    if kind_of_output == "v_prediction":
        output.mul_(level.alpha).sub_(x0, alpha=level.sigma)
    kind = scheduler.config.get("variance_type")
    if kind == "learned":
        raise ValueError("variance_type 'learned' is not possible here, use 'learned_range'")
    if kind == "learned_range":
        fraction = prediction.variance_fraction
        if not isinstance(fraction, Tensor):
            fraction = torch.full_like(x0, fraction)
        output = torch.cat([output, 2 * fraction - 1], dim=1)
    return output


class _OwnNoise(TorchFunctionMode):
    """Within, torch.randn and torch.randn_like give the images' own noise."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.draw = draw

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.randn_like:
            return self.draw.normal(args[0])
        if func is torch.randn:
            options = {k: v for k, v in kwargs.items() if k in ("size", "dtype", "device")}
            return self.draw.normal(torch.empty(*args, **options))
        return func(*args, **kwargs)
