# Reached from Cython alone: _check.pxd.
