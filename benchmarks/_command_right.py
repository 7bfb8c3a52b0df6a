"""Command lines that run, and what may be added to them without making them wrong."""

from __future__ import annotations

TINY = [
    "model.denoiser.channels=32", "model.denoiser.channel_mult=[1]",
    "model.denoiser.attention_at=[]", "model.denoiser.num_res_blocks=1",
    "data.batch_size=4", "data.image_size=16", "sampler=ddim", "sampler.num_steps=2",
    "trainer.max_steps=1", "trainer.limit_val_batches=0", "trainer.log_every_n_steps=1",
    "callbacks.sample_grid.num_images=4", "recipe.lr_scheduler.num_steps=5", "run_dir=run",
]  # fmt: skip
_FEW = ["sampler=ddim", "sampler.num_steps=2", "extractor=[small]", "metric=[fid]", "cache=false"]
_MEASURED = ["checkpoint=digits/ddpm", "num_images=4", "fid_counts=[2]", "reference=pictures"]
BASES: dict[str, list[str]] = {
    "train": TINY,
    "sample": ["checkpoint=digits/ddpm", "num_images=2", "sampler=ddim", "sampler.num_steps=2"],
    "evaluate": [*_MEASURED, "held_out=others", *_FEW, "run_dir=run"],
    "compare": ["experiment=digits", "models=[ddpm]", "protocol.num_images=4", "run_dir=run",
                "protocol.fid_counts=[2]", *_FEW],
    "sweep": [*_MEASURED, "held_out=others", *_FEW, "sampler.num_steps=1,2", "run_dir=run"],
    "statistics": ["images=pictures", "extractor=[small]", "run_dir=run"],
    "rosetta": ["images=pictures", "reference=pictures", "extractor=[small]", "fid_counts=[2]",
                "held_out=others", "run_dir=run"],
    "reproduce": ["table=digits", "rows=[ddpm]", "num_images=4", "fid_counts=[2]", "run_dir=run"],
    "convert": ["source=openai.pt", "config=openai.yaml", "out=out.safetensors"],
    "check": ["sampler=nowhere"],
}  # fmt: skip
"""For each verb a command line that runs in a second or two; ``check`` itself takes longer."""

RIGHT = {
    "train": [
        "schedule=cosine", "parameterization=velocity", "sampler=heun",
        "recipe.optimizer.lr=1e-4", "conditioner=class_label",
        "trainer.precision=32", "trainer.accumulate_grad_batches=2",
        "trainer.gradient_clip_val=0.5", "logger=null", "recipe.ema.decay=0.9",
        "channels_last=true", "recipe/time_sampler=loss_second_moment", "+data.flip=true",
        "model=ddpm", "model.denoiser.dropout=0.1", "recipe.optimizer.betas=0.8,0.9",
        "trainer=cpu", "data.seed=5",
    ],
    "sample": [
        "num_images=3", "out=out.npz", "out=folder", "out=deep/er.png", "columns=1", "batch_size=1",
        "condition=3", "condition=[3,7]", "sampler.num_steps=3", "sampler=heun", "device=cpu",
        "precision=bf16-mixed", "guidance=unguided", "sampler.eta=0.5",
    ],
    "measured": [
        "name=my name", "labels=random", "dtype=float32", "batch_size=2", "keep=kept",
        "keep=kept.npz", "metric=[fid,kid,nearest]", "metric=fid", "num_images=5", "device=cpu",
        "guidance=unguided",
    ],
    "compare": ["cache=true", "force=true", "protocol.labels=random", "protocol.seed=3"],
    "statistics": ["batch_size=2", "device=cpu", "images=one.png.d", "split=test"],
    "rosetta": ["batch_size=2", "name=mine", "device=cpu"],
    "reproduce": ["labels=random", "rows=ddpm", "rows=[dd*]"],
    "convert": ["dtype=float16", "out=deep/er.safetensors", "out=a=b.safetensors", "family=openai"],
}  # fmt: skip
"""Overrides by verb; ``evaluate`` and ``sweep`` share theirs."""
