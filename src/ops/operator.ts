import { ShapeError } from "../errors.ts";
import type { Attributes, FunctionTarget, Node } from "../fx/node.ts";
import { recorderOf } from "../fx/recorder.ts";
import type { Operand } from "../fx/traceable.ts";
import { isTuple, type TensorType, type ValueType } from "../fx/types.ts";
import type { BasisRule } from "./basis.ts";
import type { ColumnRules } from "./column-factors.ts";
import type { OnnxExpression, OnnxValue } from "./onnx.ts";

/** A primitive operation: its type rule, and what it is in ONNX. */
export interface Operator extends FunctionTarget {
  /** One expression for each tensor of the result; `types` are those of the inputs. */
  lower(
    inputs: readonly OnnxValue[],
    attrs: Attributes,
    types: readonly TensorType[],
  ): OnnxExpression | readonly OnnxExpression[];
  /** How it treats factors on columns: what smoothing may rely on. */
  readonly columns?: ColumnRules;
  /** How it treats a rotation of columns. */
  readonly basis?: BasisRule;
  /** What it computes and keeps for inputs of these shapes; without it, it does little more than read and write. */
  cost?(shapes: readonly (readonly number[])[], attrs: Attributes): Cost;
}

/** What one call of an operator costs, beside reading its inputs and writing its result. */
export interface Cost {
  readonly multiplyAdds: number;
  /** Bytes that it needs while it runs. 0 by default. */
  readonly scratchBytes?: number;
}

/** An operator that a forward calls: operands first, then its attributes. */
export type OperatorCall<Operands extends readonly Operand[], Attrs extends Attributes> = ((
  ...args: Record<string, never> extends Attrs ? [...Operands] : [...Operands, Attrs]
) => Node) & { readonly operator: Operator };

/** What {@link defineOp} makes an operator of. */
export interface OperatorDefinition<Operands extends readonly Operand[], Attrs extends Attributes> {
  readonly name: string;
  /** Type of the result. A mismatch is a ShapeError that starts with the operator's name. */
  readonly infer: (inputs: { readonly [K in keyof Operands]: TensorType }, attrs: Attrs) => ValueType;
  readonly lower: (
    inputs: { readonly [K in keyof Operands]: OnnxValue },
    attrs: Attrs,
    types: { readonly [K in keyof Operands]: TensorType },
  ) => OnnxExpression | readonly OnnxExpression[];
  readonly columns?: ColumnRules;
  readonly basis?: BasisRule;
  readonly cost?: (shapes: { readonly [K in keyof Operands]: readonly number[] }, attrs: Attrs) => Cost;
}

/** Makes an operator that a forward can call. To add an operation is to add one such object. */
export function defineOp<
  const Operands extends readonly Operand[],
  const Attrs extends Attributes = Readonly<Record<string, never>>,
>(definition: OperatorDefinition<Operands, Attrs>): OperatorCall<Operands, Attrs> {
  const { name, columns, basis } = definition;
  const operator: Operator = {
    name,
    columns,
    basis,
    infer(inputs, attrs) {
      const tuple = inputs.findIndex(isTuple);
      if (tuple >= 0) throw new ShapeError(`${name}: input ${tuple} is a tuple, expected one tensor. Unpack it first.`);
      return definition.infer(inputs as never, attrs as Attrs);
    },
    lower: (inputs, attrs, types) => definition.lower(inputs as never, attrs as Attrs, types as never),
    ...(definition.cost && { cost: definition.cost as unknown as Operator["cost"] }),
  };
  const call = (...args: readonly (Operand | Attrs)[]) => {
    const attrs = isAttributes(args.at(-1)) ? (args.at(-1) as Attrs) : {};
    const operands = args.filter((arg) => arg !== attrs) as Operand[];
    return recorderOf(name, operands).callFunction(operator, operands, attrs);
  };
  return Object.assign(call, { operator }) as OperatorCall<Operands, Attrs>;
}

/** Operands are nodes and parameters, which have a type; attributes are plain data. */
function isAttributes(arg: unknown): boolean {
  return typeof arg === "object" && arg !== null && !("type" in arg);
}

/** Narrows a call's target to an operator. */
export function isOperator(target: FunctionTarget | string): target is Operator {
  return typeof target !== "string" && "lower" in target;
}
