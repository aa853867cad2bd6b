import type { Node } from "../fx/node.ts";
import { recorderOf } from "../fx/recorder.ts";
import type { Argument, ForwardParameter, Output, Traceable } from "../fx/traceable.ts";
import { Parameter } from "./parameter.ts";

/** Runs before a forward; what it returns, if anything, replaces the arguments. */
export type ForwardPreHook = (module: Module, args: readonly Argument[]) => readonly Argument[] | undefined;

/** Runs after a forward; what it returns, if anything, replaces the output. */
export type ForwardHook = (module: Module, args: readonly Argument[], output: Output) => Output | undefined;

/** Takes a hook off again. */
export interface HookHandle {
  /** A second call does nothing. */
  remove(): void;
}

/**
 * A part of a model: named children and parameters, and a forward that describes the computation on traced values.
 *
 * Children and parameters are the fields that hold a Module, a Parameter or a list of Modules, in the order of their
 * declaration; field names are the checkpoint's keys. `config` is set first, so field initialisers can read it.
 */
export abstract class Module<Config = unknown> implements Traceable {
  readonly forwardParameters?: readonly ForwardParameter[];
  /** Another full name that recipes may give the module, where readers and checkpoints disagree on it. */
  readonly alias?: string;
  readonly #preHooks = new Set<ForwardPreHook>();
  readonly #hooks = new Set<ForwardHook>();

  constructor(readonly config: Config) {}

  /** Describes the computation. Runs on traced values only; call a module through {@link call}. */
  abstract forward(...args: never[]): Output;

  /** Calls this module inside another's forward. */
  call(...args: Parameters<this["forward"]>): ReturnType<this["forward"]> {
    return recorderOf(this.constructor.name, args).callModule(
      this as Module,
      args as readonly (Node | null)[],
    ) as ReturnType<this["forward"]>;
  }

  /** The forward between its hooks. */
  runForward(args: readonly Argument[]): Output {
    let current = args;
    for (const hook of this.#preHooks) current = hook(this as Module, current) ?? current;
    let output = this.forward(...(current as never[]));
    for (const hook of this.#hooks) output = hook(this as Module, current, output) ?? output;
    return output;
  }

  /** Has `hook` see, or replace, the arguments of every forward that is traced from now on. */
  registerForwardPreHook(hook: ForwardPreHook): HookHandle {
    this.#preHooks.add(hook);
    return { remove: () => this.#preHooks.delete(hook) };
  }

  /** Has `hook` see, or replace, the result of every forward that is traced from now on. */
  registerForwardHook(hook: ForwardHook): HookHandle {
    this.#hooks.add(hook);
    return { remove: () => this.#hooks.delete(hook) };
  }

  /** Takes off every hook of this module. */
  removeHooks(): void {
    this.#preHooks.clear();
    this.#hooks.clear();
  }

  /** Submodules that are fields of this one, or elements of a field that is a list: `["layers.0", layer]`. */
  *namedChildren(): Generator<[string, Module]> {
    for (const [field, value] of Object.entries(this)) {
      if (value instanceof Module) yield [field, value];
      if (!Array.isArray(value)) continue;
      for (const [index, element] of value.entries())
        if (element instanceof Module) yield [`${field}.${index}`, element];
    }
  }

  /** This module ("") and all below it, depth first, each once under the path it is first met at. */
  namedModules(): [string, Module][] {
    const found = new Map<Module, string>();
    const visit = (module: Module, path: string) => {
      if (found.has(module)) return;
      found.set(module, path);
      for (const [name, child] of module.namedChildren()) visit(child, join(path, name));
    };
    visit(this as Module, "");
    return [...found].map(([module, path]) => [path, module]);
  }

  /** Parameters and buffers that are fields of this module itself. */
  ownParameters(): [string, Parameter][] {
    return Object.entries(this).filter((entry): entry is [string, Parameter] => entry[1] instanceof Parameter);
  }

  /** Every parameter and buffer of this module and those below it, each once: a tied weight has its first path. */
  namedParameters(): [string, Parameter][] {
    const found = new Map<Parameter, string>();
    for (const [path, module] of this.namedModules()) {
      for (const [name, parameter] of module.ownParameters()) {
        if (!found.has(parameter)) found.set(parameter, join(path, name));
      }
    }
    return [...found].map(([parameter, path]) => [path, parameter]);
  }
}

function join(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}
