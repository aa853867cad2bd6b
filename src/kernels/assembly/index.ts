export { factorDiagonal, solveRows } from "./cholesky";
export { roundBlock } from "./round-columns";
