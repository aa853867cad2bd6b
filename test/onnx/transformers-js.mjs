// Runs transformers.js on an exported folder, in a process of its own: it brings another version of ONNX Runtime, and one
// process cannot hold two. Reads {folder, dtype, prompt, newTokens, windows} as JSON; prints the tokens that a greedy
// generation gives, prompt and all, and the mean loss over the windows of tokens.
import { AutoModelForCausalLM, env, Tensor } from "@huggingface/transformers";

const { folder, dtype, prompt, newTokens, windows = [] } = JSON.parse(process.argv[2]);
env.allowRemoteModels = false;
env.localModelPath = "/";
const model = await AutoModelForCausalLM.from_pretrained(folder, dtype ? { dtype } : {});

function inputsOf(tokens) {
  const dims = [1, tokens.length];
  return {
    input_ids: new Tensor("int64", BigInt64Array.from(tokens, BigInt), dims),
    attention_mask: new Tensor("int64", new BigInt64Array(tokens.length).fill(1n), dims),
  };
}

async function generate() {
  const [tokens] = (
    await model.generate({ ...inputsOf(prompt), max_new_tokens: newTokens, do_sample: false })
  ).tolist();
  return tokens.map(Number);
}

/** Mean of −log p(token | those before it). */
async function meanLoss() {
  let [sum, count] = [0, 0];
  for (const tokens of windows) {
    const { logits } = await model(inputsOf(tokens));
    const width = logits.dims[2];
    for (let position = 0; position + 1 < tokens.length; position++) {
      const row = logits.data.subarray(position * width, (position + 1) * width);
      const largest = row.reduce((max, value) => Math.max(max, value), Number.NEGATIVE_INFINITY);
      const total = row.reduce((all, value) => all + Math.exp(value - largest), 0);
      sum += Math.log(total) + largest - row[tokens[position + 1]];
      count++;
    }
  }
  return sum / count;
}

const result = { tokens: prompt ? await generate() : [], loss: windows.length > 0 ? await meanLoss() : null };
process.stdout.write(JSON.stringify(result));
