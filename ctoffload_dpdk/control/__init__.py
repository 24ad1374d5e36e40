"""What others see of a running engine: a table of commands, and the sockets that answer them."""
