# Reached from Cython alone: _burst.pxd. Port.rx_burst and Port.tx_burst are its face.
