"""Gateways that carry SMS: any HTTP service described by a template, and a file for demonstrations."""
