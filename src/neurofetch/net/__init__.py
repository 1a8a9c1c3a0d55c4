"""HTTP: connections, requests and responses, failures and when to try again, settings."""
