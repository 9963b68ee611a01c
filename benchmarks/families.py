"""The families of models that people fine-tune, each as the configuration of a tiny one and the layers to adapt.

Windows and caps are so small that they matter within a few tokens. The sizes mean nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

VOCABULARY = 500
_WIDE = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "initializer_range": 0.15,
}
_NO_DROPOUT = dict.fromkeys(  # of bases that apply it while an adapter is trained: losses would be random
    (
        "dropout",
        "attention_dropout",
        "hidden_dropout_prob",
        "attention_probs_dropout_prob",
        "resid_pdrop",
        "embd_pdrop",
        "attn_pdrop",
    ),
    0.0,
)
_QWEN_LIKE = _WIDE | {"head_dim": 16}
_GEMMA_LIKE = _QWEN_LIKE | {"num_hidden_layers": 3, "sliding_window": 24, "query_pre_attn_scalar": 16}
_LLAMA_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_ATTENTION_LAYERS = _LLAMA_LAYERS[:4]
_MIXTURE = {"num_experts_per_tok": 2, "router_aux_loss_coef": 0.0}
_LATENT = {  # attention over compressed keys and values (DeepSeek's MLA)
    "num_key_value_heads": 4,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 12,
    "n_group": 1,
    "topk_group": 1,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 64,
    "first_k_dense_replace": 1,
}
_LATENT_LAYERS = ("kv_a_proj_with_mqa", "kv_b_proj", "o_proj")


@dataclass(frozen=True)
class Family:
    """A family of models.

    Attributes:
        config: Name of its configuration class in transformers.
        settings: Arguments of the configuration beside the special tokens.
        layers: Names of the linear layers that adapters are trained on.
        pad_token: Whether configuration and tokenizer have a pad token.
        examples: Models of this family that people fine-tune.
        vllm: What vLLM's documentation lists for it (commit 0046f770, November 2026).
    """

    config: str
    settings: dict[str, Any]
    layers: tuple[str, ...] = _LLAMA_LAYERS
    pad_token: bool = True
    examples: str = ""
    vllm: str = "with LoRA"


FAMILIES: dict[str, Family] = {
    "llama": Family("LlamaConfig", _WIDE, pad_token=False, examples="Llama 2 and 3, Meditron, OpenBioLLM, SmolLM2"),
    "mistral": Family("MistralConfig", _WIDE | {"sliding_window": 24}, pad_token=False, examples="Mistral, BioMistral"),
    "qwen2": Family("Qwen2Config", _WIDE, examples="Qwen 2 and 2.5, DeepSeek-R1 distillates, HuatuoGPT-o1"),
    "qwen2-window": Family(
        "Qwen2Config", _WIDE | {"use_sliding_window": True, "sliding_window": 24, "max_window_layers": 1}
    ),
    "qwen3": Family("Qwen3Config", _QWEN_LIKE | {"tie_word_embeddings": True}, examples="Qwen 3"),
    "qwen3-moe": Family(
        "Qwen3MoeConfig",
        _QWEN_LIKE | _MIXTURE | {"num_experts": 4, "moe_intermediate_size": 64, "norm_topk_prob": True},
        _ATTENTION_LAYERS,
        examples="Qwen 3 30B-A3B",
    ),
    "gemma": Family("GemmaConfig", _QWEN_LIKE, examples="Gemma 1"),
    "gemma2": Family(
        "Gemma2Config",
        _GEMMA_LIKE | {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0},
        examples="Gemma 2",
    ),
    "gemma3": Family("Gemma3TextConfig", _GEMMA_LIKE | {"sliding_window_pattern": 2}, examples="Gemma 3, text only"),
    "gemma3-images": Family(
        "Gemma3Config",
        {
            "text_config": _GEMMA_LIKE | {"vocab_size": VOCABULARY, "sliding_window_pattern": 2},
            "vision_config": {
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "image_size": 28,
                "patch_size": 14,
            },
            "mm_tokens_per_image": 4,
            "image_token_index": 4,
            "boi_token_index": 5,
            "eoi_token_index": 6,
        },
        examples="Gemma 3, MedGemma",
    ),
    "phi": Family(
        "PhiConfig",
        _WIDE | {"partial_rotary_factor": 0.5},
        ("q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"),
        examples="Phi 1.5 and 2",
    ),
    "phi3": Family(
        "Phi3Config",
        _WIDE | {"sliding_window": 24},
        ("qkv_proj", "o_proj", "gate_up_proj", "down_proj"),
        examples="Phi 3",
    ),
    "phi4": Family(
        "Phi3Config",
        _WIDE | {"partial_rotary_factor": 0.5, "tie_word_embeddings": True},
        ("qkv_proj", "o_proj", "gate_up_proj", "down_proj"),
        examples="Phi 4, Phi 4 mini",
    ),
    "gpt-neox": Family(
        "GPTNeoXConfig",
        _WIDE | {"rotary_pct": 0.25},
        ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"),
        pad_token=False,
        examples="Pythia, GPT-NeoX",
        vllm="without LoRA",
    ),
    "falcon": Family(
        "FalconConfig",
        _WIDE | {"new_decoder_architecture": True, "num_kv_heads": 2, "bias": False, "alibi": False},
        ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"),
        pad_token=False,
        examples="Falcon 7B and 40B",
        vllm="without LoRA",
    ),
    "falcon-alibi": Family(
        "FalconConfig",
        _WIDE | {"new_decoder_architecture": False, "multi_query": False, "alibi": True, "bias": True},
        ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"),
        pad_token=False,
        examples="Falcon RW",
        vllm="without LoRA",
    ),
    "opt": Family(
        "OPTConfig",
        _WIDE | {"ffn_dim": 128, "word_embed_proj_dim": 128, "init_std": 0.15} | _NO_DROPOUT,
        ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"),
        examples="OPT, Galactica",
    ),
    "biogpt": Family(
        "BioGptConfig",
        _WIDE | _NO_DROPOUT,
        ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"),
        examples="BioGPT",
        vllm="not listed",
    ),
    "gpt2": Family(
        "GPT2Config",
        {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 1024, "initializer_range": 0.15} | _NO_DROPOUT,
        ("c_attn", "c_proj", "c_fc"),
        pad_token=False,
        examples="GPT-2, BioMedLM",
        vllm="without LoRA",
    ),
    "granite": Family(
        "GraniteConfig",
        _WIDE
        | {
            "embedding_multiplier": 3.0,
            "attention_multiplier": 0.1,
            "residual_multiplier": 0.4,
            "logits_scaling": 2.0,
        },
        examples="Granite 3",
    ),
    "cohere": Family(
        "CohereConfig",
        _WIDE | {"logit_scale": 0.5, "use_qk_norm": True, "tie_word_embeddings": True},
        examples="Command R",
    ),
    "cohere2": Family(
        "Cohere2Config",
        _WIDE | {"num_hidden_layers": 4, "sliding_window": 24, "logit_scale": 0.5, "tie_word_embeddings": True},
        examples="Command R7B, Aya",
    ),
    "smollm3": Family(
        "SmolLM3Config",
        _WIDE | {"num_hidden_layers": 4, "no_rope_layer_interval": 2, "tie_word_embeddings": True},
        examples="SmolLM3",
    ),
    "olmo2": Family("Olmo2Config", _WIDE, examples="OLMo 2"),
    "stablelm": Family("StableLmConfig", _WIDE | {"use_qkv_bias": True}, examples="StableLM 2", vllm="without LoRA"),
    "starcoder2": Family(
        "Starcoder2Config",
        _WIDE | {"sliding_window": 24},
        (*_ATTENTION_LAYERS, "c_fc", "c_proj"),
        examples="StarCoder2",
    ),
    "bloom": Family(
        "BloomConfig",
        {"hidden_size": 64, "n_layer": 2, "n_head": 4, "initializer_range": 0.15},
        ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"),
        examples="BLOOM",
        vllm="without LoRA",
    ),
    "mpt": Family(
        "MptConfig",
        {"d_model": 64, "n_heads": 4, "n_layers": 2, "max_seq_len": 1024, "expansion_ratio": 2},
        ("Wqkv", "out_proj", "up_proj", "down_proj"),
        pad_token=False,
        examples="MPT",
        vllm="without LoRA",
    ),
    "glm4": Family(
        "Glm4Config",
        _QWEN_LIKE | {"partial_rotary_factor": 0.5},
        (*_ATTENTION_LAYERS, "gate_up_proj", "down_proj"),
        examples="GLM 4",
    ),
    "mixtral": Family(
        "MixtralConfig", _WIDE | _MIXTURE | {"num_local_experts": 4}, _ATTENTION_LAYERS, examples="Mixtral"
    ),
    "granite-moe": Family(
        "GraniteMoeConfig",
        _WIDE | {"num_local_experts": 4, "num_experts_per_tok": 2, "logits_scaling": 2.0, "attention_multiplier": 0.1},
        _ATTENTION_LAYERS,
        examples="Granite 3 MoE",
    ),
    "gpt-oss": Family(
        "GptOssConfig",
        _QWEN_LIKE | {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 24},
        _ATTENTION_LAYERS,
        examples="gpt-oss",
    ),
    "deepseek-v2": Family(
        "DeepseekV2Config",
        _WIDE | _LATENT | {"q_lora_rank": None},
        ("q_proj", *_LATENT_LAYERS),
        examples="DeepSeek V2",
    ),
    "deepseek-v3": Family(
        "DeepseekV3Config",
        _WIDE | _LATENT | {"q_lora_rank": 24},
        ("q_a_proj", "q_b_proj", *_LATENT_LAYERS),
        examples="DeepSeek V3 and R1",
    ),
    "lfm2": Family(
        "Lfm2Config",
        _WIDE | {"num_hidden_layers": 4, "layer_types": ["conv", "full_attention"] * 2},
        ("q_proj", "k_proj", "v_proj", "in_proj", "out_proj", "w1", "w2", "w3"),
        examples="LFM2",
    ),
}
