export { factorDiagonal, solveRows } from "./cholesky";
export { findNonFinite, narrowBfloat16, narrowFloat16, widenBfloat16, widenFloat16 } from "./convert";
export { multiplyHadamard } from "./hadamard";
export { packBits, unpackBits } from "./pack";
export { pruneBlock } from "./prune-columns";
export { refineBlock } from "./refine-columns";
export { roundBlock } from "./round-columns";
export { tileErrors } from "./tile-errors";
export { decodeTiles, encodeTiles, tileExtremes } from "./tiles";
