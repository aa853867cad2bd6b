import { type Checkpoint, openCheckpoint } from "../checkpoint/checkpoint.ts";
import { resolveModel } from "../checkpoint/hub.ts";
import { CheckpointError } from "../errors.ts";
import {
  bindCheckpoint,
  type CompressedModule,
  compressedModules,
  compressedTensorReader,
} from "../formats/bind-checkpoint.ts";
import { checkpointQuantization } from "../formats/checkpoint-quantization.ts";
import { groupOfColumns } from "../formats/column-groups.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { createModel } from "../models/registry.ts";
import { transformGroups } from "../nn/online-transform.ts";
import type { QuantizedWeight } from "../schemes/quantize.ts";
import type { ModelQuantization } from "../schemes/quantized-values.ts";

/** What is known of a model before any weight is read. */
export interface ExportSubject {
  /** config.json, and the files beside the weights. */
  readonly checkpoint: Checkpoint;
  /** Modules and parameters; what these read is bound when files are written. */
  readonly model: CausalLM;
  /** What is quantized, or is going to be, and how. */
  readonly quantization: ModelQuantization;
  /** Whether linears rotate what they read or give at run time, or are going to. */
  readonly hasTransforms: boolean;
}

/**
 * An opened checkpoint, compressed or dense, as formats read it. The model's parameters are bound: each can be loaded as the
 * dense weight that a reader decodes, and nothing stays in memory.
 */
export class ExportSource implements ExportSubject {
  readonly #readTensors: ReturnType<typeof compressedTensorReader>;

  private constructor(
    readonly checkpoint: Checkpoint,
    readonly model: CausalLM,
    readonly quantization: ModelQuantization,
    /** Linears whose weights are stored compressed, by path. */
    readonly compressed: ReadonlyMap<string, CompressedModule>,
  ) {
    this.#readTensors = compressedTensorReader(model, checkpoint);
  }

  get hasTransforms(): boolean {
    return transformGroups(this.model).length > 0;
  }

  /** @param model - a folder, or a Hub id @throws LayerwiseError as opening a checkpoint does */
  static async open(model: string): Promise<ExportSource> {
    const checkpoint = await openCheckpoint(await resolveModel(model));
    try {
      const module = createModel(checkpoint.config, { where: checkpoint.pathOf("config.json") });
      bindCheckpoint(module, checkpoint);
      const compressed = compressedModules(module, checkpoint);
      return new ExportSource(checkpoint, module, checkpointQuantization(module, checkpoint), compressed);
    } catch (error) {
      await checkpoint.close();
      throw error;
    }
  }

  /**
   * The codes, scales and zero points that calibration chose for the linear at `path`, as they are stored; undefined where
   * its weight is dense.
   *
   * @throws CheckpointError where columns that share a scale are not neighbours (`weight_g_idx`)
   */
  async quantizedWeight(path: string): Promise<QuantizedWeight | undefined> {
    const module = this.compressed.get(path);
    if (!module) return undefined;
    const tensors = await this.#readTensors(module);
    if (groupOfColumns(path, tensors)) {
      throw new CheckpointError(
        `${path}: columns are grouped by weight_g_idx, expected neighbours to share a scale. Quantize again, with actorder static.`,
      );
    }
    return module.format.restore(path, tensors, module.args);
  }

  /** Closes all files. */
  close(): Promise<void> {
    return this.checkpoint.close();
  }
}
