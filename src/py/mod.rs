//! The border with CPython: the only place that names pyo3.
