"""Metrics of generated answers, one module each, which defines an `AnswerMetric` as METRIC."""
