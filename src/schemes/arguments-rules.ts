import { isMicroscaling, type QuantizationArgs, type Strategy } from "./arguments.ts";

/** One contradiction that quantization arguments must not hold; names are those of recipes and config.json. */
interface ArgsRule {
  broken(args: QuantizationArgs): boolean;
  message(args: QuantizationArgs): string;
}

const GROUPED: readonly Strategy[] = ["group", "tensor_group"];
const DYNAMIC: readonly Strategy[] = ["token", "tensor", "group", "tensor_group"];
const SCALE_DTYPES: readonly string[] = [
  "torch.float8_e4m3fn",
  "torch.uint8",
  "torch.float32",
  "torch.bfloat16",
  "torch.float16",
];
const hasGroups = ({ groupSize }: QuantizationArgs) => groupSize !== null && groupSize > 0;

/** What arguments must fulfil beyond the type of each field. */
export const ARGS_RULES: readonly ArgsRule[] = [
  {
    broken: ({ type, numBits }) => type === "int" && (numBits < 1 || numBits > 8),
    message: ({ numBits }) => `num_bits ${numBits}, expected 1 to 8 for type int`,
  },
  {
    broken: ({ type, numBits }) => type === "float" && numBits !== 4 && numBits !== 8,
    message: ({ numBits }) => `num_bits ${numBits}, expected 4 or 8 for type float`,
  },
  {
    broken: ({ type, symmetric }) => type === "float" && !symmetric,
    message: () => "symmetric false with type float, expected symmetric true: floats have no zero point",
  },
  {
    broken: ({ scaleDtype }) => scaleDtype !== null && !SCALE_DTYPES.includes(scaleDtype),
    message: ({ scaleDtype }) => `scale_dtype ${scaleDtype}, expected ${SCALE_DTYPES.join(", ")} or null`,
  },
  {
    broken: (args) => args.scaleDtype === "torch.uint8" && !isMicroscaling(args),
    message: () => "scale_dtype torch.uint8, expected it with type float, 4 or 8 bits and group_size 32",
  },
  {
    broken: (args) => GROUPED.includes(args.strategy) && !hasGroups(args),
    message: ({ strategy, groupSize }) => `group_size ${groupSize}, expected a positive one for strategy ${strategy}`,
  },
  {
    broken: (args) => hasGroups(args) && !GROUPED.includes(args.strategy),
    message: ({ strategy, groupSize }) => `strategy ${strategy} with group_size ${groupSize}, expected strategy group`,
  },
  {
    broken: ({ strategy, blockStructure }) => (strategy === "block") !== (blockStructure !== null),
    message: ({ strategy, blockStructure }) =>
      `strategy ${strategy} with block_structure ${JSON.stringify(blockStructure)}, expected both or neither`,
  },
  {
    broken: ({ strategy, dynamic }) => strategy === "token" && !dynamic,
    message: () => "strategy token with dynamic false, expected dynamic true",
  },
  {
    broken: ({ strategy, dynamic }) => dynamic !== false && !DYNAMIC.includes(strategy),
    message: ({ strategy, dynamic }) =>
      `dynamic ${dynamic} with strategy ${strategy}, expected one of ${DYNAMIC.join(", ")}`,
  },
  {
    broken: ({ strategy, dynamic }) => dynamic === "local" && strategy !== "tensor_group",
    message: ({ strategy }) => `dynamic local with strategy ${strategy}, expected strategy tensor_group`,
  },
];
