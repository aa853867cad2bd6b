import type { TensorSpec } from "../checkpoint/layout.ts";
import { type Problem, problem } from "./problem.ts";
import type { StoredModel } from "./stored-model.ts";

/** What may be there though nothing asks for it. */
interface LayoutOptions {
  /** Names of the tensors of the model that was compressed, which are carried over. */
  readonly carriedOver?: ReadonlySet<string>;
}

/**
 * Compares the tensors that a checkpoint has with those that it should have: one problem for each module that has others, or
 * has them in another shape or dtype. Tensors of modules that the model does not have are nobody's.
 */
export function checkLayout(stored: StoredModel, { carriedOver = new Set() }: LayoutOptions = {}): Problem[] {
  const { checkpoint, plan } = stored;
  const surplus = new Set(plan.surplus);
  const expected = byModule(plan.tensors.filter(({ name }) => !surplus.has(name)));
  const found = byModule(
    [...checkpoint.tensors.values()].filter(({ name }) => !carriedOver.has(name) || !surplus.has(name)),
  );
  const tied = tiedNames(stored);
  return [...new Set([...expected.keys(), ...found.keys()])].flatMap((module) => {
    const [own, present] = [expected.get(module) ?? new Map(), found.get(module) ?? new Map()];
    if (own.size === 0 && !hasParameters(stored, module)) return [];
    for (const field of present.keys()) if (tied.has(`${module}.${field}`) && !own.has(field)) present.delete(field);
    const compressed = stored.compressed.get(module);
    for (const name of compressed?.format.optional?.(module) ?? []) present.delete(name.slice(module.length + 1));
    return compareModule(module, own, present, compressed !== undefined);
  });
}

type Fields = ReadonlyMap<string, TensorSpec>;

function compareModule(module: string, expected: Fields, found: Fields, isCompressed: boolean): Problem[] {
  const [missing, unexpected] = [fieldsWithout(expected, found), fieldsWithout(found, expected)];
  const different = [...expected].filter(([field, spec]) => describe(found.get(field) ?? spec) !== describe(spec));
  if (missing.length + unexpected.length > 0) {
    const state = isCompressed && unexpected.includes("weight") ? "it is not quantized: " : "";
    const [has, wants] = [found, expected].map((fields) => [...fields.keys()].sort().join(", ") || "nothing");
    const expectedFields = `${wants}, as quantization_config says`;
    return [
      problem(module, `${state}the file has ${has}`, isCompressed || unexpected.length > 0 ? expectedFields : wants),
    ];
  }
  if (different.length === 0) return [];
  const [has, wants] = [found, expected].map((fields) =>
    different.map(([field]) => `${field} ${describe(fields.get(field) as TensorSpec)}`).join(", "),
  );
  return [problem(module, has, `${wants}, as config.json says`)];
}

function fieldsWithout(fields: Fields, others: Fields): string[] {
  return [...fields.keys()].filter((field) => !others.has(field));
}

function byModule(specs: readonly TensorSpec[]): Map<string, Map<string, TensorSpec>> {
  const modules = new Map<string, Map<string, TensorSpec>>();
  for (const spec of specs) {
    const dot = spec.name.lastIndexOf(".");
    const [module, field] = [spec.name.slice(0, dot), spec.name.slice(dot + 1)];
    modules.set(module, (modules.get(module) ?? new Map<string, TensorSpec>()).set(field, spec));
  }
  return modules;
}

/** Names under which parameters are met again that have a name already: files may repeat a tied weight. */
function tiedNames({ model }: StoredModel): Set<string> {
  const names = model
    .namedModules()
    .flatMap(([path, module]) => module.ownParameters().map(([field]) => `${path}.${field}`));
  const first = new Map(model.namedParameters());
  return new Set(names.filter((name) => !first.has(name)));
}

function hasParameters({ model }: StoredModel, path: string): boolean {
  const module = model.namedModules().find(([other]) => other === path)?.[1];
  return module !== undefined && module.ownParameters().length > 0;
}

function describe({ dtype, shape }: Pick<TensorSpec, "dtype" | "shape">): string {
  return `${dtype}[${shape.join(", ")}]`;
}
