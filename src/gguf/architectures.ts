/** A number, or a yes or no, of config.json that a file keeps under a key of its own, if there is one. */
export interface ConfigKey {
  /** Below the architecture's name. */
  readonly key: string;
  readonly field: string;
  readonly type: "uint32" | "float32" | "bool";
  /** Whether llama.cpp has another value in mind where there is none. */
  readonly isRequired?: boolean;
}

/** What of config.json other fields follow from. */
interface Dimensions {
  readonly num_hidden_layers: number;
  readonly hidden_size: number;
  readonly num_attention_heads: number;
  readonly head_dim: number;
}

/** What holds of sliding windows where a file does not say. */
interface SlidingLayers {
  /** Every layer but each of this number sees one. */
  readonly period: number;
  /** Its size; 0 if there is none then. */
  readonly window: number;
  /** Whether these layers have rotary angles of their own. */
  readonly hasOwnAngles?: boolean;
}

/** What llama.cpp calls the parts of one kind of model, and how it keeps them. */
export interface Architecture {
  /** As `general.architecture` spells it. */
  readonly name: string;
  /** The values of config.json's `model_type` that are of this kind; a file is read as the first. */
  readonly modelTypes: readonly string[];
  /** What config.json's `architectures` calls the first. */
  readonly className: string;
  /**
   * Whether rotation pairs neighbouring rows of a head. config.json's models pair a row of the first half with one of the
   * second: rows of queries and keys are reordered then.
   */
  readonly interleavesRotation?: boolean;
  /**
   * Whether rows of the fused projection are all queries, then all keys, then all values. The model has those of each head side by
   * side.
   */
  readonly groupsFusedRows?: boolean;
  /** Whether the matrices of layers are [in, out] in the model. A file has [out, in]. */
  readonly transposesLayers?: boolean;
  /** Whether norms scale by 1 + weight. A file holds what they scale by. */
  readonly offsetsNorms?: boolean;
  /** Whether positions have embeddings, instead of rotations of queries and keys. */
  readonly embedsPositions?: boolean;
  /** Whether only the first columns of a head may be rotated. */
  readonly rotatesPartially?: boolean;
  /** Kinds of stretched angles that tensors tell of. */
  readonly ropeTensors?: readonly ("llama3" | "longrope")[];
  /** Which layers see a sliding window; undefined where none does. */
  readonly sliding?: SlidingLayers;
  /** Names of modules outside of decoder layers, and what they are called. */
  readonly outerModules?: Readonly<Record<string, string>>;
  /** What decoder layers are below; `model.layers` by default. */
  readonly layers?: string;
  /** Names of modules below a decoder layer, and what they are called below `blk.N`; `*` is an expert's number. */
  readonly layerModules: Readonly<Record<string, string>>;
  /** What config.json calls fields that other models have under another name. */
  readonly fieldNames?: Readonly<Record<string, string>>;
  /** Keys that other architectures lack. */
  readonly keys?: readonly ConfigKey[];
  /** Fields of config.json that no key tells of: llama.cpp computes as if they were these. */
  assumes?(config: Dimensions): Readonly<Record<string, unknown>>;
}

/** The key of the ε of norms that subtract the mean; others have `attention.layer_norm_rms_epsilon`. */
export const LAYER_NORM_EPSILON = "attention.layer_norm_epsilon";

/** The table of learnt positions, which llama.cpp adds in float32. */
export const POSITION_EMBEDDING = "position_embd";

const ATTENTION = {
  input_layernorm: "attn_norm",
  "self_attn.q_proj": "attn_q",
  "self_attn.k_proj": "attn_k",
  "self_attn.v_proj": "attn_v",
  "self_attn.o_proj": "attn_output",
};
const HEAD_NORMS = { "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm" };
const FEED_FORWARD = { "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down" };
const LLAMA_MODULES = { ...ATTENTION, post_attention_layernorm: "ffn_norm", ...FEED_FORWARD };

