// Prints how many tests of the last run passed and failed; fails where there was no run, or a test failed.
import { existsSync, readFileSync } from "node:fs";

const file = new URL("../.vitest/results.json", import.meta.url);
const results = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : { numPassedTests: 0, numFailedTests: 1 };
const files = results.testResults?.filter(
  ({ status, assertionResults }) => status === "failed" && assertionResults.length === 0,
);
const failed = results.numFailedTests + (files?.length ?? 0);
console.log(`${results.numPassedTests} passed, ${failed} failed`);
process.exitCode = failed > 0 || results.numPassedTests === 0 ? 1 : 0;
