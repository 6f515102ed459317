"""Vestibule, the OpenID Connect identity provider. Layers and their direction: docs/architecture.md."""

import gc

# What a program imports is no garbage: looked for at Python's own pace, it is a fifth of what each start and each command costs.
gc.set_threshold(50_000, 20, 50)
