/** What llama.cpp calls the parts of one kind of model, and how it keeps them. */
export interface Architecture {
  /** As `general.architecture` spells it. */
  readonly name: string;
  /** The values of config.json's `model_type` that are of this kind; a file is read as the first. */
  readonly modelTypes: readonly string[];
  /**
   * Whether rotation pairs neighbouring rows of a head. config.json's models pair a row of the first half with one of the
   * second: rows of queries and keys are reordered then.
   */
  readonly interleavesRotation: boolean;
  /** Names of modules below a decoder layer, and what they are called below `blk.N`. */
  readonly layerModules: Readonly<Record<string, string>>;
}

const LLAMA_MODULES = {
  input_layernorm: "attn_norm",
  "self_attn.q_proj": "attn_q",
  "self_attn.k_proj": "attn_k",
  "self_attn.v_proj": "attn_v",
  "self_attn.o_proj": "attn_output",
  post_attention_layernorm: "ffn_norm",
  "mlp.gate_proj": "ffn_gate",
  "mlp.up_proj": "ffn_up",
  "mlp.down_proj": "ffn_down",
};

/** The kinds of models that layerwise reads and writes GGUF files of. */
export const ARCHITECTURES: readonly Architecture[] = [
  { name: "llama", modelTypes: ["llama", "mistral"], interleavesRotation: true, layerModules: LLAMA_MODULES },
  { name: "qwen2", modelTypes: ["qwen2"], interleavesRotation: false, layerModules: LLAMA_MODULES },
  {
    name: "qwen3",
    modelTypes: ["qwen3"],
    interleavesRotation: false,
    layerModules: { ...LLAMA_MODULES, "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm" },
  },
];

/** Modules outside of layers. */
const MODULES: Readonly<Record<string, string>> = {
  "model.embed_tokens": "token_embd",
  "model.norm": "output_norm",
  lm_head: "output",
};

/** Divisors of the rotary frequencies, where these are not the plain ones. */
export const ROPE_FACTORS = "rope_freqs.weight";

/** The name in a GGUF file of a parameter, `model.layers.0.mlp.up_proj.weight`; undefined if the architecture has none. */
export function ggufName(architecture: Architecture, parameter: string): string | undefined {
  const [, module, field] = /^(.*)\.(weight|bias)$/.exec(parameter) ?? [];
  if (module === undefined) return undefined;
  const [, layer, part] = /^model\.layers\.(\d+)\.(.+)$/.exec(module) ?? [];
  const name = layer === undefined ? own(MODULES, module) : own(architecture.layerModules, part);
  if (name === undefined) return undefined;
  return layer === undefined ? `${name}.${field}` : `blk.${layer}.${name}.${field}`;
}

/** The parameter that a tensor of a GGUF file holds; undefined if the architecture has none. The inverse of {@link ggufName}. */
export function parameterName(architecture: Architecture, tensor: string): string | undefined {
  const [, module, field] = /^(.*)\.(weight|bias)$/.exec(tensor) ?? [];
  if (module === undefined) return undefined;
  const [, layer, part] = /^blk\.(\d+)\.(.+)$/.exec(module) ?? [];
  const name = layer === undefined ? keyOf(MODULES, module) : keyOf(architecture.layerModules, part);
  if (name === undefined) return undefined;
  return layer === undefined ? `${name}.${field}` : `model.layers.${layer}.${name}.${field}`;
}

function own(names: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(names, key) ? names[key] : undefined;
}

function keyOf(names: Readonly<Record<string, string>>, value: string): string | undefined {
  return Object.keys(names).find((key) => names[key] === value);
}
