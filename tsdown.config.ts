import { defineConfig } from "tsdown";

export default defineConfig({
  entry: {
    index: "src/index.ts",
    cli: "src/cli/main.ts",
    "kernel-worker": "src/kernels/worker.ts",
    "calibration-worker": "src/worker.ts",
  },
  format: "esm",
  dts: true,
  platform: "node",
  target: "node20",
  fixedExtension: false,
  hash: false, // a rebuild leaves no older chunks in dist
  // The WebAssembly module is there already: see the script build:kernels.
  clean: false,
});
