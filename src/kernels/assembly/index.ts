export { factorDiagonal, solveRows } from "./cholesky";
export { pruneBlock } from "./prune-columns";
export { refineBlock } from "./refine-columns";
export { roundBlock } from "./round-columns";
