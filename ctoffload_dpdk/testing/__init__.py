"""For provider authors: the conformance tests and what they are made of."""
