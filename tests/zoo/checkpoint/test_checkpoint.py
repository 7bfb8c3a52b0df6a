import json
import os
import pickle
import stat
import struct
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import zoo
from zoo import checkpoint
from zoo.callbacks import EMA
from zoo.checkpoint.header import read_header
from zoo.conditioner import Unconditional
from zoo.denoiser.unet import UNet
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.models.ddpm import DDPM
from zoo.part import Part, config_of
from zoo.recipe import Recipe
from zoo.sampler import DDIM, grid
from zoo.schedule import Linear


class Tied(Part, nn.Module):
    """Two layers with one weight, a slice of a larger tensor, and a transposed one."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.width = width
        self.first = nn.Linear(width, width, bias=False)
        self.second = nn.Linear(width, width, bias=False)
        self.second.weight = self.first.weight
        self.register_buffer("slice", torch.randn(10, width)[2:5])
        self.register_buffer("transposed", torch.randn(width, 7).t())
        self.register_buffer("count", torch.tensor(3))


def ddpm(seed: int = 0) -> DDPM:
    torch.manual_seed(seed)
    network = UNet(1, 1, channels=32, channel_mult=(1, 2), num_res_blocks=1, attention_at=(2,))
    model = DDPM(
        denoiser=network,
        diffusion=GaussianDiffusion(Linear()),
        image_shape=(1, 8, 8),
        sampler=DDIM(num_steps=3, grid=grid.trailing),
        conditioner=Unconditional(),
        recipe=Recipe(torch.optim.AdamW, ema=EMA()),
    )
    for parameter in model.parameters():  # zero-initialised layers would hide differences
        nn.init.normal_(parameter, std=0.05)
    return model.eval()


@pytest.fixture
def saved(tmp_path):
    return checkpoint.save(ddpm(), tmp_path / "model.safetensors", {"images_seen": 7})


def test_a_saved_model_comes_back_bit_for_bit_and_generates_the_same(saved):
    before = torch.random.get_rng_state()
    loaded = zoo.load(saved)
    assert torch.equal(torch.random.get_rng_state(), before), "loading disturbed the random numbers"
    model = ddpm()
    assert type(loaded) is DDPM
    assert not loaded.training
    assert loaded.recipe is None
    assert config_of(loaded) == config_of(model)
    for (name, value), (other, expected) in zip(
        loaded.state_dict().items(), model.state_dict().items(), strict=True
    ):
        assert name == other
        assert torch.equal(value, expected)
    assert torch.equal(loaded.generate(2, seed=5), model.generate(2, seed=5))


def test_what_is_exchanged_on_a_live_model_is_saved(tmp_path):
    model = ddpm()
    model.sampler = DDIM(num_steps=9, eta=0.5)
    loaded = zoo.load(model.save(tmp_path / "a" / "b.safetensors"))
    assert (loaded.sampler.num_steps, loaded.sampler.eta) == (9, 0.5)


def test_metadata_hold_the_config_and_the_provenance_in_plain_json(saved):
    found = checkpoint.provenance(saved)
    assert found["images_seen"] == 7
    assert found["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert found["time"].endswith("+00:00")
    assert checkpoint.config(saved) == config_of(ddpm())
    assert "recipe" not in checkpoint.config(saved)
    assert len(checkpoint.sha256(saved)) == 64


def test_metadata_are_read_without_importing_torch(saved):
    code = (
        "import sys, zoo.checkpoint as c;"
        f"assert c.provenance({str(saved)!r})['images_seen'] == 7;"
        f"assert c.config({str(saved)!r})['_target_'].endswith('DDPM');"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_half_precision_halves_the_file_and_loads_into_float32(tmp_path, saved):
    small = checkpoint.save(ddpm(), tmp_path / "half.safetensors", dtype=torch.float16)
    assert small.stat().st_size < 0.6 * saved.stat().st_size
    for name, value in zoo.load(small).named_parameters():
        assert value.dtype == torch.float32
        assert torch.equal(value, ddpm().get_parameter(name).half().float())


def test_weights_beyond_half_precision_are_refused(tmp_path):
    model = ddpm()
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] = 1e6
    with pytest.raises(ValueError, match="float16 cannot hold: store float32"):
        checkpoint.save(model, tmp_path / "half.safetensors", dtype=torch.float16)
    assert list(tmp_path.iterdir()) == []


def test_tied_sliced_and_transposed_tensors(tmp_path):
    model = Tied()
    path = checkpoint.save(model, tmp_path / "tied.safetensors")
    assert "second.weight" not in load_file(path)
    loaded = zoo.load(path, trust=(__name__,))
    assert loaded.first.weight is loaded.second.weight
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)


def test_a_class_from_elsewhere_needs_trust(tmp_path):
    path = checkpoint.save(Tied(), tmp_path / "tied.safetensors")
    with pytest.raises(ValueError, match="its package is not trusted"):
        zoo.load(path)


def test_compiled_in_place_or_wrapped_the_keys_are_plain(tmp_path):
    model = ddpm()
    plain = set(load_file(checkpoint.save(model, tmp_path / "a.safetensors")))
    model.denoiser.compile()
    assert set(load_file(checkpoint.save(model, tmp_path / "b.safetensors"))) == plain
    assert not any("_orig_mod" in key for key in plain)


def test_the_file_has_the_usual_permissions(saved):
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(saved.stat().st_mode) == 0o666 & ~umask


def test_an_interrupted_save_leaves_the_old_file(saved, monkeypatch):
    before = saved.read_bytes()

    def full_disk(tensors, path, metadata):
        path.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full_disk)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(ddpm(1), saved)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


@pytest.mark.parametrize("size", [0, 5, 8, 100, 2000, -1, -4000])
def test_a_torn_file_is_named(saved, size):
    whole = saved.read_bytes()
    saved.write_bytes(whole[:size])
    with pytest.raises(ValueError, match=r"model\.safetensors: torn file") as caught:
        zoo.load(saved)
    assert "\n" not in str(caught.value)


def test_foreign_files_are_named(tmp_path):
    path = tmp_path / "foreign.safetensors"
    with pytest.raises(ValueError, match="no such file"):
        zoo.load(path)
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="not one that this zoo"):
        zoo.load(path)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(ValueError, match="not a safetensors file"):
        zoo.load(path)
    for header in (b"nope", b"[1]", b"3", b'{"a": 1}', b'{"a": {"data_offsets": 1}}', b"[" * 10**5):
        path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
        with pytest.raises(ValueError, match="not a safetensors file"):
            zoo.load(path)


class Bomb:
    def __reduce__(self):
        return (os._exit, (3,))


def test_a_pickle_is_refused_unread(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="a pickle"):
        zoo.load(path)
    torch.save({"bomb": Bomb()}, path)
    with pytest.raises(ValueError, match="a pickle"):
        zoo.load(path)


def test_a_file_with_any_byte_changed_loads_or_is_refused_in_one_line(saved, tmp_path):
    whole = saved.read_bytes()
    length = 8 + struct.unpack("<Q", whole[:8])[0]
    generator = torch.Generator().manual_seed(0)
    refused = []
    for position in torch.randint(length, (200,), generator=generator).tolist() + list(range(8)):
        path = tmp_path / "changed.safetensors"
        flipped = bytes([whole[position] ^ 0x15])
        path.write_bytes(whole[:position] + flipped + whole[position + 1 :])
        try:
            zoo.load(path)
        except ValueError as error:
            refused.append(str(error))
    assert len(refused) > 100
    for message in refused:
        assert "changed.safetensors" in message
        assert "\n" not in message


def test_a_part_without_its_target_is_refused_in_one_line(saved):
    described = zoo.checkpoint.config(saved)
    described["guidance"] = {"_tbrget_": "zoo.guidance.Unguided"}
    rewrite(saved, config=json.dumps(described))
    with pytest.raises(ValueError, match=r"model\.safetensors: [^\n]+$"):
        zoo.load(saved)
    described["guidance"] = {"target": "zoo.guidance.Unguided"}
    rewrite(saved, config=json.dumps(described))
    with pytest.raises(ValueError, match=r"model\.safetensors: [^\n]+$"):
        zoo.load(saved)


@pytest.mark.parametrize("config", ["", "{", "[" * 100_000, "3", "null", '{"a": 1}'])
def test_a_broken_config_is_refused(saved, config):
    rewrite(saved, config=config)
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        zoo.load(saved)


def test_a_newer_format_asks_for_an_update(saved):
    rewrite(saved, version="2")
    with pytest.raises(ValueError, match="update diffusion-zoo"):
        zoo.load(saved)


def test_missing_surplus_and_misshapen_weights_are_named(saved):
    tensors = load_file(saved)
    names = list(tensors)
    changed = dict(tensors)
    del changed[names[0]]
    changed["extra.weight"] = torch.zeros(1)
    changed[names[1]] = torch.zeros(3, 5)
    rewrite(saved, changed)
    with pytest.raises(ValueError) as caught:
        zoo.load(saved)
    message = str(caught.value)
    assert f"missing '{names[0]}'" in message
    assert "surplus 'extra.weight'" in message
    assert f"'{names[1]}' is (3, 5)" in message


@pytest.mark.parametrize("where", ["top", "nested"])
def test_a_file_with_a_malicious_target_does_nothing(saved, tmp_path, where):
    loot = tmp_path / "loot"
    config = checkpoint.config(saved)
    evil = {"_target_": "os.system", "command": f"touch {loot}"}
    if where == "top":
        config = evil
    else:
        config["denoiser"]["channel_mult"] = [1, evil]
    rewrite(saved, config=json.dumps(config))
    with pytest.raises(ValueError, match=r"'os\.system' is refused"):
        zoo.load(saved)
    assert not loot.exists()


def test_a_config_that_is_not_a_module_is_refused(saved):
    rewrite(saved, config=json.dumps({"_target_": "zoo.schedule.linear.Linear"}))
    with pytest.raises(ValueError, match="describes a Linear, not a module"):
        zoo.load(saved)


def rewrite(path, tensors=None, **metadata):
    """Writes a file anew with other tensors or metadata."""
    old = read_header(path).metadata
    save_file(load_file(path) if tensors is None else tensors, path, {**old, **metadata})
