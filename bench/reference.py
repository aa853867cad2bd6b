"""Runs llm-compressor on the benchmark's protocol and prints one line of JSON: seconds, peak bytes.

    python reference.py MODEL TEXTS OUTPUT SAMPLES RECIPE

MODEL is loaded in float32; TEXTS is a .jsonl file with a field `text`, of which the first SAMPLES lines are tokenized
without special tokens and cut at 512 tokens. RECIPE is a file.
"""

import itertools
import json
import resource
import sys
import time

import torch
from datasets import Dataset
from llmcompressor import oneshot
from transformers import AutoModelForCausalLM, AutoTokenizer

LENGTH = 512


def main(folder: str, texts: str, output: str, samples: int, recipe: str) -> None:
    start = time.perf_counter()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with open(texts) as lines:
        rows = [json.loads(line)["text"] for line in itertools.islice(lines, samples)]
    ids = [tokenizer(row, add_special_tokens=False, truncation=True, max_length=LENGTH)["input_ids"] for row in rows]
    data = Dataset.from_dict({"input_ids": ids, "attention_mask": [[1] * len(row) for row in ids]})
    oneshot(
        model=model,
        tokenizer=tokenizer,
        dataset=data,
        recipe=recipe,
        num_calibration_samples=samples,
        max_seq_length=LENGTH,
        shuffle_calibration_samples=False,
    )
    model.save_pretrained(output, save_compressed=True)
    tokenizer.save_pretrained(output)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "peakBytes": peak, "tokens": sum(map(len, ids))}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])
