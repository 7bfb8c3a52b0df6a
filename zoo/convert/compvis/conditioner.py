"""Latent diffusion's and Stable Diffusion's conditioners: classes, BERT-like and CLIP's text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from zoo.checkpoint.fit import name_list
from zoo.checkpoint.outline import outline
from zoo.conditioner import BERTText, ClassToken, CLIPText, Unconditional
from zoo.convert import keys
from zoo.convert.arguments import need, with_defaults
from zoo.convert.keys import below

DROPPED = 0.1
"""The share of conditions that the guided models were trained without; their configs lack it."""

_WITH_NULL = 1001  # the ImageNet classes and the null class of cin256-v2
_BERT_LAYERS: dict[str, Any] = {
    "token_embedding": "token_emb",
    "position_embedding": "pos_emb.emb",
    "norm": "norm",
}
_BERT_ATTENTION: dict[str, Any] = {
    "norm1": "0",
    "qkv": ["1.to_q", "1.to_k", "1.to_v"],
    "out": "1.to_out",
}
_BERT_FEED_FORWARD = {"norm2": "0", "feed_forward_in": "1.net.0.0", "feed_forward_out": "1.net.2"}


def conditioner(config: Any, state: Mapping[str, Tensor], trainable: bool = False) -> Any:
    """Our conditioner for a ``cond_stage_config``, with weights (the reference's keys below it).

    Text conditioners come without a tokenizer, which the files lack: use ``set_tokenizer``.

    Raises:
        ValueError: the config names a conditioner that the zoo lacks, or the weights do not fit.
    """
    if config is None or config == "__is_unconditional__":
        keys.load_state(nn.Identity(), state, "no conditioner")
        return Unconditional()
    if isinstance(config, str):
        raise ValueError(
            f"a cond_stage_config of '{config}' concatenates images, which no conditioner here "
            "does: zoo.convert.compvis.denoiser converts the U-Net alone"
        )
    name = str(config.get("target", "")).rpartition(".")[2]
    params = config.get("params") or {}
    if name == "ClassEmbedder":
        return _classes(params, state)
    if name == "BERTEmbedder":
        return _bert(params, state, trainable)
    if name == "FrozenCLIPEmbedder":
        return _clip(params, state)
    raise ValueError(
        f"there is no counterpart of the conditioner '{name}': possible are ClassEmbedder, "
        "BERTEmbedder, FrozenCLIPEmbedder and __is_unconditional__; "
        "zoo.convert.compvis.denoiser converts the U-Net alone"
    )


def _classes(params: Mapping[str, Any], state: Mapping[str, Tensor]) -> ClassToken:
    arguments = with_defaults(
        params, {"embed_dim": None, "n_classes": 1000, "ucg_rate": None}, "ClassEmbedder", ("key",)
    )
    need(arguments, ("embed_dim",), "ClassEmbedder")
    rows, dropout = arguments["n_classes"], arguments["ucg_rate"]
    if dropout is None:
        dropout = DROPPED if rows == _WITH_NULL else 0.0
    null = dropout > 0
    width, classes = arguments["embed_dim"], rows - null
    module = outline(lambda: ClassToken(classes, width, float(dropout), null_row=null), len(state))
    return keys.fill(module, state, {"embedding.weight": ["embedding.weight"]}, "ClassEmbedder")


def _bert(params: Mapping[str, Any], state: Mapping[str, Tensor], trainable: bool) -> BERTText:
    defaults = {
        "n_embed": None,
        "n_layer": None,
        "vocab_size": 30_522,
        "max_seq_len": 77,
        "embedding_dropout": 0.0,
    }
    arguments = with_defaults(params, defaults, "BERTEmbedder", ("device", "use_tokenizer"))
    need(arguments, ("n_embed", "n_layer"), "BERTEmbedder")
    sizes: dict[str, Any] = {
        "vocab_size": arguments["vocab_size"],
        "width": arguments["n_embed"],
        "layers": arguments["n_layer"],
        "max_length": arguments["max_seq_len"],
        "embedding_dropout": float(arguments["embedding_dropout"]),
        "dropout": DROPPED,
        "trainable": trainable,
    }
    module = outline(lambda: BERTText(**sizes), len(state))
    layers = below("network", "transformer", _BERT_LAYERS)
    for index in range(arguments["n_layer"]):
        ours, theirs = f"network.layers.{index}", "transformer.attn_layers.layers"
        layers |= below(ours, f"{theirs}.{2 * index}", _BERT_ATTENTION)
        layers |= below(ours, f"{theirs}.{2 * index + 1}", _BERT_FEED_FORWARD)
    weights = keys.without(state, "", drop=("transformer.to_logits.",))  # of a language model
    names = keys.table(module, layers)
    return keys.fill(module, weights, names, "BERTEmbedder", own=("tokenizer",))


def _clip(params: Mapping[str, Any], state: Mapping[str, Tensor]) -> CLIPText:
    with_defaults(params, {}, "FrozenCLIPEmbedder", ("version", "device", "max_length", "freeze"))
    weights = keys.without(state, "transformer.", drop=("text_model.embeddings.position_ids",))
    embeddings = "text_model.embeddings"
    table, places = (f"{embeddings}.{n}_embedding.weight" for n in ("token", "position"))
    inner = "text_model.encoder.layers.0.mlp.fc1.weight"
    if missing := [f"transformer.{key}" for key in (table, places, inner) if key not in weights]:
        raise ValueError(f"FrozenCLIPEmbedder: the weights lack {name_list(missing)}")
    layers = {key.split(".")[3] for key in weights if key.startswith("text_model.encoder.layers.")}
    width = weights[table].shape[1]
    sizes: dict[str, Any] = {
        "vocab_size": weights[table].shape[0],
        "width": width,
        "layers": len(layers),
        "heads": max(1, width // 64),  # every CLIP's heads are 64 wide
        "max_length": weights[places].shape[0],
        "feed_forward": weights[inner].shape[0],
        "dropout": DROPPED,
    }
    module = outline(lambda: CLIPText(**sizes), len(weights))
    names = {
        key: [key.removeprefix("network.")] for key in module.state_dict() if key != "tokenizer"
    }
    return keys.fill(module, weights, names, "FrozenCLIPEmbedder", own=("tokenizer",))
