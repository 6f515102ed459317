"""The performance bench: drives an OpenID Provider from outside, over its HTTP surface.

It owns the load generator, the floors measured beside it, the peers and the report.
It imports nothing of idp except in bench.vestibule, which knows how our server is configured and started.
"""
