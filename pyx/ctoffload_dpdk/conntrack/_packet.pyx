"""Constants of packets and verdicts."""
