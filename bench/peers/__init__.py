"""Other OpenID Providers, run beside Vestibule by the same generator in the same series."""
