import type { Node } from "../src/fx/node.ts";
import {
  type ActivationRounding,
  quantizeDynamic,
  quantizeLocal,
  quantizeStatic,
  quantizeStaticShifted,
  rangeErrors,
} from "../src/ops/fake-quantize.ts";
import { appendRows, sequenceRange, squareSum } from "../src/ops/statistics.ts";

/** Integers of 8 bits, one scale a token, unless it is said otherwise. */
function rounding(rest: Partial<ActivationRounding> = {}) {
  const integers = { float: false, numBits: 8, symmetric: true, groupSize: null, heads: 1, microscaling: false };
  return { ...integers, acrossTokens: false, ...rest };
}

const dynamic = (rest?: Partial<ActivationRounding>) => (x: Node) => quantizeDynamic(x, rounding(rest));
const microscaling = { float: true, groupSize: 32, microscaling: true };

/** Each case of fixtures/ops/quantization-ops.safetensors: what is called on its inputs. */
export const quantizationCases: Readonly<Record<string, (...inputs: Node[]) => Node>> = {
  "quantize_dynamic.int8": dynamic(),
  "quantize_dynamic.int8.asymmetric": dynamic({ symmetric: false }),
  "quantize_dynamic.int4": dynamic({ numBits: 4 }),
  "quantize_dynamic.tensor": dynamic({ acrossTokens: true }),
  "quantize_dynamic.fp8": dynamic({ float: true }),
  "quantize_dynamic.fp8.group": dynamic({ float: true, groupSize: 16 }),
  "quantize_dynamic.mxfp4": dynamic({ ...microscaling, numBits: 4 }),
  "quantize_dynamic.mxfp8": dynamic(microscaling),
  quantize_local: (x, globalScale) =>
    quantizeLocal(x, globalScale, rounding({ float: true, numBits: 4, groupSize: 16 })),
  quantize_static: (x, scale) => quantizeStatic(x, scale, rounding({ float: true })),
  quantize_static_shifted: (x, scale, zeroPoint) =>
    quantizeStaticShifted(x, scale, zeroPoint, rounding({ symmetric: false })),
  "quantize_static.heads": (x, scale) => quantizeStatic(x, scale, rounding({ float: true, heads: 2 })),
  range_errors: (x) =>
    rangeErrors(x, { ...rounding({ numBits: 4, symmetric: false }), expand: 1.5, factors: [1, 0.8, 0.6], norm: 2.4 }),
  append_rows: appendRows,
  square_sum: squareSum,
  sequence_range: (x) => sequenceRange(x, { groups: 4 }),
  "sequence_range.one": (x) => sequenceRange(x, { groups: 1 }),
  "sequence_range.matrix": (x) => sequenceRange(x, { groups: 1 }),
};