const GEMMA_MODULES = {
  ...ATTENTION,
  post_attention_layernorm: "post_attention_norm",
  pre_feedforward_layernorm: "ffn_norm",
  ...FEED_FORWARD,
  post_feedforward_layernorm: "post_ffw_norm",
};
const GEMMA_WINDOW: ConfigKey = {
  key: "attention.sliding_window",
  field: "sliding_window",
  type: "uint32",
  isRequired: true,
};
const FINAL_CAP: ConfigKey = { key: "final_logit_softcapping", field: "final_logit_softcapping", type: "float32" };
const ATTENTION_CAP: ConfigKey = { key: "attn_logit_softcapping", field: "attn_logit_softcapping", type: "float32" };

/** Scores are scaled by the size of a head, but for the largest model, which is known by its layers. */
function scoreScale(config: Dimensions, layersOfLargest: number): number {
  const { num_hidden_layers, hidden_size, num_attention_heads, head_dim } = config;
  return num_hidden_layers === layersOfLargest ? Math.floor(hidden_size / num_attention_heads) : head_dim;
}

/** Heads share the hidden size. */
function sharedSize({ hidden_size, num_attention_heads }: Dimensions): number {
  return hidden_size / num_attention_heads;
}

const ROUTED_MODULES = {
  ...ATTENTION,
  post_attention_layernorm: "ffn_norm",
  "mlp.gate": "ffn_gate_inp",
  "mlp.experts.*.gate_proj": "ffn_gate_exps",
  "mlp.experts.*.up_proj": "ffn_up_exps",
  "mlp.experts.*.down_proj": "ffn_down_exps",
};
const ROUTED_KEYS: readonly ConfigKey[] = [
  { key: "expert_count", field: "num_experts", type: "uint32" },
  { key: "expert_used_count", field: "num_experts_per_tok", type: "uint32" },
  { key: "expert_feed_forward_length", field: "moe_intermediate_size", type: "uint32" },
];

