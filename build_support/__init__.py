"""What setup.py and the Makefile need to build: where DPDK is, the driver's headers, the packages."""
