export { factorDiagonal, solveRows } from "./cholesky";
export { pruneBlock } from "./prune-columns";
export { roundBlock } from "./round-columns";
