// Loads the exported folder with transformers.js and writes on. All files come from this server: the model from /models/,
// transformers.js and ONNX Runtime from the installed packages.
import { AutoModelForCausalLM, AutoTokenizer, env, TextStreamer } from "/transformers/transformers.min.js";

env.allowRemoteModels = false;
env.allowLocalModels = true;
env.localModelPath = "/models/";
env.useBrowserCache = false;
env.useWasmCache = false;
env.backends.onnx.wasm.wasmPaths = "/onnxruntime/";

const MODEL = "moby-tiny";
const form = document.querySelector("form");
const status = document.querySelector("#status");
const output = document.querySelector("output");

if (await navigator.gpu?.requestAdapter()) form.device.add(new Option("the graphics card (WebGPU)", "webgpu"));
status.textContent = "ready";

/** The model on each device, once it is asked for. */
const models = new Map();

function modelOn(device) {
  const model = models.get(device) ?? AutoModelForCausalLM.from_pretrained(MODEL, { device });
  models.set(device, model);
  return model;
}

async function generate({ prompt, device, tokens }) {
  status.textContent = "loading";
  const tokenizer = await AutoTokenizer.from_pretrained(MODEL);
  const model = await modelOn(device);
  status.textContent = "generating";
  output.textContent = prompt;
  const streamer = new TextStreamer(tokenizer, {
    skip_prompt: true,
    callback_function: (text) => output.append(text),
  });
  const started = performance.now();
  const [ids] = await model.generate({
    ...tokenizer(prompt),
    max_new_tokens: Number(tokens),
    do_sample: false,
    streamer,
  });
  const seconds = (performance.now() - started) / 1000;
  output.dataset.tokens = ids.tolist().join(" ");
  status.textContent = `done: ${(tokens / seconds).toFixed(1)} tokens a second`;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  generate(Object.fromEntries(new FormData(form))).catch((error) => {
    status.textContent = `failed: ${error.message}`;
  });
});
