// Prints how many tests of the last runs passed and failed; fails where there was no run, or a test failed.
import { existsSync, readFileSync } from "node:fs";

const files = ["results", "browser"].map((name) => new URL(`../.vitest/${name}.json`, import.meta.url));
const runs = files.filter((file) => existsSync(file)).map((file) => JSON.parse(readFileSync(file, "utf8")));
const passed = runs.reduce((sum, { numPassedTests }) => sum + numPassedTests, 0);
// A file that fails before its first test counts as one.
const broken = runs
  .flatMap(({ testResults }) => testResults)
  .filter(
    ({ status, assertionResults }) => status === "failed" && !assertionResults.some((test) => test.status === "failed"),
  );
const failed = runs.length > 0 ? runs.reduce((sum, { numFailedTests }) => sum + numFailedTests, broken.length) : 1;
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
