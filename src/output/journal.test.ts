import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { CheckpointError } from "../errors.ts";
import { Journal } from "./journal.ts";

const RECORDS = [{ version: "1" }, { index: 0, name: "größe\n\u2028" }, "complete", { index: 2, list: [1, [2], null] }];

/** A journal of these records, and its bytes. */
async function written([first, ...rest]: readonly unknown[]): Promise<{ path: string; bytes: Buffer }> {
  const path = join(await temporaryFolder(), "journal.jsonl");
  const journal = await Journal.create(path, first);
  for (const record of rest) await journal.append(record);
  await journal.close();
  return { path, bytes: await readFile(path) };
}

async function read(path: string): Promise<readonly unknown[] | undefined> {
  const journal = await Journal.open(path);
  await journal?.close();
  return journal?.records;
}

test("any records are read as they were written", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.jsonValue(), { minLength: 1 }), async (records) => {
      const { path } = await written(records);
      expect(await read(path)).toEqual(JSON.parse(JSON.stringify(records)));
    }),
    { numRuns: 30 },
  );
});

test("each line is JSON, and a journal that is missing is undefined", async () => {
  const { path, bytes } = await written(RECORDS);
  const lines = bytes.toString().trimEnd().split("\n");
  expect(lines.map((line) => JSON.parse(line).record)).toEqual(RECORDS);
  expect(await read(`${path}.other`)).toBeUndefined();
});

test("cut at any byte, the journal holds the lines that are whole, and goes on from there", async () => {
  const { path, bytes } = await written(RECORDS);
  for (let length = 0; length <= bytes.length; length++) {
    await writeFile(path, bytes.subarray(0, length));
    const journal = await Journal.open(path);
    const whole = bytes.subarray(0, length).toString("latin1").split("\n").length - 1;
    expect(journal?.records, `cut at ${length}`).toEqual(RECORDS.slice(0, whole));
    for (const record of RECORDS.slice(whole)) await journal?.append(record);
    await journal?.close();
    expect((await readFile(path)).equals(bytes), `cut at ${length}`).toBe(true);
  }
});

test("any damaged byte of the last line drops that line; one before it is an error that names the line", async () => {
  const { path, bytes } = await written(RECORDS);
  const lastLine = bytes.subarray(0, -1).lastIndexOf("\n") + 1;
  await fc.assert(
    fc.asyncProperty(fc.nat(bytes.length - 2), fc.integer({ min: 1, max: 255 }), async (position, change) => {
      const damaged = Buffer.from(bytes);
      damaged[position] ^= change;
      await writeFile(path, damaged);
      if (position >= lastLine && damaged[position] !== 0x0a) expect(await read(path)).toEqual(RECORDS.slice(0, -1));
      else if (position < lastLine - 1) await expect(read(path)).rejects.toThrow(CheckpointError);
    }),
  );
  await writeFile(path, bytes.toString().replace('"complete"', '"Complete"'));
  await expect(read(path)).rejects.toThrow(
    new CheckpointError(
      `${path}: line 3 is damaged, expected what an earlier run wrote. Pass --overwrite without --resume to start anew.`,
    ),
  );
});

test("a line that is missing, moved or put in twice is damage", async () => {
  const { path, bytes } = await written(RECORDS);
  const lines = bytes.toString().trimEnd().split("\n");
  for (const order of [
    [0, 2, 3],
    [1, 0, 2, 3],
    [0, 1, 1, 2, 3],
  ]) {
    await writeFile(path, `${order.map((index) => lines[index]).join("\n")}\n`);
    await expect(read(path)).rejects.toThrow("is damaged");
  }
});

test("records after the first few are forgotten on demand", async () => {
  const { path } = await written(RECORDS);
  const journal = await Journal.open(path);
  await journal?.keep(2);
  await journal?.append("new");
  await journal?.close();
  expect(await read(path)).toEqual([...RECORDS.slice(0, 2), "new"]);
});
