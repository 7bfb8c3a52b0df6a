"""Golden outputs: what a reference computes with weights and inputs made by the formula.

A file holds no weights: of each case its config (in the metadata), the reference's own names and
shapes of weights (``<case>.layout``, compressed JSON), and its output in float64 and float32
(``<case>.output``, ``<case>.output32``), of which only every so many-th pixel is kept.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from _formula import values, weights
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

GOLDEN = Path(__file__).parents[1] / "tests" / "golden"
TIMES = (3.0, 977.25)


class Case(NamedTuple):
    config: dict[str, Any]
    shapes: dict[str, torch.Size]
    output: Tensor
    output32: Tensor

    def state(self, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
        """The weights under the reference's names."""
        return {name: value.to(dtype) for name, value in weights(self.shapes).items()}


def inputs(config: Mapping[str, Any], dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """What goes into a network; ``config`` says of what shapes, by its ``inputs``."""
    return {name: values(name, *shape).to(dtype) for name, shape in config["inputs"].items()}


def kept(output: Tensor, stride: int) -> Tensor:
    """Every so many-th pixel of an image, or number of a vector."""
    return output[..., ::stride, ::stride] if output.ndim == 4 else output[..., ::stride]


def time_embedding(t: Tensor, dim: int, max_period: float = 10_000, **_: Any) -> Tensor:
    """[cos, sin] at dim / 2 frequencies in float64 (OpenAI's, without its float32)."""
    half = dim // 2
    rows = t.double()[:, None] * torch.tensor(
        [math.exp(-math.log(max_period) * k / half) for k in range(half)], dtype=torch.float64
    )
    return torch.cat([rows.cos(), rows.sin()], dim=1)


def ddpm_time_embedding(t: Tensor, dim: int) -> Tensor:
    """[sin, cos] with the last frequency at 1/10,000, in float64 (DDPM's)."""
    half = dim // 2
    rows = t.double()[:, None] * torch.tensor(
        [math.exp(-math.log(10_000) * k / (half - 1)) for k in range(half)], dtype=torch.float64
    )
    return torch.cat([rows.sin(), rows.cos()], dim=1)


@contextmanager
def in_float64(*patches: tuple[Any, str, Any]):
    """For a while ``.float()`` is ``.double()``, and ``patches`` (owner, name, value) hold."""
    patches = ((torch.Tensor, "float", torch.Tensor.double), *patches)
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in patches]
    for owner, name, value in patches:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


@contextmanager
def default_dtype(dtype: torch.dtype):
    """Modules built within have it, so that weights in float64 lose no digits."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def difference(ours: Tensor, theirs: Tensor) -> float:
    """Largest absolute difference over the largest absolute value."""
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max() / theirs.abs().max())


class Writer:
    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.configs: dict[str, Any] = {}

    def add(
        self,
        name: str,
        config: dict[str, Any],
        theirs: nn.Module,
        run: Callable[[nn.Module, dict[str, Tensor]], Tensor],
        patches: tuple[tuple[Any, str, Any], ...] = (),
        stride: int = 2,
    ) -> None:
        """Runs a reference in float64 and in float32 and keeps what it computes."""
        floating = {k: v.shape for k, v in theirs.state_dict().items() if v.is_floating_point()}
        drawn = weights(floating)
        outputs = []
        for dtype in (torch.float64, torch.float32):
            theirs.to(dtype).eval()
            theirs.load_state_dict({**theirs.state_dict(), **drawn})
            if hasattr(theirs, "dtype") and not isinstance(theirs.dtype, property):
                theirs.dtype = dtype
            given = inputs(config, dtype)
            with torch.no_grad():
                if dtype == torch.float64:
                    with in_float64(*patches):
                        outputs.append(run(theirs, given))
                else:
                    outputs.append(run(theirs, given))
        assert outputs[0].dtype == torch.float64
        assert outputs[0].abs().max() > 0.1
        layout = json.dumps({key: list(shape) for key, shape in floating.items()})
        packed = zlib.compress(layout.encode(), 9)
        self.tensors[f"{name}.layout"] = torch.frombuffer(bytearray(packed), dtype=torch.uint8)
        self.tensors[f"{name}.output"] = kept(outputs[0], stride).contiguous()
        self.tensors[f"{name}.output32"] = kept(outputs[1], stride).contiguous()
        self.configs[name] = {**config, "stride": stride}
        off = float((outputs[1] - outputs[0]).abs().max() / outputs[0].abs().max())
        print(f"{name}: {outputs[0].std():.3g}, its own float32 {off:.1e}")

    def write(self, stem: str) -> None:
        GOLDEN.mkdir(exist_ok=True)
        path = GOLDEN / f"{stem}.safetensors"
        save_file(self.tensors, path, {"configs": json.dumps(self.configs)})
        path.chmod(0o644)
        print(f"wrote {path}, {path.stat().st_size} bytes")


def read(stem: str) -> dict[str, Case]:
    """The cases of a golden file."""
    with safe_open(GOLDEN / f"{stem}.safetensors", "pt") as file:
        configs = json.loads(file.metadata()["configs"])
        cases = {}
        for name, config in configs.items():
            layout = json.loads(zlib.decompress(bytes(file.get_tensor(f"{name}.layout").tolist())))
            shapes = {key: torch.Size(shape) for key, shape in layout.items()}
            output = file.get_tensor(f"{name}.output")
            cases[name] = Case(config, shapes, output, file.get_tensor(f"{name}.output32"))
    return cases
