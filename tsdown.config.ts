import { defineConfig } from "tsdown";

export default defineConfig({
  entry: { index: "src/index.ts", cli: "src/cli/main.ts", "kernel-worker": "src/kernels/worker.ts" },
  format: "esm",
  dts: true,
  platform: "node",
  target: "node20",
  fixedExtension: false,
  // The WebAssembly module is there already: see the script build:kernels.
  clean: false,
});
