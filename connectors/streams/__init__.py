"""Where records of the audit trail are sent as they are written: syslog, or a file of JSON lines."""
