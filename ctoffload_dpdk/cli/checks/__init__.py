"""What `ctoffload doctor` looks at: one file per concern; each only reads, and gives findings."""
