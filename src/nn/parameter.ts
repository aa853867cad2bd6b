import { CheckpointError } from "../errors.ts";
import type { TraceableParameter } from "../fx/traceable.ts";
import { f32, type TensorType } from "../fx/types.ts";
import { toFloat32 } from "../tensor/convert.ts";
import type { DType } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Where a parameter's values lie until they are needed. */
export interface ParameterSource {
  /** Name in the checkpoint. */
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  read(): Promise<Tensor>;
  /** Reads rows of a matrix, where that is possible without reading all: [rows, columns]. */
  readRows?(rows: readonly number[]): Promise<Tensor>;
}

/** A weight of a module: a shape, and a place on disk until its values are needed. Graphs compute with it in F32. */
export class Parameter implements TraceableParameter {
  readonly type: TensorType;
  /** Set once the model is bound to a checkpoint. */
  source?: ParameterSource;

  constructor(readonly shape: readonly number[]) {
    this.type = f32(...shape);
  }

  /** Reads the values, converted to F32. */
  async load(): Promise<Tensor<"F32">> {
    if (!this.source) {
      throw new CheckpointError(
        `parameter of shape [${this.shape.join(", ")}]: no values, expected a model bound to a checkpoint.`,
      );
    }
    return toFloat32(await this.source.read());
  }

  /** Reads rows of a matrix, converted to F32; undefined where the source can only be read as a whole. */
  async loadRows(rows: readonly number[]): Promise<Tensor<"F32"> | undefined> {
    return this.source?.readRows && toFloat32(await this.source.readRows(rows));
  }
}

/** Values that follow from the configuration and are in no checkpoint, such as rotary frequencies. */
export class Buffer extends Parameter {
  constructor(readonly value: Tensor<"F32">) {
    super(value.shape);
  }

  override async load(): Promise<Tensor<"F32">> {
    return this.value;
  }
}
