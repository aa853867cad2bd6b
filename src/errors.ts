/**
 * The error every part of layerwise throws for bad input.
 *
 * The message reads `where: what was found, expected what. What to do.`; `cause` keeps the first failure.
 */
export class LayerwiseError extends Error {
  override readonly name: string = "LayerwiseError";
}

/** A file of a checkpoint or of an output folder that is missing, broken or unsafe. */
export class CheckpointError extends LayerwiseError {
  override readonly name = "CheckpointError";
}

/** A config.json value that is missing, of the wrong type or not supported. */
export class ConfigError extends LayerwiseError {
  override readonly name = "ConfigError";
}

/** A data set that cannot be read, or a sample that cannot be tokenized. */
export class DataError extends LayerwiseError {
  override readonly name = "DataError";
}

/** A recipe that does not parse or asks for something that does not fit the model. */
export class RecipeError extends LayerwiseError {
  override readonly name = "RecipeError";
}

/** Tensors whose shapes or dtypes do not fit an operation. */
export class ShapeError extends LayerwiseError {
  override readonly name = "ShapeError";
}

/** Model code that did with a traced value what only a concrete value allows. */
export class TraceError extends LayerwiseError {
  override readonly name = "TraceError";
}

/** A graph that failed while it ran, or a device that cannot run it. */
export class ExecutionError extends LayerwiseError {
  override readonly name = "ExecutionError";
}

/** A checkpoint in which verification has found problems. */
export class VerificationError extends LayerwiseError {
  override readonly name = "VerificationError";
}

/** A modifier that met numbers it cannot work with (NaN, infinity), or modules it cannot compress. */
export class CompressionError extends LayerwiseError {
  override readonly name = "CompressionError";
}

/**
 * A run that ended early and has left what is finished: the same call with `resume` goes on from there. `cause` is the failure
 * that ended it, or the reason of the signal that was aborted.
 */
export class InterruptedError extends LayerwiseError {
  override readonly name = "InterruptedError";
}

/** Whether an error is the system's of this code, such as ENOENT. */
export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

/** A handler of failures that takes the system's errors of these codes for nothing, and throws all others again. */
export function ignore(...codes: readonly string[]): (error: unknown) => undefined {
  return (error) => {
    if (!codes.some((code) => hasCode(error, code))) throw error;
  };
}
