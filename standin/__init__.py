"""Stand-ins below real drivers: for tests and development, never in the wheel."""
