"""Vestibule, the OpenID Connect identity provider. Layers and their direction: docs/architecture.md."""
