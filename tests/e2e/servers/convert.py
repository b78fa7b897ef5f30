"""The program that makes a model directory of a GGUF; it runs in the environment of transformers, without Trunkline.

Usage: convert.py FILE.gguf DIRECTORY
"""

import importlib
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Weights as bfloat16, tokenizer and chat template."""
    torch: Any = importlib.import_module("torch")
    transformers: Any = importlib.import_module("transformers")
    gguf, target = Path(sys.argv[1]), sys.argv[2]
    source, name = str(gguf.parent), gguf.name
    tokenizer = transformers.AutoTokenizer.from_pretrained(source, gguf_file=name)
    model = transformers.AutoModelForCausalLM.from_pretrained(source, gguf_file=name, dtype=torch.bfloat16)
    # It remembers where it came from, and refuses to be written while it does.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    plain = type(model)(model.config).to(torch.bfloat16)
    plain.load_state_dict(model.state_dict())
    plain.generation_config = model.generation_config
    plain.save_pretrained(target)
    tokenizer.save_pretrained(target)


if __name__ == "__main__":
    main()
