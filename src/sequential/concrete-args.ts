import { TraceError } from "../errors.ts";
import type { Constant, ForwardParameter, Traceable } from "../fx/traceable.ts";

/**
 * A constant for every argument of the model's forward that the sample does not give: its default, false for
 * `use_cache`, nothing for variadic ones. Follows `populate_concrete_args`.
 *
 * @throws TraceError naming a required argument that the sample lacks
 */
export function populateConcreteArgs(
  model: Traceable,
  sampleInput: Readonly<Record<string, unknown>>,
): Record<string, Constant> {
  const open = (model.forwardParameters ?? []).filter(({ name }) => !(name in sampleInput));
  return Object.fromEntries(open.map((parameter) => [parameter.name, constantOf(parameter, Object.keys(sampleInput))]));
}

function constantOf({ name, default: value, variadic }: ForwardParameter, given: readonly string[]): Constant {
  if (variadic) return variadic === "positional" ? [] : {};
  if (name === "use_cache") return false;
  if (value === undefined) {
    throw new TraceError(
      `sample input: no ${name} among ${given.join(", ")}, expected a value for it. Add it to every batch.`,
    );
  }
  return value;
}
