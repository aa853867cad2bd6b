import type { Graph } from "../fx/graph.ts";
import { Tracer } from "../fx/tracer.ts";
import { i64 } from "../fx/types.ts";
import type { Module } from "../nn/module.ts";

/** The model on tokens, as one graph of operators; other arguments have their defaults. */
export function traceOperators(model: Module): Graph {
  const parameters = model.forwardParameters ?? [];
  const required = parameters.filter(({ default: value, variadic }) => value === undefined && !variadic);
  const optional = parameters.filter((parameter) => !required.includes(parameter));
  return new Tracer().trace(
    model,
    Object.fromEntries(required.map(({ name }) => [name, i64("batch", "seq")])),
    Object.fromEntries(
      optional.map(({ name, default: value, variadic }) => [name, value ?? (variadic === "positional" ? [] : null)]),
    ),
  );
}
