"""Which fields of a ``config.json`` can change the mathematics of our families, and what they are held to.

A field of a list here has the one meaning that is computed, or the model is refused. Fields that are read
have their own code in ``hf_config`` and ``hf_rope``. Any other passes, with a warning unless it is known to
be harmless: transformers' classes for these families do not look at it either.
"""

from collections.abc import Mapping
from typing import Any

FAMILIES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "qwen3_moe": "Qwen3MoeForCausalLM",
}
"""``model_type`` → transformers' class."""

RELATIVES = {
    "minimax_m2": "its rotary positions are partial and its router a sigmoid with a bias; the preset "
    "minimax-m2.5 can be priced",
    "smollm3": "some of its layers use no rotary positions",
    "qwen2_moe": "its layers have shared experts",
    "mistral": "its attention may slide; where it does not, the file can be saved as a llama",
    "qwen3_next": "its layers are partly linear attention",
}
"""Types often taken for one of ours, and what keeps them from it."""

READ = frozenset(
    (
        "_name_or_path",
        "architectures",
        "attention_bias",
        "auto_map",
        "compression_config",
        "decoder_sparse_step",
        "dual_chunk_attention_config",
        "eos_token_id",
        "head_dim",
        "hidden_act",
        "hidden_size",
        "intermediate_size",
        "layer_types",
        "max_position_embeddings",
        "max_window_layers",
        "mlp_only_layers",
        "model_type",
        "moe_intermediate_size",
        "no_rope_layers",
        "norm_topk_prob",
        "num_attention_heads",
        "num_experts",
        "num_experts_per_tok",
        "num_hidden_layers",
        "num_key_value_heads",
        "num_local_experts",
        "original_max_position_embeddings",
        "pad_token_id",
        "quantization_config",
        "rms_norm_eps",
        "rope_parameters",
        "rope_scaling",
        "rope_theta",
        "sliding_window",
        "tie_word_embeddings",
        "use_sliding_window",
        "vocab_size",
    )
)

HARMLESS = frozenset(
    (
        # What the file says of itself, of training, of the tokenizer and of how outputs are handed over.
        "_attn_implementation",
        "_attn_implementation_autoset",
        "_attn_implementation_internal",
        "_commit_hash",
        "_flash_attn_2_enabled",
        "architecture",
        "attention_dropout",
        "attn_implementation",
        "bos_token_id",
        "chunk_size_feed_forward",
        "classifier_dropout",
        "cross_attention_hidden_size",
        "decoder_start_token_id",
        "dtype",
        "embd_pdrop",
        "finetuning_task",
        "gradient_checkpointing",
        "hidden_dropout",
        "hidden_dropout_prob",
        "id2label",
        "initializer_range",
        "is_decoder",
        "is_llama_config",
        "keys_to_ignore_at_inference",
        "label2id",
        "name_or_path",
        "num_labels",
        "output_attentions",
        "output_hidden_states",
        "output_router_logits",
        "output_scores",
        "prefix",
        "pretraining_tp",
        "problem_type",
        "resid_pdrop",
        "return_dict",
        "return_dict_in_generate",
        "router_aux_loss_coef",
        "sep_token_id",
        "task_specific_params",
        "tf_legacy_loss",
        "tie_encoder_decoder",
        "tokenizer_class",
        "tokenizer_file",
        "torch_dtype",
        "torchscript",
        "transformers.js_config",
        "transformers_version",
        "unk_token_id",
        "unsloth_fixed",
        "unsloth_version",
        "use_bfloat16",
        "use_cache",
        "use_return_dict",
        # Sampling defaults that transformers 4 kept here; a run states its own.
        "bad_words_ids",
        "begin_suppress_tokens",
        "diversity_penalty",
        "do_sample",
        "early_stopping",
        "encoder_no_repeat_ngram_size",
        "exponential_decay_length_penalty",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "length_penalty",
        "max_length",
        "max_new_tokens",
        "min_length",
        "no_repeat_ngram_size",
        "num_beam_groups",
        "num_beams",
        "num_return_sequences",
        "remove_invalid_values",
        "repetition_penalty",
        "suppress_tokens",
        "temperature",
        "top_k",
        "top_p",
        "typical_p",
    )
)

# Switches and additions that must be off: false, null, zero or empty.
_OFF = (
    # attention
    "add_cross_attention",
    "alibi",
    "attention_chunk_size",
    "attention_multiplier",
    "attention_sink_size",
    "attn_logit_softcapping",
    "attn_output_gate",
    "attn_soft_cap",
    "attn_temperature_tuning",
    "clip_qkv",
    "is_encoder_decoder",
    "num_kv_shared_layers",
    "parallel_attn",
    "pruned_heads",
    "query_pre_attn_scalar",
    "sliding_window_pattern",
    "use_alibi",
    "use_attention_sinks",
    "use_bidirectional_attention",
    "use_parallel_residual",
    "use_swa",
    # positions
    "mrope_section",
    "no_rope_layer_interval",
    "nope_layer_interval",
    "rope_interleaved",
    "rope_local_base_freq",
    "rotary_dim",
    "use_dynamic_ntk",
    "use_logn_attn",
    "use_mrope",
    # feed-forward, experts, layers of their own kind
    "block_configs",
    "first_k_dense_replace",
    "mlp_bias",
    "moe_num_shared_experts",
    "n_shared_experts",
    "num_shared_experts",
    "per_layer_config",
    "router_bias",
    "shared_expert_intermediate_size",
    "use_expert_bias",
    # the stream and the output
    "final_logit_softcapping",
    "logit_softcapping",
    "logits_soft_cap",
    "scale_depth",
    "use_post_norm",
    "zero_centered_gamma",
)

# Factors that must be one.
_ONE = (
    "embedding_multiplier",
    "embedding_scale",
    "logit_scale",
    "logits_scaling",
    "lm_head_multiplier",
    "moe_layer_freq",
    "partial_rotary_factor",
    "residual_multiplier",
    "rope_pct",
    "rotary_pct",
    "routed_scaling_factor",
    "scale_emb",
)

_ONLY: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("silu", "swish"),
    "is_causal": (True,),
    "position_embedding_type": ("rope", "rotary", "absolute"),  # the last: a default nobody reads
    "scoring_func": ("softmax",),
}
"""Fields with few accepted values."""

_QK_NORM = ("qk_layernorm", "qk_norm", "use_qk_norm")
_QKV_BIAS = ("add_qkv_bias", "attn_qkv_bias", "qkv_bias", "use_qkv_bias")
_OUT_BIAS = ("attention_out_bias", "o_bias", "o_proj_bias")


def held(*, qk_norm: bool, qkv_bias: bool, out_bias: bool) -> Mapping[str, tuple[Any, ...]]:
    """Field → the values that mean what is computed, for a family with these norms and biases.

    A null is always one of them. Compare by ``accepts``.
    """
    found = dict.fromkeys(_OFF, (False, 0, [], {}, "")) | dict.fromkeys(_ONE, (1,)) | _ONLY
    for names, value in ((_QK_NORM, qk_norm), (_QKV_BIAS, qkv_bias), (_OUT_BIAS, out_bias)):
        found |= dict.fromkeys(names, (value,))
    return found


def accepts(accepted: tuple[Any, ...], value: Any) -> bool:
    """Whether ``value`` is one of ``accepted``; ``true`` is not 1."""
    return any(value == each and (isinstance(value, bool) == isinstance(each, bool)) for each in accepted)
