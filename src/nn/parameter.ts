import { CheckpointError } from "../errors.ts";
import type { TraceableParameter } from "../fx/traceable.ts";
import { f32, type TensorType } from "../fx/types.ts";
import type { Buffers } from "../tensor/buffers.ts";
import { toFloat32 } from "../tensor/convert.ts";
import type { DType } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Where a parameter's values lie until they are needed. */
export interface ParameterSource {
  /** Name in the checkpoint. */
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** @param buffers - may give the memory */
  read(buffers?: Buffers): Promise<Tensor>;
  /** Reads and converts to F32 in the memory of the result alone, where that is possible. */
  readFloat32?(buffers?: Buffers): Promise<Tensor<"F32">>;
  /** Whether what is read is not what the checkpoint holds under the name. */
  readonly isDerived?: boolean;
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

  /** Reads the values, converted to F32, into memory that `buffers` may give. */
  async load(buffers?: Buffers): Promise<Tensor<"F32">> {
    if (!this.source) {
      throw new CheckpointError(
        `parameter of shape [${this.shape.join(", ")}]: no values, expected a model bound to a checkpoint.`,
      );
    }
    if (this.source.readFloat32) return this.source.readFloat32(buffers);
    const stored = await this.source.read(buffers);
    const values = toFloat32(stored, buffers);
    if (values !== stored) buffers?.give(stored);
    return values;
  }

  /** Reads rows of a matrix, converted to F32; undefined where the source can only be read as a whole. */
  async loadRows(rows: readonly number[]): Promise<Tensor<"F32"> | undefined> {
    return this.source?.readRows && toFloat32(await this.source.readRows(rows));
  }
}

/** Elements of a piece of a matrix: little beside a layer. */
const PIECE = 2 ** 20;

/**
 * A parameter's values from first to last, as {@link Parameter.load} gives them: a matrix a few rows at a time where its source can
 * be read so, else all at once. What goes through them with it needs no memory for a table of embeddings.
 */
export async function* loadPieces(parameter: Parameter): AsyncGenerator<Tensor<"F32">> {
  const [rows, columns = 0] = parameter.shape;
  if (rows * columns <= PIECE || !parameter.source?.readRows) {
    yield await parameter.load();
    return;
  }
  const count = Math.max(1, Math.floor(PIECE / columns));
  for (let start = 0; start < rows; start += count) {
    const piece = Array.from({ length: Math.min(count, rows - start) }, (_, row) => start + row);
    yield toFloat32(await parameter.source.readRows(piece));
  }
}

/** New values of a parameter, from the old ones. */
export type Rewrite = (value: Tensor<"F32">) => Tensor<"F32"> | Promise<Tensor<"F32">>;

/** Lets other values stand for a parameter: they are computed whenever it is read, and nothing is kept. */
export function rewriteParameter(parameter: Parameter, rewrite: Rewrite): void {
  const before = snapshot(parameter);
  const { source } = before;
  if (!source) return;
  parameter.source = {
    ...source,
    isDerived: true,
    readFloat32: undefined,
    readRows: undefined,
    read: async () => rewrite(await before.load()),
  };
}

/** A parameter that stays what this one is now. */
export function snapshot(parameter: Parameter): Parameter {
  const copy = new Parameter(parameter.shape);
  copy.source = parameter.source;
  return copy;
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
