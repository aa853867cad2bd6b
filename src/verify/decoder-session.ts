import { join } from "node:path";
import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { VerificationError } from "../errors.ts";
import { Tensor } from "../tensor/tensor.ts";

/** Keys and values of all layers, by the names that a decoder gives them. */
type Cache = Readonly<Record<string, OrtTensor>>;

/** An exported decoder in ONNX Runtime, run as transformers.js runs it: with a cache, on the CPU. All of it is in memory. */
export class DecoderSession {
  private constructor(
    private readonly file: string,
    private readonly session: InferenceSession,
  ) {}

  /**
   * @param file - its name below `onnx/` of an exported folder
   * @param threads - for one operator; by default one for each core
   * @throws VerificationError with what ONNX Runtime says of a file that it refuses
   */
  static async open(folder: string, file: string, threads?: number): Promise<DecoderSession> {
    const session = InferenceSession.create(join(folder, "onnx", file), {
      executionProviders: ["cpu"],
      logSeverityLevel: 4, // what fails is thrown
      ...(threads === undefined ? {} : { intraOpNumThreads: threads }),
    });
    return new DecoderSession(file, await telling(file, session));
  }

  /** A cache of no tokens. */
  emptyCache(batch: number): Cache {
    const caches = this.session.inputMetadata.filter(({ name }) => name.startsWith("past_key_values."));
    return Object.fromEntries(
      caches.map((metadata) => {
        if (!metadata.isTensor) throw new VerificationError(`${metadata.name}: no tensor, expected one.`);
        const shape = metadata.shape.map((size) =>
          size === "batch_size" ? batch : typeof size === "number" ? size : 0,
        );
        const data = metadata.type === "float16" ? new Uint16Array(0) : new Float32Array(0);
        return [metadata.name, new OrtTensor(metadata.type as "float32", data as Float32Array, shape)];
      }),
    );
  }

  /**
   * The logits of some tokens behind those in the cache, and the cache with them.
   *
   * @param attentionMask - of the tokens in the cache too
   * @param keep - tokens from the end whose logits are given; 0 for all
   * @throws VerificationError with what ONNX Runtime says of a file that fails as it runs
   */
  async run(
    { ids, attentionMask, positions }: Readonly<Record<"ids" | "attentionMask" | "positions", Tensor<"I64">>>,
    cache: Cache,
    keep = 0,
  ): Promise<{ logits: Tensor<"F32">; cache: Cache }> {
    const tokens = { input_ids: ids, attention_mask: attentionMask, position_ids: positions };
    const feeds = Object.entries(tokens).map(([name, { data, shape }]) => [name, new OrtTensor("int64", data, shape)]);
    const num_logits_to_keep = new OrtTensor("int64", BigInt64Array.of(BigInt(keep)), []);
    const { logits, ...present } = await telling(
      this.file,
      this.session.run({ ...Object.fromEntries(feeds), ...cache, num_logits_to_keep }),
    );
    const next = Object.entries(present).map(([name, value]) => [name.replace("present", "past_key_values"), value]);
    return {
      logits: new Tensor("F32", logits.dims, logits.data as Float32Array<ArrayBuffer>),
      cache: Object.fromEntries(next) as Cache,
    };
  }

  /**
   * Logits [1, tokens, vocabulary] of one text as it is generated: the first `prompt` tokens at once, each other by itself, with
   * the cache of those before it.
   */
  async decode(tokens: readonly number[], prompt: number): Promise<Tensor<"F32">> {
    const ends = [prompt, ...tokens.slice(prompt).map((_, step) => prompt + step + 1)];
    const parts: Tensor<"F32">[] = [];
    let [cache, begin] = [this.emptyCache(1), 0];
    for (const end of ends) {
      const positions = Array.from({ length: end - begin }, (_, index) => begin + index);
      const inputs = { ids: tokens.slice(begin, end), attentionMask: tokens.slice(0, end).fill(1), positions };
      const result = await this.run(rowsOf(inputs), cache);
      parts.push(result.logits);
      [cache, begin] = [result.cache, end];
    }
    const width = parts[0].shape[2];
    const all = Tensor.zeros("F32", [1, tokens.length, width]);
    for (const [index, { data }] of parts.entries()) all.data.set(data, index === 0 ? 0 : ends[index - 1] * width);
    return all;
  }

  /** Lets go of what ONNX Runtime holds. */
  release(): Promise<void> {
    return this.session.release();
  }
}

function rowsOf<Name extends string>(numbers: Readonly<Record<Name, readonly number[]>>): Record<Name, Tensor<"I64">> {
  const rows = Object.entries<readonly number[]>(numbers).map(([name, row]) => [
    name,
    new Tensor("I64", [1, row.length], BigInt64Array.from(row, BigInt)),
  ]);
  return Object.fromEntries(rows);
}

/** What is under way in ONNX Runtime; what it fails with is told of the file. */
async function telling<T>(file: string, running: Promise<T>): Promise<T> {
  try {
    return await running;
  } catch (cause) {
    const said = cause instanceof Error ? cause.message : String(cause);
    throw new VerificationError(`${file}: ${said}, expected a model that ONNX Runtime runs. Export the model again.`, {
      cause,
    });
  }
}
