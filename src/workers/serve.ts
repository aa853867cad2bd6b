import { ExecutorService, type Served } from "./executor-service.ts";
import { type CallMessage, type ReplyMessage, sendError } from "./worker-calls.ts";

/**
 * Answers calls of the process that started this one, until that ends or ends this one: see {@link WorkerProcess}.
 *
 * @param build - makes of a setup what the calls are answered with
 */
export function serveExecutor(build: (setup: object) => Promise<Served>): void {
  const service = new ExecutorService(build, () => reply({ type: "batch" }));
  process.on("disconnect", () => process.exit());
  if (!process.connected) process.exit(); // the other has ended meanwhile
  process.on("SIGINT", () => undefined); // Ctrl-C is meant for the other, which knows what to do
  process.on("message", async ({ call, args }: CallMessage) => {
    try {
      const method = service[call] as (...args: readonly unknown[]) => Promise<unknown>;
      reply({ type: "done", result: await method.apply(service, [...args]) });
    } catch (error) {
      reply({ type: "failed", error: sendError(error) });
    }
  });
}

function reply(message: ReplyMessage): void {
  process.send?.(message);
}
