// npm run fuzz -- [inputs] [seed] [target]: gives every reader many broken inputs; ends with 1 if one does harm.
import { Worker } from "node:worker_threads";
import { inputsOf, runFuzzTarget } from "./run.ts";
import { FUZZ_TARGETS } from "./targets.ts";

const [, , inputs = "100000", seed = String(Date.now() % 2 ** 31), only = ""] = process.argv;

/** Seconds that one input may take: templates, patterns and tokenizers are stopped after ten. */
const LONGEST = 30;

/** Ends the process where no input came to its end in a while: a reader that hangs leaves this thread no turn to say so. */
const WATCHDOG = `
  const { workerData } = require("node:worker_threads");
  const counter = new Int32Array(workerData.counter);
  let last = -1;
  setInterval(() => {
    const now = Atomics.load(counter, 0);
    if (now === last) { require("node:fs").writeSync(2, "hangs at input " + now + "\\n"); process.kill(process.pid, "SIGKILL"); }
    last = now;
  }, workerData.seconds * 1000);
`;

const counter = new Int32Array(new SharedArrayBuffer(4));
new Worker(WATCHDOG, { eval: true, workerData: { counter: counter.buffer, seconds: LONGEST } }).unref();

console.warn = () => {}; // the tokenizer library prints each pattern it does not know
process.stdout.write(`seed ${seed}\n`);
const targets = FUZZ_TARGETS.filter(({ name }) => name.includes(only));
for (const target of targets) {
  const share = inputsOf(target, targets, Number(inputs));
  const start = performance.now();
  process.stdout.write(`${target.name}: ${share} inputs`);
  const { accepted, refused, report } = await runFuzzTarget(target, {
    inputs: share,
    seed: Number(seed),
    onEnd: () => Atomics.add(counter, 0, 1),
  });
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  const memory = Math.round(process.resourceUsage().maxRSS / 1000);
  process.stdout.write(
    `: ${accepted} accepted, ${refused} refused, ${seconds} s, at most ${memory} MB so far${report ? `\n${report}` : ""}\n`,
  );
  if (report) process.exitCode = 1;
}
