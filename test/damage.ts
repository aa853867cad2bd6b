import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { verify } from "../src/verify/verify.ts";
import { temporaryFolder } from "./temporary-folder.ts";

/** A kind of damage: how it is done, and what is named in which words. */
export interface Damage {
  readonly damage: (folder: string) => Promise<void>;
  /** The module, tensor or file that is named. */
  readonly where: string | RegExp;
  readonly message: string | RegExp;
  /** Whether it takes the original model to see it. */
  readonly source?: boolean;
  /** Whether the checksums tell of it; without them everything else must. */
  readonly checksums?: boolean;
}

/** What is damaged, and what it is compared with. */
export interface Undamaged {
  readonly folder: string;
  readonly source: string;
}

/**
 * One test for each kind of damage, done to a copy: it is caught, and named.
 *
 * @param undamaged - what one kind is done to
 * @param forgetChecksums - takes the checksums out of a copy
 */
export function testDamages<Kind extends Damage>(
  damages: Readonly<Record<string, Kind>>,
  undamaged: (kind: Kind) => Undamaged,
  forgetChecksums: (folder: string) => Promise<void>,
): void {
  describe.each(Object.entries(damages))("%s", (_, kind) => {
    test("is caught, and named", async () => {
      const folder = join(await temporaryFolder(), "output");
      const { folder: original, source } = undamaged(kind);
      await cp(original, folder, { recursive: true });
      if (!kind.checksums) await forgetChecksums(folder);
      await kind.damage(folder);
      const { problems } = await verify({ model: folder, source: kind.source ? source : undefined, threads: 1 });
      const named = problems.filter(({ where }) =>
        typeof kind.where === "string" ? where === kind.where : kind.where.test(where),
      );
      expect(named.map(({ message }) => message).join("\n"), JSON.stringify(problems, null, 2)).toMatch(kind.message);
    }, 60_000);
  });
}

/** Sets one value in a file that holds JSON. */
export async function setIn(folder: string, file: string, path: readonly string[], value: unknown): Promise<void> {
  const json = JSON.parse(await readFile(join(folder, file), "utf8"));
  const parent = path.slice(0, -1).reduce((object, key) => object[key], json);
  parent[path[path.length - 1]] = value;
  await writeFile(join(folder, file), JSON.stringify(json));
}
