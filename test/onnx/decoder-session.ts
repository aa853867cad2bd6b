import { join } from "node:path";
import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { Tensor } from "../../src/tensor/tensor.ts";

/** Keys and values of all layers, by the names that a decoder gives them. */
type Cache = Readonly<Record<string, OrtTensor>>;

/** An exported decoder in ONNX Runtime, run as transformers.js runs it. */
export class DecoderSession {
  private constructor(private readonly session: InferenceSession) {}

  /** @param file - its name below `onnx/` of an exported folder */
  static async open(folder: string, file: string): Promise<DecoderSession> {
    const options = { executionProviders: ["cpu"], intraOpNumThreads: 1 };
    return new DecoderSession(await InferenceSession.create(join(folder, "onnx", file), options));
  }

  /** A cache of no tokens. */
  emptyCache(batch: number): Cache {
    const caches = this.session.inputMetadata.filter(({ name }) => name.startsWith("past_key_values."));
    return Object.fromEntries(
      caches.map((metadata) => {
        if (!metadata.isTensor) throw new Error(`${metadata.name}: no tensor`);
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
   */
  async run(
    { ids, attentionMask, positions }: Readonly<Record<"ids" | "attentionMask" | "positions", Tensor<"I64">>>,
    cache: Cache,
    keep = 0,
  ): Promise<{ logits: Tensor<"F32">; cache: Cache }> {
    const tokens = { input_ids: ids, attention_mask: attentionMask, position_ids: positions };
    const feeds = Object.entries(tokens).map(([name, { data, shape }]) => [name, new OrtTensor("int64", data, shape)]);
    const num_logits_to_keep = new OrtTensor("int64", BigInt64Array.of(BigInt(keep)), []);
    const { logits, ...present } = await this.session.run({
      ...Object.fromEntries(feeds),
      ...cache,
      num_logits_to_keep,
    });
    const next = Object.entries(present).map(([name, value]) => [name.replace("present", "past_key_values"), value]);
    return {
      logits: new Tensor("F32", logits.dims, logits.data as Float32Array<ArrayBuffer>),
      cache: Object.fromEntries(next) as Cache,
    };
  }

  /** Lets go of what ONNX Runtime holds. */
  release(): Promise<void> {
    return this.session.release();
  }
}
