"""NaN and infinity put into a training at many places: skipped, or stopped with the state good.

    python benchmarks/not_finite.py [--only NAME]

Each training is small, writes its state every two steps and is broken at step 5, once or from then
on. "skipped": it goes on, counts the steps, and everything it saves is finite. "stopped": it ends
with code 1 and one line, and last.ckpt is finite and of a step before. "told": nothing but a
validation is concerned, which is said. Writes benchmarks/not_finite.csv.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("OMP_NUM_THREADS", "1")

from _processes import COMMON, MODELS, state, train_on
from _table import write

AT = 5  # steps before it are good
ALWAYS = 10**9
NAN, INF = math.nan, math.inf
DDPM = [*COMMON, *MODELS["ddpm"], "data.batch_size=4"]
LATENT = [*COMMON, *MODELS["latent_diffusion"], "data.batch_size=4"]
AGAINST = [*COMMON, *MODELS["autoencoder against a discriminator"], "data.batch_size=4"]


class Case(NamedTuple):
    """A place, what breaks it, and what is expected."""

    place: str
    change: Callable[[Any, Any], Any]
    """Called with module and batch before each broken training step; gives the batch."""
    expected: str
    times: int = 1
    overrides: list[str] = DDPM
    processes: int = 1
    rank: int | None = None
    """The only process that is broken; None for all."""
    on: str = "training_step"
    at: int = AT
    said: str = ""


def images(value: float) -> Callable[[Any, Any], Any]:
    """Breaks one pixel of one image."""

    def change(module: Any, batch: Any) -> Any:
        batch.images[1, 0, 2, 2] = value
        return batch

    return change


def weight(value: float) -> Callable[[Any, Any], Any]:
    """Breaks one weight of the denoiser."""

    def change(module: Any, batch: Any) -> Any:
        module.denoiser.conv_in.weight.data[0, 0, 0, 0] = value
        return batch

    return change


def gradient(value: float, part: str) -> Callable[[Any, Any], Any]:
    """Breaks the gradient of one parameter, of this step alone."""

    def change(module: Any, batch: Any) -> Any:
        parameter = module.get_parameter(part)

        def hook(gradient: Any) -> Any:
            handle.remove()
            return gradient * value

        handle = parameter.register_hook(hook)
        return batch

    return change


def loss_alone(module: Any, batch: Any) -> Any:
    """Makes a step's loss NaN and leaves its gradient as it is."""
    step = type(module).training_step.__wrapped__

    def once(self: Any, batch: Any, index: int) -> Any:
        outputs = step(self, batch, index)
        return {**outputs, "loss": outputs["loss"] + NAN}

    module.__dict__["_broken_step"] = once.__get__(module)
    return batch


def loss_weight(module: Any, batch: Any) -> Any:
    """An objective with an infinite weight."""
    objective = module.diffusion.objective
    losses = type(objective).__call__
    module.diffusion.objective = lambda *args: {
        name: value * INF for name, value in losses(objective, *args).items()
    }
    return batch


def rate(value: float) -> Callable[[Any, Any], Any]:
    """Sets the learning rate, and keeps the schedule from setting it again."""

    def change(module: Any, batch: Any) -> Any:
        for schedule in module.trainer.lr_scheduler_configs:
            schedule.scheduler.base_lrs = [value]
        for group in module.trainer.optimizers[0].param_groups:
            group["lr"] = value
        return batch

    return change


def moment(name: str, value: float) -> Callable[[Any, Any], Any]:
    """Breaks one of the optimizer's moments."""

    def change(module: Any, batch: Any) -> Any:
        optimizer = module.trainer.optimizers[0]
        optimizer.state[next(iter(optimizer.state))][name].fill_(value)
        return batch

    return change


def averages(module: Any, batch: Any) -> Any:
    """Breaks an average of the weights, wherever a recipe keeps them."""
    (state,) = [s for c in module.trainer.callbacks if "averages" in (s := c.state_dict())]
    next(iter(state["averages"].values())).fill_(NAN)
    return batch


def buffer(module: Any, batch: Any) -> Any:
    """Breaks the scale of the latents."""
    module.first_stage.scale.fill_(NAN)
    return batch


