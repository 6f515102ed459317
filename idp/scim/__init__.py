"""SCIM 2.0 inbound (RFC 7643, RFC 7644): a source writes its people and groups to us itself, and each write is acted on in its transaction."""
