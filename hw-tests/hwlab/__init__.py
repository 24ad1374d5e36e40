"""What the tests on real NICs stand on: the inventory of a lab, the process under test, its peers, the report."""
