"""CompVis' weights in our networks compute what CompVis' networks computed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import zoo
from zoo.convert import from_compvis, network
from zoo.convert.compvis import read as compvis
from zoo.convert.compvis.autoencoder import load_autoencoder
from zoo.convert.compvis.conditioner import conditioner
from zoo.diffusion.objective import SimpleL1
from zoo.guidance import ClassifierFree, Unguided
from zoo.records import Condition
from zoo.sampler import DDIM
from zoo.schedule import Linear, ScaledLinear

ROOT = Path(__file__).parents[4]
sys.path.insert(0, str(ROOT / "benchmarks"))
_spec = importlib.util.spec_from_file_location("_golden", ROOT / "benchmarks" / "_golden.py")
assert _spec is not None and _spec.loader is not None
golden: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(golden)
sys.path.remove(str(ROOT / "benchmarks"))

CASES = golden.read("compvis")


def output(name: str, case: Any, dtype: torch.dtype) -> Tensor:
    """What our network computes with a case's weights and inputs."""
    params, given = case.config["params"], golden.inputs(case.config, dtype)
    t, state = torch.tensor(golden.TIMES, dtype=dtype), case.state(dtype)
    with torch.no_grad(), golden.default_dtype(dtype):
        if "ddconfig" in params:
            first = load_autoencoder(params, state)
            coded = name.endswith("encode")
            return first.moments(given["x"]) if coded else first.decode(given["z"])
        net = compvis.denoiser(state, params)
        labels, tokens = case.config.get("labels"), given.get("context")
        vector = None if labels is None else torch.tensor(labels)
        return net(given["x"], t, Condition(vector=vector, tokens=tokens))


@pytest.mark.parametrize("name", CASES)
def test_the_same_output_as_the_original(name: str) -> None:
    case = CASES[name]
    for dtype, theirs, most in (
        (torch.float64, case.output, 1e-10),
        (torch.float32, case.output32, 1e-5),
    ):
        ours = output(name, case, dtype)
        assert ours.dtype == dtype
        assert golden.difference(golden.kept(ours, case.config["stride"]), theirs) < most


