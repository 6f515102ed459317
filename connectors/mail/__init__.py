"""Mail, handed to an SMTP server (RFC 5321, RFC 5322)."""
