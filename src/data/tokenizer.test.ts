import { readFile, symlink } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { CheckpointError, DataError } from "../errors.ts";
import { loadTokenizer } from "./tokenizer.ts";

const root = join(import.meta.dirname, "../..");
const plain = { addSpecialTokens: false };

/** A byte-free BPE tokenizer of ten tokens, with a `Digits` step, that puts `<s>` in front. */
const tiny = (individual_digits: boolean) =>
  JSON.stringify({
    version: "1.0",
    added_tokens: [
      { id: 8, content: "<s>", special: true },
      { id: 9, content: "</s>", special: true },
    ],
    normalizer: null,
    pre_tokenizer: { type: "Sequence", pretokenizers: [{ type: "Digits", individual_digits }] },
    post_processor: {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      pair: [],
      special_tokens: { "<s>": { id: "<s>", ids: [8], tokens: ["<s>"] } },
    },
    decoder: null,
    model: {
      type: "BPE",
      ignore_merges: false,
      vocab: { "1": 0, "½": 1, Ⅷ: 2, a: 3, "1½": 4, "½Ⅷ": 5, a1: 6, " ": 7, "<s>": 8, "</s>": 9 },
      merges: [
        ["1", "½"],
        ["½", "Ⅷ"],
        ["a", "1"],
      ],
    },
  });

test("token ids equal those of the Python library, in many scripts", async () => {
  const tokenizer = await loadTokenizer(join(root, "examples/moby-tiny"));
  const golden: { text: string; ids: number[] }[] = JSON.parse(
    await readFile(join(root, "test/fixtures/data/moby-tiny-tokens.json"), "utf8"),
  );
  expect(golden.length).toBe(90);
  for (const { text, ids } of golden) expect(tokenizer.encode(text, plain), JSON.stringify(text)).toEqual(ids);
});

test.each([-1, "x", 1.5])("a token whose id is %j is an error, not a token", async (id) => {
  const json = JSON.parse(tiny(true));
  json.model.vocab.a = id;
  const folder = await temporaryFolder({ "tokenizer.json": JSON.stringify(json) });
  const tokenizer = await loadTokenizer(folder);
  expect(() => tokenizer.encode("a", plain)).toThrow(
    new DataError(`${folder}/tokenizer.json: gives the token id ${id}, expected whole numbers. Get the file again.`),
  );
});

test("a tokenizer that fails on a text names its file", async () => {
  const json = { ...JSON.parse(tiny(true)), post_processor: { type: "TemplateProcessing", single: [null], pair: [] } };
  const folder = await temporaryFolder({ "tokenizer.json": JSON.stringify(json) });
  const tokenizer = await loadTokenizer(folder);
  expect(() => tokenizer.encode("a", plain)).toThrow(DataError);
  expect(() => tokenizer.encode("a", plain)).toThrow(`${folder}/tokenizer.json: fails on a text (`);
});

test("a tokenizer.json that is a link to another folder is not read", async () => {
  const folder = await temporaryFolder();
  await symlink("/etc/passwd", join(folder, "tokenizer.json"));
  await expect(loadTokenizer(folder)).rejects.toThrow(
    new CheckpointError(
      `${folder}/tokenizer.json: a link to /etc/passwd, expected a file in the same folder. Copy the file there.`,
    ),
  );
});

test("a tokenizer.json nested too deep is refused", async () => {
  const deep = `{"normalizer": ${"[".repeat(200)}${"]".repeat(200)}}`;
  const folder = await temporaryFolder({ "tokenizer.json": deep });
  await expect(loadTokenizer(folder)).rejects.toThrow(
    new DataError(`${folder}/tokenizer.json: nested deeper than 100 levels, expected an object. Get the file again.`),
  );
});

test("numeric characters that are no decimal digits are split off like digits", async () => {
  // ids from the Python library: a1½Ⅷa as [a, 1, ½, Ⅷ, a], and as [a, 1½, Ⅷ, a] where numbers stay together
  for (const [individualDigits, ids] of [
    [true, [3, 0, 1, 2, 3]],
    [false, [3, 4, 2, 3]],
  ] as const) {
    const tokenizer = await loadTokenizer(await temporaryFolder({ "tokenizer.json": tiny(individualDigits) }));
    expect(tokenizer.encode("a1½Ⅷa", plain)).toEqual(ids);
  }
});

