import { defineConfig } from "tsdown";

export default defineConfig({
  entry: { index: "src/index.ts", cli: "src/cli/main.ts", "kernel-worker": "src/kernels/worker.ts" },
  format: "esm",
  dts: { entry: "src/index.ts" },
  platform: "node",
  clean: ["dist/*.js", "dist/*.d.ts"],
  hash: false,
});