/** The kinds of models that layerwise reads and writes GGUF files of. */
export const ARCHITECTURES: readonly Architecture[] = [
  {
    name: "llama",
    modelTypes: ["llama", "mistral"],
    className: "LlamaForCausalLM",
    interleavesRotation: true,
    ropeTensors: ["llama3", "longrope"],
    layerModules: LLAMA_MODULES,
  },
  {
    name: "llama",
    modelTypes: ["mixtral"],
    className: "MixtralForCausalLM",
    interleavesRotation: true,
    ropeTensors: ["llama3", "longrope"],
    layerModules: {
      ...ATTENTION,
      post_attention_layernorm: "ffn_norm",
      "block_sparse_moe.gate": "ffn_gate_inp",
      "block_sparse_moe.experts.*.w1": "ffn_gate_exps",
      "block_sparse_moe.experts.*.w2": "ffn_down_exps",
      "block_sparse_moe.experts.*.w3": "ffn_up_exps",
    },
    keys: [
      { key: "expert_count", field: "num_local_experts", type: "uint32" },
      { key: "expert_used_count", field: "num_experts_per_tok", type: "uint32" },
    ],
  },
  { name: "qwen2", modelTypes: ["qwen2"], className: "Qwen2ForCausalLM", layerModules: LLAMA_MODULES },
  {
    name: "qwen3",
    modelTypes: ["qwen3"],
    className: "Qwen3ForCausalLM",
    layerModules: { ...LLAMA_MODULES, ...HEAD_NORMS },
  },
  {
    name: "qwen2moe",
    modelTypes: ["qwen2_moe"],
    className: "Qwen2MoeForCausalLM",
    layerModules: {
      ...ROUTED_MODULES,
      "mlp.shared_expert_gate": "ffn_gate_inp_shexp",
      "mlp.shared_expert.gate_proj": "ffn_gate_shexp",
      "mlp.shared_expert.up_proj": "ffn_up_shexp",
      "mlp.shared_expert.down_proj": "ffn_down_shexp",
    },
    keys: [
      ...ROUTED_KEYS,
      { key: "expert_shared_feed_forward_length", field: "shared_expert_intermediate_size", type: "uint32" },
    ],
    assumes: (config) => ({ head_dim: sharedSize(config), norm_topk_prob: false, qkv_bias: true }),
  },
  {
    name: "qwen3moe",
    modelTypes: ["qwen3_moe"],
    className: "Qwen3MoeForCausalLM",
    layerModules: { ...ROUTED_MODULES, ...HEAD_NORMS },
    keys: ROUTED_KEYS,
    assumes: () => ({ norm_topk_prob: true }),
  },
  {
    name: "gemma2",
    modelTypes: ["gemma2"],
    className: "Gemma2ForCausalLM",
    offsetsNorms: true,
    sliding: { period: 2, window: 4096 },
    layerModules: GEMMA_MODULES,
    keys: [GEMMA_WINDOW, { ...FINAL_CAP, isRequired: true }, { ...ATTENTION_CAP, isRequired: true }],
    assumes: (config) => ({
      attention_bias: false,
      query_pre_attn_scalar: scoreScale(config, 46),
      tie_word_embeddings: true,
    }),
  },
  {
    name: "gemma3",
    modelTypes: ["gemma3_text"],
    className: "Gemma3ForCausalLM",
    offsetsNorms: true,
    sliding: { period: 6, window: 0, hasOwnAngles: true },
    layerModules: { ...GEMMA_MODULES, ...HEAD_NORMS },
    keys: [GEMMA_WINDOW, FINAL_CAP],
    assumes: (config) => ({
      attention_bias: false,
      query_pre_attn_scalar: scoreScale(config, 62),
      attn_logit_softcapping: null,
    }),
  },
  {
    name: "phi3",
    modelTypes: ["phi3"],
    className: "Phi3ForCausalLM",
    rotatesPartially: true,
    ropeTensors: ["longrope"],
    layerModules: {
      input_layernorm: "attn_norm",
      "self_attn.qkv_proj": "attn_qkv",
      "self_attn.o_proj": "attn_output",
      post_attention_layernorm: "ffn_norm",
      "mlp.gate_up_proj": "ffn_up",
      "mlp.down_proj": "ffn_down",
    },
    keys: [{ key: "attention.sliding_window", field: "sliding_window", type: "uint32" }],
    assumes: (config) => ({ head_dim: sharedSize(config) }),
  },
  {
    name: "gpt2",
    modelTypes: ["gpt2"],
    className: "GPT2LMHeadModel",
    transposesLayers: true,
    embedsPositions: true,
    outerModules: {
      "transformer.wte": "token_embd",
      "transformer.wpe": POSITION_EMBEDDING,
      "transformer.ln_f": "output_norm",
      lm_head: "output",
    },
    layers: "transformer.h",
    layerModules: {
      ln_1: "attn_norm",
      "attn.c_attn": "attn_qkv",
      "attn.c_proj": "attn_output",
      ln_2: "ffn_norm",
      "mlp.c_fc": "ffn_up",
      "mlp.c_proj": "ffn_down",
    },
    fieldNames: {
      hidden_size: "n_embd",
      intermediate_size: "n_inner",
      num_hidden_layers: "n_layer",
      num_attention_heads: "n_head",
      max_position_embeddings: "n_positions",
    },
    keys: [{ key: LAYER_NORM_EPSILON, field: "layer_norm_epsilon", type: "float32", isRequired: true }],
    assumes: () => ({
      activation_function: "gelu_new",
      scale_attn_weights: true,
      scale_attn_by_inverse_layer_idx: false,
    }),
  },
  {
    name: "gptneox",
    modelTypes: ["gpt_neox"],
    className: "GPTNeoXForCausalLM",
    groupsFusedRows: true,
    rotatesPartially: true,
    outerModules: {
      "gpt_neox.embed_in": "token_embd",
      "gpt_neox.final_layer_norm": "output_norm",
      embed_out: "output",
    },
    layers: "gpt_neox.layers",
    layerModules: {
      input_layernorm: "attn_norm",
      "attention.query_key_value": "attn_qkv",
      "attention.dense": "attn_output",
      post_attention_layernorm: "ffn_norm",
      "mlp.dense_h_to_4h": "ffn_up",
      "mlp.dense_4h_to_h": "ffn_down",
    },
    keys: [
      { key: LAYER_NORM_EPSILON, field: "layer_norm_eps", type: "float32", isRequired: true },
      { key: "use_parallel_residual", field: "use_parallel_residual", type: "bool", isRequired: true },
    ],
    assumes: () => ({ attention_bias: true, hidden_act: "gelu" }),
  },
];
