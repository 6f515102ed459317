"""How each part of the program is built from the configuration; with idp.app, which puts them together, and idp.cli, the only modules that name
concrete connectors and stores."""
