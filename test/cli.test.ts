import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "./temporary-folder.ts";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const [cli, model, text] = [here("../dist/cli.js"), here("../examples/moby-tiny"), here("../examples/evaluation.txt")];
const calibration = here("../examples/calibration.jsonl");
const recipe = here("../examples/gptq-w4a16.yaml");

/** Runs the command as a user does; never fails. */
function layerwise(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [cli, ...args], (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr });
    });
  });
}

async function compress(...args: string[]) {
  const folder = await temporaryFolder();
  const output = join(folder, "output");
  const sizes = ["--max-seq-length", "64", "--num-calibration-samples", "4", "--threads", "1"];
  return {
    folder,
    output,
    ...(await layerwise("compress", model, "-r", recipe, "-d", calibration, "-o", output, ...sizes, ...args)),
  };
}

describe("trace", () => {
  test("prints a table of the subgraphs", async () => {
    const { stdout } = await layerwise("trace", model);
    expect(stdout).toMatchInlineSnapshot(`
      "#  targets         inputs (* consumed)                               outputs
      -  --------------  ------------------------------------------------  -----------------------------------------------
      0  (none)          input_ids* attention_mask*                        model_embed_tokens causal_mask model_rotary_emb
      1  model.layers.0  model_embed_tokens* causal_mask model_rotary_emb  model_layers_0
      2  model.layers.1  model_layers_0* causal_mask model_rotary_emb      model_layers_1
      3  model.layers.2  model_layers_1* causal_mask model_rotary_emb      model_layers_2
      4  model.layers.3  model_layers_2* causal_mask* model_rotary_emb*    logits

      5 subgraphs
      "
    `);
  });

  test("prints JSON, and code", async () => {
    const subgraphs = JSON.parse((await layerwise("trace", model, "--json", "--targets-per-subgraph", "2")).stdout);
    expect(subgraphs.map(({ targets }: { targets: string[] }) => targets)).toEqual([
      [],
      ["model.layers.0", "model.layers.1"],
      ["model.layers.2", "model.layers.3"],
    ]);
    expect((await layerwise("trace", model, "--code")).stdout).toContain("const lm_head = this.lm_head(model_norm);");
  });
});

describe("compress, inspect, eval", () => {
  test("a compressed model is inspected and evaluated", async () => {
    const { output, stdout, stderr, code } = await compress();
    expect([code, stdout]).toEqual([0, ""]);
    expect(stderr).toMatch(/^\(1\/5\) compressing, [\d.]+ MB resident$/m);
    expect(stderr).toMatch(/^ {2}model\.layers\.3\.mlp\.down_proj, error [\d.]+, -[\d.]+ dB \([\d.]+ s\)$/m);
    expect(stderr).toMatch(/output: 2\.7 MB, 2\.74 times smaller than at 16 bits, in \d+ s\n$/);

    const inspected = await layerwise("inspect", output);
    expect(inspected.stdout).toContain("pack-quantized  int4 symmetric, group 128  28       3,145,728   1.6 MB");
    expect(JSON.parse((await layerwise("inspect", output, "--json")).stdout)).toMatchObject({
      modelType: "llama",
      ignored: ["lm_head"],
      parameters: 3_672_320,
    });

    const sizes = ["--windows", "4", "--length", "64", "--threads", "1"];
    const evaluated = await layerwise("eval", output, "-d", text, ...sizes, "--json");
    expect(JSON.parse(evaluated.stdout)).toMatchObject({ tokens: 4 * 63 });
    expect((await layerwise("eval", model, "-d", text, ...sizes)).stdout).toMatch(
      /^perplexity \d+\.\d{3} over 252 tokens\n$/,
    );
  });

  test("a checkpoint is verified; what is wrong with it is printed, and is the exit code", async () => {
    const { output } = await compress();
    const whole = await layerwise("verify", output, "--source", model, "--threads", "1");
    expect(whole.stdout).toMatch(/\nverified: 94 tensors, 28 modules of them compressed, no problem\n$/);
    expect(whole.code).toBe(0);
    await rm(join(output, "tokenizer.json"));
    const broken = await layerwise("verify", output);
    expect([broken.code, broken.stdout]).toEqual([
      1,
      "tokenizer.json: not there, expected the file that checksums.json tells of. Get the file again, or compress the model again. " +
        "If the change was meant, delete checksums.json.\n1 problem in 94 tensors, 28 modules of them compressed\n",
    ]);
    const { code, stdout } = await layerwise("verify", output, "--json");
    expect([code, JSON.parse(stdout).problems]).toMatchObject([1, [{ where: "tokenizer.json" }]]);
  });

  test("events are printed as JSON lines", async () => {
    const { stdout } = await compress("--json", "--one-pass");
    const events = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(events.filter(({ type }) => type === "module")).toHaveLength(28);
    expect(events.find(({ type, phase }) => type === "phase" && phase === "calibrating")).toMatchObject({
      subgraph: 1,
    });
  });

  test("a profile is written, and summed up on standard error", async () => {
    const trace = join(await temporaryFolder(), "trace.json");
    const { code, stderr } = await compress("--profile", trace);
    expect(code).toBe(0);
    expect(stderr).toMatch(/^calibrating +Gemm +[\d.]+ s +[\d.]+%$/m);
    const { traceEvents } = JSON.parse(await readFile(trace, "utf8"));
    expect(traceEvents.filter(({ cat }: { cat?: string }) => cat === "module")).toHaveLength(28);
  });
});

