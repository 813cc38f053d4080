"""Operator graphs of models, and running them on the golden model."""

from coe_mapping.graph.build import Workload, decoder_layer, embedding, head, whole_model
from coe_mapping.graph.graph import DType, Graph, Kind, Lifetime, Operator, Role, Tensor
from coe_mapping.graph.run import Runner, Step, generate, run_graph, weights_of

__all__ = [
    "DType",
    "Graph",
    "Kind",
    "Lifetime",
    "Operator",
    "Role",
    "Runner",
    "Step",
    "Tensor",
    "Workload",
    "decoder_layer",
    "embedding",
    "generate",
    "head",
    "run_graph",
    "weights_of",
    "whole_model",
]
