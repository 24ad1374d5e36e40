"""The generic layer between a connection tracker and its offload providers."""
