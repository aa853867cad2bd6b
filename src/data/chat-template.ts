import { Template } from "@huggingface/jinja";
import { timeLimited } from "../checkpoint/time-limit.ts";
import { DataError } from "../errors.ts";

/** One turn of a conversation, as the template of its model expects it. */
export interface ChatMessage {
  readonly role: string;
  readonly content?: unknown;
}

/** Writes a conversation as one text, special tokens included. @throws DataError if the template refuses it */
export type ChatTemplate = (messages: readonly ChatMessage[]) => string;

/** Numbers in one `range` of a template; a conversation has fewer turns. */
const LONGEST_RANGE = 100_000;

const BOUNDED_RANGE = "bounded_range";

/** A Jinja chat template as a function; it is parsed when first called, so that one nobody uses may be broken. */
export function compileChatTemplate(source: string, tokens: Readonly<Record<string, string>>): ChatTemplate {
  let template: Template | undefined;
  const render = (messages: readonly ChatMessage[]) => {
    template ??= parse(source);
    return template.render({ ...tokens, messages, add_generation_prompt: false, [BOUNDED_RANGE]: range });
  };
  const renderInTime = timeLimited(render, "chat template", { failure: DataError, seconds: () => 2 });
  return (messages) => {
    try {
      return renderInTime(messages);
    } catch (cause) {
      if (cause instanceof DataError) throw cause;
      throw new DataError(`chat template: ${(cause as Error).message}`, { cause });
    }
  };
}

function parse(source: string): Template {
  const template = new Template(source);
  template.parsed.body.unshift(...new Template(`{% set range = ${BOUNDED_RANGE} %}`).parsed.body);
  return template;
}

/** Python's `range`, in place of Jinja's own, which has no bound. */
function range(...given: readonly unknown[]): number[] {
  const numbers = given.filter((value) => typeof value === "number");
  const [start, stop, step = 1] = numbers.length === 1 ? [0, ...numbers] : numbers;
  const length = Math.max(Math.ceil((stop - start) / step), 0);
  if (!(length <= LONGEST_RANGE)) throw new Error(`a range of ${length} numbers, expected at most ${LONGEST_RANGE}`);
  return Array.from({ length }, (_, index) => start + index * step);
}
