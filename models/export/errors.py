"""The exporter's one kind of error: something that the person who runs it can put right."""


class ExportError(Exception):
    """Says what is wrong, where, and what to do; printed without a stack trace."""
