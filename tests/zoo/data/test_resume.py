"""A resumed run sees exactly the batches that an uninterrupted one sees."""

from __future__ import annotations

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from zoo.data import ImageData, ImageSet

# Lightning 2.6's own: a class of torch 2.15 that it should not ask for, and what it finds odd in
# short runs that are stopped and go on.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`"),
]
STEPS = 17  # 26 images in batches of 5: epochs of Lightning end after 5 steps, those of data do not


class Made(ImageData):
    def load(self):
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(256, (32, 1, 4, 4), generator=generator).to(torch.uint8)
        names = [str(i) for i in range(26)]
        train = ImageSet(images[:26], torch.arange(26), None, names)
        return train, ImageSet(images[26:], torch.arange(6), None, names)


class SaveOnException(Callback):
    def on_exception(self, trainer, module, exception):
        trainer.save_checkpoint(f"{trainer.default_root_dir}/interrupted.ckpt")


class Recorder(lightning.LightningModule):
    def __init__(self, interrupt_at=None):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(16))
        self.seen, self.interrupt_at = {}, interrupt_at

    def training_step(self, batch, batch_idx):
        step = self.trainer.fit_loop.epoch_loop.batch_progress.total.processed
        if step == self.interrupt_at:
            raise InterruptedError
        self.seen[step] = (batch.images.clone(), batch.condition.clone())
        return (batch.images.flatten(1) @ self.weight - batch.condition / 26).square().mean()

    def validation_step(self, batch, batch_idx):
        assert batch.condition.shape == (3,)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


def data(**options):
    return Made("made", 4, 1, batch_size=5, seed=1, flip=True, **options)


def trainer(folder, callbacks=(), max_steps=STEPS, **options):
    return lightning.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        max_steps=max_steps,
        callbacks=list(callbacks),
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=bool(callbacks),
        num_sanity_val_steps=1,
        **options,
    )


def every_step(folder):
    return ModelCheckpoint(folder, "{step}", every_n_train_steps=1, save_top_k=-1)


def equal(one, other):
    return torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    model = Recorder()
    trainer(folder, [every_step(folder)]).fit(model, datamodule=data())
    return model, folder


def test_uninterrupted_run_is_the_stream(uninterrupted):
    model, _ = uninterrupted
    made = data()
    made.setup()
    expected = made.train_dataloader()
    assert sorted(model.seen) == list(range(STEPS))
    for step, (images, labels) in model.seen.items():
        batch = expected.batch(step)
        assert equal((images, labels), (batch.images, batch.condition))


@pytest.mark.parametrize("start", range(1, STEPS))
def test_resumed_anywhere(uninterrupted, start, tmp_path):
    whole, folder = uninterrupted
    model = Recorder()
    trainer(tmp_path).fit(
        model, datamodule=data(), ckpt_path=folder / f"step={start}.ckpt", weights_only=True
    )
    assert sorted(model.seen) == list(range(start, STEPS))
    assert all(equal(model.seen[step], whole.seen[step]) for step in model.seen)
    assert torch.equal(model.weight, whole.weight)


@pytest.mark.parametrize("interrupt_at", [0, 3, 5, 12])
def test_interrupted_in_the_middle_of_a_step(uninterrupted, interrupt_at, tmp_path):
    whole, _ = uninterrupted
    with pytest.raises(InterruptedError):
        trainer(tmp_path, [SaveOnException()]).fit(Recorder(interrupt_at), datamodule=data())
    model = Recorder()
    trainer(tmp_path).fit(
        model, datamodule=data(), ckpt_path=tmp_path / "interrupted.ckpt", weights_only=True
    )
    assert sorted(model.seen) == list(range(interrupt_at, STEPS))
    assert all(equal(model.seen[step], whole.seen[step]) for step in model.seen)
    assert torch.equal(model.weight, whole.weight)


@pytest.mark.parametrize("options", [{"accumulate_grad_batches": 2}, {"val_check_interval": 2}])
def test_resumed_with_accumulation_and_with_validation(options, tmp_path):
    whole, model = Recorder(), Recorder()
    trainer(tmp_path, max_steps=9, **options).fit(whole, datamodule=data())
    trainer(tmp_path, [every_step(tmp_path)], 4, **options).fit(Recorder(), datamodule=data())
    trainer(tmp_path, max_steps=9, **options).fit(
        model, datamodule=data(), ckpt_path=tmp_path / "step=4.ckpt", weights_only=True
    )
    assert min(model.seen) == min(step for step in whole.seen if step in model.seen) > 0
    assert max(model.seen) == max(whole.seen)
    assert all(equal(model.seen[step], whole.seen[step]) for step in model.seen)
    assert torch.equal(model.weight, whole.weight)


def test_one_long_epoch(uninterrupted, tmp_path):
    whole, _ = uninterrupted
    long = {"steps_per_epoch": STEPS}
    trainer(tmp_path, [every_step(tmp_path)], 7).fit(Recorder(), datamodule=data(**long))
    model = Recorder()
    trainer(tmp_path).fit(
        model, datamodule=data(**long), ckpt_path=tmp_path / "step=7.ckpt", weights_only=True
    )
    assert sorted(model.seen) == list(range(7, STEPS))
    assert all(equal(model.seen[step], whole.seen[step]) for step in model.seen)


def test_another_seed_is_refused(uninterrupted, tmp_path):
    other = Made("made", 4, 1, batch_size=5, seed=2, flip=True)
    with pytest.raises(ValueError, match="had seed=1, now 2"):
        trainer(tmp_path).fit(
            Recorder(),
            datamodule=other,
            ckpt_path=uninterrupted[1] / "step=4.ckpt",
            weights_only=True,
        )
