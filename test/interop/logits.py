"""Loads checkpoints in transformers and writes the logits of one text for each.

    python logits.py IDS.json OUT.json FOLDER...

IDS.json holds token ids; OUT.json gets, for each folder, the logits of all positions, flattened.
"""

import json
import sys

import torch
from transformers import AutoModelForCausalLM


def main(ids_file: str, out_file: str, folders: list[str]) -> None:
    ids = torch.tensor([json.load(open(ids_file))])
    results = []
    for folder in folders:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        with torch.no_grad():
            results.append(model(input_ids=ids).logits[0].flatten().tolist())
    json.dump(results, open(out_file, "w"))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
