"""Loads checkpoints in transformers and writes the logits of one text for each.

    python logits.py IDS.json OUT.json FOLDER...

IDS.json holds token ids; OUT.json gets, for each folder, the logits of all positions, flattened.
"""

import json
import sys

import torch
from transformers import AutoModelForCausalLM


def logits(folder: str, ids: torch.Tensor) -> list[float]:
    # eager: the default attention leaves out Gemma 2's soft cap
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", attn_implementation="eager").eval()
    model(input_ids=ids[:, :1])  # the first call decompresses the weights, in the dtype of the checkpoint
    torch.nn.Module.float(model)  # transformers' own `float` refuses a quantized model, even a decompressed one
    return model(input_ids=ids).logits[0].flatten().tolist()


def main(ids_file: str, out_file: str, folders: list[str]) -> None:
    with open(ids_file) as file:
        ids = torch.tensor([json.load(file)])
    with torch.no_grad():
        results = [logits(folder, ids) for folder in folders]
    with open(out_file, "w") as file:
        json.dump(results, file)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
