import { readFile, truncate } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { DataError } from "../errors.ts";
import type { Row } from "./row.ts";
import { type CalibrationSource, readRows } from "./rows.ts";

const fixture = (name: string) => join(import.meta.dirname, "../../test/fixtures/data", name);

async function collect(source: CalibrationSource): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const row of readRows(source)) rows.push(row);
  return rows;
}

/** What reading a file of this name and content gives: its rows, or the message without the folder. */
async function read(name: string, content: string | Uint8Array): Promise<Row[] | string> {
  const folder = await temporaryFolder({ [name]: content });
  return collect(join(folder, name)).catch((error: DataError) => error.message.replace(`${folder}/`, ""));
}

describe("jsonl", () => {
  test("a line is a row, blank lines are none, and separators inside a string end no line", async () => {
    const text = '\uFEFF{"text": "a\u2028b"}\r\n\n  \n{"text": "c", "id": 1}';
    expect(await read("a.jsonl", text)).toEqual([{ text: "a\u2028b" }, { text: "c", id: 1 }]);
  });

  test("a broken line is named by its number in the file", async () => {
    expect(await read("a.jsonl", '{"a": 1}\n\n{"a":\n')).toBe(
      "a.jsonl:3: not JSON, expected an object. Repair or remove the line.",
    );
    expect(await read("a.jsonl", "[1]")).toBe(
      "a.jsonl:1: not an object, expected one a line. Repair or remove the line.",
    );
  });

  test("rows before a broken line can be read, so the file is not read whole", async () => {
    const line = `${JSON.stringify({ text: "x".repeat(1000) })}\n`;
    const folder = await temporaryFolder({ "long.jsonl": `${line.repeat(500)}broken` });
    const rows = readRows(join(folder, "long.jsonl"));
    expect((await rows.next()).value).toEqual({ text: "x".repeat(1000) });
    expect((await rows.return(undefined)).done).toBe(true);
  });

  test("any rows that are written come back, whatever characters they hold", async () => {
    const rows = fc.array(fc.dictionary(fc.string({ unit: "binary" }), fc.jsonValue()), { maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(rows, async (written) => {
        const text = written.map((row) => JSON.stringify(row)).join("\n");
        expect(JSON.stringify(await read("a.jsonl", text))).toBe(JSON.stringify(written));
      }),
      { numRuns: 50 },
    );
  });
});

describe("json", () => {
  test("an array of objects and an object of columns are the same rows", async () => {
    const rows = [
      { text: "a", id: 1 },
      { text: "b", id: 2 },
    ];
    expect(await read("a.json", JSON.stringify(rows))).toEqual(rows);
    expect(await read("a.json", '{"text": ["a", "b"], "id": [1, 2]}')).toEqual(rows);
    expect(await read("a.json", "{}")).toEqual([]);
  });

  test.each([
    ["{", "a.json: not JSON, expected an array of objects. A file of one object a line is .jsonl."],
    ["3", "a.json: number, expected an array of objects or an object of columns."],
    ["[{}, 3]", "a.json: row 2 is not an object, expected one."],
    ['{"text": "a"}', 'a.json: column "text" is not an array, expected one value a row.'],
    ['{"a": [1], "b": [1, 2]}', 'a.json: column "b" has 2 rows, expected 1.'],
  ])("%s is refused", async (text, message) => {
    expect(await read("a.json", text)).toBe(message);
  });
});

test("each line of a text file that is not blank is a row", async () => {
  expect(await read("a.txt", "one\r\n\n  two \n\t\nthree")).toEqual([
    { text: "one" },
    { text: "  two " },
    { text: "three" },
  ]);
});

test("a CSV file has a header, and quotes that hold line breaks", async () => {
  expect(await read("a.csv", '\uFEFFid,text\n1,"a, ""b""\nc"\n\n2,d\n')).toEqual([
    { id: "1", text: 'a, "b"\nc' },
    { id: "2", text: "d" },
  ]);
  expect(await read("a.csv", "id,text\n1,2,3\n")).toBe(
    "a.csv:2: Invalid Record Length: columns length is 2, got 3 on line 2, expected comma-separated values. Repair the line.",
  );
});

test("a parquet file is read row group by row group, compressed with snappy or gzip", async () => {
  const texts = ["Call me Ishmael.", null, "Wovon man nicht spre­chen kann … 🐋"];
  const rows = await collect(fixture("rows-snappy.parquet"));
  expect(rows.map(({ text }) => text ?? null)).toEqual(texts);
  expect(rows[2]).toMatchObject({
    input_ids: [5n, 6n],
    messages: [
      { role: "user", content: "a" },
      { role: "assistant", content: "b" },
    ],
  });
  expect((await collect(fixture("rows-gzip.parquet"))).map(({ text }) => text ?? null)).toEqual(texts);
});

test("a parquet file with a column that its schema lacks is refused before a column is read", async () => {
  const bytes = await readFile(fixture("rows-snappy.parquet"));
  bytes[bytes.lastIndexOf("text")] = 0x54; // the path of the column; the schema comes before it
  expect(await read("a.parquet", bytes)).toBe(
    "a.parquet: not readable as parquet (no column Text in the schema), expected a data set. Get the file again.",
  );
});

test.each([".jsonl", ".txt", ".csv"])("a %s file in another encoding than UTF-8 is refused", async (extension) => {
  const folder = await temporaryFolder({ [`rows${extension}`]: Uint8Array.of(0x74, 0x0a, 0xe9, 0x0a) });
  await expect(collect(readRows(join(folder, `rows${extension}`)))).rejects.toThrow(
    new DataError(`${folder}/rows${extension}: not UTF-8, expected a text in it. Convert the file.`),
  );
});

test("a row at hand that is no object is named by its number", async () => {
  await expect(collect(readRows([{ text: "a" }, null as never]))).rejects.toThrow(
    new DataError("dataset: row 2 is not an object, expected values by column name."),
  );
});

test("rows at hand are passed on, from arrays and from generators", async () => {
  async function* generate() {
    yield { text: "a" };
  }
  expect(await collect([{ text: "a" }])).toEqual([{ text: "a" }]);
  expect(await collect(generate())).toEqual([{ text: "a" }]);
});

test("a file that is missing, or of an unknown kind, is refused", async () => {
  await expect(collect("nowhere/rows.jsonl")).rejects.toThrow(
    new DataError("nowhere/rows.jsonl: no such file, expected a data set. Check the path."),
  );
  expect(await read("a.arrow", "")).toBe(
    "a.arrow: extension .arrow, expected one of .jsonl, .json, .txt, .csv, .parquet.",
  );
});

test("NUL bytes are characters like others in a text, and no JSON", async () => {
  expect(await read("a.txt", "a\0b\n\0\n")).toEqual([{ text: "a\0b" }, { text: "\0" }]);
  expect(await read("a.csv", "text\na\0b\n")).toEqual([{ text: "a\0b" }]);
  expect(await read("a.jsonl", '{"text":"a\0b"}')).toMatch(/^a\.jsonl:1: /);
  expect(await read("a.jsonl", '{"text":"a\\u0000b"}')).toEqual([{ text: "a\0b" }]);
});

describe("a line", () => {
  /** A file of NUL bytes that takes no room on the disk. */
  async function sparse(name: string, bytes: number): Promise<string> {
    const file = join(await temporaryFolder({ [name]: "" }), name);
    await truncate(file, bytes);
    return file;
  }

  test("of 100 MB is one row of a text file", async () => {
    const [{ text }] = await collect(await sparse("a.txt", 100_000_000));
    expect((text as string).length).toBe(100_000_000);
  });

  test.each([".txt", ".jsonl", ".csv"])(
    "without an end is refused before a %s file is read to its end",
    async (extension) => {
      const file = await sparse(`a${extension}`, 10_000_000_000);
      const error = await collect(file).catch((failure) => failure);
      expect(error).toBeInstanceOf(DataError);
      expect(error.message.startsWith(file)).toBe(true);
    },
  );
});

test("whatever a file holds, reading it ends in rows or in a DataError", async () => {
  const kinds = fc.constantFrom("a.jsonl", "a.json", "a.txt", "a.csv", "a.parquet");
  const content = fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.string().map(Buffer.from), fc.json().map(Buffer.from));
  await fc.assert(
    fc.asyncProperty(kinds, content, async (name, bytes) => {
      const folder = await temporaryFolder({ [name]: bytes });
      const outcome = await collect(join(folder, name)).catch((error: unknown) => error);
      expect(Array.isArray(outcome) || outcome instanceof DataError).toBe(true);
    }),
    { numRuns: 150 },
  );
});
