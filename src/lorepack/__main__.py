"""`python -m lorepack`: the same as the command `lorepack`."""

from lorepack.cli.main import main

main()
