"""``python -m coe_mapping.models.generate MODEL --prompt "12+34="``: text from a checkpoint, by the golden model."""

import argparse
import sys
from pathlib import Path

import numpy as np

from coe_mapping.graph.run import Runner
from coe_mapping.models.model import ModelError
from coe_mapping.models.read import read_model
from coe_mapping.models.tokenizer import read_tokenizer
from golden_model.operators import ContractArithmetic, PlainArithmetic
from hdl.errors import ParameterError


def main() -> int:
    """Prints the answer as it appears; 1 with a sentence if the model or the prompt is no good."""
    options = _options()
    try:
        _generate(options)
    except (ModelError, ParameterError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _generate(options: argparse.Namespace) -> None:
    tokenizer = read_tokenizer(options.model)
    prompt = tokenizer.encode(options.prompt)
    if not prompt:
        raise ParameterError("the prompt is empty: give at least one character that the tokenizer knows")
    arithmetic = PlainArithmetic() if options.arithmetic == "float64" else ContractArithmetic(options.lanes)
    runner = Runner(read_model(options.model), arithmetic, 1, len(prompt) + options.tokens)
    ids: list[int] = []
    shown, tokens = "", np.array([prompt])
    for _ in range(options.tokens):
        tokens = runner.step(tokens).next_tokens[:, np.newaxis]
        if int(tokens[0, 0]) in tokenizer.stops:
            break
        ids.append(int(tokens[0, 0]))
        text = tokenizer.decode(ids)
        print(text.removeprefix(shown), end="", flush=True)
        shown = text
    print()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m coe_mapping.models.generate",
        description="Greedy text from a checkpoint, computed by the golden model in the machine's arithmetic.",
        epilog='example: python -m coe_mapping.models.generate coe_mapping/weights/demo --prompt "123+456="',
    )
    parser.add_argument("model", type=Path, help="a Hugging Face folder, a .gguf file or a llama2.c .bin file")
    parser.add_argument("--prompt", required=True, help="text to go on from")
    parser.add_argument("--tokens", type=int, default=32, help="most tokens to make (32)")
    parser.add_argument("--lanes", type=int, default=8, help="lanes of the PCUs that sums are split over (8)")
    parser.add_argument(
        "--arithmetic", choices=("contract", "float64"), default="contract", help="the machine's, or plain float64"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
