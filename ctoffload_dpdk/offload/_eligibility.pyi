# Nothing for Python: cimported only.