F4 = dict(
    double_z=False, z_channels=3, resolution=256, in_channels=3, out_ch=3, ch=128,
    ch_mult=[1, 2, 4], num_res_blocks=2, attn_resolutions=[], dropout=0.0,
)  # fmt: skip
LDM4 = dict(
    image_size=64, in_channels=3, out_channels=3, model_channels=224, num_res_blocks=2,
    attention_resolutions=[8, 4, 2], channel_mult=[1, 2, 3, 4], num_head_channels=32,
)  # fmt: skip
DDPM_CIFAR10 = dict(
    resolution=32, in_channels=3, out_ch=3, ch=128, ch_mult=(1, 2, 2, 2), num_res_blocks=2,
    attn_resolutions=(16,), dropout=0.1,
)  # fmt: skip
PUBLISHED = {  # as a yaml, a node, or arguments alone
    "DDPM CIFAR-10": (DDPM_CIFAR10, 35_746_307),
    "LDM-4": (LDM4, 274_056_163),
    "LDM-4 node": ({"target": "ldm.UNetModel", "params": LDM4}, 274_056_163),
    "LDM-4 yaml": (
        {"model": {"target": "ldm.LatentDiffusion", "params": {"unet_config": {"params": LDM4}}}},
        274_056_163,
    ),
    "VQ-f4": ({"ddconfig": F4, "embed_dim": 3, "n_embed": 8192}, 55_322_782),
    "VQ-f4 flat": ({**F4, "embed_dim": 3, "n_embed": 8192}, 55_322_782),
    "KL-f8": (
        {
            "embed_dim": 4,
            "ddconfig": F4 | dict(double_z=True, z_channels=4, ch_mult=[1, 2, 4, 4]),
            "lossconfig": {"target": "torch.nn.Identity"},
        },
        83_653_863,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configs_have_their_published_size(name: str) -> None:
    config, count = PUBLISHED[name]
    with torch.device("meta"):
        net = network("compvis", config)
    assert sum(p.numel() for p in net.parameters()) == count


def whole(unet: str, first: str, cond: Any = "__is_unconditional__", **params: Any) -> dict:
    """A latent diffusion's yaml."""
    target = "ldm.models.autoencoder.VQModelInterface"
    return {
        "model": {
            "base_learning_rate": 1e-4,
            "target": "ldm.models.diffusion.ddpm.LatentDiffusion",
            "params": {
                "linear_start": 0.0015, "linear_end": 0.0195, "timesteps": 1000, "image_size": 8,
                "channels": 4, "monitor": "val/loss", "cond_stage_config": cond,
                "unet_config": {"target": "UNetModel", "params": CASES[unet].config["params"]},
                "first_stage_config": {
                    "target": target, "params": CASES[f"{first}_encode"].config["params"]
                },
                **params,
            },
        }
    }  # fmt: skip


def checkpoint(unet: str, first: str, cond: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
    """Its weights, with the schedule's tables as published files hold them."""
    state = {f"model.diffusion_model.{k}": v for k, v in CASES[unet].state(torch.float32).items()}
    held = CASES[f"{first}_encode"].state(torch.float32)
    state |= {f"first_stage_model.{key}": value for key, value in held.items()}
    state |= {f"cond_stage_model.{key}": value for key, value in (cond or {}).items()}
    times = torch.arange(1, 1001, dtype=torch.float64)
    table = ScaledLinear(1000, 0.0015, 0.0195).log_snr(times).sigmoid()
    return state | {"alphas_cumprod": table.float(), "betas": 1 - table.float()}


TOKENS = {"embedding.weight": golden.values("tokens", 1001, 24).float()}
CLASSES = {"target": "ldm.modules.encoders.modules.ClassEmbedder"}


def test_an_unconditional_latent_diffusion_draws() -> None:
    state = checkpoint("unet_heads_by_width", "vq") | {"scale_factor": torch.tensor(0.5)}
    config = whole("unet_heads_by_width", "vq", scale_by_std=True, loss_type="l1")
    module = from_compvis(state, config)
    assert type(module) is zoo.LatentDiffusion
    assert module.image_shape == [3, 16, 16]
    assert module.first_stage.scale.flatten().tolist() == [0.5] * 3
    assert isinstance(module.diffusion.schedule, ScaledLinear)
    assert isinstance(module.diffusion.objective, SimpleL1)
    assert isinstance(module.guidance, Unguided)
    times = [level.t for level in module.sampler.levels(module.diffusion.schedule)]
    assert (times[0], times[1], times[-2:]) == (982, 962, [2, 1])
    assert module.generate(1, sampler=DDIM(2)).shape == (1, 3, 16, 16)


def test_a_class_table_of_1001_rows_makes_a_model_that_is_guided(tmp_path: Path) -> None:
    cond = CLASSES | {"params": {"embed_dim": 24, "n_classes": 1001, "key": "class_label"}}
    names = ("unet_transformer_one_head", "vq")
    module = from_compvis(checkpoint(*names, TOKENS), whole(*names, cond, use_ema=False))
    assert type(module) is zoo.GuidedLatentDiffusion
    assert module.conditioner.num_classes == 1000
    assert torch.equal(module.conditioner.null(1).tokens[0, 0], TOKENS["embedding.weight"][1000])
    assert isinstance(module.guidance, ClassifierFree)
    again = zoo.load(module.save(tmp_path / "model.safetensors"))
    labels = torch.tensor([7])
    drawn = [m.generate(1, condition=labels, sampler=DDIM(2)) for m in (module, again)]
    assert torch.equal(*drawn)
    assert "no averages" in zoo.checkpoint.provenance(tmp_path / "model.safetensors")["weights"]


def test_a_class_table_without_a_null_class_is_not_guided() -> None:
    cond = CLASSES | {"params": {"embed_dim": 24}}
    held = {"embedding.weight": TOKENS["embedding.weight"][:1000]}
    names = ("unet_transformer_deep", "kl")
    changes = {"unet_config": {"params": CASES[names[0]].config["params"] | UNET4}}
    state = checkpoint(*names, held)
    for key in ("input_blocks.0.0.weight", "out.2.weight", "out.2.bias"):
        key = f"model.diffusion_model.{key}"  # the latents of this autoencoder have 4 channels
        side = 1 if "input" in key else 0
        state[key] = torch.cat([state[key], state[key].narrow(side, 0, 1)], dim=side)
    module = from_compvis(state, whole(*names, cond, **changes))
    assert type(module) is zoo.LatentDiffusion
    assert module.conditioner.num_classes == 1000


UNET4 = {"in_channels": 4, "out_channels": 4}


def averages(state: dict[str, Tensor], factor: float) -> dict[str, Tensor]:
    return {
        "model_ema." + key.removeprefix("model.").replace(".", ""): factor * value
        for key, value in state.items()
        if key.startswith("model.")
    } | {"model_ema.decay": torch.tensor(0.9999), "model_ema.num_updates": torch.tensor(9)}


def test_averages_are_preferred_and_named_in_the_provenance(tmp_path: Path) -> None:
    names = ("unet_heads_by_width", "vq")
    state, config = checkpoint(*names), whole(*names)
    module = from_compvis(state | averages(state, 2.0), config)
    last = state["model.diffusion_model.out.2.bias"]
    assert torch.equal(module.denoiser.conv_out.bias, 2 * last)
    module.save(tmp_path / "model.safetensors")
    said = zoo.checkpoint.provenance(tmp_path / "model.safetensors")
    assert said["weights"] == "the averages (model_ema)"
    torn = state | averages(state, 2.0)
    del torn["model_ema.diffusion_modelout2bias"]
    with pytest.raises(ValueError, match=r"missing 'model_ema\.diffusion_modelout2bias'"):
        from_compvis(torn, config)
    with pytest.raises(ValueError, match=r"surplus 'model_ema\.nobody'"):
        from_compvis(state | averages(state, 2.0) | {"model_ema.nobody": last}, config)


@pytest.mark.parametrize("name", ["kl_attention_narrow", "vq_no_attention"])
def test_a_first_stage_on_its_own(name: str) -> None:
    case = CASES[f"{name}_decode"]
    loss = {"loss.discriminator.main.0.weight": torch.ones(1), "loss.logvar": torch.ones(1)}
    config = {"model": {"target": "AutoencoderKL", "params": case.config["params"]}}
    module = from_compvis(case.state(torch.float32) | loss, config)
    assert isinstance(module, zoo.Autoencoder)
    assert module.origin["left_out"] == "the loss"
    z = golden.inputs(case.config, torch.float32)["z"]
    with torch.no_grad():
        ours = golden.kept(module.first_stage.decode(z), case.config["stride"])
    assert golden.difference(ours, case.output32) < 1e-5


def test_the_port_of_ddpm_draws() -> None:
    case = CASES["ddpm_port"]
    state = case.state(torch.float32)
    module = from_compvis(state, case.config["params"] | {"model_var_type": "fixedlarge"})
    assert type(module) is zoo.DDPM
    assert module.diffusion.variance.fraction == 1
    assert isinstance(module.diffusion.schedule, Linear)
    assert module.sampler.num_steps == 1000
    assert module.generate(1, sampler=DDIM(2)).shape == (1, 3, 16, 16)
    assert from_compvis(state, case.config["params"]).diffusion.variance.fraction == 0


def bert() -> dict[str, Tensor]:
    """The weights of a small BERTEmbedder, as the golden output's were made."""
    shapes = {"token_emb.weight": (30, 24), "pos_emb.emb.weight": (9, 24)}
    for layer in range(0, 4, 2):
        at, after = f"attn_layers.layers.{layer}", f"attn_layers.layers.{layer + 1}"
        shapes |= {f"{at}.1.to_{n}.weight": (512, 24) for n in "qkv"}
        shapes |= {f"{at}.1.to_out.weight": (24, 512), f"{at}.1.to_out.bias": (24,)}
        shapes |= {f"{after}.1.net.0.0.weight": (96, 24), f"{after}.1.net.0.0.bias": (96,)}
        shapes |= {f"{after}.1.net.2.weight": (24, 96), f"{after}.1.net.2.bias": (24,)}
        shapes |= {f"{p}.0.{kind}": (24,) for p in (at, after) for kind in ("weight", "bias")}
    shapes |= {"norm.weight": (24,), "norm.bias": (24,)}
    shapes |= {"to_logits.weight": (30, 24), "to_logits.bias": (30,)}
    return {f"transformer.{key}": value for key, value in golden.weights(shapes).items()}


BERT = {
    "target": "ldm.modules.encoders.modules.BERTEmbedder",
    "params": {"n_embed": 24, "n_layer": 2, "vocab_size": 30, "max_seq_len": 9},
}


def test_the_text_encoder_of_latent_diffusion() -> None:
    state = bert()
    theirs = load_file(ROOT / "tests" / "golden" / "conditioner.safetensors")
    with torch.no_grad(), golden.default_dtype(torch.float64):
        tokens = conditioner(BERT, state)(theirs["bert.ids"]).tokens
    assert golden.difference(tokens, theirs["bert.tokens"]) < 1e-10
    state["transformer.attn_layers.layers.0.2.weight"] = torch.ones(1)
    with pytest.raises(ValueError, match=r"BERTEmbedder.*surplus 'transformer\.attn_layers"):
        conditioner(BERT, state)


def test_a_text_to_image_model_draws_by_token_ids_and_is_saved(tmp_path: Path) -> None:
    names = ("unet_stable_diffusion", "vq")
    config = whole(*names, BERT, cond_stage_trainable=True)
    module = from_compvis(checkpoint(*names, bert()), config)
    assert type(module) is zoo.GuidedLatentDiffusion
    assert (module.guidance.scale, module.conditioner.dropout) == (5.0, 0.1)
    again = zoo.load(module.save(tmp_path / "model.safetensors"))
    words, none = torch.tensor([[1, 5, 2] + [0] * 6]), torch.tensor([[1, 2] + [0] * 7])
    drawn = [
        m.generate(1, condition=words, negative=none, sampler=DDIM(2)) for m in (module, again)
    ]
    assert torch.equal(*drawn)
    other = module.generate(1, condition=words.flip(1), negative=none, sampler=DDIM(2))
    assert not torch.equal(other, drawn[0])
    with pytest.raises(ValueError, match="no tokenizer"):
        module.generate(1, condition=["a caption"])


def test_a_diffusion_of_pixels_has_no_first_stage() -> None:
    name = "unet_heads_by_width"
    state = {k: v for k, v in checkpoint(name, "vq").items() if not k.startswith("first_stage")}
    config = whole(name, "vq", first_stage_config=None, channels=3, v_posterior=1)
    module = from_compvis(state, config)
    assert type(module) is zoo.DDPM
    assert module.image_shape == [3, 8, 8]
    assert module.diffusion.variance.fraction == 1
    assert module.generate(1, sampler=DDIM(2)).shape == (1, 3, 8, 8)


def test_the_text_encoder_of_stable_diffusion() -> None:
    from transformers import CLIPTextConfig, CLIPTextModel

    sizes = dict(vocab_size=40, hidden_size=128, intermediate_size=96, num_hidden_layers=2)
    sizes |= dict(num_attention_heads=2, max_position_embeddings=9, eos_token_id=39)
    theirs = CLIPTextModel(CLIPTextConfig(**sizes)).eval()
    drawn = golden.weights({key: value.shape for key, value in theirs.state_dict().items()})
    theirs.load_state_dict(drawn)
    held = {key if key.startswith("text_model") else f"text_model.{key}" for key in drawn}
    assert len(held) == len(drawn)
    state = {
        f"transformer.{key if key.startswith('text_model') else 'text_model.' + key}": value
        for key, value in drawn.items()
    } | {"transformer.text_model.embeddings.position_ids": torch.arange(9)[None]}
    config = {"target": "ldm.modules.encoders.modules.FrozenCLIPEmbedder"}
    ours, ids = conditioner(config, state), torch.tensor([[38, 1, 2, 39, 39, 39, 39, 39, 39]])
    assert ours.dropout
    with torch.no_grad():
        expected = theirs(ids).last_hidden_state
        assert golden.difference(ours(ids).tokens, expected) < 1e-5
    with pytest.raises(ValueError, match="no tokenizer"):
        ours(["a caption"])


NAMES = ("unet_heads_by_width", "vq")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"linear_end": 0.012}, "set beta_schedule, linear_start"),
        ({"beta_schedule": "sqrt"}, "possible are linear, sqrt_linear, cosine"),
        ({"v_posterior": 0.5}, "possible is 0 or 1"),
        ({"parameterization": "v"}, "possible are eps, x0"),
        ({"linear_begin": 0.1}, "takes no 'linear_begin'"),
        ({"cond_stage_config": "__is_first_stage__"}, "concatenates images"),
        ({"cond_stage_config": {"target": "ldm.SpatialRescaler"}}, "SpatialRescaler"),
        ({"cond_stage_config": CLASSES | {"params": {"embed_dim": 9}}}, "'embedding.weight'"),
        ({"unet_config": {"params": {"model_channels": 32}}}, "UNetModel needs in_channels"),
    ],
)  # fmt: skip
def test_what_does_not_go_is_said_in_one_line(changes: dict, words: str) -> None:
    with pytest.raises(ValueError) as raised:
        from_compvis(checkpoint(*NAMES), whole(*NAMES, **changes))
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"model.other.weight": torch.ones(1)}, "surplus 'model.other.weight'"),
        ({"first_stage_model.extra.bias": torch.ones(1)}, "surplus 'extra.bias'"),
        ({"cond_stage_model.embedding.weight": torch.ones(1)}, "surplus 'embedding.weight'"),
        ({"model.diffusion_model.out.2.bias": torch.ones(4)}, "'out.2.bias' is (4,), not (3,)"),
    ],
)
def test_no_weight_is_passed_over(extra: dict[str, Tensor], words: str) -> None:
    with pytest.raises(ValueError) as raised:
        from_compvis(checkpoint(*NAMES) | extra, whole(*NAMES))
    assert words in str(raised.value)


def test_another_familys_weights_are_told_by_their_keys() -> None:
    theirs = CASES["unet_churches"].state(torch.float32)
    with pytest.raises(ValueError) as raised:
        from_compvis(theirs, whole(*NAMES))
    said = str(raised.value)
    assert "family openai" in said
    assert "from_openai" in said
    assert "'input_blocks." in said