test("white space is what Unicode says, not what JavaScript does", async () => {
  // ids from the Python library
  const tokenizer = await loadTokenizer(join(root, "examples/moby-tiny"));
  expect(tokenizer.encode("a  \ufeffb", plain)).toEqual([65, 221, 221, 172, 120, 124, 66]);
});

test("special tokens are added on request only", async () => {
  const tokenizer = await loadTokenizer(await temporaryFolder({ "tokenizer.json": tiny(true) }));
  expect(tokenizer.encode("a", { addSpecialTokens: true })).toEqual([8, 3]);
  expect(tokenizer.encode("a", plain)).toEqual([3]);
});

test("what batches need comes from tokenizer_config.json; the end token stands in for the pad token", async () => {
  const { padTokenId, eosTokenId, paddingSide, modelMaxLength } = await loadTokenizer(
    await temporaryFolder({
      "tokenizer.json": tiny(true),
      "tokenizer_config.json": '{"eos_token": {"content": "</s>"}, "padding_side": "left", "model_max_length": 77}',
    }),
  );
  expect({ padTokenId, eosTokenId, paddingSide, modelMaxLength }).toEqual({
    padTokenId: 9,
    eosTokenId: 9,
    paddingSide: "left",
    modelMaxLength: 77,
  });
});

test("a model_max_length of 1e30 is no bound, and moby-tiny has no chat template", async () => {
  const tokenizer = await loadTokenizer(join(root, "examples/moby-tiny"));
  expect(tokenizer).toMatchObject({ modelMaxLength: Number.POSITIVE_INFINITY, padTokenId: 0, paddingSide: "right" });
  expect(tokenizer.chatTemplate).toBeUndefined();
});

test("a chat is written as the Python library writes it", async () => {
  // SmolLM2-135M-Instruct's
  const template = `{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>
' }}{% endif %}{{'<|im_start|>' + message['role'] + '
' + message['content'] + '<|im_end|>' + '
'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}`;
  const folder = await temporaryFolder({
    "tokenizer.json": tiny(true),
    "tokenizer_config.json": '{"chat_template": "not this one"}',
    "chat_template.jinja": template,
  });
  const { chatTemplate } = await loadTokenizer(folder);
  expect(
    chatTemplate?.([
      { role: "user", content: "Who hunts the whale?" },
      { role: "assistant", content: "Ahab." },
    ]),
  ).toBe(
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n" +
      "<|im_start|>user\nWho hunts the whale?<|im_end|>\n<|im_start|>assistant\nAhab.<|im_end|>\n",
  );
});

test("a template sees the special tokens, and its exceptions are DataErrors", async () => {
  const template = "{{ bos_token }}{% if not messages %}{{ raise_exception('no messages') }}{% endif %}";
  const folder = await temporaryFolder({
    "tokenizer.json": tiny(true),
    "tokenizer_config.json": JSON.stringify({
      bos_token: "<s>",
      chat_template: [
        { name: "tool_use", template: "other" },
        { name: "default", template },
      ],
    }),
  });
  const { chatTemplate } = await loadTokenizer(folder);
  expect(chatTemplate?.([{ role: "user" }])).toBe("<s>");
  expect(() => chatTemplate?.([])).toThrow(new DataError("chat template: no messages"));
});

test.each([
  [{}, "tokenizer.json: no such file, expected a tokenizer. Put the model's there."],
  [{ "tokenizer.json": "{" }, "tokenizer.json: not JSON, expected an object. Get the file again."],
  [
    { "tokenizer.json": tiny(true).replace("Digits", "Telepathy") },
    "tokenizer.json: Unknown PreTokenizer type: Telepathy, expected a tokenizer of a supported kind. Get the file again.",
  ],
  [
    { "tokenizer.json": tiny(true), "tokenizer_config.json": '{"padding_side": "top"}' },
    'tokenizer_config.json.padding_side: found "top", expected one of "left", "right".',
  ],
])("a broken folder is refused: $1", async (files: Record<string, string>, message) => {
  const folder = await temporaryFolder(files);
  await expect(loadTokenizer(folder)).rejects.toThrow(new DataError(join(folder, message)));
});
