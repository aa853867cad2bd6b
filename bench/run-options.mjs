/** What a measured run and its prediction are told, of the arguments that both have. */
export function runOptions({ model, dataset, samples, recipe, passes, precision = "F32" }) {
  return {
    model,
    recipe,
    dataset,
    precision,
    numCalibrationSamples: Number(samples),
    shuffleCalibrationSamples: false,
    maxSeqLength: 512,
    addSpecialTokens: false,
    onePass: passes === "1",
  };
}
