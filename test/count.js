// Prints how many tests of the last run passed and failed; fails where there was no run, or a test failed.
import { existsSync, readFileSync } from "node:fs";

const file = new URL("../.vitest/results.json", import.meta.url);
const results = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : undefined;
const passed = results?.numPassedTests ?? 0;
// A file that fails before its first test counts as one.
const files = results?.testResults.filter(
  ({ status, assertionResults }) => status === "failed" && !assertionResults.some((test) => test.status === "failed"),
);
const failed = results ? results.numFailedTests + files.length : 1;
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
