"""How well an autoencoder gives images back: rFID, PSNR, SSIM and LPIPS of held-out images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import torch

from eval import describe
from eval.cache import Cache
from eval.depends import extractor as extractor_facts
from eval.depends import own_source
from eval.evaluate import Evaluation
from eval.images import mixed
from eval.lineup import class_of
from eval.reconstruction_pass import Factory, lineup, measured
from eval.reconstructions import LATENTS, first_stage_of, reconstructions
from eval.result import Protocol, Result
from zoo.progress import track


def reconstruct(
    module: Any,
    data: Any,
    fid: Sequence[Any] = (),
    metrics: Sequence[Any] = (),
    *,
    num_images: int = 1000,
    seed: int = 0,
    batch_size: int = 256,
    name: str | None = None,
    facts: dict[str, Any] | None = None,
    sha256: str | None = None,
    cache: Cache | None = None,
    posterior: str = "mean",
    protocol: str = "",
) -> Evaluation:
    """Encodes and decodes held-out images in one pass, and measures what became of them.

    rFID is the Fréchet distance of the reconstructions to the very images that were reconstructed,
    as in the tables of latent diffusion's and Stable Diffusion's first stages; taming-transformers
    gives it against the training split as well, which is another number.

    Args:
        module: an ``Autoencoder``, or its first stage.
        data: a data set after ``setup()``, with a held-out split.
        fid: extractors that rFID is given with.
        metrics: of ``eval.metric``, as classes or partials; PSNR, SSIM and LPIPS where none of
            them compares pairs. Those of generated images are left out, and the result says so.
        num_images: how many held-out images are taken; all where there are fewer.
        seed: of the draws of "sample".
        batch_size: images at a time.
        name: the row's name; the class when None.
        facts: the checkpoint's provenance.
        sha256: of the checkpoint file.
        cache: of evaluations made before, for a model whose ``sha256`` is known.
        posterior: what is decoded: the "mean" of the latents' distribution, or a "sample".
        protocol: its name and version.

    Returns:
        The evaluation. Its images are originals, each followed by its reconstruction.

    Raises:
        ValueError: nothing is held out, the images do not fit the autoencoder, or a metric that was
            asked for cannot be had.
    """
    if posterior not in LATENTS:
        raise ValueError(f"reconstruct={posterior}: possible are {', '.join(LATENTS)}")
    if data.test is None:
        raise ValueError(f"an autoencoder is measured on held-out images; {data.name} has none")
    indices = mixed(len(data.test), num_images)
    if len(indices) < 2:
        raise ValueError(f"rFID needs at least 2 images, got num_images={num_images}")
    title, facts = name or type(module).__name__, facts or {}
    device = next(first_stage_of(module).parameters()).device
    pairs, absent = lineup(metrics, data.shape, device)
    how = _protocol(module, data, fid, pairs, len(indices), seed, posterior, protocol)

    asked = {}
    if cache is not None and sha256:
        kinds = {type(one) for one in (module, first_stage_of(module), *fid)}
        kinds |= {class_of(metric) for metric in metrics}
        asked = _depends_on(how, sha256, device, absent, fid, kinds)
        if (known := cache.find(asked)) is not None:
            result = known[0]
            renamed = replace(result, subject=replace(result.subject, name=title))
            return Evaluation(renamed, *known[1:])

    made = reconstructions(module, data.test, indices, posterior, seed, batch_size)
    total = -(-len(indices) // batch_size)
    made = track(made, total, "reconstructions", "batches")
    values, images = measured(made, len(indices), fid, pairs)
    result = Result(
        values,
        how,
        describe.budget(facts),
        describe.autoencoder(module, title, data.shape, facts, sha256),
        describe.environment(device),
        facts,
        absent,
    )
    closest = torch.empty(0, dtype=torch.uint8)  # nothing was generated that could be a copy
    if asked and cache is not None:
        cache.keep(asked, result, images, closest)
    return Evaluation(result, images, closest)


def _protocol(
    module: Any,
    data: Any,
    fid: Sequence[Any],
    pairs: dict[str, Factory],
    num_images: int,
    seed: int,
    posterior: str,
    name: str,
) -> Protocol:
    """How it was measured; the reference is what was reconstructed."""
    metrics = {f"rfid_{e.name}": "Fréchet distance, float64, pooled features" for e in fid}
    found = [make() for make in pairs.values()]
    networks = {f"{m.name} ({m.network})": m.sha256 for m in found if m.network and m.sha256}
    first_stage = first_stage_of(module)
    return Protocol(
        data=data.name,
        data_fingerprint=data.fingerprint,
        image_size=list(data.shape),
        reference=f"{num_images:,} held-out images, those that were reconstructed",
        num_reference=num_images,
        held_out=getattr(data, "held_out", "test"),
        num_held_out=len(data.test),
        num_generated=num_images,
        fid_counts=[num_images],
        extractors={e.name: e.sha256 for e in fid} | networks,
        resize={e.name: str(getattr(e, "resize", "the extractor's own")) for e in fid},
        labels=f"reconstructions of held-out images, from {LATENTS[posterior]}",
        seed=seed,
        dtype=str(next(first_stage.parameters()).dtype).removeprefix("torch."),
        metrics=metrics | {metric.name: metric.told() for metric in found},
        name=name,
    )


def _depends_on(
    protocol: Protocol,
    sha256: str,
    device: torch.device,
    absent: dict[str, str],
    fid: Sequence[Any],
    kinds: set[type],
) -> dict[str, Any]:
    """Everything that could move a number; a metric whose weights were missing is looked for."""
    return {
        "reconstruction": asdict(protocol),
        "weights": sha256,
        "device": device.type,
        "absent": absent,
        "extractors": [extractor_facts(one) for one in fid],
        "own_parts": own_source({kind.__module__ for kind in kinds}),
    }
