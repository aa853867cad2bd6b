// The public names, in the order in which data flows.

export { Checkpoint, openCheckpoint } from "./checkpoint/checkpoint.ts";
export { type ResolveOptions, resolveModel } from "./checkpoint/hub.ts";
export type { TensorEncoding, TensorInfo } from "./checkpoint/safetensors.ts";
export type { DownloadProgress } from "./checkpoint/snapshot.ts";
export type { CalibrationBatch, DataCollator } from "./data/batches.ts";
export {
  type CalibrationData,
  type CalibrationOptions,
  type CalibrationSettings,
  type CalibrationSource,
  loadCalibrationData,
} from "./data/calibration.ts";
export type { ChatMessage, ChatTemplate } from "./data/chat-template.ts";
export { type EvaluationOptions, type EvaluationWindow, loadEvaluationWindows } from "./data/evaluation.ts";
export type { Row } from "./data/row.ts";
export { loadTokenizer, type Tokenizer } from "./data/tokenizer.ts";
export {
  CheckpointError,
  CompressionError,
  ConfigError,
  DataError,
  ExecutionError,
  InterruptedError,
  LayerwiseError,
  RecipeError,
  ShapeError,
  TraceError,
  VerificationError,
} from "./errors.ts";
export { type Estimate, type EstimateOptions, estimate } from "./estimate/estimate.ts";
export type { Memory as EstimatedMemory } from "./estimate/memory.ts";
export type { Seconds as EstimatedSeconds } from "./estimate/seconds.ts";
export { type EvaluationSettings, evaluate } from "./evaluate/evaluate.ts";
export { type EvaluateOptions, evaluatePerplexity, type Perplexity } from "./evaluate/perplexity.ts";
export type { ExportFormat, ExportSettings } from "./export/export-format.ts";
export { type ExportOptions, exportModel } from "./export/export-model.ts";
export { ExportSource, type ExportSubject } from "./export/export-source.ts";
export { modifierFor } from "./export/modifier-for.ts";
export { type ExportRequest, exportFormats } from "./export/registry.ts";
export { bindCheckpoint } from "./formats/bind-checkpoint.ts";
export type { CompressedModules } from "./formats/compressed-modules.ts";
export type { FinishedParts } from "./formats/finished-parts.ts";
export { type CheckpointSummary, inspectCheckpoint, type StorageSummary } from "./formats/inspect.ts";
export type { Precision } from "./formats/output-plan.ts";
export { simulateActivations } from "./formats/simulate-activations.ts";
export { defineFunction, wrap } from "./fx/function.ts";
export { Graph, graphIsWellFormed } from "./fx/graph.ts";
export { GraphModule } from "./fx/graph-module.ts";
export { inlineCalls, type Origins, type SelectOutputs } from "./fx/inline.ts";
export {
  type Attributes,
  type AttributeValue,
  type FunctionTarget,
  Node,
  type NodeFields,
  type NodeOp,
  type NodeOwner,
} from "./fx/node.ts";
export type {
  Argument,
  Constant,
  ForwardParameter,
  Operand,
  Output,
  Recorder,
  Traceable,
  TraceableParameter,
} from "./fx/traceable.ts";
export { Tracer } from "./fx/tracer.ts";
export { bool, type Dim, f32, formatType, i64, type TensorType, type TupleType, type ValueType } from "./fx/types.ts";
export type { ColumnProblem } from "./kernels/column-problem.ts";
export type { LowerPanel, LowerPanels } from "./kernels/lower-panels.ts";
export type { MatrixProducts } from "./kernels/matrix-products.ts";
export { KernelPool } from "./kernels/pool.ts";
export type { PrunedColumns, PruningProblem } from "./kernels/prune-columns.ts";
export type { RefinedColumns, RefinementOptions, RefinementProblem, StoredScale } from "./kernels/refine-columns.ts";
export type { CodeArray, RoundedColumns } from "./kernels/round-columns.ts";
export type { MaskStructure } from "./kernels/select.ts";
export { CausalLM } from "./models/causal-lm.ts";
export { defineFamily, type ModelFamily } from "./models/family.ts";
export { createModel, MODEL_FAMILIES } from "./models/registry.ts";
export { AWQModifier, type AWQOptions } from "./modifiers/awq.ts";
export { GPTQModifier, type GPTQOptions } from "./modifiers/gptq.ts";
export { LogarithmicEqualizationModifier } from "./modifiers/logarithmic-equalization.ts";
export type {
  CompressionStage,
  ConfigChange,
  CoupledModules,
  EquivalentChange,
  FinalizeContext,
  HasWeight,
  Modifier,
  ModifierContext,
  ModuleReport,
  ParameterChanges,
  Replay,
} from "./modifiers/modifier.ts";
export type { CalibratedPruning } from "./modifiers/pruning/calibrated-pruning.ts";
export { ConstantPruningModifier } from "./modifiers/pruning/constant.ts";
export { MagnitudePruningModifier, type MagnitudePruningOptions } from "./modifiers/pruning/magnitude.ts";
export type { PruningTargets } from "./modifiers/pruning/pruned-linears.ts";
export { type REAPOptions, REAPPruningModifier } from "./modifiers/pruning/reap.ts";
export { SparseGPTModifier, type SparseGPTOptions } from "./modifiers/pruning/sparsegpt.ts";
export type { SparsityOptions } from "./modifiers/pruning/sparsity-plan.ts";
export { WandaPruningModifier } from "./modifiers/pruning/wanda.ts";
export { QuantizationModifier } from "./modifiers/quantization.ts";
export type { QuantizationOptions } from "./modifiers/quantization-options.ts";
export { QuIPModifier, type QuIPOptions } from "./modifiers/quip.ts";
export type { RotationOptions } from "./modifiers/rotation/options.ts";
export type { DuoScaling } from "./modifiers/smoothing/grid.ts";
export type { MappingPatterns } from "./modifiers/smoothing/resolve-mappings.ts";
export { type SmoothingAlgorithm, SmoothQuantModifier, type SmoothQuantOptions } from "./modifiers/smoothquant.ts";
export { SpinQuantModifier, type SpinQuantOptions } from "./modifiers/spinquant.ts";
export {
  columnEnergy,
  type Reduction,
  rangeOfSequences,
  type Statistic,
  searchOfSequences,
  secondMoment,
  type Tap,
} from "./modifiers/tap.ts";
export { Attend, type AttendConfig, type AttentionState } from "./nn/attend.ts";
export { type AttentionConfig, type Projected, SelfAttention } from "./nn/attention.ts";
export { Conv1D } from "./nn/conv1d.ts";
export {
  calibrateAllExperts,
  type ExpertShare,
  type FeedForward,
  Router,
  type RouterMask,
  type RoutingConfig,
  SparseMoeBlock,
} from "./nn/experts.ts";
export { Embedding, Linear, ScaledEmbedding } from "./nn/linear.ts";
export { matchModules } from "./nn/match.ts";
export { type ForwardHook, type ForwardPreHook, type HookHandle, Module } from "./nn/module.ts";
export { LayerNorm, OffsetRMSNorm, RMSNorm } from "./nn/norm.ts";
export { Buffer, Parameter, type ParameterSource, type Rewrite } from "./nn/parameter.ts";
export type { Observer, RangeSearch } from "./observers/observer.ts";
export { type ObserverRegistry, observers } from "./observers/registry.ts";
export { oneshot } from "./oneshot.ts";
export type { OneshotOptions } from "./oneshot-options.ts";
export type { BasisRule } from "./ops/basis.ts";
export type { ColumnFactors, ColumnParameter, ColumnRules } from "./ops/column-factors.ts";
export type { ActivationRounding } from "./ops/fake-quantize.ts";
export {
  float,
  type OnnxAttribute,
  type OnnxExpression,
  type OnnxInput,
  type OnnxResult,
  type OnnxValue,
  onnx,
} from "./ops/onnx.ts";
export {
  type Cost as OperatorCost,
  defineOp,
  type Operator,
  type OperatorCall,
  type OperatorDefinition,
} from "./ops/operator.ts";
export { Profiler } from "./profile/profiler.ts";
export { type SelfTime, selfTimes } from "./profile/self-times.ts";
export type { MemorySample, Span, SpanKind } from "./profile/span.ts";
export {
  type CreateModifiersOptions,
  createModifiers,
  defineModifier,
  type ModifierRegistry,
  type ModifierType,
  modifierTypes,
  type RecipeSource,
} from "./recipe/modifiers.ts";
export type { ModifierEntry, ParseOptions, RecipeDocument, RecipeStage } from "./recipe/parse.ts";
export type { Variables } from "./recipe/variables.ts";
export { writeRecipe } from "./recipe/write.ts";
export type { Allocate, ParameterValues, Value } from "./runtime/executable.ts";
export { createMatrixProducts } from "./runtime/matrix-products.ts";
export type { Runtime, RuntimeOptions } from "./runtime/runtime.ts";
export type { Device, Session } from "./runtime/session.ts";
export type { QuantizationArgs, Strategy } from "./schemes/arguments.ts";
export type { CodeDType } from "./schemes/code-type.ts";
export { presetNames, presetScheme } from "./schemes/presets.ts";
export { computeQParams, type QParams, type Range } from "./schemes/qparams.ts";
export { dequantizeWeight, type QuantizedWeight, quantizeWeight } from "./schemes/quantize.ts";
export type { ModelQuantization } from "./schemes/quantized-values.ts";
export type { FormatName, PartialScheme, QuantizationScheme } from "./schemes/scheme.ts";
export { populateConcreteArgs } from "./sequential/concrete-args.ts";
export { traceConsumedNames } from "./sequential/consumed-names.ts";
export { type DispatchedModel, type DispatchOptions, dispatchForSequential } from "./sequential/dispatch.ts";
export type { Phase, ProgressEvent, RunControl } from "./sequential/events.ts";
export type { CalibrationExecutor, Observed, OnBatch } from "./sequential/executor.ts";
export { type Batch, IntermediatesCache, type IntermediatesOptions } from "./sequential/intermediates.ts";
export { LocalExecutor, type LocalExecutorOptions } from "./sequential/local-executor.ts";
export { ParallelExecutor } from "./sequential/parallel-executor.ts";
export { type BoundaryRule, type PartitionOptions, topologicalPartition } from "./sequential/partition.ts";
export { partitionGraph } from "./sequential/partition-graph.ts";
export { compressInOrder, type PipelineOptions } from "./sequential/pipeline.ts";
export { runInOrder } from "./sequential/run-in-order.ts";
export { type SelfCheckOptions, selfCheck } from "./sequential/self-check.ts";
export type { StageOptions } from "./sequential/stage.ts";
export { Subgraph } from "./sequential/subgraph.ts";
export {
  findTargetNodes,
  getSequentialAncestors,
  getSequentialTargets,
  type TargetArguments,
} from "./sequential/targets.ts";
export type { SubgraphOptions } from "./sequential/trace-for-run.ts";
export { type SubgraphSummary, type TraceOptions, traceModel } from "./sequential/trace-model.ts";
export { type CutOptions, type SampleInput, traceSubgraphs } from "./sequential/trace-subgraphs.ts";
export { SequentialTracer, type SequentialTracerOptions } from "./sequential/tracer.ts";
export type { Weights } from "./sequential/weights.ts";
export type { Buffers } from "./tensor/buffers.ts";
export { fromFloat32, toFloat32 } from "./tensor/convert.ts";
export type { DataOf, DType, FloatDType } from "./tensor/dtype.ts";
export { Tensor } from "./tensor/tensor.ts";
export type { FileCheck } from "./verify/check-checkpoint.ts";
export type { LogitsFidelity } from "./verify/compare-logits.ts";
export type { Fidelity } from "./verify/compare-models.ts";
export type { SubgraphFidelity } from "./verify/compare-subgraphs.ts";
export type { WeightFidelity } from "./verify/compare-weights.ts";
export type { Problem } from "./verify/problem.ts";
export type { SampleOptions } from "./verify/samples.ts";
export { type Verification, type VerifyOptions, verify } from "./verify/verify.ts";
