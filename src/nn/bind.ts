import { CheckpointError } from "../errors.ts";
import type { Module } from "./module.ts";
import { nearestNames } from "./nearest-names.ts";
import { Buffer, type ParameterSource } from "./parameter.ts";

/** What binding needs of a checkpoint, for error messages. */
interface Named {
  readonly folder: string;
  readonly tensors: ReadonlyMap<string, unknown>;
}

/**
 * Gives every parameter of the model its source.
 *
 * @param find - the source of the parameter with this name, if the checkpoint has one
 * @throws CheckpointError naming a parameter that the checkpoint lacks or holds in another shape
 */
export function bindParameters(
  model: Module,
  { folder, tensors }: Named,
  find: (name: string) => ParameterSource | undefined,
): void {
  for (const [name, parameter] of model.namedParameters()) {
    if (parameter instanceof Buffer) continue;
    const source = find(name);
    if (!source) {
      const nearest = nearestNames(name, tensors.keys());
      throw new CheckpointError(
        `${folder}: no tensor ${name}, expected one for every parameter of the model. Nearest: ${nearest.join(", ")}.`,
      );
    }
    if (String(source.shape) !== String(parameter.shape)) {
      throw new CheckpointError(
        `${folder}: ${name} has shape [${source.shape.join(", ")}], expected [${parameter.shape.join(", ")}] from config.json. Get both of the same model.`,
      );
    }
    parameter.source = source;
  }
}
