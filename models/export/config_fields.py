"""Fields of a Hugging Face config.json that an export may pass over; every other one could change what the model computes."""

from __future__ import annotations

from typing import Any

from models.export.errors import ExportError
from models.export.fields import Fields, unknown_fields

# Read elsewhere: settings_of_config, families, rope.
READ = frozenset(
    """
    attention_bias eos_token_id head_dim hidden_act hidden_size intermediate_size layer_types max_position_embeddings
    max_window_layers mlp_bias model_type num_attention_heads num_hidden_layers num_key_value_heads
    original_max_position_embeddings partial_rotary_factor quantization_config rms_norm_eps rope_parameters rope_scaling
    rope_theta sliding_window tie_word_embeddings use_sliding_window vocab_size
    """.split()
)

# Provenance, training, other tasks, choices of a program's own: the hidden states of a text do not depend on them.
HARMLESS = frozenset(
    """
    architectures attention_dropout attn_implementation attn_pdrop auto_map bad_words_ids begin_suppress_tokens bos_token_id
    chunk_size_feed_forward custom_pipelines dataset decoder_start_token_id diversity_penalty do_sample dtype early_stopping
    embd_pdrop exponential_decay_length_penalty finetuning_task forced_bos_token_id forced_eos_token_id hidden_dropout
    hidden_dropout_prob id2label initializer_range is_decoder is_llama_config label2id length_penalty max_length
    max_sequence_length min_length no_repeat_ngram_size num_beam_groups num_beams num_return_sequences output_attentions
    output_hidden_states output_past output_scores pad_token pad_token_id prefix pretraining_tp problem_type
    remove_invalid_values repetition_penalty resid_pdrop return_dict return_dict_in_generate sep_token_id suppress_tokens
    task_specific_params temperature tf_legacy_loss tokenizer_class top_k top_p torch_dtype torchscript typical_p use_bfloat16
    use_cache use_flash_attention use_flash_attention_2 use_flash_attn
    """.split()
)
HARMLESS_BEGINNINGS = ("_", "transformers", "unsloth")

# Without effect at these values only.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "add_cross_attention": (False,),
    "attention_out_bias": (False,),
    "full_attn_mod": (1,),
    "interpolate_factor": (1,),
    "is_encoder_decoder": (False,),
    "lm_head_bias": (False,),
    "pruned_heads": ({},),
    "rope_interleaved": (False,),
    "tie_encoder_decoder": (False,),
    "use_mrope": (False,),
}


def refuse_unknown(fields: Fields) -> None:
    """Raises an ExportError that names the fields which are neither read nor known to be without effect. null says nothing."""
    for name, allowed in NEUTRAL.items():
        fields.refuse(name, allowed, f"{allowed[0]!r} is")
    others = {name: value for name, value in fields.values.items() if not name.startswith(HARMLESS_BEGINNINGS)}
    if unknown := unknown_fields(others, sorted(READ | HARMLESS | NEUTRAL.keys())):
        raise ExportError(
            f"{fields.where}: not known to this exporter: {unknown}. A field that it does not know may change what the model "
            "computes; if that is not so, leave it out of config.json"
        )
