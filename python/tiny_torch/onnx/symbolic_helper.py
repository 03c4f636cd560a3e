"""Decorators of functions that describe operators to the exporter, which is not here."""


def parse_args(*arg_descriptors):
    return lambda function: function


def quantized_args(*arg_q_descriptors, **options):
    return lambda function: function
