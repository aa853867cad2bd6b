import { Template } from "@huggingface/jinja";
import { DataError } from "../errors.ts";

/** One turn of a conversation, as the template of its model expects it. */
export interface ChatMessage {
  readonly role: string;
  readonly content?: unknown;
}

/** Writes a conversation as one text, special tokens included. @throws DataError if the template refuses it */
export type ChatTemplate = (messages: readonly ChatMessage[]) => string;

/** A Jinja chat template as a function; it is parsed when first called, so that one nobody uses may be broken. */
export function compileChatTemplate(source: string, tokens: Readonly<Record<string, string>>): ChatTemplate {
  let template: Template | undefined;
  return (messages) => {
    try {
      template ??= new Template(source);
      return template.render({ ...tokens, messages, add_generation_prompt: false });
    } catch (cause) {
      throw new DataError(`chat template: ${(cause as Error).message}`, { cause });
    }
  };
}
