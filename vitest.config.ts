import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    exclude: ["test/browser/**"], // vitest.browser.config.ts
    setupFiles: ["test/matchers.ts"],
    testTimeout: 60_000,
  },
});