CASES = [
    Case("a pixel is NaN", images(NAN), "skipped"),
    Case("a pixel is infinite", images(INF), "skipped"),
    Case("pixels are NaN from here on", images(NAN), "stopped", ALWAYS, said="images are not"),
    Case("a pixel in the first step", images(NAN), "skipped", at=0),
    Case("a pixel in the last step", images(NAN), "skipped", at=15),
    Case("a weight is NaN", weight(NAN), "stopped", said="denoiser.conv_in.weight"),
    Case("a weight is infinite", weight(INF), "stopped", said="denoiser.conv_in.weight"),
    Case("a frozen first stage gives NaN", buffer, "stopped", said="first_stage.scale",
         overrides=[*LATENT, "autoencoder=FIRST"]),
    Case("the gradient of one parameter is NaN", gradient(NAN, "denoiser.conv_in.bias"), "skipped"),
    Case("a gradient is infinite from here on", gradient(INF, "denoiser.conv_in.bias"), "stopped",
         ALWAYS, said="gradient of denoiser.conv_in.bias"),
    Case("the loss alone is NaN", loss_alone, "skipped"),
    Case("a weight of the loss is infinite", loss_weight, "stopped", said="the loss is"),
    Case("the rate is infinite", rate(INF), "stopped", said="learning rate is inf"),
    Case("the rate is NaN", rate(NAN), "stopped", said="learning rate is nan"),
    Case("the rate is 1e30", rate(1e30), "stopped", said="with this step"),
    Case("an average is NaN", averages, "stopped", said="averages"),
    Case("a first moment is NaN", moment("exp_avg", NAN), "stopped", said="after it"),
    Case("a second moment is infinite", moment("exp_avg_sq", INF), "stopped", said="exp_avg_sq"),
    Case("a pixel on one of two processes", images(NAN), "skipped", processes=2, rank=1),
    Case("the loss alone on one of two processes", loss_alone, "skipped", processes=2, rank=0),
    Case("pixels on one of two processes from here on", images(NAN), "stopped", ALWAYS,
         processes=2, rank=1, said="images are not finite"),
    Case("a pixel in the first of two accumulated batches", images(NAN), "skipped",
         overrides=[*DDPM, "trainer.accumulate_grad_batches=2"], at=2 * AT),
    Case("batch norm sees NaN", images(NAN), "skipped", overrides=AGAINST),
    Case("the discriminator's gradient is NaN", gradient(NAN, "loss.discriminator.layers.0.bias"),
         "skipped", overrides=AGAINST),
    Case("times learn from a NaN", images(NAN), "skipped",
         overrides=[*DDPM, "recipe/time_sampler=loss_second_moment", "schedule=cosine",
                    "recipe.time_sampler.history=1", "schedule.num_timesteps=4",
                    "sampler.num_steps=2"]),
    Case("a pixel in a validation", images(NAN), "told", on="validation_step", at=0,
         said="the training goes on"),
]  # fmt: skip


def main() -> None:
    """Breaks everything, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder) / "first"
        small = [*COMMON, *MODELS["autoencoder"], "trainer.max_steps=2", f"run_dir={first}"]
        assert train_on(1, small) == [0]
        for number, case in enumerate(c for c in CASES if args.only in c.place):
            rows.append(tried(case, Path(folder) / str(number), first / "model.safetensors"))
            print(rows[-1], flush=True)
    if not args.only:
        write(__file__, rows)
    good = sum(row["as documented"] for row in rows)
    print(f"{good} of {len(rows)} as documented")
    sys.exit(good < len(rows))


def tried(case: Case, run_dir: Path, autoencoder: Path) -> dict[str, Any]:
    """The row of one case."""
    overrides = [o.replace("FIRST", str(autoencoder)) for o in case.overrides]
    overrides += [
        "trainer.max_steps=16", "callbacks.training_state.every_n_steps=2", f"run_dir={run_dir}",
        "callbacks.finite_guard.max_in_a_row=3", "trainer.limit_val_batches=2",
        "trainer.val_check_interval=8",
    ]  # fmt: skip
    codes = train_on(case.processes, overrides, lambda rank: broken(case, rank))
    printed = "".join(file.read_text() for file in sorted(run_dir.glob("printed.*")))
    last, model = run_dir / "last.ckpt", run_dir / "model.safetensors"
    saved = state(run_dir) if last.is_file() else None
    skipped = saved["callbacks"]["FiniteGuard"]["skipped"] if saved else 0
    good = saved is not None and all_finite(saved) and case.said in printed
    if case.expected == "stopped":
        good = good and set(codes) == {1} and not model.exists() and saved["global_step"] <= AT + 1
        good = good and skipped == 0
    else:
        good = good and set(codes) == {0} and all_finite_file(model)
        good = good and saved["global_step"] == 16 and skipped == (case.expected == "skipped")
    lines = [line for line in printed.splitlines() if "step " in line or "NotFinite" in line]
    return {
        "place": case.place,
        "processes": case.processes,
        "expected": case.expected,
        "as documented": bool(good),
        "exit codes": " ".join(map(str, codes)),
        "step of last.ckpt": saved["global_step"] if saved else "none",
        "line": (lines or [printed[-300:]])[-1].partition("NotFinite: ")[-1].replace(
            str(run_dir), "RUN"
        ) or (lines or [""])[0],
    }  # fmt: skip


def broken(case: Case, rank: int) -> None:
    """Breaks the models' steps in this process."""
    if case.rank not in (None, rank):
        return
    from zoo.models.autoencoder import Autoencoder
    from zoo.module import DiffusionModule
    from zoo.trainable import processed_batches

    for kind in (Autoencoder, DiffusionModule):
        step = getattr(kind, case.on)

        def wrapped(self: Any, batch: Any, index: int, step: Any = step) -> Any:
            number = processed_batches(self.trainer)
            if case.at <= number < case.at + case.times or (
                case.on == "validation_step" and number <= 8
            ):
                batch = case.change(self, batch)
            return self.__dict__.pop("_broken_step", step.__get__(self))(batch, index)

        wrapped.__wrapped__ = step  # type: ignore[attr-defined]
        setattr(kind, case.on, wrapped)


def all_finite(saved: Any) -> bool:
    """Whether a training's state is, by a search of this file's own."""
    import torch

    if isinstance(saved, torch.Tensor):
        return not saved.is_floating_point() or bool(saved.isfinite().all())
    if isinstance(saved, dict):
        return all(map(all_finite, saved.values()))
    return all(map(all_finite, saved)) if isinstance(saved, list | tuple) else True


def all_finite_file(path: Path) -> bool:
    """Whether every weight of a saved model is."""
    from safetensors.torch import load_file

    return all_finite(load_file(path))


if __name__ == "__main__":
    main()
