"""The tables of ``docs/pcu.md``, made from the layouts: ``python -m hdl.pcu.manual`` prints them."""

from hdl.manual import fields, size, status_table, table
from hdl.params import TEST, PCUParams
from hdl.pcu.config import STATUS, pcu_layout

MEANINGS = {
    "mode": "which body the vectors go through",
    "chain.depth": "counters in use; counter 0 is the outermost loop",
    "chain.counters[].limit": "iterations of the loop; 0 counts as 1",
    "chain.counters[].stride": "its value is position times this",
    "chain.counters[].source": "0: `limit`; j + 1: the limit is popped from scalar input j on entering the loop",
    "chain.rounds": "how often all of it runs; 0 counts as 1",
    "group.counters": "mask of the counters that run over one group of accumulated iterations; it begins where all of "
    "them stand at their first position and ends where all stand at their last",
    "group.slotted": "the innermost counter numbers independent accumulators",
    "group.running": "every iteration emits a result, not only the last of a group (SIMD)",
    "vector_in[].enable": "the vector at the head is an operand of every iteration (SIMD: it loads register j)",
    "vector_in[].wide": "a vector is two beats of 32-bit lanes, not one of BF16",
    "vector_in[].pop": "boundary at which the head is dropped",
    "scalar_in[].enable": "the word at the head is an operand of every iteration",
    "scalar_in[].pop": "boundary at which the head is dropped",
    "token_in[].enable": "iterations wait for tokens",
    "token_in[].boundary": "which: those that stand at the first position from here inwards, a token each",
    "token_out[].enable": "tokens are sent",
    "token_out[].boundary": "with the results of iterations that stand at the last position from here inwards",
    "shared[]": "where a shared value comes from",
    "systolic.rows": "stages in use: rows of the broadcast operand",
    "systolic.columns": "a broadcast beat holds one k for every stage, not `lanes` values of k for one stage",
    "systolic.initial": "accumulators start from vector input 2, not from zero",
    "systolic.tile": "boundary that ends a tile: the first counter of the group",
    "stages[].operation": "what the stage does",
    "stages[].a": "first operand",
    "stages[].b": "second operand",
    "stages[].condition": "register that SELECT looks at",
    "stages[].into": "register that takes the result; the others pass",
    "stages[].accumulate": "acc = op(acc, a) in the iteration's slot; the result is acc",
    "stages[].constant": "the stage's constant",
    "stages[].exchange.register": "register that EXCHANGED reads from another lane",
    "stages[].exchange.shift": "from lane - distance, the constant where there is none; not from lane XOR distance",
    "stages[].exchange.distance": "how far",
    "reduce.enable": "the body's result is reduced across lanes, and goes to every lane of the tail",
    "reduce.operation": "how",
    "reduce.register": "what",
    "reduce.over_time": "and over the iterations of a group, slot by slot",
    "reduce.base": "shared value (k + 1) added to the lane's number to give an index; 0: none",
    "tail.register": "register that enters the tail when nothing is reduced",
    "tail.mask.before": "lanes beyond the bound become `value_before` before the other steps",
    "tail.mask.after": "... become `value_after` after them",
    "tail.mask.constant": "the bound, the highest lane kept, signed",
    "tail.mask.plus": "shared value (k + 1) added to it",
    "tail.mask.minus": "shared value (k + 1) taken from it",
    "tail.mask.by_stage": "the number of the systolic stage is added to it",
    "tail.mask.value_before": "32-bit word",
    "tail.mask.value_after": "32-bit word; a BF16 stands in the upper half",
    "tail.scale.use": "times a number (FP32)",
    "tail.scale.shared": "shared value (k + 1); 0: the constant",
    "tail.scale.constant": "FP32",
    "tail.offset.use": "plus a number (FP32)",
    "tail.offset.shared": "shared value (k + 1); 0: the constant",
    "tail.offset.constant": "FP32",
    "tail.special.use": "a special function",
    "tail.special.function": "which",
    "tail.clamp.use": "min(max(x, low), high)",
    "tail.clamp.low": "FP32",
    "tail.clamp.high": "FP32",
    "tail.conversion": "format of the results",
    "tail.seed": "of the random numbers, drawn anew at every start",
    "sequence.constant": "sequence id of a vector beat starts as this",
    "sequence.counters": "... plus the values of the counters in this mask",
    "sequence.stage": "... plus this times the systolic stage",
    "sequence.beat": "... plus this in the second beat of a wide vector",
    "vector_out[].enable": "results are sent",
    "vector_out[].boundary": "those of iterations that stand at the last position from here inwards",
    "side.enable": "vector output 1 sends a register of the body instead of the tail's result",
    "side.register": "which, as it leaves the last stage",
    "side.wide": "as 32-bit words, not rounded to BF16",
    "scalar_out[].enable": "a word is sent with results",
    "scalar_out[].boundary": "of iterations that stand at the last position from here inwards",
    "scalar_out[].source": "which word",
}


def configuration_table(params: PCUParams) -> str:
    """Markdown: field, bits, meaning and values."""
    layout = pcu_layout(params)
    return table((name, shape, MEANINGS[name]) for name, shape in fields(layout)) + f"\n\n{size(layout)}"


def status_words() -> str:
    """Markdown: word address and name of every status word."""
    return status_table(STATUS)


if __name__ == "__main__":
    print(configuration_table(TEST.pcu), status_words(), sep="\n\n")
