import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { CheckpointError } from "../errors.ts";
import type { Module } from "./module.ts";
import { nearestNames } from "./nearest-names.ts";
import { Buffer } from "./parameter.ts";

/**
 * Gives every parameter of the model its place in the checkpoint.
 *
 * @throws CheckpointError naming a parameter that the checkpoint lacks or holds in another shape
 */
export function bindCheckpoint(model: Module, checkpoint: Checkpoint): void {
  for (const [name, parameter] of model.namedParameters()) {
    if (parameter instanceof Buffer) continue;
    const info = checkpoint.tensors.get(name);
    if (!info) {
      const nearest = nearestNames(name, checkpoint.tensors.keys());
      throw new CheckpointError(
        `${checkpoint.folder}: no tensor ${name}, expected one for every parameter of the model. Nearest: ${nearest.join(", ")}.`,
      );
    }
    if (String(info.shape) !== String(parameter.shape)) {
      throw new CheckpointError(
        `${info.file}: ${name} has shape [${info.shape.join(", ")}], expected [${parameter.shape.join(", ")}] from config.json.`,
      );
    }
    parameter.source = { name, dtype: info.dtype, read: () => checkpoint.read(name) };
  }
}
