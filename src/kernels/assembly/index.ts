export { factorDiagonal, solvePanel, updateTrailing } from "./cholesky";
export { packFactor, roundRows } from "./round-columns";
