"""Makes the checkpoints that ship out of a comparison's run folder: float16, each with a card.

    zoo compare experiment=digits retrain=true
    python benchmarks/ship.py runs/compare-digits checkpoints/digits

Every number of a card is read from the file it belongs to. The table of `zoo compare` must then be
measured anew, on these very files.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import zoo
from zoo import checkpoint

MODELS = ("autoencoder", "ddpm", "improved_ddpm", "latent_diffusion", "guided_latent_diffusion")
CARD = """# {data}/{name}

{what}

| | |
| --- | --- |
| made by | {command} |
| network | `{kind}`, {parameters:,} trained parameters{carried} |
| data | {data}, {train:,} training images, fingerprint `{fingerprint}` |
| images seen | {images:,} ({steps:,} steps of {batch}), seed {seed}, averaged weights ({ema}) |
| time | {seconds:,.0f} s on {device}, {precision} |
| weights | float16, sha256 `{sha256}` |
| licence | Apache-2.0, as the code; the data are scikit-learn's copy of UCI's digits |

{limits}
"""
WHAT = {
    "autoencoder": "The first stage of both latent models: 16x16 digits to 8x8 latents and back.",
    "ddpm": "A pixel-space DDPM of 16x16 handwritten digits, conditioned on the class.",
    "improved_ddpm": "An Improved DDPM of 16x16 handwritten digits: learned variance, by class.",
    "latent_diffusion": "A latent diffusion model of 16x16 handwritten digits, by class.",
    "guided_latent_diffusion": "A latent diffusion model of 16x16 handwritten digits, with the "
    "class as a token and classifier-free guidance.",
}
LIMITS = (
    "Small enough to be trained in minutes on two processor cores, for comparisons and tests. How "
    "good its images are stands in the README's table, measured on this very file."
)


def ship(name: str, source: Path, target: Path) -> None:
    """Writes one file and its card."""
    module = zoo.load(source)
    facts = checkpoint.provenance(source)
    kinds = [p.dtype for p in module.parameters() if p.is_floating_point()]
    assert set(kinds) == {torch.float32}, f"{source} is not a float32 file of a run"
    path = target / f"{name}.safetensors"
    checkpoint.save(module, path, facts, dtype=torch.float16)
    budget, latent = facts["budget"], facts.get("autoencoder")
    trained = module if name == "autoencoder" else module.denoiser
    parameters = sum(p.numel() for p in trained.parameters())
    if name == "guided_latent_diffusion":
        parameters += sum(p.numel() for p in module.conditioner.parameters())
    command = f"`zoo train experiment={facts['data']['name']} model={name}`"
    if latent:
        command = command[:-1] + " autoencoder=...` with the autoencoder beside this file"
    path.with_suffix(".md").write_text(
        CARD.format(
            data=facts["data"]["name"],
            name=name,
            what=WHAT[name],
            command=command,
            kind=facts["model"],
            parameters=parameters,
            carried=", and the frozen autoencoder" if latent else "",
            train=facts["data"]["train_images"],
            fingerprint=budget["data_fingerprint"],
            images=budget["images_seen"],
            steps=facts["steps"],
            batch=budget["batch_size"],
            seed=budget["seed"],
            ema=budget["ema"],
            seconds=facts["training_seconds"],
            device=budget["device"],
            precision=budget["precision"],
            sha256=checkpoint.sha256(path),
            limits=LIMITS,
        )
    )
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


def main() -> None:
    """Ships every model of a run folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--only", nargs="*", default=MODELS, choices=MODELS)
    options = parser.parse_args()
    for name in options.only:
        ship(name, options.run_dir / name / "model.safetensors", options.target)


if __name__ == "__main__":
    main()
