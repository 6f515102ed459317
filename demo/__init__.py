"""The demonstration: two care homes, a dozen people, a small care application. Nothing here is used in production."""