describe("errors", () => {
  test("name what is wrong on standard error, without a stack, and leave nothing behind", async () => {
    const folder = await temporaryFolder({ "recipe.yaml": "stage:\n  GPTQModifier: {scheme: W4A17}\n" });
    const output = join(folder, "output");
    const missing = await layerwise("inspect", "no/such/folder/here");
    expect(missing.code).toBe(1);
    expect(missing.stderr).toMatch(/^layerwise: .*no\/such\/folder\/here.*\n$/);
    const wrong = await layerwise(
      "compress",
      model,
      "-r",
      join(folder, "recipe.yaml"),
      "-d",
      calibration,
      "-o",
      output,
    );
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toMatch(/^layerwise: .*recipe\.yaml:1:1: .*_stage.*\n$/);
    expect(await readdir(folder)).toEqual(["recipe.yaml"]);
  });

  test("an output that exists is refused with the option that would replace it", async () => {
    const folder = await temporaryFolder({ "something.txt": "keep me" });
    const { code, stderr } = await layerwise("compress", model, "-r", recipe, "-d", calibration, "-o", folder);
    expect(code).toBe(1);
    expect(stderr).toContain("--overwrite");
    expect(await readdir(folder)).toEqual(["something.txt"]);
  });

  test.each([
    [[], "error: neither --recipe nor --scheme-for, expected one of them\n"],
    [
      ["--recipe", recipe, "--scheme-for", "gguf"],
      "error: option '--scheme-for <format>' cannot be used with option '-r, --recipe <file>'\n",
    ],
    [["--recipe", recipe, "--dtype", "Q8_0"], "error: types without --format, expected one that is exported to\n"],
  ])("options that do not go together are refused: %j", async (options, message) => {
    const { code, stderr } = await layerwise("compress", model, ...options, "-d", calibration, "-o", "no/such/folder");
    expect([code, stderr]).toEqual([1, message]);
  });

  test("a profile that cannot be written is refused before the run", async () => {
    const { code, stderr, folder } = await compress("--profile", "/no/such/folder/trace.json");
    expect([code, stderr, await readdir(folder)]).toEqual([
      1,
      "layerwise: /no/such/folder/trace.json: cannot be written, expected room and the right to. Choose another file.\n",
      [],
    ]);
  });

  test("unknown options and values of the wrong kind are refused", async () => {
    expect((await layerwise("trace", model, "--colour")).stderr).toContain("unknown option '--colour'");
    expect((await layerwise("eval", model, "-d", text, "--windows", "0")).stderr).toContain(
      "Expected a whole number of at least 1.",
    );
  });
});

describe("an interrupt", () => {
  /** Starts a run and interrupts it as soon as it prints `moment`. */
  async function interrupted(output: string, moment: string): Promise<{ code: number; printed: string }> {
    const sizes = ["--max-seq-length", "256", "--num-calibration-samples", "32"];
    const args = ["compress", model, "-r", recipe, "-d", calibration, "-o", output, ...sizes];
    const child: ChildProcess = spawn(process.execPath, [cli, ...args], { stdio: ["ignore", "ignore", "pipe"] });
    let printed = "";
    child.stderr?.on("data", (chunk) => {
      printed += chunk;
      if (printed.includes(moment) && !child.killed) child.kill("SIGINT");
    });
    const [code] = await once(child, "close");
    return { code, printed };
  }

  test("ends the run with code 130, and leaves nothing behind while nothing is finished", async () => {
    const folder = await temporaryFolder();
    const { code, printed } = await interrupted(join(folder, "output"), "(2/5) calibrating");
    expect(code).toBe(130);
    expect(printed).toMatch(/^interrupted: nothing was left behind$/m);
    expect(await readdir(folder)).toEqual([]);
  });

  test("leaves what is finished and says how to go on", async () => {
    const folder = await temporaryFolder();
    const { code, printed } = await interrupted(join(folder, "output"), "(3/5) calibrating");
    expect(code).toBe(130);
    const partial = join(folder, "output.partial");
    expect(printed).toContain(`\ninterrupted: ${partial}: holds what is finished. Pass --resume to go on.\n`);
    expect(await readdir(folder)).toEqual(["output.partial"]);
    expect((await readdir(partial)).sort()).toEqual(["journal.jsonl", "output"]);
  });
});

describe("export", () => {
  test("compress quantizes for a format, and exports to a folder beside its output", async () => {
    const output = join(await temporaryFolder(), "output");
    const data = ["-d", calibration, "--max-seq-length", "64", "--num-calibration-samples", "2", "--threads", "1"];
    const arguments_ = ["compress", model, "--scheme-for", "gguf", "--format", "compressed-tensors,gguf", "-o", output];
    const { code, stderr } = await layerwise(...arguments_, ...data);
    expect(stderr).toContain("output: 2.8 MB");
    expect(code).toBe(0);
    expect(await readdir(`${output}-gguf`)).toEqual(["output-Q4_0.gguf"]);
  });

  test("a scheme that the format cannot carry is refused before anything is read", async () => {
    const { code, stderr, folder } = await compress("--format", "gguf", "--dtype", "Q8_0");
    expect(stderr).toMatch(
      /q_proj: quantized so that Q4_0 carries it, expected a weight for Q8_0. Choose Q4_0, or F16/,
    );
    expect([code, await readdir(folder)]).toEqual([1, []]);
  });

  test("unknown formats and types are named", async () => {
    const unknown = await layerwise("export", model, "--format", "gguf,ggml", "-o", "x");
    expect(unknown.stderr).toBe('layerwise: format: "ggml", expected one of onnx, gguf.\n');
    const type = await layerwise("export", model, "--format", "gguf", "--dtype", "Q9", "-o", "x");
    expect(type.stderr).toBe(
      "layerwise: dtype: Q9, expected one of F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K, Q6_K (gguf).\n",
    );
  });
});
