"""Deliberate defects of the AGCU, each small and plausible, and the test that must notice it."""

from verif.defects import Defect

RANDOM = "tests/test_agcu.py::test_100_random_programs_equal_the_golden_model_under_random_stalls"
DIRECTED = "tests/test_agcu.py::test_directed_programs_copy_gather_scatter_fault_halt_fence_and_load_words"

DEFECTS = [
    Defect(
        "the last element of a segment is refused",
        "hdl/agcu/pipeline.py",
        "end > segment.limit",
        "end >= segment.limit",
        DIRECTED,
    ),
    Defect(
        "a vector that begins inside a segment may end outside",
        "hdl/agcu/pipeline.py",
        "item.offset + Mux(by_word, word, item.limit * (ELEMENT_BITS // 8))",
        "item.offset",
        RANDOM,
    ),
    Defect(
        "the end of an access wraps round",
        "hdl/agcu/pipeline.py",
        "Signal(SCALAR_BITS + 1)",
        "Signal(SCALAR_BITS)",
        DIRECTED,
    ),
    Defect(
        "the unit goes on after a fault",
        "hdl/agcu/agcu.py",
        "self.stopped.eq(halted | fault.valid)",
        "self.stopped.eq(halted)",
        DIRECTED,
    ),
    Defect(
        "quiet does not wait for answers",
        "hdl/agcu/agcu.py",
        "self.stopped & (self.in_flight == 0) & ~self.requests.sending",
        "self.stopped & ~self.requests.sending",
        DIRECTED,
    ),
    Defect(
        "a load's fence does not wait",
        "hdl/agcu/agcu.py",
        "load.writing.eq(Cat(store.writing for store in self.stores).any())",
        "load.writing.eq(0)",
        DIRECTED,
    ),
    Defect(
        "a store sends its token when the burst was sent",
        "hdl/agcu/store.py",
        "(burst.beats == 0) | self.complete.bit_select(burst.tag, 1)",
        "1",
        DIRECTED,
    ),
    Defect(
        "wrong data are delivered",
        "hdl/agcu/answers.py",
        "there & answer.last & ~wrong",
        "there & answer.last",
        DIRECTED,
    ),
    Defect(
        "an error in the middle of a burst is forgotten",
        "hdl/agcu/answers.py",
        "wrong = answer.error | bad",
        "wrong = answer.error",
        DIRECTED,
    ),
    Defect(
        "one stream may take every tag",
        "hdl/agcu/tags.py",
        "standing & (count - self.taken > others)",
        "standing",
        DIRECTED,
    ),
    Defect(
        "a burst runs over the end of its granule",
        "hdl/agcu/coalesce.py",
        "closing.eq(vector.close | (vector.touches & ends))",
        "closing.eq(vector.close)",
        RANDOM,
    ),
    Defect(
        "an open burst waits for ever",
        "hdl/agcu/coalesce.py",
        "(~self.i.valid & (idle == self.PATIENCE))",
        "0",
        DIRECTED,
    ),
    Defect(
        "tokens of a dropped store are lost",
        "hdl/agcu/coalesce.py",
        "burst.fire.eq(burst.fire | vector.fire)",
        "burst.fire.eq(burst.fire | (vector.fire & vector.touches.replicate(len(vector.fire))))",
        DIRECTED,
    ),
    Defect(
        "lanes beyond the limit keep what memory holds",
        "hdl/agcu/load.py",
        "Mux(came.limit > i, self.elements[i], 0)",
        "self.elements[i]",
        DIRECTED,
    ),
    Defect(
        "a freed tag stays complete",
        "hdl/agcu/tags.py",
        "(self.complete | answer) & ~back",
        "self.complete | answer",
        RANDOM,
    ),
    Defect(
        "a write sends a beat too many",
        "hdl/agcu/requests.py",
        "left.eq(burst.beats - 1)",
        "left.eq(burst.beats)",
        RANDOM,
    ),
    Defect(
        "a word is written to the wrong half",
        "hdl/agcu/store.py",
        "(place == w).replicate(2)",
        "(place != w).replicate(2)",
        DIRECTED,
    ),
    Defect(
        "the output queue has too little room in reserve",
        "hdl/agcu/load.py",
        "output.level < output.depth - self.PIPELINE",
        "output.level < output.depth",
        RANDOM,
    ),
]
